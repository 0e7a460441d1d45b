"""What every signature's estimator has in common: its preparation, its log-odds, and how it is frozen."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from annulus.errors import StudyError
from annulus.modelling.frozen import Scorer
from annulus.modelling.frozen_steps import ChainedFill, FrozenStep, MedianFill
from annulus.modelling.steps import moments


class Estimator(ClassifierMixin, BaseEstimator, ABC):
    """A model of the event on prepared features, whose score is the log-odds of the event.

    ``prepare`` is a transformer of tables or None; it is refitted wherever the model is. After fitting,
    ``intercept_`` is where scores are counted from (the intercept, or the log-odds of the training
    prevalence), ``selected_`` names the features that it uses, and ``kind_`` the model.
    """

    prepare: TransformerMixin | None
    intercept_: float

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "Estimator":
        """Fit on ``X``, whose index names patients (a resample may have one repeatedly); ``y`` is 0 or 1."""
        outcome = np.asarray(y, dtype=float)
        self.classes_ = np.array([0, 1])
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.prepare_, table = fit_prepare(self.prepare, X, outcome)
        self.names_ = [str(name) for name in table.columns]
        self._learn(X, table.to_numpy(dtype=float), outcome)
        return self

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Return the log-odds of the event."""
        check_is_fitted(self, "intercept_")
        return self._score(apply_prepare(self.prepare_, X).to_numpy(dtype=float))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of no event and of the event, as patient x 2."""
        p = 1.0 / (1.0 + np.exp(-self.decision_function(X)))
        return np.column_stack([1.0 - p, p])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the event is more probable than not."""
        labels: np.ndarray = (self.decision_function(X) > 0).astype(int)
        return labels

    @property
    @abstractmethod
    def kind_(self) -> str:
        """Name of the model."""

    @property
    @abstractmethod
    def selected_(self) -> tuple[str, ...]:
        """Names of the features that the model uses."""

    @property
    def deviance_(self) -> tuple[float, float]:
        """Cross-validated deviance by which the model tuned itself, and its standard error, where it did."""
        return np.nan, np.nan

    @abstractmethod
    def freeze(self) -> Scorer:
        """Keep what scoring new patients needs. Raises StudyError where missing features are not filled."""

    @abstractmethod
    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        """Fit on prepared ``values``; ``X`` is there for refitting the preparation inside folds."""

    @abstractmethod
    def _score(self, values: np.ndarray) -> np.ndarray:
        """Log-odds of prepared ``values``."""

    def _steps(self, kept: Sequence[str]) -> tuple[FrozenStep, ...]:
        """Freeze the preparation of the features ``kept``, each step for what the next ones need of it."""
        needed, found = tuple(kept), list[FrozenStep]()
        for _, step in reversed([] if self.prepare_ is None else self.prepare_.steps):
            part = step.freeze(needed)
            if part is not None:
                found.insert(0, part)
                needed = part.features
        if not any(isinstance(step, MedianFill | ChainedFill) for step in found):
            raise StudyError(
                "steps: without impute a patient who lacks a feature cannot be scored; add it to the steps."
            )
        return tuple(found)


def fit_prepare(
    prepare: TransformerMixin | None, X: pd.DataFrame, outcome: np.ndarray
) -> tuple[TransformerMixin | None, pd.DataFrame]:
    """Fit a copy of ``prepare``; returns it with the prepared table."""
    if prepare is None:
        return None, X
    fitted = clone(prepare)
    return fitted, fitted.fit_transform(X, outcome)


def apply_prepare(prepare: TransformerMixin | None, X: pd.DataFrame) -> pd.DataFrame:
    """Prepare a table by what training taught."""
    return X if prepare is None else prepare.transform(X)


def standards(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD; an infinite SD makes a z-score of 0 of what does not vary."""
    mean, sd, varies = moments(values)
    return mean, np.where(varies, sd, np.inf)
