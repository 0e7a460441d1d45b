"""SYNTHETIC breast ultrasound with a planted axillary nodal burden: none, 1-2 or at least 3 positive nodes.

Each patient has two latent scores. That of level 1 (any positive node) drives how heterogeneous the tumour
is, that of level 2 (3 and more rather than 1-2) its echogenicity, irregularity and margin. A score's own AUC
is Phi(d / sqrt 2), d being the distance between the two outcomes in standard deviations.

Separations after Lu et al., Front Endocrinol 2026 (10.3389/fendo.2026.1847368): radiomics reached 0.79 at
level 1 and 0.74 at level 2, there 0.82 where Ki-67 was low and 0.68 where it was high.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy.special import expit, logit

from annulus.simulation import ultrasound
from annulus.simulation.drawing import dealt_classes, picture, stream
from annulus.simulation.noise import unit_within
from annulus.simulation.receptors import her2_results, hormone_receptors
from annulus.simulation.ultrasound import SCANNERS, Grid, Outline

SHARES = {"none": 0.57, "low": 0.25, "high": 0.18}
# Separations that would give the published AUCs, and what is lost between score and feature.
LEVEL_1 = 1.14
LEVEL_2_BY_KI67 = {"low": 1.29, "high": 0.66}
EXTRACTION_LOSS = {"level1": 1.10, "level2": 1.25}
KI67_CUT = 20.0

KI67_MEDIAN = {"none": 22.0, "low": 28.0, "high": 34.0}
KI67_SIGMA = 0.9
DIAMETER_MEDIAN_MM = {"none": 18.0, "low": 22.0, "high": 27.0}
DIAMETER_SIGMA = 0.40
# Bedi types 1 to 6 of the worst node.
BEDI = {
    "none": (0.12, 0.71, 0.09, 0.04, 0.03, 0.01),
    "low": (0.03, 0.24, 0.24, 0.09, 0.22, 0.18),
    "high": (0.01, 0.10, 0.19, 0.08, 0.24, 0.38),
}

# Wider than a probe's usual 50 mm, so that tumours of 60 mm fit.
GRID = Grid(rows=256, columns=360, spacing_mm=0.2)
MARGIN_MM = 3.5


@dataclass(frozen=True)
class _Node:
    """The worst axillary node on ultrasound, as its Bedi type says; lengths in mm."""

    cortex_mm: float
    long_mm: float
    short_mm: float
    hilum: str
    vascularity: str
    suspicious: int


def simulate_patients(
    patients: Mapping[str, str], shares: Mapping[str, float], null: bool, seed: int
) -> pd.DataFrame:
    """Draw SYNTHETIC participants (id: cohort), with ``shares`` of nodal burden.

    Columns are those of the data dictionary, and the truth, which no rule of the analysis may read:
    ``latent_level1`` and ``latent_level2``, which images are drawn from; ``outcome_level1`` (any positive
    node) and ``outcome_level2`` (3 and more rather than 1-2, missing without positive nodes); and
    ``bayes_*``, the log-odds of an observer who knows both scores, Bedi type, Ki-67 and diameter.
    What follows from other columns is left to the analysis. With ``null`` nothing depends on the outcome.
    """
    burdens = dealt_classes(patients, shares, seed)
    rows = [
        _draw_patient(patient, cohort, burdens[patient], shares, null, seed)
        for patient, cohort in patients.items()
    ]
    table = pd.DataFrame(rows)
    table["outcome_level2"] = table["outcome_level2"].astype("Int64")
    return table


def simulate_images(patient: Mapping[str, Any], seed: int) -> dict[str, sitk.Image]:
    """Draw one patient's B-mode image, colour-Doppler map and mask of the tumour (uint8), in 2-D.

    ``patient`` is a row of :func:`simulate_patients`. The scan is 51 mm deep and 72 mm wide.
    """
    rng = stream(seed, patient["patient_id"], "images")
    outline = _outline(rng, patient)
    level = ultrasound.breast_layers(rng, GRID)
    tumour = outline.draw(rng, GRID)
    inside = _inside(rng, tumour, patient)
    blur = 0.30 * np.exp(0.20 * patient["latent_level2"])
    level = ultrasound.embed(level, tumour, inside, GRID, min(blur, 1.2))
    if patient["us_convergence_sign"]:
        level = level + 75.0 * ultrasound.convergence_lines(rng, tumour, outline, GRID)
    if patient["us_microcalcification"]:
        dots = ultrasound.calcifications(rng, tumour, GRID, int(rng.integers(3, 13)))
        level = np.where(dots, 215.0, level)
    behind = {"shadowing": rng.uniform(0.5, 1.1), "enhancement": rng.uniform(-0.5, -0.25)}
    lost = ultrasound.posterior_db(tumour, GRID, behind.get(patient["us_posterior"], 0.0))
    shown = ultrasound.b_mode(rng, level, lost, GRID, SCANNERS[patient["center"]])
    flow = ultrasound.vessels(rng, outline, GRID, *_vessel_counts(rng, patient["us_adler_grade"]))
    spacing = (GRID.spacing_mm, GRID.spacing_mm)
    return {
        "us": picture(shown, sitk.sitkUInt8, spacing),
        "doppler": picture(flow, sitk.sitkUInt8, spacing),
        "tumour": picture(tumour, sitk.sitkUInt8, spacing),
    }


def _draw_patient(
    patient: str, cohort: str, burden: str, shares: Mapping[str, float], null: bool, seed: int
) -> dict[str, Any]:
    rng = stream(seed, patient, "patient")
    # Without signal everybody is drawn as a patient without positive nodes.
    drawn = "none" if null else burden
    ki67 = float(expit(logit(KI67_MEDIAN[drawn] / 100) + KI67_SIGMA * rng.standard_normal()))
    log_diameter = float(np.log(DIAMETER_MEDIAN_MM[drawn]) + DIAMETER_SIGMA * rng.standard_normal())
    bedi = int(rng.choice(6, p=BEDI[drawn])) + 1
    means = np.zeros(2) if null else latent_means(burden, 100 * ki67, shares)
    latents = means + rng.standard_normal(2)
    level_1, level_2 = (0.0, 0.0) if null else _log_odds(latents, ki67, log_diameter, bedi, shares)
    node = _node(rng, bedi)
    positive = _positive_nodes(rng, burden)
    age = int(np.clip(round(rng.normal(51.0, 11.0)), 22, 88))
    return {
        "patient_id": patient,
        "center": "center_2" if cohort == "external_validation" else "center_1",
        "cohort": cohort,
        "exam_date": str((pd.Timestamp("2019-01-01") + pd.Timedelta(days=int(rng.integers(1800)))).date()),
        "sex": "F",
        "age_years": age,
        "menopausal_status": "post" if age > 51 else ("peri" if age > 46 else "pre"),
        "laterality": str(rng.choice(["L", "R"])),
        "tumor_location": str(
            rng.choice(
                ["UOQ", "UIQ", "LOQ", "LIQ", "central", "multiple"], p=[0.46, 0.18, 0.13, 0.08, 0.10, 0.05]
            )
        ),
        "tumor_diameter_mm": round(float(np.clip(np.exp(log_diameter), 6.0, 60.0)), 1),
        "histology": str(rng.choice(["IDC", "ILC", "mixed", "other"], p=[0.85, 0.07, 0.04, 0.04])),
        "grade": int(rng.choice([1, 2, 3], p=[0.10, 0.55, 0.35])),
        **hormone_receptors(rng, bool(rng.uniform() < 0.77)),
        "ki67_pct": round(100 * ki67, 1),
        **her2_results(rng, bool(rng.uniform() < 0.27)),
        "n_nodes_positive": positive,
        "n_nodes_examined": positive + int(rng.poisson(2.5 if positive == 0 else 10.0)) + (positive == 0),
        "aln_bedi_type": bedi,
        "aln_cortical_thickness_mm": node.cortex_mm,
        "aln_long_axis_mm": node.long_mm,
        "aln_short_axis_mm": node.short_mm,
        "aln_hilum": node.hilum,
        "aln_vascularity": node.vascularity,
        "n_suspicious_nodes": node.suspicious,
        "us_microcalcification": int(rng.uniform() < 0.30),
        "us_convergence_sign": int(rng.uniform() < 0.35),
        "us_adler_grade": int(rng.choice(4, p=[0.15, 0.30, 0.35, 0.20])),
        "us_orientation": str(rng.choice(["parallel", "not_parallel"], p=[0.7, 0.3])),
        "us_posterior": str(rng.choice(["none", "shadowing", "enhancement"], p=[0.45, 0.40, 0.15])),
        "latent_level1": float(latents[0]),
        "latent_level2": float(latents[1]),
        "outcome_level1": int(burden != "none"),
        "outcome_level2": None if burden == "none" else int(burden == "high"),
        "bayes_level1": level_1,
        "bayes_level2": level_2,
    }


def latent_means(burden: str, ki67_pct: float, shares: Mapping[str, float]) -> np.ndarray:
    """Return the means of both latent scores.

    That of level 2 is 0 over all node-positive patients, as it is without positive nodes, so that it says
    little about level 1.
    """
    positive = shares["low"] + shares["high"]
    level_1 = EXTRACTION_LOSS["level1"] * LEVEL_1 * ((burden != "none") - positive)
    separation = EXTRACTION_LOSS["level2"] * LEVEL_2_BY_KI67["low" if ki67_pct < KI67_CUT else "high"]
    above = {"none": 0.0, "low": -shares["high"] / positive, "high": shares["low"] / positive}
    return np.array([level_1, separation * above[burden]])


def _log_odds(
    latents: np.ndarray, ki67: float, log_diameter: float, bedi: int, shares: Mapping[str, float]
) -> tuple[float, float]:
    """Return the log-odds of both levels given all that depends on the burden (Bayes' rule)."""
    joint = {}
    for burden, share in shares.items():
        deviations = [
            *(latents - latent_means(burden, 100 * ki67, shares)),
            (logit(ki67) - logit(KI67_MEDIAN[burden] / 100)) / KI67_SIGMA,
            (log_diameter - np.log(DIAMETER_MEDIAN_MM[burden])) / DIAMETER_SIGMA,
        ]
        joint[burden] = np.log(share * BEDI[burden][bedi - 1]) - 0.5 * np.square(deviations).sum()
    level_1 = np.logaddexp(joint["low"], joint["high"]) - joint["none"]
    return float(level_1), float(joint["high"] - joint["low"])


def _positive_nodes(rng: np.random.Generator, burden: str) -> int:
    if burden == "none":
        return 0
    return 1 + int(rng.uniform() < 0.4) if burden == "low" else 3 + min(int(rng.geometric(0.25)) - 1, 22)


def _node(rng: np.random.Generator, bedi: int) -> _Node:
    """Draw a node's measurements so that they have the Bedi type."""
    cortex = (0.0, rng.uniform(0.8, 3.0), *(rng.uniform(3.2, 7.0, 3)), rng.uniform(4.0, 12.0))[bedi - 1]
    short = cortex / rng.uniform(0.6, 0.98) if bedi == 6 else 1.3 * cortex + rng.uniform(2.0, 4.5)
    ratio = rng.uniform(1.1, 2.0) if bedi >= 5 else rng.uniform(1.6, 2.6)
    effaced = rng.uniform() < {4: 0.4, 5: 0.7}.get(bedi, 0.0)
    hilum = "absent" if bedi == 6 else ("partially_effaced" if effaced else "present")
    flow = {1: (0.5, 0.5, 0.0, 0.0), 2: (0.3, 0.65, 0.02, 0.03)}.get(bedi, (0.1, 0.3, 0.3, 0.3))
    return _Node(
        cortex_mm=round(float(cortex), 1),
        long_mm=round(float(short * ratio), 1),
        short_mm=round(float(short), 1),
        hilum=hilum,
        vascularity=str(rng.choice(["absent", "hilar", "peripheral", "mixed"], p=flow)),
        suspicious=0 if bedi <= 2 else 1 + int(rng.poisson(0.5)),
    )


def _outline(rng: np.random.Generator, patient: Mapping[str, Any]) -> Outline:
    """Place a tumour; those of more than 25 mm lie parallel to the skin, as others would not fit."""
    diameter = float(patient["tumor_diameter_mm"])
    irregularity = float(np.clip(0.055 * np.exp(0.30 * patient["latent_level2"]), 0.02, 0.15))
    room = GRID.height_mm - 2 * MARGIN_MM - 6.0
    ratio = max(rng.uniform(1.2, 1.8), diameter / room)
    upright = patient["us_orientation"] == "not_parallel" and diameter <= 25.0
    turn = rng.normal(0.0, 0.15) * float(diameter <= 30.0) + upright * np.pi / 2
    tall, wide = (diameter, diameter / ratio) if upright else (diameter / ratio, diameter)
    down, along = (extent / 2 + MARGIN_MM for extent in (tall, wide))
    return Outline(
        row_mm=_between(rng, down + 2.0, min(0.62 * GRID.height_mm, GRID.height_mm - down)),
        column_mm=_between(rng, along, GRID.width_mm - along),
        long_mm=diameter,
        short_mm=diameter / ratio,
        turn=float(turn),
        irregularity=irregularity,
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a place between bounds, or the middle where they leave no room."""
    return float(rng.uniform(low, high)) if low < high else (low + high) / 2


def _inside(rng: np.random.Generator, tumour: np.ndarray, patient: Mapping[str, Any]) -> np.ndarray:
    """Return the grey levels of a hypoechoic tumour."""
    fine = ultrasound.texture_within(rng, tumour, GRID, 0.45)
    coarse = ultrasound.texture_within(rng, tumour, GRID, 1.2)
    texture = unit_within(fine + coarse, tumour)
    # Much of what makes tumours heterogeneous has nothing to do with the nodes.
    heterogeneity = 13.0 * np.exp(0.32 * patient["latent_level1"] + 0.26 * rng.standard_normal())
    echogenicity = 62.0 - 9.0 * patient["latent_level2"] + rng.normal(0.0, 5.0)
    inside: np.ndarray = echogenicity + min(heterogeneity, 45.0) * texture
    return inside


def _vessel_counts(rng: np.random.Generator, grade: float) -> tuple[int, int]:
    """Return numbers of punctate and long vessels of an Adler grade."""
    kinds = {0: [(0, 0)], 1: [(1, 0), (2, 0)], 2: [(3, 0), (4, 0), (1, 1)], 3: [(5, 0), (6, 0), (2, 2)]}
    possible = kinds[int(grade)]
    return possible[int(rng.integers(len(possible)))]
