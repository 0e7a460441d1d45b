"""Models of several signatures and clinical variables, and every model's out-of-fold predictions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column
from annulus.modelling.clinical import ClinicalModel, Fit, firth_remark, fit_terms, varying
from annulus.modelling.folds import Split, log_odds
from annulus.modelling.frozen import FrozenModel, Linear, Scorer
from annulus.modelling.plan import rad_score
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
        reason="; ".join(
            part
            for part in (
                f"without {', '.join(empty)}, which selected nothing" if empty else "",
                firth_remark(fit),
            )
            if part
        ),
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
    table: pd.DataFrame,
    clinical: Mapping[str, Column],
    outcome: pd.Series,
    outer_folds: Sequence[Split],
) -> pd.Series:
    """Out-of-fold log-odds of a combined model, refitted whole in every outer fold.

    ``cross_fitted`` holds each signature's nested scores, by region; ``table`` the ``clinical`` variables as
    recorded. Counted, as by :func:`over_folds`, from the prevalence that the fold was fitted on.
    """

    def predict(train: np.ndarray, test: np.ndarray, fold: int) -> np.ndarray | None:
        names = outcome.index.to_numpy()
        inner, held_out = {}, {}
        for roi, scores in cross_fitted.items():
            score = scores[scores["outer_set"] == str(fold)].set_index("patient_id")["score"]
            inner[roi] = score.loc[names[train]].to_numpy()
            held_out[rad_score(roi)] = score.loc[names[test]].to_numpy()
        encoded = encode(table.iloc[train], clinical.values())
        _, linear, _ = fit_terms(combined_terms(inner, encoded), outcome.iloc[train].to_numpy())
        model = FrozenModel("combined", "combined", linear, clinical=tuple(clinical))
        return None if linear is None else model.score(table.iloc[test].assign(**held_out), clinical)

    return over_folds(outcome, outer_folds, predict)


def out_of_fold_clinical(
    table: pd.DataFrame,
    outcome: pd.Series,
    columns: Mapping[str, Column],
    outer_folds: Sequence[Split],
    fit: Callable[[pd.DataFrame, np.ndarray], ClinicalModel],
) -> pd.Series:
    """Out-of-fold log-odds of a model of variables (``columns``), any selection repeated in every fold.

    Counted, as by :func:`over_folds`, from the prevalence that the fold was fitted on.
    """

    def predict(train: np.ndarray, test: np.ndarray, fold: int) -> np.ndarray | None:
        found = fit(table.iloc[train], outcome.iloc[train].to_numpy())
        model = FrozenModel("clinical", "clinical", found.linear, clinical=found.kept)
        return None if found.linear is None else model.score(table.iloc[test], columns)

    return over_folds(outcome, outer_folds, predict)


def over_folds(
    outcome: pd.Series,
    outer_folds: Sequence[Split],
    predict: Callable[[np.ndarray, np.ndarray, int], np.ndarray | None],
) -> pd.Series:
    """Score every patient by the model of the fold that leaves them out, less that fold's prior log-odds.

    Where a fold's others have more events, the fold has fewer: intercepts run against the outcomes held
    out, and scores of several folds together would make a useless model seem worse than chance (or, of
    centres that differ in prevalence, a good one bad). Each fold is therefore counted from the log-odds of
    the prevalence among its others, as when a model is moved to another prevalence; a fold without a model
    (``predict`` returns None) scores 0.
    """
    scores = pd.Series(0.0, index=outcome.index)
    for fold, (train, test) in enumerate(outer_folds):
        found = predict(train, test, fold)
        if found is not None:
            scores.iloc[test] = found - log_odds(outcome.iloc[train].to_numpy())
    return scores


def _on_frozen_scores(linear: Linear, signatures: Mapping[str, Scorer]) -> Linear:
    """Take the frozen signatures' intercepts off their scores, as cross-fitted scores have none."""
    origin = {rad_score(roi): signature.intercept for roi, signature in signatures.items()}
    shift = tuple(origin.get(term, 0.0) for term in linear.terms)
    fill = tuple(value + by for value, by in zip(linear.fill, shift, strict=True))
    return replace(linear, mean=shift, fill=fill)
