"""Where breast or body is in an image, found by grey value alone, for rings to be cut to.

The background must be darker than the tissue: a mammogram on white is to be inverted first. Nothing is
told apart within the tissue: the pectoral muscle in an oblique mammogram and the chest in an MRI
belong to it.
"""

import logging

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    gaussian_filter,
    gaussian_filter1d,
    label,
    maximum_filter,
)

logger = logging.getLogger(__name__)

SMOOTHING_PIXELS = 1.0

# Letters and noise that touch the tissue over fewer pixels than twice this are cut off it.
OPENING_PIXELS = 2

# A frame varies by less than this share of the grey values' range over squares of this many pixels, and
# fills at least this share of the image.
FRAME_RANGE = 0.01
FRAME_SQUARE = 5
FRAME_SHARE = 0.01

# The histogram's logarithmic scale begins at this share of the range above the darkest value.
DARKEST_SHARE = 0.02
BINS = 128
SAMPLE = 1_000_000

# Air is parted from tissue by a valley below this share of the lower peak, and fills at least this share of
# the image. Of 748 ultrasound images that show nothing but tissue, one has a dark part that meets both.
VALLEY_SHARE = 0.12
AIR_SHARE = 0.2

# Beside a black frame there may still be air, unless it is brighter than this share of the tissue (then it
# is fat). A frame that is darker than everything else by this share of the range is mere padding.
AIR_BRIGHTNESS = 0.15
PADDING_GAP = 0.5

# Tissue that begins this close to the image's border counts as touching it.
CONTACT_MM = 2.0

# A side is not taken for the chest wall when the opposite one is touched by this share as much.
AMBIGUOUS_SHARE = 0.9


def find_tissue(image: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return where breast or body is: the largest connected part above the background, holes filled.

    ``image`` is indexed (row, column) or (slice, row, column); ``spacing`` is along x, y (and z).
    Background is a level black frame that reaches the image's border, as around an ultrasound scan, and
    air: what is darker than the threshold of Otsu (IEEE TSMC 1979;9:62-66) on the logarithm of the
    slightly smoothed grey values, where the histogram has a deep valley. An image with neither is
    all tissue, one of a single grey value too. Values that are not finite are background. Holes are
    filled slice by slice.
    """
    finite = np.isfinite(image)
    if not finite.any() or np.ptp(image[finite]) == 0:
        return np.ones(image.shape, dtype=bool)
    values = np.where(finite, image, image[finite].min()).astype(np.float32)
    frame = _frame(values) | ~finite
    # Slices are smoothed into each other by the same length as pixels.
    sigma = [SMOOTHING_PIXELS * min(1.0, spacing[0] / step) for step in spacing[::-1]]
    smooth = gaussian_filter(values, sigma, mode="nearest")
    threshold = _air_threshold(smooth, frame)
    if threshold is not None:
        tissue = _largest_part(~frame & (smooth > threshold))
        if np.mean(~tissue & ~frame) >= AIR_SHARE:
            return tissue
    return _largest_part(~frame) if frame.any() else np.ones(image.shape, dtype=bool)


def without_skin(tissue: np.ndarray, skin_rim_mm: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the tissue without the rim of that width along the air.

    ``tissue`` is indexed (row, column) or (slice, row, column); ``spacing`` is along x, y (and z), in
    mm. The image's border is not air: tissue that it cuts off stays.
    """
    if tissue.all() or not tissue.any():
        return tissue.copy()
    air = sitk.GetImageFromArray((~tissue).astype(np.uint8))
    air.SetSpacing(spacing)
    # Maurer et al., IEEE PAMI 2003;25:265-270: from centre to centre, half a pixel more than to the surface.
    distance = sitk.SignedMaurerDistanceMap(
        air, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    kept: np.ndarray = sitk.GetArrayViewFromImage(distance) > skin_rim_mm + min(spacing) / 2 + 1e-5
    return tissue & kept


def without_chest_wall(tissue: np.ndarray, chest_wall_mm: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the tissue without a strip of that width along the chest wall.

    ``tissue`` is indexed (row, column) or (slice, row, column); ``spacing`` is along x, y (and z), in
    mm. The chest wall is the side of the image (of its slices) that the tissue touches over the greatest
    length; from each line of pixels that touches it, the first ``chest_wall_mm`` of tissue are cut. When
    the tissue touches no side, or opposite sides alike, nothing is cut and the log says so.

    This is a rule for cranio-caudal mammograms. Neither the pectoral muscle of an oblique view nor the
    thorax of an MRI is segmented: give a mask of the breast where they matter.
    """
    sides = [(axis, end) for axis in (tissue.ndim - 1, tissue.ndim - 2) for end in (0, -1)]
    depths = {side: _depth_of_tissue(tissue, *side, spacing) for side in sides}
    lengths = {
        (axis, end): int((depths[axis, end] <= CONTACT_MM).sum()) * _other_step(axis, spacing)
        for axis, end in sides
    }
    axis, end = max(sides, key=lambda side: lengths[side])
    opposite = lengths[axis, -1 - end]
    if lengths[axis, end] == 0 or opposite >= AMBIGUOUS_SHARE * lengths[axis, end]:
        logger.warning(
            "no chest wall was cut: the tissue touches no side of the image, or opposite sides alike"
        )
        return tissue.copy()
    step = spacing[::-1][axis]
    beginning = np.expand_dims(depths[axis, end], axis)
    places = np.arange(tissue.shape[axis]) if end == 0 else np.arange(tissue.shape[axis])[::-1]
    shape = [1] * tissue.ndim
    shape[axis] = -1
    centre = (places.reshape(shape) + 0.5) * step
    strip = (beginning <= CONTACT_MM) & (centre <= beginning + chest_wall_mm + 1e-9)
    return tissue & ~strip


def _frame(values: np.ndarray) -> np.ndarray:
    """Mark the level dark squares that hang together with the image's border."""
    darkest = values.min()
    square = _square(values.ndim)
    level = darkest + FRAME_RANGE * (np.percentile(_sample(values), 99) - darkest)
    middles = maximum_filter(values, square, mode="nearest") <= level
    if not middles.any():
        return middles
    parts, _ = label(_grown(middles))
    border = [parts.take(end, axis) for axis in (-1, -2) for end in (0, -1)]
    touching = np.unique(np.concatenate([side.ravel() for side in border]))
    frame: np.ndarray = np.isin(parts, touching[touching > 0])
    return frame if frame.mean() >= FRAME_SHARE else np.zeros_like(frame)


def _air_threshold(smooth: np.ndarray, frame: np.ndarray) -> float | None:
    """Return the grey value between air and tissue, or None where the histogram has no deep valley."""
    values = _sample(smooth[~_grown(frame)]) if frame.any() else _sample(smooth)
    if not values.size:
        return None
    low, high = np.percentile(values, [0.1, 99])
    offset = DARKEST_SHARE * (high - low) - low
    if high == low:
        return None
    counts, edges = np.histogram(np.log(np.maximum(values, low) + offset), BINS)
    last_below = _otsu(counts)
    smoothed = gaussian_filter1d(counts.astype(float), 3.0, mode="nearest")
    lower = int(smoothed[: last_below + 1].argmax())
    upper = last_below + 1 + int(smoothed[last_below + 1 :].argmax())
    if smoothed[lower : upper + 1].min() > VALLEY_SHARE * min(smoothed[lower], smoothed[upper]):
        return None
    threshold = float(np.exp(edges[last_below + 1]) - offset)
    if frame.any() and not _is_air(values, threshold, float(smooth[frame].min())):
        return None
    return threshold


def _otsu(counts: np.ndarray) -> int:
    """Return the last bin of the lower class that maximises the variance between the two classes."""
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * np.arange(counts.size))
    above = counts.sum() - below
    apart = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return int((below * above * apart**2).argmax())


def _is_air(values: np.ndarray, threshold: float, black: float) -> bool:
    """Say whether what is darker than the threshold beside a black frame is air, not fatty tissue."""
    low, high = np.percentile(values, [0.1, 99])
    if low - black > PADDING_GAP * (high - low):
        return True
    dark, bright = np.median(values[values <= threshold]), np.median(values[values > threshold])
    return bool(dark - black < AIR_BRIGHTNESS * (bright - black))


def _largest_part(inside: np.ndarray) -> np.ndarray:
    """Return the largest connected part, cut off from what touches it narrowly, without holes."""
    disc = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool).reshape((1,) * (inside.ndim - 2) + (3, 3))
    core = binary_erosion(inside, disc, iterations=OPENING_PIXELS, border_value=True)
    parts, number = label(core)
    if number == 0:
        return inside
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    whole = binary_dilation(largest, disc, iterations=OPENING_PIXELS) & inside
    if whole.ndim == 2:
        filled: np.ndarray = binary_fill_holes(whole)
        return filled
    return np.stack([binary_fill_holes(one) for one in whole])


def _grown(inside: np.ndarray) -> np.ndarray:
    grown: np.ndarray = maximum_filter(inside, _square(inside.ndim), mode="nearest")
    return grown


def _square(dimensions: int) -> tuple[int, ...]:
    return (1,) * (dimensions - 2) + (FRAME_SQUARE, FRAME_SQUARE)


def _sample(values: np.ndarray) -> np.ndarray:
    return values.ravel()[:: max(1, values.size // SAMPLE)]


def _depth_of_tissue(tissue: np.ndarray, axis: int, end: int, spacing: tuple[float, ...]) -> np.ndarray:
    """Return on each line how far from the image's side tissue begins, in mm; infinite without tissue."""
    seen = tissue if end == 0 else np.flip(tissue, axis)
    first = seen.argmax(axis=axis) * spacing[::-1][axis]
    return np.where(seen.any(axis=axis), first, np.inf)


def _other_step(axis: int, spacing: tuple[float, ...]) -> float:
    steps = spacing[::-1]
    return float(np.prod([step for place, step in enumerate(steps) if place != axis]))
