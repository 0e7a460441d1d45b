"""Derived columns of a participants table, and what its columns must be to one another.

Which columns follow from which is said in the data dictionary; how, is here. Also used while Snakemake
reads the workflow, so it needs nothing beyond what Snakemake installs.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annulus.clinical.axilla import UNKNOWN
from annulus.clinical.axilla_table import assess_row
from annulus.clinical.doppler import ADLER_HIGH
from annulus.clinical.kaiser import MriFindings, kaiser_score
from annulus.clinical.nodes import bedi_type, nodal_burden, solbiati_index
from annulus.clinical.receptors import (
    her2_category,
    her2_positive,
    is_ki67_high,
    is_receptor_positive,
    ish_group,
    ish_status,
    molecular_subtype,
)
from annulus.cohort.checks import Problem
from annulus.cohort.dictionary import Column, Value, columns_of, with_derived

# Cells hold what the data dictionary allows in their columns.
Row = Mapping[str, Any]

# Numbers are given rounded, to one decimal at the least.
ROUNDING = 0.05

LARGE_MM = 20.0
KAISER_HIGH = 6


@dataclass(frozen=True)
class Instruments:
    """Cut-offs of the study's ``instruments``: Ki-67 in %, cortex before and after therapy in mm."""

    ki67_cut_pct: float
    baseline_cortex_mm: float
    post_nst_cortex_mm: float


def derive(
    patients: Sequence[Mapping[str, Value]], instruments: Instruments, file: str = "participants"
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Add the derived columns whose parents are there, and check the columns against one another.

    ``patients`` are as read by the data dictionary. A column that is given is filled where a cell is empty;
    a cell that is given and does not follow is an error. What cannot be derived stays missing. ``file`` is
    what the problems name.
    """
    if not patients:
        return [], []
    columns = columns_of("participants")
    there = with_derived(patients[0], columns)
    derivable = [name for name in DERIVATIONS if _parents_there(columns[name], there)]
    completed, problems = [], list[Problem]()
    for patient in patients:
        row = dict(patient)
        for name in derivable:
            problems += _complete(row, columns[name], instruments, file)
        problems += _contradictions(row, file)
        completed.append(row)
    return completed, problems


def _parents_there(column: Column, there: set[str]) -> bool:
    return column.derived is not None and there.issuperset(column.derived.needed)


def _complete(
    row: dict[str, Value], column: Column, instruments: Instruments, file: str
) -> Iterator[Problem]:
    assert column.derived is not None
    parents = {name: row.get(name) for name in (*column.derived.needed, *column.derived.optional)}
    found, given = DERIVATIONS[column.name](parents, instruments), row.get(column.name)
    if given is None:
        row[column.name] = found
        return
    if found is None or _agree(given, found, column) or _knows_more(given, found, parents):
        return
    known = ", ".join(f"{name} {value}" for name, value in parents.items() if value is not None)
    yield Problem(
        file, "", column.name, str(given), "derived_disagrees", "error",
        f"Patient {row.get('patient_id')}: {column.name} is given as {given}, but {known} make it "
        f"{_shown(found)} ({column.derived.rule}). Correct what is wrong, or leave the cell empty.",
    )  # fmt: skip


def _agree(given: Value, found: Value, column: Column) -> bool:
    if column.type == "number":
        return abs(float(given or 0.0) - float(found or 0.0)) <= ROUNDING + 1e-9
    return given == found


def _knows_more(given: Value, found: Value, parents: Row) -> bool:
    """Say whether a category was given where in-situ hybridisation, on which it rests, is not recorded."""
    return found == "equivocal" and parents["her2_ish"] is None and given in ("positive", "low")


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _larger_than_20_mm(row: Row, _: Instruments) -> Value:
    diameter = row["tumor_diameter_mm"]
    return None if diameter is None else int(diameter > LARGE_MM)


def _receptor(percent: str) -> Callable[[Row, Instruments], Value]:
    def positive(row: Row, _: Instruments) -> Value:
        return None if row[percent] is None else int(is_receptor_positive(row[percent]))

    return positive


def _ki67_high(row: Row, instruments: Instruments) -> Value:
    percent = row["ki67_pct"]
    return None if percent is None else int(is_ki67_high(percent, instruments.ki67_cut_pct))


def _her2_ish(row: Row, _: Instruments) -> Value:
    ratio, copies = row["her2_ish_ratio"], row["her2_copy_number"]
    if ratio is None or copies is None:
        return None
    return ish_status(ish_group(ratio, copies), row["her2_ihc"])


def _her2_category(row: Row, _: Instruments) -> Value:
    ihc = row["her2_ihc"]
    return None if ihc is None else her2_category(ihc, row["her2_ish"])


def _molecular_subtype(row: Row, _: Instruments) -> Value:
    category = row["her2_category"]
    her2 = None if category is None else her2_positive(category)
    er, pr = (None if row[name] is None else bool(row[name]) for name in ("er_status", "pr_status"))
    return molecular_subtype(er, pr, her2, row["ki67_pct"], row["pr_pct"])


def _nodal_burden(row: Row, _: Instruments) -> Value:
    count = row["n_nodes_positive"]
    return None if count is None else nodal_burden(count)


def _aln_metastasis(row: Row, _: Instruments) -> Value:
    count = row["n_nodes_positive"]
    # Therapy may have cleared nodes that were positive.
    if count is None or (count == 0 and row["post_nst"]):
        return None
    return int(count >= 1)


def _bedi_type(time: str) -> Callable[[Row, Instruments], Value]:
    def of_node(row: Row, instruments: Instruments) -> Value:
        cortex = row[f"aln_cortical_thickness{time}_mm"]
        hilum, lobulation = row[f"aln_hilum{time}"], row[f"aln_cortex_lobulation{time}"]
        return bedi_type(hilum, lobulation, cortex, instruments.baseline_cortex_mm)

    return of_node


def _solbiati(time: str) -> Callable[[Row, Instruments], Value]:
    def of_node(row: Row, _: Instruments) -> Value:
        long, short = row[f"aln_long_axis{time}_mm"], row[f"aln_short_axis{time}_mm"]
        # Axes that were swapped are told apart from this.
        return None if long is None or short is None or short > long else solbiati_index(long, short)

    return of_node


def _change(of: str) -> Callable[[Row, Instruments], Value]:
    def between(row: Row, _: Instruments) -> Value:
        before, after = row[f"{of}_pre_mm"], row[f"{of}_post_mm"]
        return None if before is None or after is None else after - before

    return between


def _hilum_recovered(row: Row, _: Instruments) -> Value:
    before, after = row["aln_hilum_pre"], row["aln_hilum_post"]
    return None if before is None or after is None else int(before != "present" and after == "present")


def _kaiser_score(row: Row, _: Instruments) -> Value:
    root_sign, oedema = (None if row[n] is None else bool(row[n]) for n in ("mri_root_sign", "mri_oedema"))
    findings = MriFindings(root_sign, row["mri_curve"], row["mri_margin"], row["mri_internal_enh"], oedema)
    return kaiser_score(findings).score


def _kaiser_high(row: Row, _: Instruments) -> Value:
    score = row["kaiser_score"]
    return None if score is None else int(score >= KAISER_HIGH)


def _adler_high(row: Row, instruments: Instruments) -> Value:
    grade = row["us_adler_grade"]
    return None if grade is None else int(grade >= ADLER_HIGH)


def _axilla_us_class(row: Row, instruments: Instruments) -> Value:
    found = assess_row(row, instruments.post_nst_cortex_mm)
    if found.not_applicable in UNKNOWN:
        return None
    return found.axilla_class or "not_applicable"


# In an order in which every column comes after those it is derived from.
DERIVATIONS: Mapping[str, Callable[[Row, Instruments], Value]] = {
    "tumor_gt_20mm": _larger_than_20_mm,
    "er_status": _receptor("er_pct"),
    "pr_status": _receptor("pr_pct"),
    "ki67_high": _ki67_high,
    "her2_ish": _her2_ish,
    "her2_category": _her2_category,
    "molecular_subtype": _molecular_subtype,
    "nodal_burden": _nodal_burden,
    "aln_metastasis": _aln_metastasis,
    "aln_bedi_type": _bedi_type(""),
    "aln_bedi_type_pre": _bedi_type("_pre"),
    "aln_bedi_type_post": _bedi_type("_post"),
    "aln_solbiati": _solbiati(""),
    "aln_solbiati_pre": _solbiati("_pre"),
    "aln_solbiati_post": _solbiati("_post"),
    "aln_cortical_thickness_change_mm": _change("aln_cortical_thickness"),
    "aln_short_axis_change_mm": _change("aln_short_axis"),
    "aln_hilum_recovered": _hilum_recovered,
    "kaiser_score": _kaiser_score,
    "kaiser_ge6": _kaiser_high,
    "us_adler_ge2": _adler_high,
    "axilla_us_class": _axilla_us_class,
}


@dataclass(frozen=True)
class Contradiction:
    """Two columns of which ``broken`` says, where both are known, that they cannot both be right."""

    column: str
    other: str
    broken: Callable[[Any, Any], bool]
    rule: str


def _shorter(long: float, short: float) -> bool:
    return long < short


def _more_than(part: float, whole: float) -> bool:
    return part > whole


def _yes_without(claimed: float, condition: float) -> bool:
    return claimed == 1 and condition == 0


def _no_with_count(claimed: float, count: float) -> bool:
    return claimed == 0 and count > 0


def _ultralow_beyond_zero(ultralow: float, ihc: str) -> bool:
    return ultralow == 1 and ihc != "0"


def _no_with_stage(claimed: float, stage: str) -> bool:
    return claimed == 0 and stage != "pN0"


# Nodes that a stage stands for, where the axillary count decides it; micrometastases count as positive.
NODES_OF_STAGE = {
    "pN0": (0, 0),
    "pN0i": (0, 0),
    "pN1mi": (1, math.inf),
    "pN1a": (1, 3),
    "pN2a": (4, 9),
}


def _stage_without_count(stage: str, count: float) -> bool:
    least, most = NODES_OF_STAGE.get(stage, (0, count))
    return not least <= count <= most


CONTRADICTIONS = (
    Contradiction(
        "n_nodes_positive", "n_nodes_examined", _more_than, "no more nodes are positive than examined"
    ),
    Contradiction(
        "pn_stage",
        "n_nodes_positive",
        _stage_without_count,
        "the stage follows from the count (AJCC, 8th ed.)",
    ),
    *(
        Contradiction(
            f"aln_long_axis{time}_mm",
            f"aln_short_axis{time}_mm",
            _shorter,
            "the long axis is not shorter than the short one",
        )
        for time in ("", "_pre", "_post")
    ),
    Contradiction("clip_located", "clip_placed", _yes_without, "only a clip that was placed can be located"),
    Contradiction(
        "baseline_biopsy_proven",
        "baseline_node_positive",
        _yes_without,
        "a node that a biopsy proved positive is positive",
    ),
    Contradiction("nst_completed", "nst_cycles", _yes_without, "a completed therapy has cycles"),
    Contradiction(
        "aln_visible_post",
        "aln_cortical_thickness_post_mm",
        _no_with_count,
        "a node that is not seen has no cortex to measure (0, or an empty cell)",
    ),
    Contradiction(
        "residual_nodal_disease",
        "n_nodes_positive",
        _no_with_count,
        "positive nodes after therapy are residual disease",
    ),
    Contradiction(
        "residual_nodal_disease",
        "pn_stage",
        _no_with_stage,
        "any tumour cell in a node after therapy, isolated ones too, is residual disease",
    ),
    Contradiction(
        "her2_ultralow", "her2_ihc", _ultralow_beyond_zero, "ultralow is a part of immunohistochemistry 0"
    ),
)


def _contradictions(row: Row, file: str) -> Iterator[Problem]:
    for check in CONTRADICTIONS:
        value, other = row.get(check.column), row.get(check.other)
        if value is None or other is None or not check.broken(value, other):
            continue
        yield Problem(
            file, "", check.column, str(value), "contradiction", "error",
            f"Patient {row.get('patient_id')}: {check.column} is {value}, but {check.other} is {other}; "
            f"{check.rule}. Correct what is wrong, or leave the cell empty.",
        )  # fmt: skip
