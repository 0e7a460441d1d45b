"""Models of several signatures and clinical variables, and every model's out-of-fold predictions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column
from annulus.modelling.clinical import ClinicalModel, Fit, fit_terms, varying
from annulus.modelling.frozen import FrozenModel, Linear, Scorer, rad_score
from annulus.modelling.logistic import LogisticFit


@dataclass(frozen=True)
class CombinedModel:
    """A logistic regression on cross-fitted Rad-scores and clinical terms, or why there is none.

    ``terms`` are what it was fitted on. ``dropped`` are Rad-scores that selected nothing and terms that
    do not vary.
    """

    fit: Fit | None
    model: FrozenModel
    terms: pd.DataFrame
    dropped: tuple[str, ...]


def fit_combined(
    name: str,
    scores: Mapping[str, np.ndarray],
    encoded: pd.DataFrame,
    outcome: np.ndarray,
    signatures: Mapping[str, Scorer],
    clinical: Sequence[str],
) -> CombinedModel:
    """Fit a combined model, to be scored by the frozen ``signatures``.

    ``scores`` are cross-fitted Rad-scores by region, without intercepts, so that a signature's optimism on
    its own patients does not buy it weight; ``encoded`` are the terms of the ``clinical`` variables. Rows
    of both are patients.
    """
    terms = combined_terms(scores, encoded)
    empty = [rad_score(roi) for roi, linear in signatures.items() if not linear.terms]
    used = terms.drop(columns=empty)
    fit, linear, reason = fit_terms(used, outcome)
    dropped = (*[term for term in used if term not in varying(used)], *empty)
    if linear is None:
        return CombinedModel(None, FrozenModel(name, "combined", None, reason), used, dropped)
    kept = {roi: s for roi, s in signatures.items() if rad_score(roi) in linear.terms}
    model = FrozenModel(
        name=name,
        kind="combined",
        linear=_on_frozen_scores(linear, kept),
        reason=f"without {', '.join(empty)}, which selected nothing" if empty else "",
        clinical=tuple(clinical),
        signatures=kept,
        log_likelihood=fit.log_likelihood if isinstance(fit, LogisticFit) else None,
    )
    return CombinedModel(fit, model, used, dropped)


def combined_terms(scores: Mapping[str, np.ndarray], encoded: pd.DataFrame) -> pd.DataFrame:
    """Put Rad-scores (by region, rows as of ``encoded``) beside clinical terms."""
    parts = {rad_score(roi): values for roi, values in scores.items()}
    return pd.concat([pd.DataFrame(parts, index=encoded.index), encoded], axis=1)


def own_scores(cross_fitted: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """Return each signature's cross-fitted Rad-scores (by region) over all training patients, by patient."""
    return {
        roi: table[table["outer_set"] == "all"].set_index("patient_id")["score"]
        for roi, table in cross_fitted.items()
    }


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
            score = table[table["outer_set"] == str(fold)].set_index("patient_id")["score"]
            inner[roi] = score.loc[names[train]].to_numpy()
            held_out[roi] = score.loc[names[test]].to_numpy()
        y = outcome.iloc[train].to_numpy()
        _, linear, _ = fit_terms(combined_terms(inner, clinical.iloc[train]), y)
        if linear is None:
            return np.full(len(test), log_odds(y))
        return linear.of(combined_terms(held_out, clinical.iloc[test]))

    return _over_folds(outcome, outer_folds, predict)


def out_of_fold_clinical(
    table: pd.DataFrame,
    outcome: pd.Series,
    columns: Mapping[str, Column],
    outer_folds: Sequence[tuple[np.ndarray, np.ndarray]],
    fit: Callable[[pd.DataFrame, np.ndarray], ClinicalModel],
) -> pd.Series:
    """Out-of-fold linear predictors of a clinical model, with any selection repeated in every fold."""

    def predict(train: np.ndarray, test: np.ndarray, fold: int) -> np.ndarray:
        y = outcome.iloc[train].to_numpy()
        linear = fit(table.iloc[train], y).linear
        if linear is None:
            return np.full(len(test), log_odds(y))
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


def log_odds(outcome: np.ndarray) -> float:
    """Log-odds of the prevalence, which is what is predicted where there is no model."""
    prevalence = float(np.mean(outcome))
    return float(np.log(prevalence / (1.0 - prevalence)))


def _on_frozen_scores(linear: Linear, signatures: Mapping[str, Scorer]) -> Linear:
    """Take the frozen signatures' intercepts off their scores, as cross-fitted scores have none."""
    origin = {rad_score(roi): signature.intercept for roi, signature in signatures.items()}
    shift = tuple(origin.get(term, 0.0) for term in linear.terms)
    fill = tuple(value + by for value, by in zip(linear.fill, shift, strict=True))
    return replace(linear, mean=shift, fill=fill)
