"""What IBSI asks to be done to its CT phantom before features are computed, step by step.

Independent of the library on purpose: what is vetted are the features. Source: the IBSI reference manual
(Zwanenburg et al., Radiology 2020;295:328-338), section on image processing and its configurations C to E.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform

SPACING_MM = 2.0
LINEAR, CUBIC = 1, 3

# Every other slice of the new grid lies halfway between two old ones, where rounding would decide by chance.
DECIMALS = 9


@dataclass(frozen=True)
class Configuration:
    """How one configuration differs from the others.

    ``spline`` is the order of interpolation of grey values, ``range_hu`` what re-segmentation keeps,
    ``sigmas`` how many standard deviations from the mean an outlier is; ``binning`` are pyradiomics' words
    for the discretisation and ``first_bin_hu`` where IBSI's first grey level begins with a fixed bin size.
    """

    name: str
    spline: int
    range_hu: tuple[float, float] | None
    sigmas: float | None
    binning: dict[str, int]
    first_bin_hu: float | None


CONFIGURATIONS = (
    Configuration("C", LINEAR, (-1000, 400), None, {"binWidth": 25}, -1000),
    Configuration("D", LINEAR, None, 3, {"binCount": 32}, None),
    Configuration("E", CUBIC, (-1000, 400), 3, {"binCount": 32}, None),
)


@dataclass(frozen=True)
class Prepared:
    """Rounded HU on the new grid, (slice, row, column), and the two masks: for shape and for grey values."""

    values: np.ndarray
    outline: np.ndarray
    inside: np.ndarray


def prepare(
    values: np.ndarray, mask: np.ndarray, spacing: Sequence[float], configuration: Configuration
) -> Prepared:
    """Resample image and mask, round, and leave out what re-segmentation and outlier filtering do.

    ``spacing`` (x, y, z) in mm. The mask is interpolated trilinearly and kept from one half on.
    """
    rounded = np.rint(on_new_grid(values, spacing, configuration.spline)).astype(np.int16)
    outline = on_new_grid(mask.astype(float), spacing, LINEAR) >= 0.5
    return Prepared(rounded, outline, _kept(rounded, outline, configuration))


def on_new_grid(
    values: np.ndarray, spacing: Sequence[float], spline: int, wanted: Sequence[float] = (SPACING_MM,) * 3
) -> np.ndarray:
    """Interpolate on a grid of the ``wanted`` spacing with the image's centre and at least its extent."""
    size, old, new = np.array(values.shape), np.array(spacing[::-1]), np.array(wanted[::-1])
    count = np.ceil(np.round(size * old / new, 6)).astype(int)
    step = new / old
    start = (size - 1) / 2 - (count - 1) / 2 * step
    shape = tuple(int(n) for n in count)
    # The edge is continued as splines are usually fitted, or for lines by its own value.
    edge = "mirror" if spline > LINEAR else "nearest"
    found = affine_transform(values.astype(float), step, start, shape, order=spline, mode=edge)
    return np.round(found, DECIMALS)


def _kept(values: np.ndarray, outline: np.ndarray, configuration: Configuration) -> np.ndarray:
    inside = outline.copy()
    if configuration.range_hu:
        low, high = configuration.range_hu
        inside &= (values >= low) & (values <= high)
    if configuration.sigmas:
        # Of what the range left, as the manual has it.
        own = values[inside].astype(float)
        reach = configuration.sigmas * own.std()
        inside &= np.abs(values - own.mean()) <= reach
    return inside
