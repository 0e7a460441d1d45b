"""What some readers ask for and others warn of: Hosmer-Lemeshow tests, net reclassification and the IDI.

Kept apart from the main tables. Net reclassification and the integrated discrimination improvement are
given for declared comparisons in held-out cohorts alone, with bootstrap intervals and no p-value, and not
at all where either model is miscalibrated (``annulus.evaluation.warnings.nri_blocked``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from annulus.evaluation.calibration import calibration_slope
from annulus.evaluation.calibration_error import hosmer_lemeshow
from annulus.evaluation.predictions import by_cohort_and_model, known, side_by_side
from annulus.evaluation.reclassification import (
    Improvement,
    bootstrap_improvement,
    categorical_nri,
    continuous_nri,
    idi,
)
from annulus.evaluation.warnings import nri_blocked

SUPPLEMENT_COLUMNS = [
    "measure", "model", "against", "cohort", "n", "events", "cut_offs", "estimate", "lower", "upper",
    "degrees_of_freedom", "p", "method", "note", "synthetic",
]  # fmt: skip

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], Improvement]

# Net reclassification of both outcomes together is no share of patients, so its parts stand alone.
PARTS = {
    "nri": ("nri_events", "nri_non_events"),
    "continuous_nri": ("continuous_nri_events", "continuous_nri_non_events"),
    "idi": ("idi_events", "idi_non_events", "idi"),
}


def supplement(
    predictions: pd.DataFrame,
    declared: Sequence[Sequence[str]],
    thresholds: Mapping[str, float],
    at: Sequence[float],
    bootstraps: int,
    seed: int,
    synthetic: bool,
) -> pd.DataFrame:
    """Hosmer-Lemeshow of every model in every cohort, then NRI and IDI of ``declared`` comparisons.

    The first model of a declared pair is the new one. Risk categories start at each risk of ``at``; where
    there is none, each model has the two categories of its own frozen cut-off (``thresholds``), so that
    net reclassification is the gain in sensitivity and in specificity.
    """
    table = known(predictions)
    rows = list(_goodness_of_fit(table))
    for cohort, group in table[table["cohort"] != "train"].groupby("cohort", sort=False):
        wide, y = side_by_side(group)
        for new, old in declared:
            facts = {
                "model": new,
                "against": old,
                "cohort": cohort,
                "n": len(y),
                "events": int(y.sum()),
            }
            found = _reclassification(str(cohort), wide, y, new, old, thresholds, at, bootstraps, seed)
            rows += [{**facts, **row} for row in found]
    found = pd.DataFrame(rows).reindex(columns=SUPPLEMENT_COLUMNS)
    return found.astype({"degrees_of_freedom": "Int64"}).assign(synthetic=int(synthetic))


def _goodness_of_fit(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    for cohort, model, group in by_cohort_and_model(table):
        training = cohort == "train"
        row: dict[str, object] = {
            "measure": "hosmer_lemeshow",
            "model": model,
            "cohort": cohort,
            "n": len(group),
            "events": int(group["y"].sum()),
            "method": "chi-square of groups by tenths of risk",
        }
        remarks = ["apparent: on the patients it was fitted on"] if training else []
        try:
            found = hosmer_lemeshow(group["y"].to_numpy(), group["probability"].to_numpy(), training)
            row |= {"estimate": found.statistic, "degrees_of_freedom": found.degrees_of_freedom, "p": found.p}
            remarks.append(f"{found.groups} groups")
        except ValueError as error:
            remarks.append(str(error))
        yield {**row, "note": "; ".join(remarks)}


def _reclassification(
    cohort: str,
    wide: pd.DataFrame,
    y: np.ndarray,
    new: str,
    old: str,
    thresholds: Mapping[str, float],
    at: Sequence[float],
    bootstraps: int,
    seed: int,
) -> Iterator[dict[str, object]]:
    reason = _why_none(cohort, wide, y, new, old)
    if reason:
        for name in (name for names in PARTS.values() for name in names):
            yield {"measure": name, "method": "none", "note": reason}
        return
    before, after = wide[old].to_numpy(), wide[new].to_numpy()
    cut_offs = ";".join(f"{risk:g}" for risk in at) or f"{thresholds[old]:.4g} to {thresholds[new]:.4g}"
    called = (before, after) if at else (_called(before, thresholds[old]), _called(after, thresholds[new]))
    edges = tuple(at) or (0.5,)

    def by_category(outcome: np.ndarray, first: np.ndarray, second: np.ndarray) -> Improvement:
        return categorical_nri(outcome, first, second, edges)

    own = "" if at else "each model at its own frozen cut-off (reference to new)"
    measures: tuple[tuple[str, Measure, tuple[np.ndarray, np.ndarray], str, str], ...] = (
        ("nri", by_category, called, cut_offs, own),
        ("continuous_nri", continuous_nri, (before, after), "", "any change of risk counts"),
        ("idi", idi, (before, after), "", ""),
    )
    for name, measure, (first, second), described, note in measures:
        found = bootstrap_improvement(measure, y, first, second, bootstraps, seed)
        for part, interval in zip(PARTS[name], found, strict=False):
            yield {
                "measure": part,
                "cut_offs": described,
                "estimate": interval.estimate,
                "lower": interval.lower,
                "upper": interval.upper,
                "method": interval.method,
                "note": note,
            }


def _why_none(cohort: str, wide: pd.DataFrame, y: np.ndarray, new: str, old: str) -> str:
    """Say why two models get no net reclassification and no IDI; empty where they do."""
    absent = [model for model in (new, old) if model not in wide]
    if absent:
        return f"no model {' and '.join(absent)}"
    if min(y.sum(), len(y) - y.sum()) < 2:
        return "fewer than two patients of one outcome"
    blocked = (
        nri_blocked(model, cohort, calibration_slope(y, wide[model].to_numpy())) for model in (new, old)
    )
    return " ".join(sentence for sentence in blocked if sentence)


def _called(probability: np.ndarray, threshold: float) -> np.ndarray:
    """1 where a patient is called positive, so that a cut-off of 0.5 tells the calls apart."""
    return (probability >= threshold).astype(float)
