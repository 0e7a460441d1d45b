"""Clinical pathways: where their fixed rules put each patient, and how that compares with the outcome."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from annulus.clinical.axilla import Assessment
from annulus.clinical.axilla_table import assess_row
from annulus.cohort.dictionary import columns_of
from annulus.evaluation.classification import classification
from annulus.evaluation.performance import PERFORMANCE_COLUMNS
from annulus.evaluation.plan import EVERYBODY, READINGS
from annulus.modelling.split import outcomes_of

PATIENT_COLUMNS = [
    "patient_id", "cohort", "not_applicable", "class", "next_step", "mdt_required", "flags",
]  # fmt: skip


def run_axilla_pathway(participants: pd.DataFrame, split: pd.DataFrame, cut_mm: float) -> pd.DataFrame:
    """Take every participant through the pathway of the axilla after therapy; one row each.

    ``participants`` has text cells (``cohort/participants.csv``), ``split`` the study's cohorts; a cortex
    above ``cut_mm`` is suspicious. Columns are
    ``patient_id``, ``cohort`` (empty outside the split), ``not_applicable`` (the reason), ``class``,
    ``next_step``, ``mdt_required`` (0 or 1) and ``flags`` (joined by semicolons). No outcome is read.
    """
    columns = columns_of("participants")
    cohorts = split.set_index("patient_id")["cohort"].to_dict()
    rows = []
    for patient in participants.to_dict("records"):
        cells = {
            name: columns[name].read("" if pd.isna(text) else str(text))
            for name, text in patient.items()
            if name in columns
        }
        found = assess_row(cells, cut_mm)
        rows.append(_row(str(patient["patient_id"]), cohorts, found))
    return pd.DataFrame(rows, columns=PATIENT_COLUMNS).astype({"mdt_required": "Int64"})


def pathway_performance(
    patients: pd.DataFrame, participants: pd.DataFrame, name: str, plan: Mapping[str, Any], synthetic: bool
) -> pd.DataFrame:
    """Sensitivity, specificity, accuracy and predictive values of a pathway, as in ``performance.csv``.

    ``patients`` is what :func:`run_axilla_pathway` returned and ``plan`` names the outcome and its values.
    The model ``name`` calls suspicious alone positive, ``name_not_normal`` all classes but normal. Cohorts
    are those of the split, and all of them together. Intervals are Clopper-Pearson's. Patients to whom the
    pathway does not apply and those of unknown outcome are left out and counted in the notes.
    """
    outcome = outcomes_of(participants.set_index("patient_id"), {name: plan})[name]
    table = patients.assign(y=patients["patient_id"].map(outcome)).dropna(subset="cohort")
    rows = [
        row
        for suffix, positive in READINGS.items()
        for cohort in [EVERYBODY, *table["cohort"].drop_duplicates()]
        for row in _measured(
            table if cohort == EVERYBODY else table[table["cohort"] == cohort],
            {"model": f"{name}{suffix}", "cohort": cohort},
            positive,
        )
    ]
    return pd.DataFrame(rows).reindex(columns=PERFORMANCE_COLUMNS).assign(synthetic=int(synthetic))


def _row(patient: str, cohorts: Mapping[str, str], found: Assessment) -> dict[str, object]:
    applies = not found.not_applicable
    return {
        "patient_id": patient,
        "cohort": cohorts.get(patient),
        "not_applicable": found.not_applicable or None,
        "class": found.axilla_class,
        "next_step": found.next_step or None,
        "mdt_required": int(found.mdt_required) if applies else None,
        "flags": ";".join(found.flags) or None,
    }


def _measured(
    group: pd.DataFrame, of: Mapping[str, str], positive: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    applies = group[group["class"].notna()]
    known = applies[applies["y"].notna()]
    called = known["class"].isin(positive).to_numpy(dtype=float)
    left_out = {
        "to whom the pathway does not apply": len(group) - len(applies),
        "of unknown outcome": len(applies) - len(known),
    }
    remarks = [f"{count} patients {who} left out" for who, count in left_out.items() if count]
    for metric, found in classification(known["y"].to_numpy(), called, 0.5).items():
        yield {
            **of,
            "n": len(known),
            "events": int(known["y"].sum()),
            "metric": metric,
            "estimate": found.estimate,
            "lower": found.lower,
            "upper": found.upper,
            "method": found.method,
            "note": "; ".join([found.note, *remarks]),
        }
