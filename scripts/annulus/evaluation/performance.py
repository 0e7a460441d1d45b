"""Every model in every cohort: performance, ROC, calibration and decision curves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from annulus.evaluation.calibration import CURVE_COLUMNS as CALIBRATION_COLUMNS
from annulus.evaluation.calibration import calibration, calibration_curves
from annulus.evaluation.smoothing import why_no_loess
from annulus.evaluation.calibration_error import Smoother, calibration_errors, ici_interval, spiegelhalter
from annulus.evaluation.classification import ProportionInterval, classification
from annulus.evaluation.decision import CURVE_COLUMNS as DECISION_COLUMNS
from annulus.evaluation.decision import decision_curve
from annulus.evaluation.discrimination import Interval, auc_interval, bootstrap_auc_interval
from annulus.evaluation.plan import (
    APPARENT_AUC,
    AT_CUT_OFF,
    AT_RISK,
    CORRECTED,
    OF_CALIBRATION,
    THRESHOLD,
    at_risk,
    corrected,
)
from annulus.evaluation.predictions import by_cohort_and_model, known, side_by_side
from annulus.evaluation.roc import roc_points
from annulus.evaluation.words import OUT_OF_FOLD
from annulus.modelling.odds import logit
from annulus.modelling.threshold import CutOff
from annulus.tables import joined

PERFORMANCE_COLUMNS = [
    "model", "cohort", "n", "events", "metric", "estimate", "lower", "upper", "method", "note",
    "synthetic",
]  # fmt: skip
ROC_COLUMNS = ["model", "cohort", "threshold", "false_positive_rate", "sensitivity"]

APPARENT = "on the patients it was fitted on"
OWN_CUT_OFF = "the cut-off was chosen on these predictions, so this is optimistic"
ONE_OUTCOME = "only one outcome is present"

SMOOTHER: Smoother = "loess"


@dataclass(frozen=True)
class Plan:
    """How performance is measured.

    ``at`` are predicted risks, set in advance, at which patients are called positive beside the frozen
    cut-off. ``bootstraps`` resamples with ``seed`` give the intervals that have no formula.
    """

    bootstraps: int
    seed: int
    at: tuple[float, ...] = ()
    proportion_interval: ProportionInterval = "Clopper-Pearson"


def performance(
    predictions: pd.DataFrame,
    cut_offs: Mapping[str, CutOff],
    absent: Mapping[str, str],
    remarks: Mapping[str, str],
    plan: Plan,
    synthetic: bool,
) -> pd.DataFrame:
    """Every metric of every model in every cohort, with intervals.

    ``cut_offs`` are the frozen cut-offs by model; ``absent`` says by model why there is none, and
    each such model gets a row that says so in every cohort. ``remarks`` are what a reader must know of a
    model that there is, and stand in its notes.
    """
    table = known(predictions)
    rows = list(_measured(table, cut_offs, plan))
    for cohort, group in table.groupby("cohort", sort=False):
        first = group.drop_duplicates("patient_id")
        for model, reason in absent.items():
            rows.append(
                {
                    "model": model,
                    "cohort": cohort,
                    "n": len(first),
                    "events": int(first["y"].sum()),
                    "metric": "auc",
                    "method": "none",
                    "note": f"no model: {reason}",
                }
            )
    for row in rows:
        remark = remarks.get(str(row["model"]), "")
        row["note"] = "; ".join(part for part in (str(row["note"]), remark) if part)
    found = pd.DataFrame(rows).reindex(columns=PERFORMANCE_COLUMNS)
    return found.assign(synthetic=int(synthetic))


def with_unscored(table: pd.DataFrame, predictions: pd.DataFrame, unscored: pd.DataFrame) -> pd.DataFrame:
    """Add a row for every model that could not score a cohort, saying what the cohort lacks.

    ``unscored`` has columns model, cohort, reason.
    """
    patients = known(predictions).drop_duplicates(["cohort", "patient_id"]).groupby("cohort")["y"]
    rows = pd.DataFrame(
        {
            "model": unscored["model"],
            "cohort": unscored["cohort"],
            "n": unscored["cohort"].map(patients.size()),
            "events": unscored["cohort"].map(patients.sum()),
            "metric": "auc",
            "method": "none",
            "note": "no model: " + unscored["reason"].astype(str),
            "synthetic": table["synthetic"].iloc[0],
        }
    )
    return joined([table, rows.reindex(columns=table.columns)])


def with_optimism(table: pd.DataFrame, optimism: pd.DataFrame) -> pd.DataFrame:
    """Put optimism-corrected AUC, Brier score and calibration slope beside the training rows.

    ``optimism`` is ``tasks/<task>/optimism.csv``.
    """
    sizes = table[table["cohort"] == "train"].drop_duplicates("model").set_index("model")
    found = optimism[optimism["measure"].isin(CORRECTED)]
    rows = pd.DataFrame(
        {
            "model": found["model"],
            "cohort": "train",
            "n": found["model"].map(sizes["n"]),
            "events": found["model"].map(sizes["events"]),
            "metric": found["measure"].map(corrected),
            "estimate": found["corrected"],
            "method": "bootstrap of the whole pipeline, " + found["resamples"].astype(str) + " resamples",
            "note": [
                f"apparent {apparent:.3f}, optimism {by:.3f}"
                for apparent, by in zip(found["apparent"], found["optimism"], strict=True)
            ],
            "synthetic": table["synthetic"].iloc[0],
        }
    )
    return pd.concat([table, rows.reindex(columns=table.columns)], ignore_index=True)


def roc_table(predictions: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Points of the ROC curve of every model in every cohort that has both outcomes."""
    parts = [
        roc_points(group["y"].to_numpy(), group["evaluated"].to_numpy()).assign(model=model, cohort=cohort)
        for cohort, model, group in by_cohort_and_model(known(predictions))
        if group["y"].nunique() == 2
    ]
    return _together(parts, ROC_COLUMNS, synthetic)


def calibration_table(predictions: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Calibration curves of every model in every cohort."""
    parts = [
        calibration_curves(group["y"].to_numpy(), group["evaluated"].to_numpy()).assign(
            model=model, cohort=cohort
        )
        for cohort, model, group in by_cohort_and_model(known(predictions))
    ]
    return _together(parts, CALIBRATION_COLUMNS, synthetic)


def decision_table(
    predictions: pd.DataFrame,
    thresholds: np.ndarray,
    bootstraps: int,
    seed: int,
    synthetic: bool,
    prevalence: float | None = None,
) -> pd.DataFrame:
    """Decision curves of every model in every cohort, as observed or at another ``prevalence``.

    Another prevalence needs sensitivity and specificity, so cohorts of one outcome have no rows then.
    """
    parts = []
    for cohort, group in known(predictions).groupby("cohort", sort=False):
        wide, y = side_by_side(group)
        if prevalence is not None and len(np.unique(y)) < 2:
            continue
        models = {model: wide[model].to_numpy() for model in group["model"].drop_duplicates()}
        curve = decision_curve(y, models, thresholds, bootstraps, seed, prevalence=prevalence)
        parts.append(curve.assign(cohort=cohort))
    columns = DECISION_COLUMNS if prevalence is None else [*DECISION_COLUMNS, "prevalence"]
    return _together([part.assign(prevalence=prevalence) for part in parts], columns, synthetic)


def shifted_decision_table(
    predictions: pd.DataFrame,
    thresholds: np.ndarray,
    bootstraps: int,
    seed: int,
    synthetic: bool,
    prevalence: float | None,
) -> pd.DataFrame:
    """Decision curves at a declared prevalence; no row where none is declared."""
    if prevalence is None:
        return _together([], [*DECISION_COLUMNS, "prevalence"], synthetic)
    return decision_table(predictions, thresholds, bootstraps, seed, synthetic, prevalence)


def _measured(table: pd.DataFrame, cut_offs: Mapping[str, CutOff], plan: Plan) -> Iterator[dict[str, object]]:
    for cohort, model, group in by_cohort_and_model(table):
        y, p = group["y"].to_numpy(), group["evaluated"].to_numpy()
        facts = {"model": model, "cohort": cohort, "n": len(y), "events": int(y.sum())}
        note = OUT_OF_FOLD if cohort == "train" else ""
        for metric, value in _metrics(y, p, cut_offs[model], plan).items():
            chosen_here = cohort == "train" and metric in AT_CUT_OFF and cut_offs[model].chosen
            yield {**facts, **_row(metric, value, f"{note}; {OWN_CUT_OFF}" if chosen_here else note)}
        if cohort == "train":
            apparent = _auc(y, group["probability"].to_numpy(), plan)
            yield {**facts, **_row(APPARENT_AUC, apparent, APPARENT)}


def _metrics(y: np.ndarray, p: np.ndarray, cut_off: CutOff, plan: Plan) -> dict[str, Interval]:
    both = 0 < y.sum() < len(y)
    found = {"auc": _auc(y, p, plan)}
    found |= classification(y, p, cut_off.value, method=plan.proportion_interval)
    if both:
        found |= calibration(y, p) | _spiegelhalter(y, p) | _curve_errors(y, p, plan)
    else:
        found |= dict.fromkeys(OF_CALIBRATION, _missing("none", ONE_OUTCOME))
    found[THRESHOLD] = Interval(
        cut_off.value, cut_off.lower, cut_off.upper, f"frozen in training: {cut_off.rule}"
    )
    for risk in plan.at:
        called = classification(y, p, risk, method=plan.proportion_interval)
        found |= {at_risk(metric, risk): called[metric] for metric in AT_RISK}
    return found


def _auc(y: np.ndarray, p: np.ndarray, plan: Plan) -> Interval:
    """AUC with DeLong's interval, or a smoothed bootstrap's where DeLong's has no width."""
    if not 0 < y.sum() < len(y):
        return _missing("DeLong", ONE_OUTCOME)
    plain = auc_interval(y, p)
    if plain.estimate not in (0.0, 1.0):
        return plain
    smoothed = bootstrap_auc_interval(y, logit(p), plan.bootstraps, plan.seed)
    # Scores far apart, or alike within an outcome, leave the bootstrap without width too.
    return smoothed if smoothed.lower < smoothed.upper else plain


def _spiegelhalter(y: np.ndarray, p: np.ndarray) -> dict[str, Interval]:
    try:
        found = spiegelhalter(y, p)
    except ValueError as error:
        missing = _missing("Spiegelhalter", str(error))
        return {"spiegelhalter_z": missing, "spiegelhalter_p": missing}
    return {
        "spiegelhalter_z": Interval(found.statistic, np.nan, np.nan, "Spiegelhalter"),
        "spiegelhalter_p": Interval(found.p, np.nan, np.nan, "Spiegelhalter, two-sided"),
    }


def _curve_errors(y: np.ndarray, p: np.ndarray, plan: Plan) -> dict[str, Interval]:
    """How far the smooth calibration curve is from the predictions, where there is such a curve."""
    names, reason = ("ici", "e50", "e90", "emax"), why_no_loess(y, p)
    if reason:
        return dict.fromkeys(names, _missing(SMOOTHER, reason))
    try:
        found = calibration_errors(y, p, SMOOTHER)
        ici = ici_interval(y, p, SMOOTHER, plan.bootstraps, plan.seed)
    except ValueError as error:
        return dict.fromkeys(names, _missing(SMOOTHER, f"no smooth curve: {error}"))
    others = {name: Interval(getattr(found, name), np.nan, np.nan, SMOOTHER) for name in names[1:]}
    return {"ici": ici, **others}


def _missing(method: str, note: str) -> Interval:
    return Interval(np.nan, np.nan, np.nan, method, note)


def _row(metric: str, value: Interval, note: str) -> dict[str, object]:
    return {
        "metric": metric,
        "estimate": value.estimate,
        "lower": value.lower,
        "upper": value.upper,
        "method": value.method,
        "note": "; ".join(part for part in (value.note, note) if part),
    }


def _together(parts: list[pd.DataFrame], columns: list[str], synthetic: bool) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return table.reindex(columns=columns).assign(synthetic=int(synthetic))
