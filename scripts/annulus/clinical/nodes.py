"""Axillary nodes: morphology on ultrasound, and burden by count."""

from typing import Literal

from annulus.errors import StudyError

Hilum = Literal["present", "partially_effaced", "absent"]
Lobulation = Literal["none", "focal", "diffuse"]
BediPolicy = Literal["bedi2008", "z1071"]
Burden = Literal["none", "low_1_2", "high_ge3"]

BEDI_CORTEX_MM = 3.0

# bedi2008: Bedi et al., AJR 2008;191:646-652. z1071: after neoadjuvant therapy, as typed in ACOSOG Z1071
# (Le-Petross et al., AJR 2018).
SUSPICIOUS_TYPES: dict[BediPolicy, frozenset[int]] = {
    "bedi2008": frozenset({5, 6}),
    "z1071": frozenset({3, 4, 5, 6}),
}


def bedi_type(
    hilum: Hilum | None,
    lobulation: Lobulation | None,
    cortex_mm: float | None,
    cut_mm: float = BEDI_CORTEX_MM,
) -> int | None:
    """Type a node, 1 to 6, by hilum, lobulation of the cortex and its thickness.

    Absent hilum 6; focal lobulation 5; diffuse lobulation 4; otherwise no cortex 1, up to ``cut_mm`` 2,
    thicker 3 (Bedi et al., AJR 2008;191:646-652; the 3 mm are those of ACOSOG Z1071). Missing when the first
    question that decides is not answered.
    """
    if hilum is None:
        return None
    if hilum == "absent":
        return 6
    if lobulation is None:
        return None
    if lobulation != "none":
        return 5 if lobulation == "focal" else 4
    if cortex_mm is None:
        return None
    if cortex_mm == 0:
        return 1
    return 2 if cortex_mm <= cut_mm else 3


def is_suspicious(bedi: int, policy: BediPolicy) -> bool:
    """Say whether a type counts as metastatic: 5 and 6 (``bedi2008``), or 3 to 6 (``z1071``).

    Raises ValueError for a type outside 1 to 6.
    """
    if not 1 <= bedi <= 6:
        raise ValueError(f"a Bedi type is 1 to 6, not {bedi}")
    return bedi in SUSPICIOUS_TYPES[policy]


def cortical_grade(cortex_mm: float, hilum_lost: bool) -> int:
    """Grade a cortex: 1 below 2 mm, 2 from 2 to below 5 mm, 3 from 5 mm or without a hilum.

    Cancer Imaging 2019 (s40644-019-0191-y), in clinically node-negative patients.
    """
    if hilum_lost or cortex_mm >= 5:
        return 3
    return 2 if cortex_mm >= 2 else 1


def solbiati_index(long_mm: float, short_mm: float) -> float:
    """Long to short axis; below 2 is suspicious, below 1.5 round.

    Raises ValueError unless 0 < short <= long.
    """
    if not 0 < short_mm <= long_mm:
        raise ValueError(f"the short axis ({short_mm:g} mm) must not be above the long one ({long_mm:g} mm)")
    return long_mm / short_mm


def nodal_burden(n_positive: int) -> Burden:
    """Class of the number of positive nodes: none, 1-2 or 3 and more.

    Isolated tumour cells do not count, micrometastases do. Raises StudyError for anything but a count: pN
    says too little, since pN1a holds one, two and three nodes.
    """
    if isinstance(n_positive, str) or n_positive != int(n_positive) or n_positive < 0:
        raise StudyError(
            f"Nodal burden is by the number of positive nodes, not {n_positive!r}. Give n_nodes_positive; "
            "it does not follow from pn_stage, as pN1a is 1 to 3 nodes."
        )
    if n_positive == 0:
        return "none"
    return "low_1_2" if n_positive <= 2 else "high_ge3"
