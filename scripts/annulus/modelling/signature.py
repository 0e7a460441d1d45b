"""Cross-fitting of a signature over folds of patients.

A signature's estimator holds all of its steps, so that cross-validation, cross-fitting and resampling
refit all of it and nothing is ever learnt from a patient who is held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import clone

from annulus.modelling.estimator import Estimator
from annulus.modelling.folds import Split, log_odds, patient_folds


@dataclass(frozen=True)
class CrossFitted:
    """Rad-scores of training patients, each from a signature that never saw the patient.

    ``score`` is the Rad-score without its ``intercept``, which has a column of its own. Intercepts
    follow the prevalence of the fold's training patients, so that they run against the outcomes of those
    held out; a signature that selects nothing would else earn a large negative weight. ``intercept`` is
    therefore counted from the log-odds of that prevalence.

    ``scores`` has one row per ``outer_set`` and patient. In the set ``all`` the score comes from the
    outer fold that left the patient out. In the set of outer fold k, patients of the fold
    (``held_out`` 1) are scored by the signature of all others, and the others (``held_out`` 0) by
    inner cross-fitting among themselves. So a model of several signatures can be fitted, and
    itself cross-validated, without one patient ever being scored by a signature fitted on them.
    """

    scores: pd.DataFrame


def cross_fit(
    model: Estimator,
    features: pd.DataFrame,
    outcome: np.ndarray,
    outer: Sequence[Split],
    inner_folds: int,
    seed: int,
    nested: bool,
) -> CrossFitted:
    """Cross-fit a signature; ``features`` is indexed by patient, each of them once.

    The ``outer`` folds may be any, centres for one; each patient is held out once. ``nested`` adds the sets
    of the outer folds, which combined models need; their ``inner_folds`` are stratified by the outcome.
    """
    scores, intercepts = cross_fitted_scores(model, features, outcome, outer)
    held_out = pd.DataFrame(
        {"patient_id": features.index.to_numpy(), "score": scores, "intercept": intercepts}
    )
    tables = [held_out.assign(outer_set="all", held_out=0)]
    for k, (train, test) in enumerate(outer if nested else []):
        tables.append(held_out.iloc[test].assign(outer_set=str(k), held_out=1))
        own, y = features.iloc[train], outcome[train]
        inner = patient_folds(own.index, y, inner_folds, seed + k + 1)
        part = reseeded(model, (k + 1) * (inner_folds + 1) - 1)
        scores, intercepts = cross_fitted_scores(part, own, y, inner)
        table = pd.DataFrame({"patient_id": own.index.to_numpy(), "score": scores, "intercept": intercepts})
        tables.append(
            table.iloc[np.concatenate([rows for _, rows in inner])].assign(outer_set=str(k), held_out=0)
        )
    columns = ["outer_set", "patient_id", "held_out", "score", "intercept"]
    return CrossFitted(pd.concat(tables, ignore_index=True)[columns])


def cross_fitted_scores(
    model: Estimator, features: pd.DataFrame, outcome: np.ndarray, folds: Sequence[Split]
) -> tuple[np.ndarray, np.ndarray]:
    """Score every row by a copy of ``model`` that was fitted without its fold.

    Returns, by row, scores without their intercepts, and those intercepts less the log-odds of the
    prevalence that they were fitted on; NaN for rows of no fold. Of a resample with patients repeated,
    ``folds`` should come from :func:`patient_folds`. Each refit has a seed of its own.
    """
    scores, intercepts = np.full(len(features), np.nan), np.full(len(features), np.nan)
    for k, (train, test) in enumerate(folds):
        fitted = reseeded(model, k + 1).fit(features.iloc[train], outcome[train])
        intercepts[test] = fitted.intercept_ - log_odds(outcome[train])
        scores[test] = fitted.decision_function(features.iloc[test]) - fitted.intercept_
    return scores, intercepts


def reseeded(model: Estimator, by: int) -> Estimator:
    """Return an unfitted copy with every seed, also those of its steps, raised ``by`` a number."""
    copy: Estimator = clone(model)
    seeds = {
        name: value + by
        for name, value in copy.get_params().items()
        if name == "seed" or name.endswith("__seed")
    }
    return copy.set_params(**seeds)
