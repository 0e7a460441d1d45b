"""The pathway of the axilla after therapy, from the columns of a participants table."""

from collections.abc import Mapping
from typing import Any

from annulus.clinical.axilla import (
    Assessment,
    Exam,
    Node,
    Patient,
    Therapy,
    assess,
    reason_not_applicable,
)
from annulus.cohort.dictionary import Value

# What the class and the next step rest on beside the node.
NEEDED_ITEMS = ("axilla_technically_limited", "palpable_node", "posttreatment_change", "clip_placed")

# What of a node's appearance shows that it was looked at.
READ_COLUMNS = ("aln_cortical_thickness_post_mm", "aln_hilum_post", "aln_shape_post")


def assess_row(row: Mapping[str, Value], cut_mm: float) -> Assessment:
    """Take one participant through the pathway by the columns of the node after therapy.

    The axilla is what was asked about, before surgery. One node is described, the worst. A limited
    examination, a palpable node and change as after treatment are what is recorded as such; what is not
    recorded of them is flagged. An examination of which nothing is recorded has the reason
    ``examination_not_recorded``.
    """
    patient = _patient(row)
    visible = _visible(row)
    if visible is None:
        return Assessment(not_applicable=reason_not_applicable(patient) or "examination_not_recorded")
    return assess(patient, _exam(row, visible), cut_mm)


def _patient(row: Mapping[str, Value]) -> Patient:
    return Patient(
        therapy=_therapy(row),
        node_positive_before=_truth(row, "baseline_node_positive"),
        biopsy_proven_before=_truth(row, "baseline_biopsy_proven"),
        cn_stage=_cell(row, "cn_stage"),
        adult_breast_cancer=_truth(row, "malignant") is not False,
        clip_placed=_truth(row, "clip_placed"),
        clip_located=_truth(row, "clip_located"),
        biopsy=_cell(row, "node_biopsy_result"),
    )


def _exam(row: Mapping[str, Value], visible: bool) -> Exam:
    node = Node(
        cortex_mm=_cell(row, "aln_cortical_thickness_post_mm"),
        hilum=_cell(row, "aln_hilum_post"),
        shape=_cell(row, "aln_shape_post"),
        long_mm=_cell(row, "aln_long_axis_post_mm"),
        short_mm=_cell(row, "aln_short_axis_post_mm"),
        visible=visible,
        posttreatment_change=bool(_truth(row, "posttreatment_change")),
    )
    return Exam(
        nodes=(node,),
        technically_limited=bool(_truth(row, "axilla_technically_limited")),
        palpable_node=bool(_truth(row, "palpable_node")),
        prior_imaging_reviewed=_truth(row, "prior_imaging_reviewed"),
        clip_info_communicated=_truth(row, "clip_info_communicated"),
        not_recorded=tuple(name for name in NEEDED_ITEMS if row.get(name) is None),
    )


def _therapy(row: Mapping[str, Value]) -> Therapy | None:
    completed = _truth(row, "nst_completed")
    if completed is None:
        return None
    if completed:
        return "completed"
    return "before_therapy" if row.get("nst_cycles") == 0 else "during_therapy"


def _visible(row: Mapping[str, Value]) -> bool | None:
    seen = _truth(row, "aln_visible_post")
    if seen is None and any(row.get(name) is not None for name in READ_COLUMNS):
        return True
    return seen


def _truth(row: Mapping[str, Value], name: str) -> bool | None:
    value = row.get(name)
    return None if value is None else bool(value)


def _cell(row: Mapping[str, Value], name: str) -> Any:
    """Return a cell that the data dictionary has already held to its levels or limits."""
    return row.get(name)
