"""What all simulators share: a stream of random numbers per patient, classes, latent scores and files."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

# So many neighbours in a cohort have the planned shares of classes between them.
BLOCK = 20


def stream(seed: int, patient_id: str, purpose: str) -> np.random.Generator:
    """Return a patient's own random numbers for one purpose: no other patient changes them."""
    digest = hashlib.sha256(f"{seed}:{patient_id}:{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def dealt_classes(patients: Mapping[str, str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give every patient (id: cohort, as :func:`annulus.simulation.roster.enrolled`) one of the classes.

    ``shares`` add up to 1. Each further twenty patients of a cohort complete the shares, in random order, so
    a patient's class depends on id, cohort and seed alone and a cohort's shares are nearly exact.
    """
    places = {patient: int(patient[-5:]) - 1 for patient in patients}
    blocks = {(cohort, places[patient] // BLOCK): None for patient, cohort in patients.items()}
    order = {key: _block(shares, *key, seed) for key in blocks}
    return {
        patient: order[(cohort, places[patient] // BLOCK)][places[patient] % BLOCK]
        for patient, cohort in patients.items()
    }


def correlated(
    rng: np.random.Generator, means: Sequence[float] | np.ndarray, correlation: np.ndarray
) -> np.ndarray:
    """Draw one normal score per mean, with unit variances and this correlation."""
    factor = np.linalg.cholesky(correlation)
    return np.asarray(means, dtype=float) + factor @ rng.standard_normal(len(means))


def picture(values: np.ndarray, pixel_type: int, spacing: Sequence[float]) -> sitk.Image:
    """Make an image of an array in (z,) y, x order; ``spacing`` in mm along x, y (and z)."""
    whole = pixel_type not in (sitk.sitkFloat32, sitk.sitkFloat64)
    array = np.rint(values) if whole and values.dtype != bool else values.astype(np.float64)
    image = sitk.Cast(sitk.GetImageFromArray(array), pixel_type)
    image.SetSpacing([float(size) for size in spacing])
    return image


def write_images(images: Mapping[str, sitk.Image], files: Mapping[str, str], folder: Path) -> None:
    """Write one patient's images as NRRD under their file names, each header saying that it is SYNTHETIC."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        images[name].SetMetaData("content", "SYNTHETIC, no patient; simulated by annulus")
        partial = folder / f".partial-{file}"
        sitk.WriteImage(images[name], str(partial), useCompression=True)
        partial.replace(folder / file)


def _block(shares: Mapping[str, float], cohort: str, block: int, seed: int) -> list[str]:
    """Return the classes of a cohort's ``block``-th twenty patients, in random order."""
    classes = _dealt(shares, BLOCK * (block + 1))[BLOCK * block :]
    order = stream(seed, f"{cohort}:{block}", "classes").permutation(BLOCK)
    return [classes[i] for i in order]


def _dealt(shares: Mapping[str, float], count: int) -> list[str]:
    """Deal each patient in turn the class that is furthest behind its share."""
    dealt = dict.fromkeys(shares, 0)
    classes = []
    for number in range(1, count + 1):
        name = max(shares, key=lambda name: shares[name] * number - dealt[name])
        dealt[name] += 1
        classes.append(name)
    return classes
