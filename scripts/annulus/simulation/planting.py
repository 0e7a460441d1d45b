"""Second raters and defects for SYNTHETIC images, so that quality control has something to find."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from annulus.simulation.drawing import picture, stream
from annulus.simulation.roster import RATED, ROSTERS, rated

# What can be wrong, and the code that quality control must answer with.
DEFECTS = {
    "empty_mask": "empty_mask",
    "mask_of_another_grid": "grid_mismatch",
    "constant_image": "constant_image",
    "mask_in_pieces": "extra_components",
}
JITTER = 0.02


def planted_defect(patient_id: str, share: float, seed: int) -> str:
    """Return the defect of a patient's first picture with a mask, or nothing."""
    rng = stream(seed, patient_id, "defect")
    kinds = list(DEFECTS)
    chosen = kinds[int(rng.integers(len(kinds)))]
    return chosen if rng.uniform() < share else ""


def with_raters(
    images: Mapping[str, sitk.Image], simulator: str, raters: int, patient_id: str, seed: int
) -> dict[str, sitk.Image]:
    """Add further raters' masks of every lesion: the first one's, a pixel more or less, jittered.

    Two raters' masks agree with a Dice of about 0.9.
    """
    found = dict(images)
    for mask in rated_masks(simulator):
        for rater in range(2, raters + 1):
            rng = stream(seed, patient_id, f"rater {rater} {mask}")
            found[rated(mask, rater)] = _redrawn(images[mask], rng)
    return found


def with_defect(images: Mapping[str, sitk.Image], simulator: str, defect: str) -> dict[str, sitk.Image]:
    """Spoil a patient's first picture that has a mask of a lesion, by one of ``DEFECTS``."""
    if not defect:
        return dict(images)
    chosen = next(p for p in ROSTERS[simulator].pictures if set(p.masks) & set(RATED))
    mask = next(name for role, name in chosen.masks.items() if role in RATED)
    spoiled = dict(images)
    if defect == "constant_image":
        spoiled[chosen.name] = images[chosen.name] * 0
    elif defect == "empty_mask":
        spoiled[mask] = images[mask] * 0
    elif defect == "mask_of_another_grid":
        moved = images[mask] * 1
        moved.SetOrigin([0.3 * size for size in moved.GetSpacing()])
        spoiled[mask] = moved
    else:
        values = sitk.GetArrayFromImage(images[mask])
        values[(slice(0, 2),) * values.ndim] = 1
        piece = sitk.GetImageFromArray(values)
        piece.CopyInformation(images[mask])
        spoiled[mask] = piece
    return spoiled


def rated_masks(simulator: str) -> list[str]:
    """Name the masks of lesions among a simulator's pictures."""
    pictures = ROSTERS[simulator].pictures
    return list(dict.fromkeys(name for p in pictures for role, name in p.masks.items() if role in RATED))


def _redrawn(mask: sitk.Image, rng: np.random.Generator) -> sitk.Image:
    """Redraw an outline within the plane: grown, kept or shrunk by a pixel, with 2 % of boundary jitter."""
    values = sitk.GetArrayFromImage(mask).astype(bool)
    if not values.any():
        return mask * 1
    plane = np.zeros((3,) * values.ndim, dtype=bool)
    plane[(1,) * (values.ndim - 2)] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    change = int(rng.integers(-1, 2))
    drawn = values
    if change > 0:
        drawn = binary_dilation(values, plane)
    if change < 0:
        eroded = binary_erosion(values, plane)
        drawn = eroded if eroded.any() else values
    smooth = (0.0,) * (values.ndim - 2) + (1.5, 1.5)
    noise = gaussian_filter(rng.standard_normal(values.shape), smooth)
    soft = gaussian_filter(drawn.astype(float), smooth) + JITTER * values.ndim * noise / noise.std()
    redrawn = soft > 0.5
    outline = picture(redrawn if redrawn.any() else values, sitk.sitkUInt8, mask.GetSpacing())
    outline.CopyInformation(mask)
    return outline
