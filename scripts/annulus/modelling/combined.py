"""Models of several signatures and clinical variables, and every model's out-of-fold predictions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column
from annulus.modelling.clinical import fit_terms, varying
from annulus.modelling.frozen import Linear, rad_score
from annulus.modelling.logistic import LogisticFit


@dataclass(frozen=True)
class CombinedModel:
    """A logistic regression on cross-fitted Rad-scores and clinical terms, or why there is none."""

    fit: LogisticFit | None
    linear: Linear | None
    reason: str
    dropped: tuple[str, ...]


def fit_combined(terms: pd.DataFrame, outcome: np.ndarray) -> CombinedModel:
    """Fit a combined model; a Rad-score that selected nothing is dropped, and named in ``dropped``."""
    fit, linear, reason = fit_terms(terms, outcome)
    return CombinedModel(fit, linear, reason, tuple(set(terms) - set(varying(terms))))


def combined_terms(
    scores: Mapping[str, pd.Series], clinical: pd.DataFrame, patients: Sequence[str]
) -> pd.DataFrame:
    """Put Rad-scores (by region) beside clinical terms for ``patients``."""
    parts = {rad_score(roi): series.loc[patients] for roi, series in scores.items()}
    return pd.concat([pd.DataFrame(parts, index=patients), clinical.loc[patients]], axis=1)


def out_of_fold(
    cross_fitted: Mapping[str, pd.DataFrame],
    clinical: pd.DataFrame,
    outcome: pd.Series,
    outer_folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> pd.Series:
    """Out-of-fold linear predictors of a combined model, refitted whole in every outer fold.

    ``cross_fitted`` holds each signature's nested scores, by region. A fold whose model cannot be
    fitted predicts its training prevalence.
    """

    def predict(train: np.ndarray, test: np.ndarray, fold: int) -> np.ndarray:
        names = outcome.index.to_numpy()
        inner, held_out = {}, {}
        for roi, table in cross_fitted.items():
            part = table[table["outer_set"] == str(fold)].set_index("patient_id")
            inner[roi] = part.loc[part["held_out"] == 0, "score"]
            held_out[roi] = part.loc[part["held_out"] == 1, "score"]
        y = outcome.iloc[train].to_numpy()
        model = fit_combined(combined_terms(inner, clinical, names[train]), y)
        if model.linear is None:
            return np.full(len(test), _logit(y.mean()))
        return model.linear.of(combined_terms(held_out, clinical, names[test]))

    return _over_folds(outcome, outer_folds, predict)


def out_of_fold_clinical(
    table: pd.DataFrame,
    outcome: pd.Series,
    columns: Mapping[str, Column],
    outer_folds: Sequence[tuple[np.ndarray, np.ndarray]],
    fit: Callable[[pd.DataFrame, np.ndarray], Linear | None],
) -> pd.Series:
    """Out-of-fold linear predictors of the clinical model, with selection repeated in every fold."""

    def predict(train: np.ndarray, test: np.ndarray, fold: int) -> np.ndarray:
        y = outcome.iloc[train].to_numpy()
        linear = fit(table.iloc[train], y)
        if linear is None:
            return np.full(len(test), _logit(y.mean()))
        return linear.of(encode(table.iloc[test], columns.values()))

    return _over_folds(outcome, outer_folds, predict)


def probability(linear_predictor: np.ndarray | pd.Series) -> np.ndarray:
    """Turn linear predictors into probabilities."""
    p: np.ndarray = 1.0 / (1.0 + np.exp(-np.asarray(linear_predictor, dtype=float)))
    return p


def _over_folds(
    outcome: pd.Series,
    outer_folds: Sequence[tuple[np.ndarray, np.ndarray]],
    predict: Callable[[np.ndarray, np.ndarray, int], np.ndarray],
) -> pd.Series:
    scores = pd.Series(np.nan, index=outcome.index)
    for fold, (train, test) in enumerate(outer_folds):
        scores.iloc[test] = predict(train, test, fold)
    return scores


def _logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))
