"""Regions of interest: the tumour, peritumoral rings and their unions, by signed distance.

Distances are those of the signed Maurer map (Maurer et al., IEEE PAMI 2003;25:265-270): from a
voxel's centre to the nearest voxel centre inside the tumour, in mm with the spacing honoured.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.cohort.sources import image_stem
from annulus.errors import StudyError
from annulus.imaging.reading import Image, on_grid_of, read_mask, write_mask

logger = logging.getLogger(__name__)

# The distance map is single precision: a voxel at exactly the width must not fall out by rounding.
TIE = 1.0 + 1e-6

ROI_COLUMNS = [
    "patient_id", "image_id", "roi", "kind", "inner_mm", "outer_mm", "achieved_mm", "voxels",
    "volume_mm3", "lost_fraction", "status", "reason", "timepoint", "image", "unit", "inner", "outer",
    "achieved", "mask_file", "mask_sha256",
]  # fmt: skip


@dataclass(frozen=True)
class Region:
    """A region to build; ``inner`` and ``outer`` are distances from the tumour's edge in ``unit``."""

    name: str
    kind: str
    inner: float = 0.0
    outer: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The regions of a study and when one counts as too small."""

    unit: str
    regions: tuple[Region, ...]
    minimum_voxels: int
    maximum_lost_fraction: float

    @classmethod
    def of(cls, regions: Mapping[str, Any]) -> "Plan":
        """Read the ``regions`` part of a study."""
        return cls(
            unit=regions.get("unit", "px"),
            regions=tuple(Region(name, **region) for name, region in regions["rois"].items()),
            minimum_voxels=regions["minimum_voxels"],
            maximum_lost_fraction=regions["maximum_lost_fraction"],
        )


@dataclass(frozen=True)
class Built:
    """A region that was built.

    ``lost_fraction`` is the share of the nominal ring that fell outside the tissue or the image;
    ``achieved`` is the width (in ``unit``, from the tumour's edge) at which an unclipped ring would
    have as many voxels as were kept. ``unit_length`` is one ``unit`` in the unit of the spacing.
    """

    region: Region
    mask: np.ndarray
    lost_fraction: float
    achieved: float | None
    unit_length: float


def build_rows(
    images: pd.DataFrame, masks: pd.DataFrame, plan: Plan, mask_folder: Path, folder: Path
) -> list[dict[str, object]]:
    """Build the regions of every image whose lesion mask passed quality control.

    ``images`` and ``masks`` are a chunk's rows of ``cohort/images.csv`` and ``qc/masks.csv``, whose
    masks lie in ``mask_folder``. Of several raters the first by name is used. Masks are written to
    ``folder``; returns the rows of ``rois/rois.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    usable = masks[masks["decision"] != "excluded"].sort_values("rater", kind="stable")
    known = images.drop_duplicates(_KEY).set_index(_KEY)["spacing_source"] != "unknown"
    rows: list[dict[str, object]] = []
    for key, group in usable.groupby(_KEY):
        lesion = group[group["mask_role"] != "breast"]
        tissue = group[group["mask_role"] == "breast"]
        if lesion.empty:
            continue
        logger.info("patient %s: image %s", key[0], key[2])
        rows += _build_image(
            lesion.iloc[0].to_dict(),
            read_mask(mask_folder / lesion.iloc[0]["mask_file"]),
            read_mask(mask_folder / tissue.iloc[0]["mask_file"]) if len(tissue) else None,
            bool(known.loc[key]),
            plan,
            folder,
        )
    return rows


_KEY = ["patient_id", "timepoint", "image_id"]


def _build_image(
    row: Mapping[str, str],
    tumour: Image,
    tissue: Image | None,
    spacing_known: bool,
    plan: Plan,
    folder: Path,
) -> Iterable[dict[str, object]]:
    inside = tumour.array.astype(bool)
    allowed = tissue.array.astype(bool) if tissue else None
    voxel = float(np.prod(tumour.spacing)) if spacing_known else None
    for built in build_regions(inside, allowed, tumour.spacing, spacing_known, plan):
        region, voxels = built.region, int(built.mask.sum())
        status, reason = status_of(built, plan)
        in_mm = spacing_known and plan.unit != "px" and region.kind != "tumour"
        mm = built.unit_length if in_mm else None
        yield {
            "patient_id": row["patient_id"],
            "image_id": row["image_id"],
            "timepoint": row["timepoint"],
            "image": row["image"],
            "roi": region.name,
            "kind": region.kind,
            "inner_mm": region.inner * mm if mm else None,
            "outer_mm": region.outer * mm if mm else None,
            "achieved_mm": built.achieved * mm if mm and built.achieved is not None else None,
            "voxels": voxels,
            "volume_mm3": voxels * voxel if voxel else None,
            "lost_fraction": built.lost_fraction,
            "status": status,
            "reason": reason,
            "unit": plan.unit,
            "inner": region.inner,
            "outer": region.outer,
            "achieved": built.achieved,
            **_saved(built.mask, tumour, folder, f"{image_stem(row, region.name)}.nrrd"),
        }


def _saved(mask: np.ndarray, image: Image, folder: Path, file: str) -> dict[str, str]:
    write_mask(folder / file, on_grid_of(mask, image))
    return {
        "mask_file": file,
        "mask_sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
    }


def signed_distance(tumour: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Signed distance from the tumour's edge: positive outside, zero or negative inside.

    ``tumour`` is indexed (row, column) or (slice, row, column); ``spacing`` is along x, y (and z).
    The unit of the result is that of ``spacing``.
    """
    image = sitk.GetImageFromArray(tumour.astype(np.uint8))
    image.SetSpacing(spacing)
    distance = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.GetArrayFromImage(distance).astype(np.float64)


def equivalent_diameter(tumour: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Diameter of the circle with the tumour's area, or of the ball with its volume."""
    size = float(tumour.sum()) * float(np.prod(spacing))
    if tumour.ndim == 2:
        return 2.0 * float(np.sqrt(size / np.pi))
    return 2.0 * float(np.cbrt(3.0 * size / (4.0 * np.pi)))


def build_regions(
    tumour: np.ndarray,
    tissue: np.ndarray | None,
    spacing: tuple[float, ...],
    spacing_known: bool,
    plan: Plan,
) -> list[Built]:
    """Build every region of ``plan`` around one tumour.

    Rings are ``inner < d <= outer`` (unions ``d <= outer``), clipped to ``tissue`` or else to the
    image, and never hold a tumour voxel. ``spacing`` is along x, y (and z). Raises StudyError when
    a width in mm is asked for and the pixel size is not known.
    """
    around = [region for region in plan.regions if region.kind != "tumour"]
    widest = max((region.outer for region in around), default=0.0)
    if around and plan.unit == "mm" and not spacing_known:
        raise StudyError(
            "the pixel size is unknown, so a ring in mm cannot be built. Give pixel_spacing_x_mm and "
            "pixel_spacing_y_mm in the image manifest, or set regions.unit to px or fraction"
        )
    scale, step = _scale(tumour, spacing, plan.unit)
    padded, pad = _padded(tumour, step, widest * scale)
    distance = signed_distance(padded, step) if around else None
    allowed = _pad_to(tissue if tissue is not None else np.ones_like(tumour), pad)
    return [_build(region, padded, distance, allowed, pad, scale, tumour.shape) for region in plan.regions]


def status_of(built: Built, plan: Plan) -> tuple[str, str]:
    """Return a region's status (``ok``, ``empty`` or ``too_small``) and the reason or a warning."""
    voxels = int(built.mask.sum())
    if voxels == 0:
        return "empty", "no voxel of the region lies in the tissue"
    if voxels < plan.minimum_voxels:
        return "too_small", f"{voxels} voxels, {plan.minimum_voxels} needed"
    if built.lost_fraction > plan.maximum_lost_fraction:
        return "ok", f"{built.lost_fraction:.0%} of the ring lies outside the tissue"
    return "ok", ""


def _scale(tumour: np.ndarray, spacing: tuple[float, ...], unit: str) -> tuple[float, tuple[float, ...]]:
    """Return the length of one ``unit`` in distance units, and the spacing that distances use."""
    if unit == "px":
        return 1.0, (1.0,) * tumour.ndim
    if unit == "fraction":
        return equivalent_diameter(tumour, spacing), spacing
    return 1.0, spacing


def _padded(
    tumour: np.ndarray, step: tuple[float, ...], reach: float
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Cut out the tumour with room for the widest ring, beyond the image's edge if need be.

    A negative pad cuts; only what a ring can reach is computed, and what lies beyond the edge
    counts as lost.
    """
    where = np.argwhere(tumour)
    margins = [int(np.ceil(reach / size)) + 1 for size in step[::-1]]
    pad = [
        (margin - int(low), margin - (length - 1 - int(high)))
        for margin, low, high, length in zip(
            margins, where.min(axis=0), where.max(axis=0), tumour.shape, strict=True
        )
    ]
    return _pad_to(tumour, pad), pad


def _pad_to(values: np.ndarray, pad: list[tuple[int, int]]) -> np.ndarray:
    cut = tuple(
        slice(max(0, -before), length - max(0, -after))
        for (before, after), length in zip(pad, values.shape, strict=True)
    )
    grown = [(max(0, before), max(0, after)) for before, after in pad]
    return np.pad(values[cut].astype(bool), grown)


def _build(
    region: Region,
    tumour: np.ndarray,
    distance: np.ndarray | None,
    allowed: np.ndarray,
    pad: list[tuple[int, int]],
    scale: float,
    shape: tuple[int, ...],
) -> Built:
    if region.kind == "tumour" or distance is None:
        return Built(region, _pad_to(tumour, _undo(pad)), 0.0, None, scale)
    inner = 0.0 if region.kind == "union" else region.inner
    ring = ~tumour & (distance > inner * scale * TIE) & (distance <= region.outer * scale * TIE)
    kept = ring & allowed
    nominal = int(ring.sum())
    lost = 1.0 - kept.sum() / nominal if nominal else 0.0
    mask = kept | tumour if region.kind == "union" else kept
    whole = _pad_to(mask, _undo(pad))
    if whole.shape != shape:
        raise AssertionError(f"a region of shape {whole.shape} was built in an image of {shape}")
    achieved = _achieved(distance[ring], int(kept.sum())) / scale if nominal else 0.0
    return Built(region, whole, float(lost), achieved, scale)


def _undo(pad: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(-before, -after) for before, after in pad]


def _achieved(distances: np.ndarray, kept: int) -> float:
    return float(np.sort(distances)[kept - 1]) if kept else 0.0
