"""LASSO or elastic-net logistic regression with everything before it inside its own cross-validation.

The penalty is chosen by refitting the preparation (imputation, selection, harmonisation, ...) in every
fold, so that it is not chosen on features that the held-out patients helped to select.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from annulus.modelling import descent, lasso
from annulus.modelling.signature import stratified_folds
from annulus.modelling.steps import moments


class PenalisedLogistic(ClassifierMixin, BaseEstimator):
    """Penalised logistic signature on prepared features.

    ``prepare`` is a transformer of tables or None. ``l1_ratio`` is 1 for the LASSO, or one or several
    shares of it in an elastic net, of which the cross-validation chooses one. ``penalty`` is ``minimum``
    or ``one_se``; ``count`` penalties reach down to ``smallest_ratio`` of the largest. Features are
    standardised (population SD) whatever ``prepare`` did, as in glmnet; coefficients are per SD.
    """

    def __init__(
        self,
        prepare: TransformerMixin | None = None,
        l1_ratio: float | Sequence[float] = 1.0,
        folds: int = 10,
        penalty: str = "minimum",
        count: int = 100,
        smallest_ratio: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.prepare = prepare
        self.l1_ratio = l1_ratio
        self.folds = folds
        self.penalty = penalty
        self.count = count
        self.smallest_ratio = smallest_ratio
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "PenalisedLogistic":
        """Choose the penalty by cross-validation, then fit on all of ``X``, whose index names patients."""
        outcome = np.asarray(y, dtype=float)
        self.classes_ = np.array([0, 1])
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.prepare_, table = _fit_prepare(self.prepare, X, outcome)
        self.names_ = list(table.columns)
        values = table.to_numpy(dtype=float)
        self.mean_, self.sd_ = _moments(values)
        scores = (values - self.mean_) / self.sd_
        if not np.isfinite(self.sd_).any():
            return self._empty(outcome)
        ratios = [self.l1_ratio] if isinstance(self.l1_ratio, int | float) else list(self.l1_ratio)
        paths = [
            lasso.penalties_for(scores, outcome, self.count, self.smallest_ratio, ratio) for ratio in ratios
        ]
        tried = self._cross_validate(X, outcome, paths, ratios)
        best = int(np.argmin([found.mean[found.minimum] for found in tried]))
        self.l1_ratio_, self.cross_validation_ = ratios[best], tried[best]
        self.path_ = descent.fit_path(scores, outcome, paths[best], l1_ratio=self.l1_ratio_)
        self.chosen_ = getattr(self.cross_validation_, self.penalty)
        self.coef_ = self.path_.coefficients[self.chosen_]
        self.intercept_ = float(self.path_.intercepts[self.chosen_])
        return self

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features with a coefficient."""
        check_is_fitted(self, "coef_")
        return tuple(name for name, b in zip(self.names_, self.coef_, strict=True) if b != 0)

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Return the linear predictor: intercept + sum of coefficient * z-score."""
        check_is_fitted(self, "coef_")
        table = X if self.prepare_ is None else self.prepare_.transform(X)
        kept = np.flatnonzero(self.coef_)
        values = table.to_numpy(dtype=float)[:, kept]
        scores: np.ndarray = (values - self.mean_[kept]) / self.sd_[kept] @ self.coef_[kept]
        return scores + self.intercept_

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of no event and of the event, as patient x 2."""
        p = 1.0 / (1.0 + np.exp(-self.decision_function(X)))
        return np.column_stack([1.0 - p, p])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the event is more probable than not."""
        labels: np.ndarray = (self.decision_function(X) > 0).astype(int)
        return labels

    def _cross_validate(
        self, X: pd.DataFrame, outcome: np.ndarray, paths: list[np.ndarray], ratios: list[float]
    ) -> list[lasso.CrossValidation]:
        deviances: list[list[np.ndarray]] = [[] for _ in ratios]
        sizes = []
        for train, test in patient_folds(X.index, outcome, self.folds, self.seed):
            prepare, table = _fit_prepare(self.prepare, X.iloc[train], outcome[train])
            held_out = X.iloc[test] if prepare is None else prepare.transform(X.iloc[test])
            values = table.to_numpy(dtype=float)
            mean, sd = _moments(values)
            theirs = (held_out.to_numpy(dtype=float) - mean) / sd
            sizes.append(len(test))
            for found, penalties, ratio in zip(deviances, paths, ratios, strict=True):
                if np.isfinite(sd).any():
                    path = descent.fit_path(
                        (values - mean) / sd, outcome[train], penalties, lasso.RANKING, ratio
                    )
                    linear = path.linear_predictors(theirs)
                else:
                    linear = np.full((len(test), len(penalties)), _log_odds(outcome[train]))
                found.append(lasso.deviance(outcome[test], linear))
        return [
            lasso.summarise(penalties, np.array(found), np.array(sizes))
            for penalties, found in zip(paths, deviances, strict=True)
        ]

    def _empty(self, outcome: np.ndarray) -> "PenalisedLogistic":
        """With no feature left that varies, only the intercept is left."""
        self.coef_ = np.zeros(len(self.names_))
        self.intercept_ = _log_odds(outcome)
        self.l1_ratio_ = 1.0
        self.path_ = lasso.Path(np.zeros(1), self.coef_[None, :], np.array([self.intercept_]))
        self.cross_validation_ = lasso.CrossValidation(np.zeros(1), np.zeros(1), np.zeros(1))
        self.chosen_ = 0
        return self


def patient_folds(
    patients: pd.Index, outcome: np.ndarray, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Share rows over folds, all rows of a patient to the same; a resample has some patients repeatedly.

    As :func:`stratified_folds` where every patient has one row.
    """
    number = pd.factorize(patients)[0]
    first = np.unique(number, return_index=True)[1]
    return [
        (np.flatnonzero(np.isin(number, train)), np.flatnonzero(np.isin(number, test)))
        for train, test in stratified_folds(outcome[first], folds, seed)
    ]


def _fit_prepare(
    prepare: TransformerMixin | None, X: pd.DataFrame, outcome: np.ndarray
) -> tuple[TransformerMixin | None, pd.DataFrame]:
    if prepare is None:
        return None, X
    fitted = clone(prepare)
    return fitted, fitted.fit_transform(X, outcome)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD; an infinite SD makes a z-score of 0 of what does not vary."""
    mean, sd, varies = moments(values)
    return mean, np.where(varies, sd, np.inf)


def _log_odds(outcome: np.ndarray) -> float:
    return float(np.log(outcome.mean() / (1.0 - outcome.mean())))
