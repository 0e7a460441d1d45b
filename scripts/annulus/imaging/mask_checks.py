"""What can be wrong with the outline of a lesion, checked one thing after another.

A check sees the mask as the checks before it left it, and may repair it. The original is never changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from annulus.imaging.boxes import spans
from annulus.imaging.findings import Finding, Policy
from annulus.imaging.frame import saturated_share
from annulus.imaging.preparing import Preparation
from annulus.imaging.reading import Image

# More values than this, or fractions, are hardly labels.
MOST_LABELS = 32

# Less than this share of the longest extent is rounding.
FLAT = 1e-9

# The smallest share of a mask that resampling onto the image's grid must keep.
LEAST_KEPT_SHARE = 0.98

# A mask that becomes larger than this in resampling is not counted voxel by voxel.
MOST_COUNTED = 2**28


@dataclass(frozen=True)
class Cut:
    """A mask cut to its bounding box with one voxel of room, and where it lies in the image.

    Labels, holes and outlines are looked for here: a lesion is a small part of a volume.
    """

    inside: np.ndarray
    corner: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> "Cut":
        """Cut to the voxels that are not zero; there must be some."""
        box = spans(values)
        corner = tuple(int(span.start) - 1 for span in box)
        return cls(np.pad(values[box], 1), corner, values.shape)

    def whole(self) -> np.ndarray:
        """Put the mask back into an image of its own shape."""
        image = np.zeros(self.shape, dtype=bool)
        image[self.place] = self.core
        return image

    @property
    def core(self) -> np.ndarray:
        """Return the mask without the room around it."""
        core: np.ndarray = self.inside[(slice(1, -1),) * self.inside.ndim]
        return core

    @property
    def place(self) -> tuple[slice, ...]:
        """Return where ``core`` lies in the image."""
        return tuple(
            slice(start + 1, start + 1 + length)
            for start, length in zip(self.corner, self.core.shape, strict=True)
        )


@dataclass
class Lesion:
    """A lesion's mask while it is being checked; ``cut.inside`` holds labels at first, then 0 and 1."""

    image: Image
    cut: Cut
    policy: Policy
    preparation: Preparation
    findings: list[Finding] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)

    @property
    def inside(self) -> np.ndarray:
        """Return the mask as it stands."""
        return self.cut.inside

    def note(self, code: str, message: str, value: float, limit: str | float | None = None) -> None:
        """Note a finding; ``limit`` is the threshold or its key."""
        threshold = self.policy.thresholds[limit] if isinstance(limit, str) else limit
        self.findings.append(self.policy.found(code, message, value, threshold))

    def mend(self, code: str, message: str, value: float, mended: np.ndarray, done: str) -> None:
        """Note a finding that ``mended`` repairs, and go on with it where the policy repairs."""
        before, after = int((self.inside > 0).sum()), int(mended.sum())
        repair = f"{done}: {before} to {after} voxels"
        self.findings.append(self.policy.found(code, message, value, None, repair))
        if self.policy.repairs(code):
            self.cut = Cut(mended, self.cut.corner, self.cut.shape)


def check_lesion(lesion: Lesion) -> None:
    """Run every check of a lesion's mask, in order; findings and measures are left on ``lesion``."""
    for check in CHECKS:
        check(lesion)


def several_labels(lesion: Lesion) -> None:
    """Find more than one value in a mask from which no label was chosen."""
    labels = np.unique(lesion.inside[lesion.inside != 0])
    mended = lesion.inside != 0
    if len(labels) > 1 and not _is_soft_edge(labels):
        shown = ", ".join(f"{label:g}" for label in labels[:8]) + (", ..." if len(labels) > 8 else "")
        what = f"The mask holds {len(labels)} values ({shown})"
        graded = len(labels) > MOST_LABELS or bool(np.any(labels != np.round(labels)))
        lesion.mend(
            "several_labels",
            f"{what}, as an image or a map of probability does. Save the outline as 0 and 1, or choose one "
            "value by label in the image manifest."
            if graded
            else f"{what}. Choose one by label in the image manifest.",
            len(labels),
            mended,
            "united the labels",
        )
    lesion.cut = Cut(mended, lesion.cut.corner, lesion.cut.shape)


def extra_components(lesion: Lesion) -> None:
    """Find parts that do not touch the largest, not even at a corner."""
    components, count = ndimage.label(lesion.inside, structure=np.ones((3,) * lesion.inside.ndim))
    lesion.measures["components"] = count
    if count < 2:
        return
    sizes = np.bincount(components.ravel())[1:]
    lesion.mend(
        "extra_components",
        f"The mask has {count} separate parts, the largest of {int(sizes.max())} voxels.",
        count,
        components == sizes.argmax() + 1,
        "kept the largest component",
    )


def holes(lesion: Lesion) -> None:
    """Find holes that the mask encloses."""
    filled = ndimage.binary_fill_holes(lesion.inside)
    _, count = ndimage.label(filled & ~lesion.inside)
    lesion.measures["holes"] = count
    if not count:
        return
    added = int(filled.sum() - lesion.inside.sum())
    lesion.mend(
        "holes", f"The mask encloses {count} holes of {added} voxels.", count, filled, "filled the holes"
    )


def jagged(lesion: Lesion) -> None:
    """Find a ragged outline: much of the mask changes when each voxel joins its neighbours' majority."""
    # The mask of one slice is as ragged as it is in that slice.
    flat = lesion.inside.ndim == 3 and int(lesion.inside.any(axis=(1, 2)).sum()) == 1
    window = (1, 3, 3) if flat else 3
    smoothed = ndimage.uniform_filter(lesion.inside.astype(np.float32), window, mode="constant") > 0.5
    total = int(lesion.inside.sum()) + int(smoothed.sum())
    raggedness = 1.0 - 2.0 * int((lesion.inside & smoothed).sum()) / total
    limit = lesion.policy.thresholds["maximum_raggedness"]
    # Of a mask of few voxels every voxel is outline.
    if raggedness > limit and lesion.inside.sum() >= lesion.policy.thresholds["minimum_voxels"]:
        lesion.note(
            "jagged_mask",
            f"The outline is ragged: smoothing by one voxel changes {raggedness:.0%} of the mask "
            f"({limit:.0%} allowed).",
            raggedness,
            limit,
        )


def single_slice(lesion: Lesion) -> None:
    """Find a mask of one slice in a volume."""
    if lesion.inside.ndim == 3 and int(lesion.inside.any(axis=(1, 2)).sum()) == 1:
        lesion.note("single_slice", "The mask of a volume lies in one slice.", 1, 2)


def touches_border(lesion: Lesion) -> None:
    """Find a mask that reaches the edge of the image, where rings are cut off."""
    place = zip(lesion.cut.place, lesion.cut.core.shape, lesion.cut.shape, strict=True)
    touches = False
    for axis, (span, length, total) in enumerate(place):
        touches |= span.start == 0 and bool(lesion.cut.core.take(0, axis=axis).any())
        touches |= span.start + length == total and bool(lesion.cut.core.take(-1, axis=axis).any())
    lesion.measures["touches_border"] = int(touches)
    if touches:
        lesion.note("touches_border", "The mask touches the edge of the image.", 1)


def too_few_voxels(lesion: Lesion) -> None:
    """Find a mask that is too small, before or after resampling."""
    count = int(lesion.inside.sum())
    needed = int(lesion.policy.thresholds["minimum_voxels"])
    if count < needed:
        lesion.note("too_few_voxels", f"{count} voxels, {needed} needed.", count, needed)
        return
    spacing = lesion.preparation.spacing_mm[: lesion.inside.ndim]
    if not spacing or lesion.image.spacing_source == "unknown":
        return
    left = _resampled_count(lesion.inside, lesion.image.spacing, spacing)
    if left < needed:
        shown = " x ".join(f"{length:g}" for length in spacing)
        lesion.note(
            "too_few_after_resampling",
            f"{count} voxels become {left} at {shown} mm, {needed} needed.",
            left,
            needed,
        )


def saturated(lesion: Lesion) -> None:
    """Find a region whose grey values pile up at the top of the image's range."""
    share = saturated_share(lesion.image.array, lesion.cut.whole())
    limit = lesion.policy.thresholds["maximum_saturated_share"]
    if share > limit:
        lesion.note(
            "saturated_region",
            f"{share:.0%} of the region has the image's highest grey value ({limit:.0%} allowed): its "
            "texture is cut off.",
            share,
            limit,
        )


CHECKS: tuple[Callable[[Lesion], None], ...] = (
    several_labels,
    extra_components,
    holes,
    jagged,
    single_slice,
    touches_border,
    too_few_voxels,
    saturated,
)


def largest_diameter(inside: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Largest distance between two voxel centres of a mask, in the unit of ``spacing`` (x, y, z)."""
    points = np.argwhere(inside) * np.asarray(spacing[::-1])
    # A hull needs an extent along every axis: one slice of a volume has none along the third.
    points = points[:, np.ptp(points, axis=0) > 0]
    if not points.size:
        return 0.0
    if points.shape[1] > 1:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            points = _ends_of_flat(points)
    return float(pdist(points).max())


def _ends_of_flat(points: np.ndarray) -> np.ndarray:
    """Return the corners of points that lie in one oblique plane, or the ends of those on one line."""
    centred = points - points.mean(axis=0)
    _, extents, axes = np.linalg.svd(centred, full_matrices=False)
    # Turned into their own plane they keep their distances.
    turned = centred @ axes[extents > FLAT * extents[0]].T
    if turned.shape[1] == 1:
        return points[[int(turned.argmin()), int(turned.argmax())]]
    corners: np.ndarray = points[ConvexHull(turned).vertices]
    return corners


def resampled_onto(mask: sitk.Image, image: sitk.Image) -> tuple[sitk.Image, float]:
    """Resample a mask that differs in its grid alone; also the share of its volume that is kept.

    Nearest neighbour, as labels must not be mixed. A share well below 1 says that the mask lies outside
    the image.
    """
    placed = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    before = _set(mask) * float(np.prod(mask.GetSpacing()))
    after = _set(placed) * float(np.prod(placed.GetSpacing()))
    return placed, after / before if before else 0.0


def _is_soft_edge(labels: np.ndarray) -> bool:
    """Say whether the labels are a binary mask saved lossily: all near one large value."""
    return bool(labels.max() > 200 and labels.min() >= labels.max() - 10)


def _resampled_count(inside: np.ndarray, old: tuple[float, ...], new: tuple[float, ...]) -> int:
    wanted = tuple(length or same for length, same in zip(new, old, strict=True))
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.SetSpacing(old)
    size = [
        max(1, round(n * a / b)) for n, a, b in zip(mask.GetSize(), mask.GetSpacing(), wanted, strict=True)
    ]
    if np.prod(size, dtype=float) > MOST_COUNTED:
        # Far more than any threshold asks for, and more than memory holds.
        return int(inside.sum() * np.prod(old) / np.prod(wanted))
    placed = sitk.Resample(
        mask, size, sitk.Transform(), sitk.sitkNearestNeighbor, mask.GetOrigin(), wanted, mask.GetDirection()
    )
    return int(sitk.GetArrayViewFromImage(placed).sum())


def _set(mask: sitk.Image) -> int:
    return int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
