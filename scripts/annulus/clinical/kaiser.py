"""The Kaiser score of an enhancing lesion on breast MRI.

Baltzer et al., Eur Radiol 2013;23:2051-2060; Dietzel and Baltzer, Insights Imaging 2018;9:325-335. The
values of the leaves were read in the source code of a public calculator that cites the latter, whose
figure 1 they should be held against once.
"""

from dataclasses import dataclass
from typing import Literal

Curve = Literal["persistent", "plateau", "washout"]
Margin = Literal["circumscribed", "not_circumscribed"]
Internal = Literal["homogeneous", "heterogeneous"]

LEAST, MOST = 1, 11

# A lesion with at least this score is biopsied.
BIOPSY_FROM = 5

# By curve: what the third question's unsuspicious and suspicious answers score.
WITHOUT_ROOT_BY_MARGIN = {"persistent": (1, 3), "plateau": (2, 5)}
WITHOUT_ROOT_WASHOUT = (4, 8)
WITH_ROOT_PERSISTENT = 6
WITH_ROOT_BY_OEDEMA = {"plateau": (7, 10), "washout": (9, 11)}

CALCIFICATION_POINTS = 2
HIGH_DIFFUSION_POINTS = -4
HIGH_DIFFUSION_E6 = 1400.0


@dataclass(frozen=True)
class MriFindings:
    """What is read on MRI; ``None`` is not assessable.

    Root sign: a suspicious protrusion with concave flanks. Oedema: perifocal or diffuse on the lesion's side
    alone; of both sides is none. Internal enhancement: rim and clustered ring are heterogeneous.
    """

    root_sign: bool | None
    curve: Curve | None
    margin: Margin | None
    internal: Internal | None
    oedema: bool | None
    enhances: bool = True


@dataclass(frozen=True)
class KaiserScore:
    """The score, 1 to 11, or ``None`` with the reason why it does not apply."""

    score: int | None
    reason: str = ""


def kaiser_score(findings: MriFindings) -> KaiserScore:
    """Score a lesion by the tree of 11 leaves; a finding that its branch does not ask for may be missing."""
    if not findings.enhances:
        return KaiserScore(None, "the lesion does not enhance")
    if findings.root_sign is None:
        return KaiserScore(None, "root sign not assessable")
    if findings.curve is None:
        return KaiserScore(None, "curve not assessable")
    if findings.root_sign and findings.curve == "persistent":
        return KaiserScore(WITH_ROOT_PERSISTENT)
    if findings.root_sign:
        return _leaf(findings.oedema, WITH_ROOT_BY_OEDEMA[findings.curve], "oedema")
    if findings.curve == "washout":
        heterogeneous = None if findings.internal is None else findings.internal == "heterogeneous"
        return _leaf(heterogeneous, WITHOUT_ROOT_WASHOUT, "internal enhancement")
    unsharp = None if findings.margin is None else findings.margin == "not_circumscribed"
    return _leaf(unsharp, WITHOUT_ROOT_BY_MARGIN[findings.curve], "margin")


def modified_score(score: int, microcalcifications: bool, adc_e6: float | None = None) -> int:
    """Modify a Kaiser score by mammography and diffusion; reported beside the score, never in its place.

    Suspicious microcalcifications add 2; an apparent diffusion coefficient above 1400 (1e-6 mm2/s) takes 4
    off ("KS+"); the result stays within 1 to 11. That both modifications exist is published (Dietzel et al.,
    Invest Radiol 2021, for diffusion), but their sizes, +2 and -4, are not confirmed in a source that could
    be read. Not for studies in which microcalcification is a variable of its own.
    """
    points = CALCIFICATION_POINTS if microcalcifications else 0
    if adc_e6 is not None and adc_e6 > HIGH_DIFFUSION_E6:
        points += HIGH_DIFFUSION_POINTS
    return min(MOST, max(LEAST, score + points))


def birads_of(score: int) -> str:
    """Map a Kaiser score to BI-RADS: 1-4 is 2/3, 5-7 is 4, 8-11 is 5.

    Raises ValueError for a score outside 1 to 11.
    """
    if not LEAST <= score <= MOST:
        raise ValueError(f"a Kaiser score is 1 to 11, not {score}")
    if score < BIOPSY_FROM:
        return "2/3"
    return "4" if score <= 7 else "5"


def _leaf(suspicious: bool | None, scores: tuple[int, int], question: str) -> KaiserScore:
    if suspicious is None:
        return KaiserScore(None, f"{question} not assessable")
    return KaiserScore(scores[suspicious])
