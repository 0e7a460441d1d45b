"""Features of many regions of one image: read, normalised, resampled and filtered once.

The unit of work is an image, not a mask. What is prepared, and how, is in ``grids``; filters in
``filters``; feature classes, which are pyradiomics' own, in ``textures``.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

import numpy as np
import SimpleITK as sitk

from annulus.features.filters import Filtered, filtered_images
from annulus.features.grids import Placed, Stage, stages
from annulus.features.regions import RegionMask
from annulus.features.settings import SHAPED, Settings
from annulus.features.textures import Crop, FeatureError, shape_features, texture_features
from annulus.imaging.reading import Image

Values = dict[str, float]
Reasons = dict[str, str]


def extract_image(
    image: Image,
    regions: Iterable[RegionMask],
    tissue: sitk.Image | None,
    settings: Settings,
    phases: Iterable[Image] = (),
    beside: Sequence[RegionMask] = (),
) -> tuple[Values, list[dict[str, str]]]:
    """Extract every feature of every region of one image.

    ``tissue`` is the breast mask to normalise within, ``phases`` other images on the same grey scale,
    ``beside`` regions that are no part of that tissue though they are not extracted. Returns values by
    ``<roi>_<filter>_<class>_<feature>`` (in the settings' own order, the same for every image) and, for
    values that do not exist, rows with ``roi``, ``feature`` and ``reason``; ``feature`` is empty where the
    whole region has none. Raises CannotExtract, saying why, when the whole image is of no use.
    """
    wanted = list(regions)
    values: Values = {}
    reasons: Reasons = {}
    prepared, lost = stages(image, wanted, tissue, settings, phases, beside) if wanted else ([], {})
    for stage in prepared:
        for placed in stage.placed:
            _add_shape(values, reasons, stage, placed, settings)
        # One by one, so that few are kept at a time.
        for filtered in filtered_images(stage.view, settings):
            for placed in stage.placed:
                _add_textures(values, reasons, stage, filtered, placed.texture, settings)
    return _complete(values, reasons, lost, wanted, image.pixels.GetDimension(), settings)


def _add_shape(values: Values, reasons: Reasons, stage: Stage, placed: Placed, settings: Settings) -> None:
    region = placed.outline
    if region.kind not in SHAPED:
        return
    mask = sitk.GetImageFromArray(region.part.astype(np.uint32))
    mask.SetSpacing(stage.pixels.GetSpacing())
    for name, features in settings.shape_features(stage.pixels.GetDimension()).items():
        prefix = f"{region.name}_original_{name}"
        try:
            found = shape_features(name, mask, features, settings.setting)
        except FeatureError as error:
            reasons[prefix] = str(error)
        else:
            values |= {f"{prefix}_{feature}": value for feature, value in found.items()}


def _add_textures(
    values: Values, reasons: Reasons, stage: Stage, filtered: Filtered, region: RegionMask, settings: Settings
) -> None:
    wanted = settings.texture_features()
    if isinstance(filtered.values, str):
        reasons |= {f"{region.name}_{filtered.name}_{name}": filtered.values for name in wanted}
        return
    inside = filtered.values[region.window.within(stage.view.window).slices]
    crop = Crop(inside, region.part, stage.pixels.GetSpacing(), filtered.setting)
    for name, found in texture_features(crop, wanted, quick=settings.mode == "shared"):
        prefix = f"{region.name}_{filtered.name}_{name}"
        if isinstance(found, FeatureError):
            reasons[prefix] = str(found)
        else:
            values |= {f"{prefix}_{feature}": value for feature, value in found.items()}


def _complete(
    values: Mapping[str, float],
    reasons: Mapping[str, str],
    lost: Mapping[str, str],
    regions: list[RegionMask],
    dimension: int,
    settings: Settings,
) -> tuple[Values, list[dict[str, str]]]:
    """Put values in the settings' order; what is not a finite number becomes missing, with a reason."""
    whole: Values = {}
    failures = [{"roi": roi, "feature": "", "reason": reason} for roi, reason in lost.items()]
    for region in regions:
        for name in settings.column_names(dimension, region.kind):
            column = f"{region.name}_{name}"
            value = values.get(column, np.nan)
            whole[column] = value if isfinite(value) else np.nan
            if isfinite(value) or region.name in lost:
                continue
            reason = reasons.get(column.rpartition("_")[0], "not a finite number")
            failures.append({"roi": region.name, "feature": column, "reason": reason})
    unexpected = set(values) - set(whole)
    if unexpected:
        raise AssertionError(f"pyradiomics yielded columns that were not foreseen: {sorted(unexpected)[:5]}")
    return whole, failures
