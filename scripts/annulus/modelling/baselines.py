"""Baselines that every signature stands beside: volume alone, and size with clinical variables.

Welch et al., Radiother Oncol 2019;130:2-9: a signature may be the tumour's volume in disguise.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from annulus.modelling.clinical import fit_terms_or_firth
from annulus.modelling.combined import probability
from annulus.modelling.logistic import NotEstimable


class LogisticTerms(ClassifierMixin, BaseEstimator):
    """Logistic regression on the given columns of a table (all, when None), Firth's where separated.

    Columns are numbers (categories encoded before); missing ones take what is typical of training. What
    cannot be estimated raises NotEstimable.
    """

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self.columns = columns

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "LogisticTerms":
        """Fit on training patients (rows)."""
        columns = list(X.columns if self.columns is None else self.columns)
        absent = [name for name in columns if name not in X]
        if absent:
            raise ValueError(f"the table has no column {', '.join(map(str, absent))}")
        self.fit_, linear, reason = fit_terms_or_firth(X[columns], np.asarray(y, dtype=float))
        if linear is None:
            raise NotEstimable(reason.removeprefix("not estimable: "))
        self.linear_ = linear
        self.classes_ = np.array([0, 1])
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the terms."""
        return self.linear_.terms

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Return the linear predictor."""
        check_is_fitted(self, "linear_")
        return self.linear_.of(X)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of no event and of the event, as patient x 2."""
        p = probability(self.decision_function(X))
        return np.column_stack([1.0 - p, p])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the event is more probable than not."""
        labels: np.ndarray = (self.decision_function(X) > 0).astype(int)
        return labels


def volume_only(volume: str) -> LogisticTerms:
    """Return the unfitted model of the tumour's volume (the name of its column) alone."""
    return LogisticTerms((volume,))


def size_and_clinical(size: str, clinical: Sequence[str]) -> LogisticTerms:
    """Return the unfitted model of a size and encoded clinical terms, by the names of their columns."""
    return LogisticTerms(tuple(dict.fromkeys((size, *clinical))))


def volume_correlations(features: pd.DataFrame, volume: pd.Series) -> pd.DataFrame:
    """Spearman correlation of every column of ``features`` (or of a Rad-score) with the volume.

    ``column``, ``spearman``, ``p`` (t approximation) and ``n``, the patients who have both; NaN where
    either does not vary.
    """
    rows = []
    size = volume.loc[features.index].to_numpy(dtype=float)
    for name, values in features.items():
        x = values.to_numpy(dtype=float)
        both = np.isfinite(x) & np.isfinite(size)
        rho, p = np.nan, np.nan
        if both.sum() > 2 and np.ptp(x[both]) > 0 and np.ptp(size[both]) > 0:
            rho, p = stats.spearmanr(x[both], size[both])
        rows.append((name, float(rho), float(p), int(both.sum())))
    return pd.DataFrame(rows, columns=["column", "spearman", "p", "n"])
