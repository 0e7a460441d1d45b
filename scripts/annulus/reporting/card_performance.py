"""How well a model does, as its Model Card shows it: by cohort, with intervals and corrected for optimism."""

from collections.abc import Generator, Iterator, Mapping

import pandas as pd

from annulus.evaluation.plan import APPARENT_AUC, CORRECTED, corrected
from annulus.figures.style import cohort_title
from annulus.reporting.numbers import number, with_interval

TRAINING = "train"

# Metric in the tables, and what a card calls it.
DISCRIMINATION = {
    "auc": "AUC",
    "sensitivity": "Sensitivity at the cut-off",
    "specificity": "Specificity at the cut-off",
    "ppv": "PPV at the cut-off",
    "npv": "NPV at the cut-off",
}
CALIBRATION = {
    "calibration_slope": "Calibration slope",
    "calibration_in_the_large": "Calibration in the large",
    "observed_expected": "Observed to expected events",
    "brier": "Brier score",
    "ici": "Integrated calibration index",
}
MEASURES = {"auc": "AUC", "brier": "Brier score", "calibration_slope": "calibration slope"}


def discrimination_lines(own: pd.DataFrame) -> Iterator[str]:
    """Yield AUC and values at the cut-off by cohort, from a model's own rows of ``performance.csv``."""
    cohorts = yield from _by_cohort(own, DISCRIMINATION)
    if TRAINING in cohorts:
        yield from _corrected(own)
    if cohorts == [TRAINING]:
        yield "No patient outside training was looked at: what the model is worth elsewhere is not known."


def calibration_lines(own: pd.DataFrame) -> Iterator[str]:
    """Yield measures of calibration by cohort, from a model's own rows of ``performance.csv``."""
    yield from _by_cohort(own, CALIBRATION)


def _by_cohort(own: pd.DataFrame, metrics: Mapping[str, str]) -> Generator[str, None, list[str]]:
    """Yield a table's lines; returns the cohorts in it."""
    rows = own[own["metric"].isin(metrics) & own["estimate"].notna()]
    if rows.empty:
        notes = own["note"].dropna().drop_duplicates()
        yield f"Not measured: {'; '.join(notes) or 'no patient of known outcome'}."
        return []
    cohorts = list(rows["cohort"].drop_duplicates())
    yield f"| Cohort | Patients | Events | {' | '.join(metrics.values())} |"
    yield "| --- |" + " --- |" * (2 + len(metrics))
    for cohort in cohorts:
        part = rows[rows["cohort"] == cohort].set_index("metric")
        name = "Training, out of fold" if cohort == TRAINING else cohort_title(cohort)
        cells = [with_interval(part.loc[m].to_dict()) if m in part.index else "–" for m in metrics]
        n, events = int(part["n"].iloc[0]), int(part["events"].iloc[0])
        yield f"| {name} | {n} | {events} | {' | '.join(cells)} |"
    yield ""
    yield "95 % intervals in brackets."
    return cohorts


def _corrected(own: pd.DataFrame) -> Iterator[str]:
    training = own[own["cohort"] == TRAINING].set_index("metric")
    found = [
        f"{MEASURES[measure]} {number(training.loc[corrected(measure), 'estimate'])}"
        for measure in CORRECTED
        if corrected(measure) in training.index
    ]
    if found:
        yield f"Training, corrected for optimism by the bootstrap: {', '.join(found)}."
    if APPARENT_AUC in training.index:
        yield (
            "Apparent AUC, on the patients it was fitted on, which promises too much: "
            f"{number(training.loc[APPARENT_AUC, 'estimate'])}."
        )
