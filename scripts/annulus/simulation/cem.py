"""SYNTHETIC contrast-enhanced mammography of IHC 2+ cancers with a planted truth.

Each patient has three latent scores. They are drawn around a mean that depends on HER2
amplification and then drive physical image parameters: the heterogeneity of iodine inside the
tumour, enhancement 0-5 mm outside its edge, and enhancement 5-10 mm outside it. A score's own AUC
is Phi(d / sqrt 2), d being the distance between the two outcomes in standard deviations.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter

from annulus.simulation.drawing import correlated, dealt_classes, picture, stream
from annulus.simulation.noise import power_law_texture, unit_within

SHARES = {"negative": 0.65, "positive": 0.35}
LATENTS = ("itr", "ptr5", "ptr10")
# Separations that would give the published AUCs, and what is lost between score and feature.
TARGET_SEPARATION = np.array([1.2, 1.1, 0.8])
EXTRACTION_LOSS = 1.25
SEPARATION = EXTRACTION_LOSS * TARGET_SEPARATION
CORRELATION = np.array([[1.0, 0.3, 0.3], [0.3, 1.0, 0.5], [0.3, 0.5, 1.0]])
DIAMETER_MEDIAN_MM = {0: 21.0, 1: 26.0}
DIAMETER_SIGMA = 0.40

MATRIX = 256
SPACING_MM = 0.8
SPACING = (SPACING_MM, SPACING_MM)
MARGIN_MM = 14.0


def simulate_patients(
    patients: Mapping[str, str], shares: Mapping[str, float], null: bool, seed: int
) -> pd.DataFrame:
    """Draw SYNTHETIC participants (id: cohort), with ``shares`` of HER2 amplification.

    Columns are those of the data dictionary, and the truth, which no rule of the analysis may read:
    ``latent_*`` scores that images are drawn from, ``outcome_her2_fish`` and ``bayes_her2_fish``, the
    log-odds of an observer who knows the scores and the diameter. With ``null`` nothing depends
    on the outcome.
    """
    statuses = dealt_classes(patients, shares, seed)
    rows = [
        _draw_patient(patient, cohort, int(statuses[patient] == "positive"), null, seed)
        for patient, cohort in patients.items()
    ]
    return pd.DataFrame(rows)


def simulate_images(patient: Mapping[str, Any], seed: int) -> dict[str, sitk.Image]:
    """Draw one patient's low-energy and recombined image (int16) and both masks (uint8), in 2-D.

    ``patient`` is a row of :func:`simulate_patients`.

    The recombined image has an arbitrary offset of 2000; enhancement is linear in iodine.
    Prospective patients come from a scanner with 5 % more gain and 10 % more noise.
    """
    rng = stream(seed, patient["patient_id"], "images")
    breast = _breast(rng)
    tumour = _tumour(rng, breast, patient["tumor_diameter_mm"])
    outside = distance_transform_edt(~tumour, sampling=SPACING_MM)
    gain, noise = (1.05, 1.10) if patient["cohort"] == "prospective_test" else (1.0, 1.0)

    edge = gaussian_filter(tumour.astype(float), 0.8)
    parenchyma = power_law_texture(rng, breast.shape, exponent=3.0)
    thickness = np.clip(distance_transform_edt(breast, sampling=SPACING_MM) / 12.0, 0.0, 1.0)
    low = 1400.0 + 800.0 * thickness + 160.0 * parenchyma + 220.0 * edge
    low = np.where(breast, low, 60.0)

    inner = unit_within(gaussian_filter(rng.standard_normal(breast.shape), 1.2), tumour)
    heterogeneity = 28.0 * np.exp(0.40 * patient["latent_itr"])
    uptake = rng.uniform(140.0, 190.0)
    rim5, rim10 = 75.0 + 24.0 * patient["latent_ptr5"], 45.0 + 16.0 * patient["latent_ptr10"]
    background = 12.0 * unit_within(power_law_texture(rng, breast.shape, exponent=2.0), breast)
    iodine = np.where(
        tumour,
        uptake + heterogeneity * inner,
        np.where(outside <= 5.0, rim5, np.where(outside <= 10.0, rim10, 0.0)),
    )
    recombined = 2000.0 + np.where(breast, 40.0 + background + iodine, 0.0)
    return {
        "le": picture(gain * low + noise * rng.normal(0.0, 8.0, low.shape), sitk.sitkInt16, SPACING),
        "rc": picture(gain * recombined + noise * rng.normal(0.0, 8.0, low.shape), sitk.sitkInt16, SPACING),
        "tumour": picture(tumour, sitk.sitkUInt8, SPACING),
        "breast": picture(breast, sitk.sitkUInt8, SPACING),
    }


def _draw_patient(patient: str, cohort: str, outcome: int, null: bool, seed: int) -> dict[str, Any]:
    rng = stream(seed, patient, "patient")
    effect = 0.0 if null else 1.0
    latents = correlated(rng, effect * SEPARATION * (outcome - 0.5), CORRELATION)
    medians = np.log([DIAMETER_MEDIAN_MM[0], DIAMETER_MEDIAN_MM[1]])
    log_diameter = medians[0 if null else outcome] + DIAMETER_SIGMA * rng.standard_normal()
    age = int(np.clip(round(rng.normal(51.0, 11.0)), 25, 88))
    first, days = ("2024-07-01", 360) if cohort == "prospective_test" else ("2021-01-01", 1200)
    weights = effect * np.linalg.solve(CORRELATION, SEPARATION)
    by_size = effect * (medians[1] - medians[0]) / DIAMETER_SIGMA**2 * (log_diameter - medians.mean())
    return {
        "patient_id": patient,
        "center": "center_1",
        "cohort": cohort,
        "exam_date": str((pd.Timestamp(first) + pd.Timedelta(days=int(rng.integers(days)))).date()),
        "sex": "F",
        "age_years": age,
        "menopausal_status": "post" if age > 51 else ("peri" if age > 46 else "pre"),
        "laterality": str(rng.choice(["L", "R"])),
        "tumor_diameter_mm": round(float(np.clip(np.exp(log_diameter), 6.0, 60.0)), 1),
        "histology": str(rng.choice(["IDC", "ILC", "mixed"], p=[0.85, 0.10, 0.05])),
        "grade": int(rng.choice([1, 2, 3], p=[0.10, 0.55, 0.35])),
        "breast_density": str(rng.choice(list("abcd"), p=[0.05, 0.25, 0.50, 0.20])),
        "her2_ihc": "2+",
        "her2_ish": "positive" if outcome else "negative",
        **{f"latent_{name}": float(value) for name, value in zip(LATENTS, latents, strict=True)},
        "outcome_her2_fish": outcome,
        "bayes_her2_fish": float(weights @ latents + by_size),
    }


def _grid() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:MATRIX, :MATRIX] * SPACING_MM
    return rows, columns


def _breast(rng: np.random.Generator) -> np.ndarray:
    rows, columns = _grid()
    middle, height = MATRIX * SPACING_MM / 2, rng.uniform(82.0, 95.0)
    depth = rng.uniform(110.0, 160.0)
    inside: np.ndarray = ((rows - middle) / height) ** 2 + (columns / depth) ** 2 <= 1.0
    return inside


def _tumour(rng: np.random.Generator, breast: np.ndarray, diameter_mm: float) -> np.ndarray:
    """Draw an ellipse with Fourier irregularity, mostly far enough from the skin for its rings."""
    rows, columns = _grid()
    depth = distance_transform_edt(np.pad(breast, 1), sampling=SPACING_MM)[1:-1, 1:-1]
    room = np.argwhere(depth >= min(diameter_mm / 2 + MARGIN_MM, depth.max()))
    row, column = room[rng.integers(len(room))] * SPACING_MM
    ratio, turn = rng.uniform(1.2, 1.6), rng.uniform(0.0, np.pi)
    radius = diameter_mm / 2
    y, x = rows - row, columns - column
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(across * ratio, along)
    wave = sum(
        rng.normal(0.0, 0.04 / np.sqrt(mode)) * np.cos(mode * angle + rng.uniform(0.0, 2 * np.pi))
        for mode in range(3, 9)
    )
    inside: np.ndarray = np.hypot(along, across * ratio) <= radius * (1.0 + wave)
    return inside & breast
