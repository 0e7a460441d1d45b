"""Regions of interest: the lesion, peritumoral rings and their unions, by signed distance.

Distances are measured from the lesion's sub-voxel surface, in mm with the spacing honoured; see
``distance.py``.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from annulus.cohort.chunks import image_stem
from annulus.errors import StudyError
from annulus.imaging.boxes import spans
from annulus.imaging.distance import signed_distance
from annulus.imaging.qc import IMAGE_KEY, TISSUE_ROLE, chosen_outlines
from annulus.imaging.reading import Image, read_again, read_written, write_part
from annulus.imaging.tissue import find_tissue, without_chest_wall, without_skin
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

# Distances are computed in floating point: a voxel at exactly the width must not fall out by rounding.
TIE = 1.0 + 1e-6

ROI_COLUMNS = [
    "patient_id", "image_id", "roi", "kind", "inner_mm", "outer_mm", "achieved_mm", "voxels",
    "volume_mm3", "lost_fraction", "status", "reason", "timepoint", "image", "unit", "inner", "outer",
    "achieved", "lesion", "fraction", "present", "mask_file", "mask_sha256",
]  # fmt: skip

LESION_KINDS = ("tumour", "node")


@dataclass(frozen=True)
class Region:
    """A region to build; ``inner`` and ``outer`` are distances from the edge of ``of`` in ``unit``."""

    name: str
    kind: str
    inner: float = 0.0
    outer: float = 0.0
    of: str = "tumour"


@dataclass(frozen=True)
class Plan:
    """The regions of a study, what they are cut to, and when one counts as too small.

    ``lesions`` says by image name whether its regions are built around a tumour or a node; an image that
    is not in it has none. None means a tumour in all of them.
    """

    unit: str
    regions: tuple[Region, ...]
    minimum_voxels: int
    maximum_lost_fraction: float
    tissue: str = "mask"
    skin_rim_mm: float = 0.0
    chest_wall_mm: float = 0.0
    lesions: Mapping[str, str] | None = None

    @classmethod
    def of(cls, regions: Mapping[str, Any], lesions: Mapping[str, str] | None = None) -> "Plan":
        """Read the ``regions`` part of a study."""
        return cls(
            unit=regions.get("unit", "px"),
            regions=tuple(Region(name, **region) for name, region in regions["rois"].items()),
            minimum_voxels=regions["minimum_voxels"],
            maximum_lost_fraction=regions["maximum_lost_fraction"],
            tissue=regions.get("tissue", "mask"),
            skin_rim_mm=regions.get("skin_rim_mm", 0.0),
            chest_wall_mm=regions.get("chest_wall_mm", 0.0),
            lesions=lesions,
        )

    def around(self, of: str) -> "Plan":
        """Return the plan of the regions that are built from one kind of mask."""
        return replace(self, regions=tuple(region for region in self.regions if region.of == of))

    def bases(self, image: str) -> list[str]:
        """Return the kinds of masks that regions of an image are built from, in order."""
        lesion = self.lesion(image)
        return list(dict.fromkeys(r.of for r in self.regions if r.of.split("_")[0] == lesion))

    def lesion(self, image: str) -> str:
        """Return what an image's regions are built around, tumour or node; empty for an image without any."""
        return "tumour" if self.lesions is None else self.lesions.get(image, "")


@dataclass(frozen=True)
class Built:
    """A region that was built.

    ``part`` is its mask in the neighbourhood of the lesion, which begins at ``corner`` of the image and
    may reach beyond it; nothing is set there. ``lost_fraction`` is the share of the nominal ring that
    fell outside the tissue or the image, None where the tissue is not known; ``achieved`` is the width
    (in ``unit``, from the lesion's edge) at which an unclipped ring would have as many voxels as were
    kept. ``unit_length`` is one ``unit`` in the unit of the spacing.
    """

    region: Region
    part: np.ndarray
    corner: tuple[int, ...]
    shape: tuple[int, ...]
    lost_fraction: float | None
    achieved: float | None
    unit_length: float

    @property
    def mask(self) -> np.ndarray:
        """The mask in an image of its own shape."""
        ends = zip(self.corner, self.part.shape, self.shape, strict=True)
        undo = [(start, total - start - length) for start, length, total in ends]
        return _pad_to(self.part, undo)

    @property
    def voxels(self) -> int:
        """Number of voxels that are set."""
        return int(np.count_nonzero(self.part))

    def emptied(self) -> "Built":
        """Return the region without a voxel, where nothing can be said of it."""
        return replace(self, part=np.zeros_like(self.part), lost_fraction=None, achieved=None)


@dataclass(frozen=True)
class Outlines:
    """The usable masks of one image: of each role that of the first rater, and other lesions'.

    ``lesion`` names the largest lesion, which the study is about; ``others`` marks the rest of them.
    """

    image: Image
    masks: Mapping[str, np.ndarray]
    lesion: str
    others: np.ndarray | None

    @classmethod
    def read(cls, rows: pd.DataFrame, folder: Path, lesion: str = "tumour") -> "Outlines | None":
        """Read an image's rows of ``qc/masks.csv``; None where no lesion is usable.

        ``lesion`` says whether the image is about a tumour or a node.
        """
        first = chosen_outlines(rows, lesion)
        if first.empty:
            return None
        index = first.iloc[0]
        own = first[first["lesion"] == index["lesion"]]
        read = {row.mask_role: read_written(folder / row.mask_file) for row in own.itertuples()}
        masks = {role: mask.array > 0 for role, mask in read.items()}
        if "node" in masks and "node_hilum" in masks:
            masks.setdefault("node_cortex", masks["node"] & ~masks["node_hilum"])
        breast = rows[rows["mask_role"] == TISSUE_ROLE].sort_values("rater")
        if len(breast):
            masks[TISSUE_ROLE] = read_written(folder / breast.iloc[0]["mask_file"]).array > 0
        rest = first[(first["lesion"] != index["lesion"]) & (first["mask_role"] == index["mask_role"])]
        others = [read_written(folder / file).array > 0 for file in rest["mask_file"]]
        image = read[index["mask_role"]]
        return cls(image, masks, str(index["lesion"]), np.any(others, axis=0) if others else None)


def build_rows(
    images: pd.DataFrame, masks: pd.DataFrame, plan: Plan, mask_folder: Path, folder: Path
) -> list[dict[str, object]]:
    """Build the regions of every image whose lesion mask passed quality control.

    ``images`` and ``masks`` are a chunk's rows of ``cohort/images.csv`` and ``qc/masks.csv``, whose
    masks lie in ``mask_folder``. Of several raters the first by name is used, of several lesions the
    largest; rings keep away from the others. Where rings may lie is not known when quality control
    excluded the image's breast mask or the image cannot be read any more: they are empty, and say why.
    Masks are written to ``folder``; returns the rows of ``rois/rois.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    usable = masks[(masks["decision"] != "excluded") & masks["mask_file"].notna()]
    facts = images.drop_duplicates(_KEY).set_index(_KEY)
    rows: list[dict[str, object]] = []
    for key, group in usable.groupby(_KEY):
        fact = facts.loc[[key]].iloc[0].fillna("").astype(str).to_dict()
        outlines = Outlines.read(group, mask_folder, plan.lesion(fact["image"]))
        if outlines is None:
            continue
        logger.info("patient %s: image %s", key[0], key[2])
        where = dict(zip(_KEY, map(str, key), strict=True)) | {"image": fact["image"]}
        tissue = _tissue_of(outlines, excluded_breast(masks, key), fact, plan)
        for of in plan.bases(fact["image"]):
            if of in outlines.masks:
                rows += _build_from(outlines, of, tissue, where, fact, plan, folder)
    return rows


_KEY = list(IMAGE_KEY)


@dataclass(frozen=True)
class _Tissue:
    """Where an image's rings may lie, None for everywhere.

    ``unknown`` says why that is not known, ``remark`` what is to be known of it.
    """

    allowed: np.ndarray | None
    unknown: str = ""
    remark: str = ""


def _tissue_of(outlines: Outlines, excluded: str, fact: Mapping[str, str], plan: Plan) -> _Tissue:
    breast = outlines.masks.get(TISSUE_ROLE)
    excluded = excluded if breast is None else ""
    if excluded and plan.tissue != "found":
        return _Tissue(None, f"{excluded}, so where the region may lie is not known")
    found = plan.tissue == "found" or plan.skin_rim_mm > 0 or plan.chest_wall_mm > 0
    try:
        image = read_again(fact) if found and breast is None else outlines.image
    except UnreadableError as reason:
        logger.warning("%s: %s", fact["image_path"], reason)
        return _Tissue(None, f"the image's tissue cannot be found: {reason}")
    remark = f"{excluded}; the tissue found in the image is used" if excluded else ""
    return _Tissue(allowed_tissue(breast, outlines.others, image, plan), remark=remark)


def excluded_breast(masks: pd.DataFrame, key: Iterable[object]) -> str:
    """Say that quality control excluded an image's breast mask; empty where it did not."""
    own = masks[(masks[_KEY] == list(key)).all(axis=1)]
    lost = own[(own["mask_role"] == TISSUE_ROLE) & (own["decision"] == "excluded")]
    if lost.empty:
        return ""
    reasons = lost["reasons"].iloc[0] if "reasons" in lost else ""
    return f"quality control excluded the breast mask ({reasons})"


def allowed_tissue(
    breast: np.ndarray | None, others: np.ndarray | None, image: Image, plan: Plan
) -> np.ndarray | None:
    """Return where rings may lie: the tissue without its rims, and no other lesion; None for everywhere.

    ``breast`` is the mask of the breast where there is one, ``others`` marks other lesions.
    """
    tissue = breast
    rims = plan.skin_rim_mm > 0 or plan.chest_wall_mm > 0
    if tissue is None and (rims or plan.tissue == "found"):
        tissue = find_tissue(image.array, image.spacing)
    if tissue is not None and plan.skin_rim_mm > 0:
        tissue = without_skin(tissue, plan.skin_rim_mm, image.spacing)
    if tissue is not None and plan.chest_wall_mm > 0:
        tissue = without_chest_wall(tissue, plan.chest_wall_mm, image.spacing)
    if others is None:
        return tissue
    return ~others if tissue is None else tissue & ~others


def _build_from(
    outlines: Outlines,
    of: str,
    tissue: _Tissue,
    where: Mapping[str, str],
    fact: Mapping[str, str],
    plan: Plan,
    folder: Path,
) -> Iterable[dict[str, object]]:
    image, known = outlines.image, fact["spacing_source"] != "unknown"
    voxel = float(np.prod(image.spacing)) if known else None
    for whole in build_regions(outlines.masks[of], tissue.allowed, image.spacing, known, plan.around(of)):
        # A rim inside the lesion is its own whatever lies about it.
        about = whole.region.kind not in LESION_KINDS and whole.region.outer > 0
        built = whole.emptied() if about and tissue.unknown else whole
        region, voxels = built.region, built.voxels
        status, reason = status_of(built, plan)
        if about:
            reason = tissue.unknown or "; ".join(filter(None, (reason, tissue.remark)))
        in_mm = known and plan.unit != "px" and region.kind not in LESION_KINDS
        mm = built.unit_length if in_mm else None
        yield {
            **where,
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
            "lesion": outlines.lesion,
            **saved_mask(built.part, built.corner, image, folder, f"{image_stem(where, region.name)}.nrrd"),
        }


def saved_mask(
    part: np.ndarray, corner: Sequence[int], image: Image, folder: Path, file: str
) -> dict[str, str]:
    """Write the mask of a region, of which ``part`` at ``corner`` of the image alone may be set.

    Returns its file and hash as columns of ``rois/rois.csv``.
    """
    write_part(folder / file, part, corner, image.pixels)
    return {
        "mask_file": file,
        "mask_sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
    }


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
    image, and hold a voxel of the lesion only where ``inner`` is negative. ``spacing`` is
    along x, y (and z). Raises StudyError when a width in mm is asked for and the pixel size is not known.
    """
    around = [region for region in plan.regions if region.kind not in LESION_KINDS]
    widest = max([0.0, *(region.outer for region in around)])
    if around and plan.unit == "mm" and not spacing_known:
        raise StudyError(
            "the pixel size is unknown, so a ring in mm cannot be built. Give pixel_spacing_x_mm and "
            "pixel_spacing_y_mm in the image manifest, or set regions.unit to px or fraction"
        )
    scale, step = _scale(tumour, spacing, plan.unit)
    padded, pad = _padded(tumour, step, widest * scale)
    reach = max((max(abs(region.inner), region.outer) for region in around), default=0.0)
    distance = signed_distance(padded, step, _tied(reach * scale)) if around else None
    allowed = _pad_to(tissue if tissue is not None else np.ones(tumour.shape, dtype=bool), pad)
    return [_build(region, padded, distance, allowed, pad, scale, tumour.shape) for region in plan.regions]


def status_of(built: Built, plan: Plan) -> tuple[str, str]:
    """Return a region's status (``ok``, ``empty`` or ``too_small``) and the reason or a warning."""
    voxels = built.voxels
    if voxels == 0:
        return "empty", "no voxel of the region lies in the tissue"
    if voxels < plan.minimum_voxels:
        return "too_small", f"{voxels} voxels, {plan.minimum_voxels} needed"
    if built.lost_fraction is not None and built.lost_fraction > plan.maximum_lost_fraction:
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
    margins = [int(np.ceil(reach / size)) + 1 for size in step[::-1]]
    pad = [
        (margin - span.start, margin - (length - span.stop))
        for margin, span, length in zip(margins, spans(tumour), tumour.shape, strict=True)
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
    corner = tuple(-before for before, _ in pad)
    if region.kind in LESION_KINDS or distance is None:
        return Built(region, tumour, corner, shape, 0.0, None, scale)
    inner = 0.0 if region.kind == "union" else region.inner
    ring = (distance > _tied(inner * scale)) & (distance <= _tied(region.outer * scale))
    # What lies inside the lesion (a rim) is not lost, whatever the tissue.
    kept = ring & (allowed | tumour)
    nominal = int(ring.sum())
    lost = 1.0 - kept.sum() / nominal if nominal else 0.0
    part = kept | tumour if region.kind == "union" else kept
    achieved = _achieved(distance[ring], int(kept.sum())) / scale if nominal else 0.0
    return Built(region, part, corner, shape, float(lost), achieved, scale)


def _tied(width: float) -> float:
    return width * TIE if width > 0 else width / TIE


def _achieved(distances: np.ndarray, kept: int) -> float:
    return float(np.sort(distances)[kept - 1]) if kept else 0.0
