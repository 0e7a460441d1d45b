"""SYNTHETIC contrast-enhanced mammography of IHC 2+ cancers with a planted truth.

Each patient has three latent scores. They are drawn around a mean that depends on HER2
amplification and then drive physical image parameters: the heterogeneity of iodine inside the
tumour, enhancement 0-5 mm outside its edge, and enhancement 5-10 mm outside it. A score's own AUC
is Phi(d / sqrt 2), d being the distance between the two outcomes in standard deviations.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter

from annulus.simulation.noise import power_law_texture, unit_within
from annulus.simulation.roster import image_files, patient_ids

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
MARGIN_MM = 14.0


@dataclass(frozen=True)
class CemPatient:
    """What an image of one SYNTHETIC patient is drawn from."""

    patient_id: str
    diameter_mm: float
    itr: float
    ptr5: float
    ptr10: float
    prospective: bool


def simulate_patients(cohorts: dict[str, int], event_share: float, seed: int) -> pd.DataFrame:
    """Draw the SYNTHETIC participants of every cohort with their latent scores.

    Columns are those of the data dictionary plus ``latent_itr``, ``latent_ptr5`` and
    ``latent_ptr10``, which no rule of the analysis may read. Each patient has a stream of random
    numbers of its own.
    """
    outcomes = _outcomes(cohorts, event_share, seed)
    names = [name for name, count in cohorts.items() for _ in range(count)]
    rows = [
        _draw_patient(patient, number, cohort, int(outcome), seed)
        for number, (patient, cohort, outcome) in enumerate(
            zip(patient_ids(len(names)), names, outcomes, strict=True)
        )
    ]
    return pd.DataFrame(rows)


def patients_of(table: pd.DataFrame) -> list[CemPatient]:
    """Turn the table of :func:`simulate_patients` into what images are drawn from."""
    return [
        CemPatient(
            patient_id=row["patient_id"],
            diameter_mm=row["tumor_diameter_mm"],
            itr=row["latent_itr"],
            ptr5=row["latent_ptr5"],
            ptr10=row["latent_ptr10"],
            prospective=row["cohort"] == "prospective_test",
        )
        for row in table.to_dict("records")
    ]


def simulate_images(patient: CemPatient, seed: int) -> dict[str, sitk.Image]:
    """Draw one patient's low-energy and recombined image (int16) and both masks (uint8), in 2-D.

    The recombined image has an arbitrary offset of 2000; enhancement is linear in iodine.
    Prospective patients come from a scanner with 5 % more gain and 10 % more noise.
    """
    rng = np.random.default_rng([seed, 1, int(patient.patient_id[-5:])])
    breast = _breast(rng)
    tumour = _tumour(rng, breast, patient.diameter_mm)
    outside = distance_transform_edt(~tumour, sampling=SPACING_MM)
    gain, noise = (1.05, 1.10) if patient.prospective else (1.0, 1.0)

    edge = gaussian_filter(tumour.astype(float), 0.8)
    parenchyma = power_law_texture(rng, breast.shape, exponent=3.0)
    thickness = np.clip(distance_transform_edt(breast, sampling=SPACING_MM) / 12.0, 0.0, 1.0)
    low = 1400.0 + 800.0 * thickness + 160.0 * parenchyma + 220.0 * edge
    low = np.where(breast, low, 60.0)

    inner = unit_within(gaussian_filter(rng.standard_normal(breast.shape), 1.2), tumour)
    heterogeneity = 28.0 * np.exp(0.40 * patient.itr)
    uptake = rng.uniform(140.0, 190.0)
    rim5, rim10 = 75.0 + 24.0 * patient.ptr5, 45.0 + 16.0 * patient.ptr10
    background = 12.0 * unit_within(power_law_texture(rng, breast.shape, exponent=2.0), breast)
    iodine = np.where(
        tumour,
        uptake + heterogeneity * inner,
        np.where(outside <= 5.0, rim5, np.where(outside <= 10.0, rim10, 0.0)),
    )
    recombined = 2000.0 + np.where(breast, 40.0 + background + iodine, 0.0)
    return {
        "le": _image(gain * low + noise * rng.normal(0.0, 8.0, low.shape), sitk.sitkInt16),
        "rc": _image(gain * recombined + noise * rng.normal(0.0, 8.0, low.shape), sitk.sitkInt16),
        "tumour": _image(tumour, sitk.sitkUInt8),
        "breast": _image(breast, sitk.sitkUInt8),
    }


def write_images(images: dict[str, sitk.Image], folder: Path, patient_id: str) -> None:
    """Write one patient's images as NRRD, each header saying that it is SYNTHETIC."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in image_files(patient_id).items():
        images[name].SetMetaData("content", "SYNTHETIC, no patient; simulated by annulus")
        partial = folder / f".partial-{file}"
        sitk.WriteImage(images[name], str(partial), useCompression=True)
        partial.replace(folder / file)


def _outcomes(cohorts: dict[str, int], event_share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 0])
    parts = []
    for count in cohorts.values():
        outcome = np.zeros(count, dtype=int)
        outcome[: round(event_share * count)] = 1
        parts.append(rng.permutation(outcome))
    return np.concatenate(parts)


def _draw_patient(patient: str, number: int, cohort: str, outcome: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 2, number])
    scatter = np.linalg.cholesky(CORRELATION) @ rng.standard_normal(3)
    latents = SEPARATION * (outcome - 0.5) + scatter
    diameter = DIAMETER_MEDIAN_MM[outcome] * np.exp(DIAMETER_SIGMA * rng.standard_normal())
    age = int(np.clip(round(rng.normal(51.0, 11.0)), 25, 88))
    first, days = ("2024-07-01", 360) if cohort == "prospective_test" else ("2021-01-01", 1200)
    return {
        "patient_id": patient,
        "center": "center_1",
        "cohort": cohort,
        "exam_date": str((pd.Timestamp(first) + pd.Timedelta(days=int(rng.integers(days)))).date()),
        "sex": "F",
        "age_years": age,
        "menopausal_status": "post" if age > 51 else ("peri" if age > 46 else "pre"),
        "laterality": str(rng.choice(["L", "R"])),
        "tumor_diameter_mm": round(float(np.clip(diameter, 6.0, 60.0)), 1),
        "histology": str(rng.choice(["IDC", "ILC", "mixed"], p=[0.85, 0.10, 0.05])),
        "grade": int(rng.choice([1, 2, 3], p=[0.10, 0.55, 0.35])),
        "breast_density": str(rng.choice(list("abcd"), p=[0.05, 0.25, 0.50, 0.20])),
        "her2_ihc": "2+",
        "her2_ish": "positive" if outcome else "negative",
        **{f"latent_{name}": float(value) for name, value in zip(LATENTS, latents, strict=True)},
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


def _image(values: np.ndarray, pixel_type: int) -> sitk.Image:
    rounded = np.rint(values) if pixel_type == sitk.sitkInt16 else values.astype(np.uint8)
    image = sitk.Cast(sitk.GetImageFromArray(rounded), pixel_type)
    image.SetSpacing((SPACING_MM, SPACING_MM))
    return image
