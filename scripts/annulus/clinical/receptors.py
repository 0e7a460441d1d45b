"""Receptors, Ki-67, HER2 and the molecular subtype that follows from them."""

from typing import Literal

Ihc = Literal["0", "1+", "2+", "3+"]
Ish = Literal["positive", "negative", "not_done"]
Her2 = Literal["zero", "low", "positive", "equivocal"]
Subtype = Literal["luminal_a", "luminal_b_her2neg", "luminal_b_her2pos", "her2_enriched", "triple_negative"]

# ER and PR are positive from 1 % of nuclei (ASCO/CAP; 1 to 10 % of ER is "low").
POSITIVE_FROM_PCT = 1.0

# Percentages of nuclei from which Ki-67 is high, by who proposed them.
KI67_CUTS_PCT = {"st_gallen_2011": 14.0, "st_gallen_2013": 20.0, "ikwg_2021": 30.0}

# International Ki-67 working group 2021: up to this it is low, and in between nothing follows.
IKWG_LOW_PCT = 5.0

# Least PR of a luminal A-like tumour, and least Ki-67 of a luminal B-like one (St Gallen 2013).
LUMINAL_A_PR_PCT = 20.0
LUMINAL_B_KI67_PCT = KI67_CUTS_PCT["st_gallen_2013"]


def is_receptor_positive(percent: float) -> bool:
    """Say whether an oestrogen or progesterone receptor is positive: at least 1 % of nuclei."""
    return percent >= POSITIVE_FROM_PCT


def is_ki67_high(percent: float, cut_pct: float) -> bool:
    """Say whether Ki-67 is at or above a cut-off, such as one of :data:`KI67_CUTS_PCT`."""
    return percent >= cut_pct


def ki67_ikwg(percent: float) -> Literal["low", "indeterminate", "high"]:
    """Class by the International Ki-67 working group 2021: up to 5 % low, from 30 % high."""
    if percent >= KI67_CUTS_PCT["ikwg_2021"]:
        return "high"
    return "low" if percent <= IKWG_LOW_PCT else "indeterminate"


def ish_group(ratio: float, copies: float) -> int:
    """Group of a dual-probe in-situ hybridisation, 1 to 5, by HER2/CEP17 ratio and HER2 copies per cell.

    ASCO/CAP 2018 (Wolff et al., J Clin Oncol 2018;36:2105-2122).
    """
    if ratio >= 2:
        return 1 if copies >= 4 else 2
    if copies >= 6:
        return 3
    return 4 if copies >= 4 else 5


def ish_status(group: int, ihc: Ihc | None) -> Literal["positive", "negative"] | None:
    """Result of a dual-probe group, for which groups 2 to 4 need the immunohistochemistry.

    1 positive, 5 negative; 2 and 4 positive with 3+ alone; 3 positive with 2+ and 3+ (ASCO/CAP 2018).
    Missing where immunohistochemistry is needed and missing.
    """
    if group in (1, 5):
        return "positive" if group == 1 else "negative"
    if ihc is None:
        return None
    with_positive = ("2+", "3+") if group == 3 else ("3+",)
    return "positive" if ihc in with_positive else "negative"


def her2_category(ihc: Ihc, ish: Ish | None) -> Her2:
    """Category by immunohistochemistry, and by in-situ hybridisation where that is 2+.

    2+ without hybridisation is equivocal. HER2-low is no official result of ASCO/CAP, but 0 and 1+ must be
    reported apart (Wolff et al., Arch Pathol Lab Med 2023;147:993-1000).
    """
    if ihc == "3+":
        return "positive"
    if ihc != "2+":
        return "low" if ihc == "1+" else "zero"
    if ish == "positive":
        return "positive"
    return "low" if ish == "negative" else "equivocal"


def her2_zero_class(category: Her2, ultralow: bool | None) -> Literal["null", "ultralow"] | None:
    """Divide HER2-zero into null (no staining) and ultralow (faint in up to 10 %); missing for all others."""
    if category != "zero" or ultralow is None:
        return None
    return "ultralow" if ultralow else "null"


def her2_positive(category: Her2) -> bool | None:
    """Positive against low and zero; equivocal is missing, as it belongs to neither."""
    return None if category == "equivocal" else category == "positive"


def molecular_subtype(
    er: bool | None,
    pr: bool | None,
    her2: bool | None,
    ki67_pct: float | None,
    pr_pct: float | None,
) -> Subtype | None:
    """Surrogate subtype of St Gallen 2013 (Goldhirsch et al., Ann Oncol 2013;24:2206-2223).

    Luminal A-like needs ER, no HER2, Ki-67 below 20 % and PR of at least 20 %. Missing where what is known
    does not decide it, and for ER-negative, PR-positive, HER2-negative tumours, which have no place in it.
    """
    if her2 is None:
        return None
    hormone = _either(er, pr)
    if hormone is None:
        return None
    if her2:
        return "luminal_b_her2pos" if hormone else "her2_enriched"
    if not hormone:
        return "triple_negative"
    return _luminal(ki67_pct, pr_pct) if er else None


def _luminal(ki67_pct: float | None, pr_pct: float | None) -> Subtype | None:
    high = None if ki67_pct is None else is_ki67_high(ki67_pct, LUMINAL_B_KI67_PCT)
    weak = None if pr_pct is None else pr_pct < LUMINAL_A_PR_PCT
    of_b = _either(high, weak)
    if of_b is None:
        return None
    return "luminal_b_her2neg" if of_b else "luminal_a"


def _either(one: bool | None, other: bool | None) -> bool | None:
    """Say whether one of two is true, as far as that follows from what is known."""
    if one or other:
        return True
    return None if one is None or other is None else False
