"""Axillary ultrasound after neoadjuvant therapy: who it is for, what it shows, and the next step.

Deterministic. After the ACR Appropriateness Criteria, Monitoring Response to Neoadjuvant Systemic Therapy,
variant 7 (known node-positive, axilla evaluated before). What is a design choice here is said so.
Not a medical device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from annulus.clinical.nodes import Hilum

Therapy = Literal["before_therapy", "during_therapy", "completed", "post_surgery"]
Shape = Literal["oval", "round"]
Biopsy = Literal["positive", "negative", "nondiagnostic", "not_done"]
AxillaClass = Literal["suspicious", "limited_or_discordant", "indeterminate", "normal"]

# Cortex above which a node after therapy is suspicious. See assess() on where it comes from.
POST_NST_CORTEX_MM = 2.3

# A cortex nearer to the cut-off than this is flagged: repeated measurements differ by as much.
NEAR_CUT_OFF_MM = 0.3

# A node whose shape was not read is round when its short axis is more than this share of the long one.
ROUND_FROM_SHARE = 0.5

# Reasons that mean that something was not recorded, rather than that the pathway is for others.
UNKNOWN = ("therapy_status_unknown", "baseline_status_unknown", "examination_not_recorded")


@dataclass(frozen=True)
class Patient:
    """Whom the pathway is asked about; ``None`` is not recorded.

    ``cn_stage`` is the clinical nodal stage before therapy, N0 to N3 or NX.
    """

    therapy: Therapy | None
    node_positive_before: bool | None
    biopsy_proven_before: bool | None = None
    cn_stage: str | None = None
    adult_breast_cancer: bool = True
    axilla_evaluated_before: bool = True
    question_is_axilla: bool = True
    initial_staging: bool = False
    clip_placed: bool | None = None
    clip_located: bool | None = None
    biopsy: Biopsy | None = None


@dataclass(frozen=True)
class Node:
    """One node on ultrasound after therapy; ``None`` is not read. Thickness of the cortex and axes in mm."""

    cortex_mm: float | None = None
    hilum: Hilum | None = None
    shape: Shape | None = None
    long_mm: float | None = None
    short_mm: float | None = None
    visible: bool = True
    posttreatment_change: bool = False


@dataclass(frozen=True)
class Exam:
    """The examination; ``not_recorded`` names what nobody wrote down, which does not change the class."""

    nodes: Sequence[Node]
    technically_limited: bool = False
    palpable_node: bool = False
    prior_imaging_reviewed: bool | None = None
    clip_info_communicated: bool | None = None
    called_by_size_only: bool = False
    modality: Literal["US", "MRI", "PET_CT"] = "US"
    not_recorded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """What the pathway says: a class and next step, or the reason why it does not apply."""

    not_applicable: str = ""
    axilla_class: AxillaClass | None = None
    next_step: str = ""
    mdt_required: bool = False
    flags: tuple[str, ...] = ()


def assess(patient: Patient, exam: Exam, cut_mm: float = POST_NST_CORTEX_MM) -> Assessment:
    """Take a patient and the examination after therapy through the pathway.

    ``cut_mm`` is the thickness of the cortex above which a node is suspicious. Its default of 2.3 mm was
    given by a review of the criteria without a source, and none could be found; ACOSOG Z1071 typed nodes at
    3 mm, another study after therapy at 3.5 mm.
    """
    reason = reason_not_applicable(patient)
    if reason:
        return Assessment(not_applicable=reason)
    found = axilla_class(exam, cut_mm)
    return Assessment(
        axilla_class=found,
        next_step=next_step(found, patient),
        mdt_required=needs_mdt(found, patient, exam),
        flags=tuple(_flags(found, patient, exam, cut_mm)),
    )


def reason_not_applicable(patient: Patient) -> str:
    """Return why the pathway is not for a patient (E1 to E6), empty when it is. Subtype is no criterion."""
    if not patient.adult_breast_cancer:
        return "not_adult_breast_cancer"
    if patient.initial_staging:
        return "initial_staging"
    if patient.therapy is None:
        return "therapy_status_unknown"
    if patient.therapy != "completed":
        return patient.therapy
    if not patient.question_is_axilla:
        return "primary_tumour_question"
    return _reason_at_baseline(patient)


def axilla_class(exam: Exam, cut_mm: float) -> AxillaClass:
    """Class of the axilla, the first that applies; the worst node decides.

    suspicious: cortex above ``cut_mm``, round, or no hilum. limited_or_discordant: technically limited, or a
    node is felt. indeterminate: change as after treatment, hilum partly effaced, or a visible node's cortex,
    hilum or shape not read. normal: all else, no visible node included. That one feature suffices, and that
    limited is a class of its own below suspicious, are choices made here.
    """
    nodes = _visible(exam)
    if any(_is_suspicious(node, cut_mm) for node in nodes):
        return "suspicious"
    if exam.technically_limited or exam.palpable_node:
        return "limited_or_discordant"
    if any(_is_indeterminate(node) for node in nodes):
        return "indeterminate"
    return "normal"


def next_step(found: AxillaClass, patient: Patient) -> str:
    """Name the next step after a class, with the biopsy of a suspicious node where there was one."""
    if found == "suspicious":
        by_biopsy = {
            "positive": "alnd",
            "negative": "mdt_then_slnb_tad",
            "nondiagnostic": "mdt_then_slnb_tad",
        }
        return by_biopsy.get(patient.biopsy or "", "biopsy_clipped_node_first")
    if found == "normal":
        # Without a clip there is no targeted dissection.
        return "dual_tracer_slnb_3_nodes_and_mdt" if patient.clip_placed is False else "slnb_tad"
    return "mdt_then_slnb_tad" if found == "indeterminate" else "mdt_and_repeat_ultrasound"


def needs_mdt(found: AxillaClass, patient: Patient, exam: Exam) -> bool:
    """Say whether a multidisciplinary team must decide first."""
    unclear_biopsy = found == "suspicious" and patient.biopsy in ("negative", "nondiagnostic")
    without_clip = found == "normal" and patient.clip_placed is False
    # A normal axilla of which half was not written down is not known to be normal.
    half_read = found == "normal" and bool(exam.not_recorded)
    unclear = found in ("indeterminate", "limited_or_discordant")
    return exam.technically_limited or unclear or unclear_biopsy or without_clip or half_read


def shape_of(node: Node) -> Shape | None:
    """Shape as read, or else by the axes: round when short/long is above 0.5; missing without either."""
    if node.shape is not None:
        return node.shape
    if node.long_mm is None or node.short_mm is None:
        return None
    return "round" if node.short_mm / node.long_mm > ROUND_FROM_SHARE else "oval"


def _reason_at_baseline(patient: Patient) -> str:
    if not patient.axilla_evaluated_before:
        return "axilla_never_evaluated"
    if patient.node_positive_before is not None:
        return "" if patient.node_positive_before else "initially_node_negative"
    if patient.cn_stage is None:
        return "baseline_status_unknown"
    return {"N0": "initially_node_negative", "NX": "axilla_never_evaluated"}.get(patient.cn_stage, "")


def _visible(exam: Exam) -> list[Node]:
    return [node for node in exam.nodes if node.visible]


def _is_suspicious(node: Node, cut_mm: float) -> bool:
    thick = node.cortex_mm is not None and node.cortex_mm > cut_mm
    return thick or node.hilum == "absent" or shape_of(node) == "round"


def _is_indeterminate(node: Node) -> bool:
    not_read = node.cortex_mm is None or node.hilum is None or shape_of(node) is None
    return node.posttreatment_change or node.hilum == "partially_effaced" or not_read


def _flags(found: AxillaClass, patient: Patient, exam: Exam, cut_mm: float) -> list[str]:
    """Pitfalls that are reported and never change the class."""
    nodes = _visible(exam)
    # Rounded first: 2.3 - 2.0 is a little less than 0.3 in floating point.
    near = any(
        node.cortex_mm is not None and round(abs(node.cortex_mm - cut_mm), 2) < NEAR_CUT_OFF_MM
        for node in nodes
    )
    mimic = any(node.posttreatment_change and _is_suspicious(node, cut_mm) for node in nodes)
    flags = {
        "P1_no_prior_imaging": exam.prior_imaging_reviewed is False,
        "P2_clip_not_communicated": exam.clip_info_communicated is False and patient.clip_placed is not False,
        "P3_size_only": exam.called_by_size_only,
        "P4_clip_not_located": patient.clip_placed is True and patient.clip_located is False,
        "P5_limited": exam.technically_limited,
        "P6_discordant_palpable": exam.palpable_node and found != "suspicious",
        "P7_normal_is_not_pcr": found == "normal",
        "P8_wrong_modality_ordered": exam.modality != "US",
        "P9_near_threshold": near,
        "baseline_not_biopsy_proven": patient.biopsy_proven_before is not True,
        "cn_beyond_n1": patient.cn_stage in ("N2", "N3"),
        "possible_mimic": mimic,
    }
    raised = [name for name, is_raised in flags.items() if is_raised]
    return raised + [f"not_recorded_{item}" for item in exam.not_recorded]
