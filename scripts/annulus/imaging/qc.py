"""Quality control of masks: each is passed, repaired or excluded, and none stops the others."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from annulus.cohort.sources import image_stem
from annulus.errors import StudyError
from annulus.imaging.reading import (
    KEPT_SPACING,
    Image,
    UnreadableError,
    on_grid_of,
    read_image,
    read_mask,
    same_grid,
    write_mask,
)

logger = logging.getLogger(__name__)

TUMOUR_ROLES = ("tumour", "node", "node_cortex")

MASK_COLUMNS = [
    "patient_id", "image_id", "mask_role", "rater", "decision", "reasons", "repairs", "voxels",
    "volume_mm3", "components", "holes", "touches_border", "image_mask_same_grid",
    "largest_diameter_mm", "message", "image", "timepoint", "mask_file",
]  # fmt: skip

IMAGE_COLUMNS = [
    "patient_id", "image_id", "timepoint", "modality", "series", "view", "image_path", "mask_path",
    "mask_role", "rater", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "spacing_source",
    "image_sha256", "mask_sha256", "image", "dimension",
]  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """What quality control does about each finding; see ``qc`` in the study's schema.

    ``needs_spacing`` says that the study measures in mm, so that an image without a pixel size is
    of no use.
    """

    minimum_voxels: int
    extra_components: str
    holes: str
    touches_border: str
    several_labels: str
    needs_spacing: bool

    @classmethod
    def of(cls, qc: Mapping[str, Any], unit: str) -> "Policy":
        """Read the ``qc`` part of a study whose regions are measured in ``unit``."""
        names = [f.name for f in fields(cls) if f.name != "needs_spacing"]
        return cls(**{name: qc[name] for name in names}, needs_spacing=unit == "mm")


@dataclass(frozen=True)
class Finding:
    """What quality control found on one mask.

    ``mask`` is the mask to go on with, or None when it is excluded. Counts are those of the mask
    after repairs; ``components`` and ``holes`` are those of the original.
    """

    decision: str = "pass"
    reasons: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    message: str = ""
    voxels: int | None = None
    volume_mm3: float | None = None
    components: int | None = None
    holes: int | None = None
    touches_border: int | None = None
    image_mask_same_grid: int | None = None
    largest_diameter_mm: float | None = None
    mask: sitk.Image | None = field(default=None, repr=False)

    def row(self) -> dict[str, object]:
        """Return the finding as columns of ``qc/masks.csv``."""
        values = {name: getattr(self, name) for name in MASK_COLUMNS if hasattr(self, name)}
        return values | {"reasons": ";".join(self.reasons), "repairs": ";".join(self.repairs)}


def check_rows(
    rows: Iterable[Mapping[str, str]], policy: Policy, folder: Path
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Check every image and mask pair of ``rows`` and write the masks to go on with to ``folder``.

    Returns the rows of ``qc/masks.csv`` and of ``cohort/images.csv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    masks, images = [], []
    for row in rows:
        # Should a bug end the job, the log's last line says on whom.
        logger.info("patient %s: %s, %s", row["patient_id"], row["image_path"], row.get("mask_path"))
        finding, facts = check_pair(row, policy)
        file = ""
        if finding.mask is not None:
            file = f"{image_stem(row, row['mask_role'], row['rater'])}.nrrd"
            write_mask(folder / file, finding.mask)
        masks.append({**row, **finding.row(), "mask_file": file})
        images.append({**row, **facts})
    return masks, images


def check_pair(row: Mapping[str, str], policy: Policy) -> tuple[Finding, dict[str, object]]:
    """Read one manifest row's image and mask and check them; what cannot be read is a finding.

    Returns the finding, and what was learnt of the files for ``cohort/images.csv``.
    """
    facts: dict[str, object] = {}
    try:
        image = read_image(row["image_path"], row)
    except UnreadableError as error:
        return _excluded("unreadable_image", str(error)), facts
    facts |= _spacing_facts(image)
    facts |= {"image_sha256": image.sha256, "dimension": len(image.spacing)}
    try:
        mask = read_mask(row["mask_path"])
    except UnreadableError as error:
        return _excluded("unreadable_mask", str(error)), facts
    facts["mask_sha256"] = mask.sha256
    return check_mask(image, mask, row["mask_role"], policy), facts


def check_mask(image: Image, mask: Image, role: str, policy: Policy) -> Finding:
    """Check one mask against its image and decide on it.

    A mask of the breast must only be readable, on the grid and non-empty; a mask of a tumour or
    node is held to everything. The original is never changed.
    """
    if not same_grid(mask, image):
        return replace(_excluded("grid_mismatch", _grid_message(image, mask)), image_mask_same_grid=0)
    values = mask.array
    unusable = _unusable_image(image, policy)
    if unusable:
        return replace(unusable, image_mask_same_grid=1)
    if not np.all(np.isfinite(values)) or not values.any():
        return replace(_excluded("empty_mask", "The mask has no voxel that is set."), image_mask_same_grid=1)
    if role not in TUMOUR_ROLES:
        return _measured(Finding(image_mask_same_grid=1), values != 0, image)
    return _check_lesion(image, values, policy)


def _check_lesion(image: Image, values: np.ndarray, policy: Policy) -> Finding:
    inside = values != 0
    reasons: list[str] = []
    repairs: list[str] = []
    excluded = False

    def note(code: str, action: str, repaired: str) -> bool:
        nonlocal excluded
        reasons.append(code)
        if action == "repair":
            repairs.append(repaired)
        excluded = excluded or action == "exclude"
        return action == "repair"

    labels = np.unique(values[inside])
    if len(labels) > 1 and not _is_soft_edge(labels):
        note("several_labels", policy.several_labels, f"united {len(labels)} labels")
    components, count = ndimage.label(inside, structure=np.ones((3,) * inside.ndim))
    if count > 1:
        sizes = np.bincount(components.ravel())[1:]
        dropped = int(sizes.sum() - sizes.max())
        if note("extra_components", policy.extra_components, f"dropped {dropped} voxels"):
            inside = components == sizes.argmax() + 1
    filled = ndimage.binary_fill_holes(inside)
    _, holes = ndimage.label(filled & ~inside)
    if holes:
        added = int(filled.sum() - inside.sum())
        if note("holes", policy.holes, f"filled {added} voxels"):
            inside = filled
    border = _touches_border(inside)
    if border:
        note("touches_border", policy.touches_border, "")
    if inside.sum() < policy.minimum_voxels:
        note("too_few_voxels", "exclude", "")
    decision = "excluded" if excluded else ("repaired" if repairs else "pass")
    finding = Finding(
        decision=decision,
        reasons=tuple(reasons),
        repairs=tuple(repairs),
        message=f"{int(inside.sum())} voxels, {policy.minimum_voxels} needed."
        if "too_few_voxels" in reasons
        else "",
        components=count,
        holes=holes,
        touches_border=int(border),
        image_mask_same_grid=1,
    )
    return _measured(finding, inside, image)


def lost_patients(masks: pd.DataFrame, patients: Iterable[str], images: Iterable[str]) -> dict[str, str]:
    """Say for each patient who is lost at quality control why.

    ``masks`` is ``qc/masks.csv``. A patient is lost when one of the study's ``images`` has no usable
    mask of the lesion.
    """
    lesions = masks[masks["mask_role"].isin(TUMOUR_ROLES)]
    lost: dict[str, str] = {}
    for name in images:
        rows = lesions[lesions["image"] == name]
        excluded = rows["decision"] == "excluded"
        good = set(rows.loc[~excluded, "patient_id"])
        why = rows[excluded].groupby("patient_id")["reasons"].first()
        for patient in sorted(set(patients) - good):
            lost.setdefault(patient, f"{name}: {why.get(patient, 'not_in_manifest')}")
    return lost


def refuse_large_loss(
    lost: Mapping[str, str], masks: pd.DataFrame, patients: int, maximum_share: float
) -> None:
    """Raise StudyError when more than ``maximum_share`` of the patients is lost, saying why."""
    if len(lost) <= maximum_share * patients:
        return
    counts = pd.Series(list(lost.values())).value_counts()
    reasons = "; ".join(f"{reason} ({count})" for reason, count in counts.items())
    excluded = masks[masks["message"].notna() & (masks["decision"] == "excluded")]
    example = (
        f" For example, patient {excluded.iloc[0].patient_id}, image {excluded.iloc[0].image_id}: "
        f"{excluded.iloc[0].message}"
        if len(excluded)
        else ""
    )
    raise StudyError(
        f"Quality control lost {len(lost)} of {patients} patients, more than qc.maximum_lost_share "
        f"({maximum_share:g}) allows: {reasons}.{example} Mend the files, or raise the share if the "
        "loss is right."
    )


def _unusable_image(image: Image, policy: Policy) -> Finding | None:
    if policy.needs_spacing and image.spacing_source == "unknown":
        return _excluded(
            "unknown_spacing",
            "The pixel size is unknown, so a ring in mm is refused. Give pixel_spacing_x_mm and "
            "pixel_spacing_y_mm in the image manifest, or set regions.unit to px or fraction.",
        )
    low, high = image.array.min(), image.array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return _excluded("not_finite", "The image holds values that are not finite.")
    if low == high:
        return _excluded("constant_image", f"Every grey value of the image is {low:g}.")
    return None


def _is_soft_edge(labels: np.ndarray) -> bool:
    """Say whether the labels are a binary mask saved lossily: all near one large value."""
    return bool(labels.max() > 200 and labels.min() >= labels.max() - 10)


def _excluded(code: str, message: str) -> Finding:
    return Finding(decision="excluded", reasons=(code,), message=message)


def _measured(finding: Finding, inside: np.ndarray, image: Image) -> Finding:
    known = image.spacing_source != "unknown"
    voxels = int(inside.sum())
    return replace(
        finding,
        voxels=voxels,
        volume_mm3=voxels * float(np.prod(image.spacing)) if known else None,
        largest_diameter_mm=_largest_diameter(inside, image.spacing) if known else None,
        mask=None if finding.decision == "excluded" else on_grid_of(inside, image),
    )


def _touches_border(inside: np.ndarray) -> bool:
    return any(bool(inside.take(side, axis=axis).any()) for axis in range(inside.ndim) for side in (0, -1))


def _largest_diameter(inside: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Largest distance between two voxel centres, in mm."""
    points = np.argwhere(inside) * np.asarray(spacing[::-1])
    # A hull needs an extent along every axis: one slice of a volume has none along the third.
    points = points[:, np.ptp(points, axis=0) > 0]
    if not points.size:
        return 0.0
    if points.shape[1] > 1:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            # All on one oblique line: the ends in order are the farthest apart.
            points = points[[0, -1]]
    return float(pdist(points).max())


def _grid_message(image: Image, mask: Image) -> str:
    def described(read: Image) -> str:
        size = " x ".join(map(str, read.pixels.GetSize()))
        if read.spacing_source == "unknown":
            return f"{size} pixels"
        spacing = " x ".join(f"{length:g}" for length in read.spacing)
        origin = ", ".join(f"{place:g}" for place in read.pixels.GetOrigin())
        return f"{size} pixels of {spacing} mm from ({origin})"

    return f"The image has {described(image)}, the mask {described(mask)}. Save the mask on the image's grid."


def _spacing_facts(image: Image) -> dict[str, object]:
    known = image.spacing_source != "unknown"
    spacing = [*image.spacing, None][:3] if known else [None] * 3
    return {"spacing_source": image.spacing_source} | dict(zip(KEPT_SPACING, spacing, strict=True))
