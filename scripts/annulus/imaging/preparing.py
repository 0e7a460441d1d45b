"""How grey values are prepared before features: normalised, and cut into grey levels.

Quality control foresees with it what extraction then does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_fill_holes

# A mean and standard deviation of fewer voxels say little.
LEAST_REFERENCE_VOXELS = 100

# Gaussian tails beyond this many sigma do not matter.
REACH_SIGMAS = 4.0


class CannotPrepareError(Exception):
    """An image that cannot be normalised; the message says why."""


@dataclass(frozen=True)
class Preparation:
    """What an imaging settings file says about grey values, pixel size and the reach of filters.

    ``spacing_mm`` is the pixel size after resampling along x, y (and z), empty for none;
    ``widest_sigma_mm`` that of the widest Laplacian of Gaussian, 0 without one.
    """

    normalise_within: str = "none"
    scale: float = 1.0
    outlier_limit: float | None = None
    bin_width: float | None = None
    spacing_mm: tuple[float, ...] = ()
    widest_sigma_mm: float = 0.0

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Preparation":
        """Read the content of an imaging settings file."""
        setting = content["setting"]
        log = content["imageType"].get("LoG") or {}
        binned = setting.get("binCount") is None
        within = content.get("normalise_within", "none")
        return cls(
            normalise_within="image" if setting.get("normalize") else within,
            scale=setting.get("normalizeScale", 1.0),
            outlier_limit=setting.get("removeOutliers"),
            bin_width=setting.get("binWidth", 25.0) if binned else None,
            spacing_mm=tuple(setting.get("resampledPixelSpacing") or ()),
            widest_sigma_mm=max(log.get("sigma", [0.0])),
        )

    @property
    def reach_mm(self) -> float:
        """Distance in mm at which the widest filter still sees a grey value."""
        return REACH_SIGMAS * self.widest_sigma_mm


def reference_tissue(tissue: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Mark the tissue outside every region and outside what the regions enclose.

    Were the lesion part of its own scale, every region, however far away, would carry its signal.
    """
    return tissue & ~binary_fill_holes(regions)


def grey_scale(
    images: Iterable[np.ndarray], reference: np.ndarray | None, preparation: Preparation
) -> tuple[float, float] | None:
    """Return the mean and standard deviation that an image is normalised by; None where it is not.

    ``images`` are the image and others that share its scale (phases of one examination); ``reference``
    marks the tissue that is the scale when normalising within it. Raises CannotPrepareError when there is
    none, or it is too small or constant.
    """
    if preparation.normalise_within == "none":
        return None
    moments = Moments()
    for values in images:
        if preparation.normalise_within == "tissue":
            if reference is None:
                raise CannotPrepareError("there is no usable breast mask to normalise within")
            if reference.shape != values.shape:
                raise CannotPrepareError(
                    "the images that share a grey scale differ in size from the breast mask"
                )
            slices = zip(_slices(values), _slices(reference), strict=True)
            moments = _added(moments, (part[inside] for part, inside in slices))
        else:
            moments = _added(moments, _slices(values))
    if moments.count < LEAST_REFERENCE_VOXELS or not moments.squares > 0:
        raise CannotPrepareError("the tissue outside the regions is too small or constant to normalise by")
    return moments.mean, float(np.sqrt(moments.squares / (moments.count - 1)))


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of grey values."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0


def _slices(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *values.shape[-2:])


def _added(moments: Moments, slices: Iterable[np.ndarray]) -> Moments:
    """Add an image slice by slice (Chan, Golub & LeVeque 1983), never all of it in floating point."""
    for values in slices:
        own = values.ravel().astype(np.float64)
        if not own.size:
            continue
        count, mean = moments.count + own.size, float(own.mean())
        step = mean - moments.mean
        squares = float(((own - mean) ** 2).sum()) + step**2 * moments.count * own.size / count
        moments = Moments(count, moments.mean + step * own.size / count, moments.squares + squares)
    return moments


def normalised(values: np.ndarray, scale: tuple[float, float] | None, preparation: Preparation) -> np.ndarray:
    """Return z-scores times the settings' scale, outliers cut; grey values as they are without a scale."""
    if scale is None:
        return values
    scores = (values.astype(np.float64) - scale[0]) / scale[1]
    if preparation.outlier_limit:
        scores = scores.clip(-preparation.outlier_limit, preparation.outlier_limit)
    return scores * preparation.scale


def predicted_grey_levels(inside: np.ndarray, preparation: Preparation) -> float | None:
    """Return how many grey levels a region's normalised values fall into; None for a fixed count."""
    if preparation.bin_width is None:
        return None
    low, high = float(inside.min()), float(inside.max())
    width = preparation.bin_width
    return float(np.floor(high / width) - np.floor(low / width) + 1)
