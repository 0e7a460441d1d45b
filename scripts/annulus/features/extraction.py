"""Features of many regions of one image: read, normalised, resampled and filtered once.

The unit of work is an image, not a mask. Filters see the whole image (a 3-D image is first cut to
the regions with room for every filter's reach), so that a filtered grey value does not depend on
which region asks for it. Feature classes are pyradiomics' own, unchanged.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from radiomics import getFeatureClasses, imageoperations

from annulus.features.settings import SHAPED, Settings
from annulus.imaging.preparing import (
    REACH_SIGMAS,
    CannotPrepareError,
    grey_scale,
    normalised,
    reference_tissue,
)
from annulus.imaging.reading import Image, read_again, read_written

logger = logging.getLogger(__name__)

# Coiflet-1 bands reach 3 voxels.
LEAST_REACH_VOXELS = 10

FAILURE_COLUMNS = ["patient_id", "image_id", "roi", "reason", "timepoint", "image", "feature"]


class CannotExtract(Exception):
    """An image or region without features; the message says why."""


@dataclass(frozen=True)
class RegionMask:
    """One region to extract: its name, kind and mask on the image's grid."""

    name: str
    kind: str
    mask: sitk.Image


def extract_rows(
    images: pd.DataFrame,
    rois: pd.DataFrame,
    masks: pd.DataFrame,
    settings: Mapping[str, Settings],
    roi_folders: Sequence[Path],
    mask_folder: Path,
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Extract a chunk: one row per image, one column per region and feature.

    ``images``, ``rois`` and ``masks`` are the chunk's rows of the tables of those names;
    ``settings`` is by the study's image name, ``roi_folders`` hold the region masks. Every
    row has the same columns
    ``<roi>_<filter>_<class>_<feature>``; what could not be computed is missing, and an image with
    nothing at all has no row. Returns the rows, keyed by patient, timepoint, image and image id, and
    the failures.
    """
    rows: list[dict[str, object]] = []
    failures: list[dict[str, str]] = []
    facts = images.drop_duplicates([*_KEY]).set_index([*_KEY])
    for key, regions in rois.groupby([*_KEY]):
        logger.info("patient %s: image %s", key[0], key[2])
        fact = facts.loc[[key]].iloc[0].fillna("").astype(str).to_dict()
        where = dict(zip(_KEY, map(str, key), strict=True)) | {"image": fact["image"]}
        usable = regions[regions["status"] == "ok"]
        failures += [
            {**where, "roi": region.roi, "reason": f"{region.status}: {region.reason}"}
            for region in regions[regions["status"] != "ok"].itertuples()
        ]
        try:
            image = read_again(fact)
            values, reasons = extract_image(
                image, _masks(usable, roi_folders), _tissue(masks, where, mask_folder),
                settings[fact["image"]],
            )  # fmt: skip
        except CannotExtract as error:
            failures += [{**where, "roi": roi, "reason": str(error)} for roi in usable["roi"]]
            continue
        failures += [{**where, **reason} for reason in reasons]
        if not np.isfinite(list(values.values())).any():
            continue
        columns = {
            "_".join((region.roi, *parts)): np.nan
            for region in regions.itertuples()
            for parts in settings[fact["image"]].columns(len(image.spacing), region.kind)
        }
        rows.append({**where, **columns, **values})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*_KEY, "image"]), failures


_KEY = ("patient_id", "timepoint", "image_id")


def _masks(regions: pd.DataFrame, folders: Sequence[Path]) -> list[RegionMask]:
    return [
        RegionMask(region.roi, region.kind, read_written(_found(region.mask_file, folders)).pixels)
        for region in regions.itertuples()
    ]


def _found(file: str, folders: Sequence[Path]) -> Path:
    return next(folder / file for folder in folders if (folder / file).is_file())


def _tissue(masks: pd.DataFrame, where: Mapping[str, str], folder: Path) -> sitk.Image | None:
    same = (masks[[*_KEY]] == pd.Series({key: where[key] for key in _KEY})).all(axis=1)
    usable = (masks["mask_role"] == "breast") & (masks["decision"] != "excluded")
    found = masks[same & usable]
    return read_written(folder / found.iloc[0]["mask_file"]).pixels if len(found) else None


def extract_image(
    image: Image,
    regions: Iterable[RegionMask],
    tissue: sitk.Image | None,
    settings: Settings,
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Extract every feature of every region of one image.

    Returns values by ``<roi>_<filter>_<class>_<feature>`` (in the settings' own order, the same for
    every image) and, for values that do not exist, rows with ``roi``, ``feature`` and ``reason``.
    Raises CannotExtract, saying why, when the whole image is of no use.
    """
    wanted = list(regions)
    if not wanted:
        return {}, []
    pixels = prepared(image, _reference(tissue, wanted), settings)
    masks = {region.name: _on(pixels, region.mask) for region in wanted}
    pixels, masks = _cut(pixels, masks, settings)
    values: dict[str, float] = {}
    for region in wanted:
        values |= _shape(region, pixels, masks[region.name], settings)
    for name, filtered, arguments in filtered_images(pixels, settings):
        for region in wanted:
            values |= _textures(region.name, name, filtered, masks[region.name], arguments, settings)
    return _complete(values, wanted, image.pixels.GetDimension(), settings)


def prepared(image: Image, reference: np.ndarray | None, settings: Settings) -> sitk.Image:
    """Normalise, then resample an image, as its settings say.

    ``reference`` marks the tissue whose mean and standard deviation are the scale.
    """
    pixels = _normalised(image.pixels, reference, settings)
    spacing = settings.setting.get("resampledPixelSpacing")
    if not spacing:
        return pixels
    if image.spacing_source == "unknown":
        raise CannotExtract("the pixel size is unknown, so the image cannot be resampled")
    return _resampled(pixels, tuple(spacing))


def filtered_images(pixels: sitk.Image, settings: Settings) -> list[tuple[str, sitk.Image, dict[str, Any]]]:
    """Apply every filter of the settings once.

    Returns pyradiomics' name of each filtered image, the image, and the settings for its features.
    Raises CannotExtract when a filter yields fewer images than it must, which pyradiomics itself
    passes over in silence.
    """
    found = []
    for kind, arguments in settings.image_types.items():
        merged = {**settings.setting, **arguments}
        generate = getattr(imageoperations, f"get{kind}Image")
        found += [(name, filtered, dict(rest)) for filtered, name, rest in generate(pixels, None, **merged)]
    missing = set(settings.filters(pixels.GetDimension())) - {name for name, _, _ in found}
    if missing:
        raise CannotExtract(
            f"the filter {', '.join(sorted(missing))} yields no image of size {pixels.GetSize()}"
        )
    return found


def _reference(tissue: sitk.Image | None, regions: list[RegionMask]) -> np.ndarray | None:
    if tissue is None:
        return None
    inside = np.zeros(tissue.GetSize()[::-1], dtype=bool)
    for region in regions:
        inside |= sitk.GetArrayViewFromImage(region.mask) > 0
    return reference_tissue(sitk.GetArrayViewFromImage(tissue) > 0, inside)


def _normalised(pixels: sitk.Image, reference: np.ndarray | None, settings: Settings) -> sitk.Image:
    values = sitk.GetArrayFromImage(pixels)
    try:
        scale = grey_scale(values, reference, settings.preparation)
    except CannotPrepareError as error:
        raise CannotExtract(str(error)) from None
    if scale is None:
        return pixels
    scores = sitk.GetImageFromArray(normalised(values, scale, settings.preparation))
    scores.CopyInformation(pixels)
    return scores


def _resampled(pixels: sitk.Image, spacing: tuple[float, ...]) -> sitk.Image:
    """Resample by B-spline onto a grid with the same centre, as IBSI asks for."""
    old_size, old_spacing = np.array(pixels.GetSize()), np.array(pixels.GetSpacing())
    wanted = np.array(spacing[: len(old_size)])
    if len(wanted) != len(old_size):
        raise CannotExtract(
            f"resampledPixelSpacing has {len(wanted)} values, the image {len(old_size)} dimensions"
        )
    # Rounded first: 0.3 / 0.1 is 2.9999999999999996, and must not cost or add a pixel.
    size = np.ceil(np.round(old_size * old_spacing / wanted, 6)).astype(int)
    shift = ((old_size - 1) * old_spacing - (size - 1) * wanted) / 2
    direction = np.array(pixels.GetDirection()).reshape(len(size), len(size))
    origin = np.array(pixels.GetOrigin()) + direction @ shift
    return sitk.Resample(
        pixels,
        [int(n) for n in size],
        sitk.Transform(),
        sitk.sitkBSpline,
        origin.tolist(),
        wanted.tolist(),
        pixels.GetDirection(),
        0.0,
        sitk.sitkFloat64,
    )


def _on(pixels: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """Put a mask on the grid of the prepared image, as the UInt32 labels that pyradiomics expects."""
    labels = sitk.Cast(mask, sitk.sitkUInt32)
    if mask.GetSize() == pixels.GetSize() and np.allclose(mask.GetSpacing(), pixels.GetSpacing()):
        labels.CopyInformation(pixels)
        return labels
    return sitk.Resample(labels, pixels, sitk.Transform(), sitk.sitkNearestNeighbor, 0)


def _cut(
    pixels: sitk.Image, masks: dict[str, sitk.Image], settings: Settings
) -> tuple[sitk.Image, dict[str, sitk.Image]]:
    """Cut a volume to all of its regions with room for every filter; a 2-D image stays whole."""
    if pixels.GetDimension() == 2:
        return pixels, masks
    inside = np.zeros(pixels.GetSize()[::-1], dtype=bool)
    for mask in masks.values():
        inside |= sitk.GetArrayViewFromImage(mask) > 0
    if not inside.any():
        raise CannotExtract("no voxel of any region is left after resampling")
    where = np.argwhere(inside)[:, ::-1]
    widest = max(settings.image_types.get("LoG", {}).get("sigma", [0.0]))
    reach = np.ceil(REACH_SIGMAS * widest / np.array(pixels.GetSpacing())).astype(int)
    reach = np.maximum(reach, LEAST_REACH_VOXELS)
    low = np.maximum(where.min(axis=0) - reach, 0)
    high = np.minimum(where.max(axis=0) + reach + 1, pixels.GetSize())
    cut = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return pixels[cut], {name: mask[cut] for name, mask in masks.items()}


def _cropped(pixels: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image | None, sitk.Image | None]:
    where = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)
    if not len(where):
        return None, None
    cut = tuple(
        slice(int(a), int(b) + 1)
        for a, b in zip(where.min(axis=0)[::-1], where.max(axis=0)[::-1], strict=True)
    )
    return pixels[cut], mask[cut]


def _shape(region: RegionMask, pixels: sitk.Image, mask: sitk.Image, settings: Settings) -> dict[str, float]:
    wanted = settings.shape_features(pixels.GetDimension())
    if region.kind not in SHAPED or wanted is None:
        return {}
    image, labels = _cropped(pixels, mask)
    if image is None:
        return {}
    return _computed(f"{region.name}_original", wanted[0], wanted[1], image, labels, settings.setting)


def _textures(
    roi: str,
    name: str,
    filtered: sitk.Image,
    mask: sitk.Image,
    arguments: Mapping[str, Any],
    settings: Settings,
) -> dict[str, float]:
    image, labels = _cropped(filtered, mask)
    if image is None:
        return {}
    values: dict[str, float] = {}
    for class_name, features in settings.texture_features().items():
        values |= _computed(f"{roi}_{name}", class_name, features, image, labels, arguments)
    return values


def _computed(
    prefix: str,
    class_name: str,
    features: list[str],
    image: sitk.Image,
    labels: sitk.Image | None,
    arguments: Mapping[str, Any],
) -> dict[str, float]:
    try:
        extractor = getFeatureClasses()[class_name](image, labels, **arguments)
        for feature in features:
            extractor.enableFeatureByName(feature)
        found = extractor.execute()
    except (RuntimeError, ValueError, IndexError) as error:
        # What pyradiomics raises for a region too small for a matrix; its values are then missing.
        logger.warning("%s %s: %s", prefix, class_name, error)
        return {}
    return {f"{prefix}_{class_name}_{feature}": float(value) for feature, value in found.items()}


def _complete(
    values: Mapping[str, float], regions: list[RegionMask], dimension: int, settings: Settings
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Put values in the settings' order; what is not a finite number becomes missing, with a reason."""
    whole: dict[str, float] = {}
    failures = []
    for region in regions:
        for parts in settings.columns(dimension, region.kind):
            column = "_".join((region.name, *parts))
            value = values.get(column, np.nan)
            whole[column] = value if np.isfinite(value) else np.nan
            if not np.isfinite(value):
                reason = "not finite" if column in values else "not computed"
                failures.append({"roi": region.name, "feature": column, "reason": reason})
    unexpected = set(values) - set(whole)
    if unexpected:
        raise AssertionError(f"pyradiomics yielded columns that were not foreseen: {unexpected}")
    return whole, failures
