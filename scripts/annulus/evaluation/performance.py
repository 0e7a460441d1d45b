"""Every model in every cohort, in the tables of the results contract."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from annulus.evaluation.calibration import CURVE_COLUMNS as CALIBRATION_COLUMNS
from annulus.evaluation.calibration import calibration, calibration_curves
from annulus.evaluation.classification import classification
from annulus.evaluation.decision import CURVE_COLUMNS as DECISION_COLUMNS
from annulus.evaluation.decision import decision_curve
from annulus.evaluation.discrimination import Interval, auc_interval, compare_aucs, roc_points
from annulus.evaluation.predictions import known
from annulus.modelling.threshold import CutOff

PERFORMANCE_COLUMNS = [
    "model", "cohort", "n", "events", "metric", "estimate", "lower", "upper", "method", "note",
    "synthetic",
]  # fmt: skip
COMPARISON_COLUMNS = [
    "model_a", "model_b", "cohort", "metric", "difference", "lower", "upper", "statistic", "p",
    "method", "synthetic",
]  # fmt: skip

ROC_COLUMNS = ["model", "cohort", "threshold", "false_positive_rate", "sensitivity"]

OUT_OF_FOLD = "out-of-fold predictions"
OWN_CUT_OFF = "the cut-off was chosen on these predictions, so this is optimistic"
AT_CUT_OFF = ("sensitivity", "specificity", "accuracy", "ppv", "npv")


def performance(
    predictions: pd.DataFrame,
    cut_offs: Mapping[str, CutOff],
    absent: Mapping[str, str],
    remarks: Mapping[str, str],
    synthetic: bool,
) -> pd.DataFrame:
    """Every metric of every model in every cohort, with intervals.

    ``cut_offs`` are the frozen cut-offs by model; ``absent`` says by model why there is none, and
    each such model gets a row that says so in every cohort. ``remarks`` are what a reader must know of a
    model that there is, and stand in its notes.
    """
    table = known(predictions)
    rows = list(_measured(table, cut_offs))
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


def comparisons(predictions: pd.DataFrame, models: Iterable[str], synthetic: bool) -> pd.DataFrame:
    """Paired DeLong tests between ``models`` in every cohort but the training one.

    Models that share terms are nested in the training data, where the test does not hold
    (Demler et al., Stat Med 2012;31:2577-2587).
    """
    table = known(predictions)
    rows = []
    for cohort, group in table[table["cohort"] != "train"].groupby("cohort", sort=False):
        wide = group.pivot(index="patient_id", columns="model", values="evaluated")
        y = group.drop_duplicates("patient_id").set_index("patient_id")["y"].loc[wide.index]
        if y.nunique() < 2:
            continue
        for a, b in combinations([m for m in models if m in wide], 2):
            found = compare_aucs(y.to_numpy(), wide[a].to_numpy(), wide[b].to_numpy())
            rows.append(
                {
                    "model_a": a,
                    "model_b": b,
                    "cohort": cohort,
                    "metric": "auc",
                    "difference": found.difference,
                    "lower": found.lower,
                    "upper": found.upper,
                    "statistic": found.z,
                    "p": found.p,
                    "method": "paired DeLong",
                }
            )
    table = pd.DataFrame(rows).reindex(columns=COMPARISON_COLUMNS)
    return table.assign(synthetic=int(synthetic))


def roc_table(predictions: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Points of the ROC curve of every model in every cohort that has both outcomes."""
    parts = [
        roc_points(group["y"].to_numpy(), group["evaluated"].to_numpy()).assign(model=model, cohort=cohort)
        for cohort, model, group in _by_cohort_and_model(known(predictions))
        if group["y"].nunique() == 2
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=ROC_COLUMNS).assign(synthetic=int(synthetic))


def calibration_table(predictions: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Calibration curves of every model in every cohort."""
    parts = [
        calibration_curves(group["y"].to_numpy(), group["evaluated"].to_numpy()).assign(
            model=model, cohort=cohort
        )
        for cohort, model, group in _by_cohort_and_model(known(predictions))
    ]
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return table.reindex(columns=CALIBRATION_COLUMNS).assign(synthetic=int(synthetic))


def decision_table(
    predictions: pd.DataFrame, thresholds: np.ndarray, bootstraps: int, seed: int, synthetic: bool
) -> pd.DataFrame:
    """Decision curves of every model in every cohort."""
    parts = []
    for cohort, group in known(predictions).groupby("cohort", sort=False):
        wide = group.pivot(index="patient_id", columns="model", values="evaluated")
        y = group.drop_duplicates("patient_id").set_index("patient_id")["y"].loc[wide.index]
        models = {model: wide[model].to_numpy() for model in group["model"].drop_duplicates()}
        curve = decision_curve(y.to_numpy(), models, thresholds, bootstraps, seed)
        parts.append(curve.assign(cohort=cohort))
    table = pd.concat(parts, ignore_index=True)
    return table.reindex(columns=DECISION_COLUMNS).assign(synthetic=int(synthetic))


def against_published(
    published: Iterable[Mapping[str, object]], found: Mapping[str, pd.DataFrame], synthetic: bool
) -> pd.DataFrame:
    """Set published numbers beside ours.

    ``found`` is performance by task. ``agrees`` is 1 when the published number lies within our
    interval, 0 when it does not, and missing when we have none.
    """
    rows = []
    for number in published:
        ours = found[str(number["task"])]
        match = ours[
            (ours["model"] == number["model"])
            & (ours["cohort"] == number["cohort"])
            & (ours["metric"] == number["metric"])
        ]
        here, lower, upper = match.iloc[0][["estimate", "lower", "upper"]] if len(match) else (np.nan,) * 3
        inside = lower <= number["published"] <= upper  # type: ignore[operator]
        rows.append(
            {
                **number,
                "here": here,
                "lower": lower,
                "upper": upper,
                "agrees": int(inside) if pd.notna(lower) else None,
                "synthetic": int(synthetic),
            }
        )
    columns = [
        "task", "model", "cohort", "metric", "published", "published_lower", "published_upper",
        "here", "lower", "upper", "agrees", "synthetic", "source", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=columns)


def _measured(table: pd.DataFrame, cut_offs: Mapping[str, CutOff]) -> Iterator[dict[str, object]]:
    for cohort, model, group in _by_cohort_and_model(table):
        y, p = group["y"].to_numpy(), group["evaluated"].to_numpy()
        facts = {"model": model, "cohort": cohort, "n": len(y), "events": int(y.sum())}
        note = OUT_OF_FOLD if cohort == "train" else ""
        for metric, value in _metrics(y, p, cut_offs[model]).items():
            chosen_here = cohort == "train" and metric in AT_CUT_OFF
            yield {**facts, **_row(metric, value, f"{note}; {OWN_CUT_OFF}" if chosen_here else note)}
        if cohort == "train":
            apparent = auc_interval(y, group["probability"].to_numpy())
            yield {**facts, **_row("auc_apparent", apparent, "on the patients it was fitted on")}


def _metrics(y: np.ndarray, p: np.ndarray, cut_off: CutOff) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    if 0 < y.sum() < len(y):
        found["auc"] = auc_interval(y, p)
        found |= classification(y, p, cut_off.value)
        found |= calibration(y, p)
    else:
        found["auc"] = Interval(np.nan, np.nan, np.nan, "DeLong", "only one outcome is present")
        found |= classification(y, p, cut_off.value)
    found["threshold"] = Interval(
        cut_off.value, cut_off.lower, cut_off.upper, f"frozen in training: {cut_off.rule}"
    )
    return found


def _row(metric: str, value: Interval, note: str) -> dict[str, object]:
    return {
        "metric": metric,
        "estimate": value.estimate,
        "lower": value.lower,
        "upper": value.upper,
        "method": value.method,
        "note": "; ".join(part for part in (value.note, note) if part),
    }


def _by_cohort_and_model(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for cohort, of_cohort in table.groupby("cohort", sort=False):
        for model, group in of_cohort.groupby("model", sort=False):
            yield str(cohort), str(model), group
