"""SYNTHETIC axillary ultrasound before and after neoadjuvant therapy, with planted residual nodal disease.

Residual disease is drawn from the subtype (nodal response after Samiei et al., JAMA Surg 2021), morphology
after therapy from the outcome: a cortex above 2.3 mm finds residual disease with a sensitivity of 74 % and a
specificity of 52 % (mean cortex 3.5 and 2.5 mm as in ACOSOG Z1071: Le-Petross et al., AJR 2018). Three latent
scores drive the images: that before therapy and that after it the echogenicity of the cortex then, and the
score of change how heterogeneous the node has become. How heterogeneous a node is differs between patients,
so only the difference of both images shows the change well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy.special import logit

from annulus.simulation import ultrasound
from annulus.simulation.drawing import correlated, picture, stream
from annulus.simulation.receptors import her2_results, hormone_receptors
from annulus.simulation.ultrasound import SCANNERS, Grid, Outline

# The outcome is drawn from the subtype: no classes.
SHARES: Mapping[str, float] = {}


@dataclass(frozen=True)
class Subtype:
    """A subtype's share of patients and probability of nodal complete response."""

    hormone_receptor: bool
    her2: bool
    share: float
    response: float


SUBTYPES = (
    Subtype(hormone_receptor=True, her2=False, share=0.55, response=0.18),
    Subtype(hormone_receptor=True, her2=True, share=0.15, response=0.45),
    Subtype(hormone_receptor=False, her2=True, share=0.12, response=0.60),
    Subtype(hormone_receptor=False, her2=False, share=0.18, response=0.48),
)
RESIDUAL_SHARE = 1.0 - sum(subtype.share * subtype.response for subtype in SUBTYPES)

LATENTS = ("pre", "post", "delta")
# Separations aimed at, and what is lost between score and feature.
TARGET_SEPARATION = np.array([0.5, 0.8, 1.1])
EXTRACTION_LOSS = 1.25
CORRELATION = np.array([[1.0, 0.4, 0.4], [0.4, 1.0, 0.4], [0.4, 0.4, 1.0]])

# After therapy, given complete response (0) and residual disease (1).
CORTEX_POST_MEAN_MM = {0: 2.5, 1: 3.5}
CORTEX_POST_CV = 0.5
CORTEX_PRE_MEAN_MM, CORTEX_PRE_CV = 6.5, 0.45
HILA = ("absent", "partially_effaced", "present")
HILUM_POST = {0: (0.08, 0.15, 0.77), 1: (0.22, 0.25, 0.53)}
HILUM_PRE = (0.35, 0.35, 0.30)
ROUND_POST = {0: 0.12, 1: 0.25}
ROUND_PRE = 0.45
FIBROSIS = {0: 0.15, 1: 0.12}
INVISIBLE = {0: 0.25, 1: 0.12}
PALPABLE = {0: 0.02, 1: 0.05}

# For whom the pathway is not.
THERAPY_NOT_COMPLETED = 0.03
BASELINE_NEGATIVE = 0.02

SUSPICIOUS_CORTEX_MM = 2.3
GRID = Grid(rows=256, columns=320, spacing_mm=0.1)
WHOLE_NUMBERS = (
    "clip_located",
    "clip_info_communicated",
    "breast_pcr",
    "residual_nodal_disease",
    "outcome_residual",
)


@dataclass(frozen=True)
class Node:
    """A node as ultrasound shows it; cortex at its thickest, lengths in mm."""

    cortex_mm: float
    hilum: str
    shape: str
    long_mm: float
    short_mm: float

    @property
    def suspicious(self) -> bool:
        """Whether a reader would have it biopsied."""
        return self.cortex_mm > SUSPICIOUS_CORTEX_MM or self.hilum == "absent" or self.shape == "round"


def simulate_patients(
    patients: Mapping[str, str], shares: Mapping[str, float], null: bool, seed: int
) -> pd.DataFrame:
    """Draw SYNTHETIC participants (id: cohort); there are no ``shares`` of classes.

    Columns are those of the data dictionary, and the truth, which no rule of the analysis may read:
    ``latent_*`` scores that images are drawn from, ``outcome_residual``, and ``bayes_residual``, the log-odds
    of an observer who knows the subtype, the scores and what ultrasound shows after therapy (without a
    visible node, the score before therapy alone). Biopsy, surgery and response in the breast are left out of
    it: they are later, or say the outcome. A few patients are not for the pathway; they have no outcome.
    With ``null`` nothing depends on the outcome.
    """
    assert not shares, "the outcome is drawn from the subtype"
    table = pd.DataFrame([_draw_patient(patient, cohort, null, seed) for patient, cohort in patients.items()])
    return table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def simulate_images(patient: Mapping[str, Any], seed: int) -> dict[str, sitk.Image]:
    """Draw one patient's B-mode images before and after therapy, with masks of node and hilum (uint8).

    ``patient`` is a row of :func:`simulate_patients`. The masks of a node that is not visible are empty,
    and so is that of a hilum that is absent.
    """
    heterogeneity = stream(seed, patient["patient_id"], "node").normal(19.0, 5.0)
    grown = {"pre": 0.0, "post": 4.4 * patient["latent_delta"]}
    mean_level = {"pre": 76.0, "post": 84.0}
    images: dict[str, sitk.Image] = {}
    for time in ("pre", "post"):
        rng = stream(seed, patient["patient_id"], f"images {time}")
        level = mean_level[time] - 8.0 * patient[f"latent_{time}"] + rng.normal(0.0, 4.0)
        texture = float(np.clip(heterogeneity + grown[time], 2.0, 45.0))
        drawn = _draw_scan(rng, patient, time, level, texture)
        for name, values in drawn.items():
            images[name] = picture(values, sitk.sitkUInt8, (GRID.spacing_mm, GRID.spacing_mm))
    return images


def _draw_patient(patient: str, cohort: str, null: bool, seed: int) -> dict[str, Any]:
    rng = stream(seed, patient, "patient")
    subtype = SUBTYPES[int(rng.choice(len(SUBTYPES), p=[subtype.share for subtype in SUBTYPES]))]
    residual = RESIDUAL_SHARE if null else 1.0 - subtype.response
    outcome = int(rng.uniform() < residual)
    # Without signal everybody is drawn as a patient with residual disease.
    drawn = 1 if null else outcome
    latents = correlated(rng, (0.0 if null else drawn - 0.5) * _separation(), CORRELATION)
    completed = bool(rng.uniform() >= THERAPY_NOT_COMPLETED)
    positive = bool(rng.uniform() >= BASELINE_NEGATIVE)
    before = _node_before(rng, positive)
    after = _node_after(rng, drawn)
    visible = int(rng.uniform() >= INVISIBLE[drawn])
    fibrosis = int(rng.uniform() < FIBROSIS[drawn])
    palpable = int(rng.uniform() < PALPABLE[drawn])
    seen = {"visible": visible, "fibrosis": fibrosis, "palpable": palpable}
    bayes = 0.0 if null else float(logit(residual)) + _log_likelihood_ratio(latents, after, seen)
    clip = int(rng.uniform() < 0.75)
    eligible = completed and positive
    biopsy = _biopsy(rng, drawn) if visible and after.suspicious and eligible else "not_done"
    breast = int(rng.uniform() < (0.20 if drawn else 0.60))
    age = int(np.clip(round(rng.normal(50.0, 11.0)), 22, 82))
    return {
        "patient_id": patient,
        "center": "center_2" if cohort == "external_validation" else "center_1",
        "cohort": cohort,
        "exam_date": str((pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(rng.integers(1700)))).date()),
        "sex": "F",
        "age_years": age,
        "menopausal_status": "post" if age > 51 else ("peri" if age > 46 else "pre"),
        "laterality": str(rng.choice(["L", "R"])),
        "tumor_diameter_mm": round(float(np.clip(rng.lognormal(np.log(32.0), 0.4), 8.0, 110.0)), 1),
        "histology": str(rng.choice(["IDC", "ILC", "mixed"], p=[0.90, 0.06, 0.04])),
        "grade": int(rng.choice([1, 2, 3], p=[0.05, 0.50, 0.45])),
        **hormone_receptors(rng, subtype.hormone_receptor),
        "ki67_pct": round(float(np.clip(rng.lognormal(np.log(35.0), 0.45), 2.0, 95.0)), 1),
        **her2_results(rng, subtype.her2),
        "cn_stage": str(rng.choice(["N1", "N2", "N3"], p=[0.75, 0.18, 0.07])) if positive else "N0",
        "nst_completed": int(completed),
        "nst_cycles": int(rng.choice([6, 8])) if completed else int(rng.integers(1, 5)),
        "baseline_node_positive": int(positive),
        "baseline_biopsy_proven": int(positive and rng.uniform() < 0.92),
        "clip_placed": clip if positive else 0,
        "clip_located": int(rng.uniform() < 0.85) if clip and positive else None,
        "clip_info_communicated": int(rng.uniform() < 0.90) if clip and positive else None,
        **_columns(before, "pre"),
        "aln_visible_post": visible,
        **_columns(after if visible else None, "post"),
        "axilla_technically_limited": int(rng.uniform() < 0.04),
        "palpable_node": palpable,
        "prior_imaging_reviewed": int(rng.uniform() < 0.93),
        "posttreatment_change": fibrosis,
        "node_biopsy_result": biopsy,
        "axillary_surgery": _surgery(rng, biopsy, bool(clip)) if eligible else None,
        "breast_pcr": breast if completed else None,
        "residual_nodal_disease": outcome if eligible else None,
        **{f"latent_{name}": float(value) for name, value in zip(LATENTS, latents, strict=True)},
        "outcome_residual": outcome if eligible else None,
        "bayes_residual": bayes,
    }


def _separation() -> np.ndarray:
    return EXTRACTION_LOSS * TARGET_SEPARATION


def _lognormal(mean: float, variation: float) -> tuple[float, float]:
    """Return mean and standard deviation of the logarithm, of a mean and coefficient of variation."""
    variance = np.log(1.0 + variation**2)
    return float(np.log(mean) - variance / 2), float(np.sqrt(variance))


def _node_before(rng: np.random.Generator, positive: bool) -> Node:
    if not positive:
        return _node(rng, float(rng.uniform(1.0, 2.8)), "present", "oval")
    cortex = float(np.clip(rng.lognormal(*_lognormal(CORTEX_PRE_MEAN_MM, CORTEX_PRE_CV)), 1.0, 14.0))
    # A thick cortex makes any node round.
    shape = "round" if rng.uniform() < ROUND_PRE or cortex > 9.0 else "oval"
    return _node(rng, cortex, str(rng.choice(HILA, p=HILUM_PRE)), shape)


def _node_after(rng: np.random.Generator, outcome: int) -> Node:
    cortex = float(rng.lognormal(*_lognormal(CORTEX_POST_MEAN_MM[outcome], CORTEX_POST_CV)))
    hilum = str(rng.choice(HILA, p=HILUM_POST[outcome]))
    shape = "round" if rng.uniform() < ROUND_POST[outcome] else "oval"
    return _node(rng, float(np.clip(cortex, 0.4, 14.0)), hilum, shape)


def _node(rng: np.random.Generator, cortex: float, hilum: str, shape: str) -> Node:
    """Give a node the axes that its cortex, hilum and shape need; 8 mm long at least."""
    thickness = {"present": rng.uniform(2.0, 4.0), "partially_effaced": rng.uniform(0.8, 1.6), "absent": 0.0}
    short = cortex + _thin_side(cortex) + thickness[hilum]
    ratio = rng.uniform(1.3, 1.8) if shape == "round" else rng.uniform(2.05, 2.5)
    short = min(max(short, 8.0 / ratio), 18.0)
    return Node(
        # Finer than callipers read: a tenth would move the cut-off of 2.3 mm.
        cortex_mm=round(cortex, 2),
        hilum=hilum,
        shape=shape,
        long_mm=round(min(short * ratio, 27.0), 1),
        short_mm=round(short, 1),
    )


def _thin_side(cortex: float) -> float:
    """Return the thickness of the cortex on the other side of the hilum."""
    return 0.35 * cortex + 0.3


def _columns(node: Node | None, time: str) -> dict[str, Any]:
    return {
        f"aln_cortical_thickness_{time}_mm": node.cortex_mm if node else 0.0,
        f"aln_long_axis_{time}_mm": node.long_mm if node else None,
        f"aln_short_axis_{time}_mm": node.short_mm if node else None,
        f"aln_hilum_{time}": node.hilum if node else None,
        f"aln_shape_{time}": node.shape if node else None,
    }


def _log_likelihood_ratio(latents: np.ndarray, after: Node, seen: Mapping[str, int]) -> float:
    """Return how much more likely residual disease makes what is seen, as a logarithm."""
    ratio = _of_flag(PALPABLE, seen["palpable"]) + _of_flag(FIBROSIS, seen["fibrosis"])
    ratio += _of_flag(INVISIBLE, 1 - seen["visible"])
    separation = _separation()
    if not seen["visible"]:
        return float(ratio + separation[0] * latents[0])
    ratio += np.linalg.solve(CORRELATION, separation) @ latents
    ratio += _of_flag(ROUND_POST, int(after.shape == "round"))
    place = HILA.index(after.hilum)
    ratio += np.log(HILUM_POST[1][place] / HILUM_POST[0][place])
    for outcome, sign in ((0, 0.5), (1, -0.5)):
        mean, deviation = _lognormal(CORTEX_POST_MEAN_MM[outcome], CORTEX_POST_CV)
        ratio += sign * ((np.log(after.cortex_mm) - mean) / deviation) ** 2
    return float(ratio)


def _of_flag(probability: Mapping[int, float], flag: int) -> float:
    of = [probability[outcome] if flag else 1.0 - probability[outcome] for outcome in (0, 1)]
    return float(np.log(of[1] / of[0]))


def _biopsy(rng: np.random.Generator, outcome: int) -> str:
    """Return a suspicious node's biopsy, done in six of ten; it misses a fifth of residual disease."""
    if rng.uniform() > 0.6:
        return "not_done"
    found = "positive" if outcome and rng.uniform() < 0.8 else "negative"
    return "nondiagnostic" if rng.uniform() < 0.06 else found


def _surgery(rng: np.random.Generator, biopsy: str, clip: bool) -> str:
    if biopsy == "positive" or rng.uniform() < 0.10:
        return "ALND"
    return "SLNB_TAD" if clip else "SLNB"


def _draw_scan(
    rng: np.random.Generator, patient: Mapping[str, Any], time: str, cortex: float, heterogeneity: float
) -> dict[str, np.ndarray]:
    """Draw an image and the masks of node and hilum; ``cortex`` is a grey level."""
    level = ultrasound.axilla_layers(rng, GRID)
    node = hilum = np.zeros(GRID.shape, dtype=bool)
    if time == "pre" or patient["aln_visible_post"]:
        node, hilum = _outlines(rng, patient, time)
        level = _embedded(rng, level, node, hilum, cortex, heterogeneity, _is_fibrous(patient, time))
    lost = ultrasound.posterior_db(node, GRID, rng.uniform(-0.15, 0.25))
    shown = ultrasound.b_mode(rng, level, lost, GRID, SCANNERS[patient["center"]])
    return {time: shown, f"{time}_node": node, f"{time}_hilum": hilum}


def _is_fibrous(patient: Mapping[str, Any], time: str) -> bool:
    return time == "post" and bool(patient["posttreatment_change"])


def _outlines(
    rng: np.random.Generator, patient: Mapping[str, Any], time: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of a node and of its hilum, empty where that is absent."""
    cortex, long, short = (
        patient[f"aln_{name}_{time}_mm"] for name in ("cortical_thickness", "long_axis", "short_axis")
    )
    turn = float(rng.normal(0.0, 0.10))
    across = long / 2 + 1.0
    row = rng.uniform(short / 2 + 3.0, max(short / 2 + 3.5, 0.84 * GRID.height_mm - short / 2))
    column = rng.uniform(across, GRID.width_mm - across)
    node = Outline(row, column, long, short, turn, irregularity=0.02).draw(rng, GRID)
    if patient[f"aln_hilum_{time}"] == "absent":
        return node, np.zeros_like(node)
    thin = _thin_side(cortex)
    thickness = short - cortex - thin
    thick_side = rng.choice([-1.0, 1.0])
    # The hilum's own length: its ends are as far from the node's as the cortex is thick on average.
    length = max(long - cortex - thin, 1.5 * thickness, 0.35 * long)
    moved = thick_side * (cortex - thin) / 2
    inner = Outline(
        row + moved * np.cos(turn), column - moved * np.sin(turn), length, thickness, turn, irregularity=0.05
    )
    return node, inner.draw(rng, GRID) & node


def _embedded(
    rng: np.random.Generator,
    level: np.ndarray,
    node: np.ndarray,
    hilum: np.ndarray,
    cortex: float,
    heterogeneity: float,
    fibrous: bool,
) -> np.ndarray:
    """Put a node into the axilla: hypoechoic cortex, echogenic hilum, thin capsule."""
    texture = heterogeneity * ultrasound.texture_within(rng, node, GRID, 0.30)
    capsule = np.exp(-0.5 * ((GRID.blur(node.astype(float), 0.2) - 0.35) / 0.15) ** 2)
    level = level + 22.0 * capsule
    with_cortex = ultrasound.embed(level, node, cortex + texture, GRID, 0.45 if fibrous else 0.15)
    fat = (140.0 if fibrous else 158.0) + texture
    return ultrasound.embed(with_cortex, hilum, fat, GRID, 0.35 if fibrous else 0.22)
