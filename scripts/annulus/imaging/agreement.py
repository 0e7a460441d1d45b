"""Agreement of two outlines of the same lesion: overlap, distance of the contours and volume.

Of several definitions in use (Podobnik & Vrtovec, MICCAI 2024, doi 10.1007/978-3-031-72114-4_30), the
95th-percentile Hausdorff distance is here the larger of the two directed 95th percentiles (Huttenlocher
et al., IEEE PAMI 1993;15:850-863), not the percentile of both directions pooled, which is never larger
than it. A contour is the set of a mask's voxels with a face neighbour outside the mask (or outside the
image), and distances are between voxel centres.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from annulus.errors import StudyError
from annulus.imaging.boxes import spans


@dataclass(frozen=True)
class Agreement:
    """How well outline b agrees with outline a; what is not defined is NaN and ``reason`` says why."""

    dice: float
    hd95_mm: float
    volume_ratio: float
    reason: str = ""


def agreement_of(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, ...] | None) -> Agreement:
    """Compare two masks on one grid, indexed (row, column) or (slice, row, column).

    Voxels other than 0 are inside. ``spacing_mm`` is along x, y (and z), or None where the pixel size
    is unknown: there is then no distance in mm. Raises StudyError when the masks differ in shape.
    """
    a, b = _cropped(a, b)
    if not a.any() or not b.any():
        empty = "both masks are" if not a.any() and not b.any() else f"mask {'b' if a.any() else 'a'} is"
        return Agreement(np.nan, np.nan, np.nan, f"{empty} empty")
    if spacing_mm is None:
        return Agreement(
            dice(a, b), np.nan, volume_ratio(a, b), "the pixel size is unknown: no distance in mm"
        )
    return Agreement(dice(a, b), hd95_mm(a, b, spacing_mm), volume_ratio(a, b))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap 2|A and B| / (|A| + |B|), 0 to 1 (Dice, Ecology 1945;26:297-302); NaN if a mask is empty.

    Raises StudyError when the masks differ in shape.
    """
    a, b = _inside(a, b)
    in_a, in_b = np.count_nonzero(a), np.count_nonzero(b)
    return float(2 * np.count_nonzero(a & b) / (in_a + in_b)) if in_a and in_b else float("nan")


def volume_ratio(a: np.ndarray, b: np.ndarray) -> float:
    """Volume of b over that of a (areas in 2-D); NaN if a mask is empty.

    Raises StudyError when the masks differ in shape.
    """
    a, b = _inside(a, b)
    in_a, in_b = np.count_nonzero(a), np.count_nonzero(b)
    return float(in_b / in_a) if in_a and in_b else float("nan")


def hd95_mm(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    """Larger of the two directed 95th percentiles of the distances between contours; NaN if a mask is empty.

    ``spacing_mm`` is along x, y (and z). Percentiles are interpolated linearly. Raises StudyError when
    the masks differ in shape.
    """
    a, b = _cropped(a, b)
    if not a.any() or not b.any():
        return float("nan")
    step = np.asarray(spacing_mm, dtype=float)[::-1]
    contour_a, contour_b = _contour(a) * step, _contour(b) * step
    from_a, _ = KDTree(contour_b).query(contour_a)
    from_b, _ = KDTree(contour_a).query(contour_b)
    return float(max(np.percentile(from_a, 95), np.percentile(from_b, 95)))


def _contour(mask: np.ndarray) -> np.ndarray:
    """Indices of the voxels with a face neighbour outside the mask; the image ends outside."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))


def _inside(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape:
        raise StudyError(
            f"The masks to compare have {_size(a)} and {_size(b)} voxels. Save both on their image's grid."
        )
    return np.asarray(a) != 0, np.asarray(b) != 0


def _size(mask: np.ndarray) -> str:
    return " x ".join(str(length) for length in mask.shape[::-1])


def _cropped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut two masks to the box around both: nothing outside it has a part in any measure."""
    a, b = _inside(a, b)
    both = a | b
    if not both.any():
        return a, b
    box = spans(both)
    return a[box], b[box]
