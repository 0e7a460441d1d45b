"""Perturbations of an image and its outline, to find the features that do not survive them.

Noise, translation, rotation, growth or shrinkage, and a random contour, alone or chained, after Zwanenburg
et al., Sci Rep 2019;9:614. As there, a chain is applied as a scanner and a reader would: noise first,
then one movement (interpolated once), then the volume, then the contour, whatever the order it is given in.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, stats
from skimage.segmentation import slic

from annulus.errors import StudyError
from annulus.imaging.boxes import spans

# In the order in which a chain applies them, with the least and greatest amount of each.
LIMITS = {
    "noise": (0.0, 100.0),
    "rotation": (-180.0, 180.0),
    "translation": (-1.0, 1.0),
    "volume": (-0.95, 5.0),
    "contour": (0.0, 0.5),
}

# Voxels. On a grid moved by half a voxel both edges of a mask lie half in: this lets one of them in.
NUDGE = 1e-6

# After Zwanenburg et al.: superpixels are in or out for certain from these shares of overlap on, and grey
# values are cut to the lesion's range, widened by a tenth.
SURELY_IN, SURELY_OUT = 0.90, 0.20
WIDENED = 0.1

# With grey values from 0 to 1. Half of it, as they take for computed tomography, lets superpixels of
# ultrasound run along the speckle, up to a third of the lesion's diameter away.
COMPACTNESS = 0.1
LEAST_SUPERPIXEL_VOXELS = 4

# What SLIC divides in a few seconds.
MOST_SLIC_VOXELS = 4_000_000


class CannotPerturb(Exception):
    """A perturbation that has no result for one patient; the message says why and what to do.

    Whoever knows the patient records it as a row, and the others go on.
    """


@dataclass(frozen=True)
class Perturbation:
    """One change of an image or its outline; an amount of 0 leaves both as they are.

    ``kind`` and its ``amount``:

    - ``noise``: standard deviation of added Gaussian noise, as a multiple of the image's own
    - ``translation``: fraction of a voxel, along every axis
    - ``rotation``: degrees about the outline's centroid, in the plane of the slices; positive turns x to y
    - ``volume``: fraction by which the outline grows (or shrinks, below 0)
    - ``contour``: side of the superpixels that redraw the outline, as a fraction of the lesion's (the
      root of its area, the cube root of its volume)
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        """Raise StudyError for a kind or amount that makes no sense."""
        if self.kind not in LIMITS:
            raise StudyError(
                f"There is no perturbation {self.kind}. Choose from {', '.join(sorted(LIMITS))}."
            )
        least, greatest = LIMITS[self.kind]
        if not least <= self.amount <= greatest:
            raise StudyError(
                f"The amount of a perturbation by {self.kind} lies between {least:g} and {greatest:g}, "
                f"not at {self.amount:g}."
            )


def perturb(
    image: sitk.Image, mask: sitk.Image, perturbation: Perturbation | Iterable[Perturbation], seed: int
) -> tuple[sitk.Image, sitk.Image]:
    """Perturb an image and its outline, in 2-D or 3-D, by one perturbation or a chain of several kinds.

    Returns the image (Float64) and mask (uint8) on the grid of ``image``. ``seed`` is from ``seed_of``.
    Raises CannotPerturb when there is no outline to perturb or none would be left, and StudyError when
    a chain has one kind twice.
    """
    amounts = _amounts(perturbation)
    values, inside = _arrays(image, mask)
    spacing = image.GetSpacing()[::-1]
    if amounts["noise"]:
        values = _noisy(values, amounts["noise"], _generator(seed, "noise"))
    if _moves(amounts):
        movement = _movement(inside, spacing, amounts)
        values = ndimage.affine_transform(values, *movement.pull(), order=3, mode="nearest")
        inside = _moved_mask(inside, movement)
    if not inside.any():
        raise CannotPerturb("The lesion moves out of the image. Move it by less, or leave the patient out.")
    if amounts["volume"]:
        inside = _resized(inside, spacing, amounts["volume"], _generator(seed, "volume"))
    if amounts["contour"]:
        inside = _redrawn(values, inside, spacing, amounts["contour"], _generator(seed, "contour"))
    return _on_grid(values, image), _on_grid(inside.astype(np.uint8), image)


def move_along(
    other: sitk.Image, mask: sitk.Image, perturbation: Perturbation | Iterable[Perturbation]
) -> sitk.Image:
    """Move another mask (the breast, say) as ``perturb`` moves the image; only the lesion's outline changes.

    ``mask`` is the lesion's outline before any perturbation, on the same grid. Returns a uint8 mask.
    Raises CannotPerturb and StudyError as ``perturb`` does.
    """
    amounts = _amounts(perturbation)
    values, inside = _arrays(other, mask)
    others = values != 0
    if _moves(amounts):
        others = _moved_mask(others, _movement(inside, other.GetSpacing()[::-1], amounts))
    return _on_grid(others.astype(np.uint8), other)


def noise_level(values: np.ndarray) -> float:
    """Standard deviation of an image's noise, in its own grey values.

    The median absolute diagonal detail of a Haar wavelet over 0.6745, within slices (Donoho & Johnstone,
    Biometrika 1994;81:425-455; Chang et al., IEEE Trans Image Process 2000;9:1532-1546). Voxels at the
    image's least or greatest value are left out, being padding, air or saturation; 0 if none is left.
    """
    clipped = (values == values.min()) | (values == values.max())
    usable = ~(clipped[..., 1:, 1:] | clipped[..., 1:, :-1] | clipped[..., :-1, 1:] | clipped[..., :-1, :-1])
    x = values.astype(np.float64, copy=False)
    detail = (x[..., 1:, 1:] - x[..., 1:, :-1] - x[..., :-1, 1:] + x[..., :-1, :-1]) / 2.0
    sizes = np.abs(detail[usable])
    return _grouped_median(sizes) / float(stats.norm.ppf(0.75)) if sizes.size else 0.0


def _grouped_median(sizes: np.ndarray) -> float:
    """Median of values of 0 and above; many that are equal, as whole grey values give, count as spread out.

    Without this the noise of an 8-bit image could only be a multiple of 0.74 grey values.
    """
    middle = float(np.median(sizes))
    below, above = sizes[sizes < middle], sizes[sizes > middle]
    equal = sizes.size - below.size - above.size
    if not equal:
        return middle
    low = (float(below.max()) + middle) / 2.0 if below.size else 0.0
    high = (float(above.min()) + middle) / 2.0 if above.size else middle
    return low + (high - low) * (0.5 * sizes.size - below.size) / equal


def _amounts(perturbation: Perturbation | Iterable[Perturbation]) -> dict[str, float]:
    steps = [perturbation] if isinstance(perturbation, Perturbation) else list(perturbation)
    kinds = [step.kind for step in steps]
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise StudyError(f"A chain of perturbations has {', '.join(twice)} twice. Keep one of each kind.")
    return dict.fromkeys(LIMITS, 0.0) | {step.kind: step.amount for step in steps}


def _arrays(image: sitk.Image, mask: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return grey values (float) and mask (bool); both are copies."""
    if image.GetSize() != mask.GetSize():
        raise CannotPerturb(
            f"The image has {image.GetSize()} voxels, the mask {mask.GetSize()}. "
            "Save the mask on the image's grid."
        )
    values = sitk.GetArrayFromImage(image).astype(np.float64)
    inside = sitk.GetArrayFromImage(mask) != 0
    if not inside.any():
        raise CannotPerturb("The mask has no voxel that is set.")
    if not np.isfinite(values).all():
        raise CannotPerturb("The image holds values that are not finite.")
    return values, inside


def _on_grid(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(image)
    return made


def _generator(seed: int, kind: str) -> np.random.Generator:
    """Random numbers of one kind of perturbation, which other kinds in a chain do not shift."""
    return np.random.default_rng([seed, list(LIMITS).index(kind)])


def _noisy(values: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    level = noise_level(values)
    if not level > 0:
        raise CannotPerturb(
            "No noise can be measured in the image (its grey values are flat, or smoother than one grey "
            "value), so that none can be added in proportion. Leave out the perturbation by noise."
        )
    return values + rng.normal(0.0, amount * level, values.shape)


@dataclass(frozen=True)
class _Movement:
    """A rotation about ``centre`` and then a ``shift``, both in voxels, indexed as arrays are.

    ``turn`` takes an offset from the centre to where it came from, in voxels.
    """

    turn: np.ndarray
    centre: np.ndarray
    shift: np.ndarray

    def pull(self, corner: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrix and offset that take a voxel, counted from ``corner``, to where it came from."""
        return self.turn, self.centre + self.turn @ (corner - self.centre - self.shift)

    def push(self, voxels: np.ndarray) -> np.ndarray:
        """Return where voxels (one a row) go to."""
        return np.linalg.solve(self.turn, (voxels - self.centre).T).T + self.centre + self.shift


def _moves(amounts: dict[str, float]) -> bool:
    return bool(amounts["rotation"] or amounts["translation"])


def _movement(inside: np.ndarray, spacing: tuple[float, ...], amounts: dict[str, float]) -> _Movement:
    angle = math.radians(amounts["rotation"])
    turn = np.eye(inside.ndim)
    # Rows run along y, columns along x; lengths in mm do not change, whatever the spacing.
    stretch = spacing[-2] / spacing[-1]
    turn[-2:, -2:] = [
        [math.cos(angle), -math.sin(angle) / stretch],
        [math.sin(angle) * stretch, math.cos(angle)],
    ]
    centre = np.argwhere(inside).mean(axis=0)
    return _Movement(turn, centre, np.full(inside.ndim, amounts["translation"]))


def _moved_mask(inside: np.ndarray, movement: _Movement) -> np.ndarray:
    """Move a mask by linear interpolation; a voxel is in where at least half of it is."""
    moved = np.zeros_like(inside)
    if not inside.any():
        return moved
    source = _box(inside, [0] * inside.ndim)
    corners = np.array(list(itertools.product(*((side.start, side.stop - 1) for side in source))))
    landed = movement.push(corners)
    low = np.clip(np.floor(landed.min(axis=0)).astype(int) - 1, 0, inside.shape)
    high = np.clip(np.ceil(landed.max(axis=0)).astype(int) + 2, low, inside.shape)
    turn, offset = movement.pull(low)
    share = ndimage.affine_transform(
        inside[source].astype(np.float64),
        turn,
        offset - corners[0] + NUDGE,
        output_shape=tuple(high - low),
        order=1,
        mode="grid-constant",
    )
    moved[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = share >= 0.5
    return moved


def _resized(
    inside: np.ndarray, spacing: tuple[float, ...], amount: float, rng: np.random.Generator
) -> np.ndarray:
    """Grow or shrink a mask along its distance map, to the voxel, without breaking it apart."""
    wanted = round(np.count_nonzero(inside) * (1.0 + amount))
    if wanted < 1:
        raise CannotPerturb(
            f"The mask has {np.count_nonzero(inside)} voxels; shrunk by {-amount:.0%}, none is left. "
            "Shrink by less, or leave the patient out."
        )
    if wanted > inside.size or inside.all():
        raise CannotPerturb(
            "The mask fills so much of the image that its volume cannot be changed. Leave the patient out."
        )
    if amount > 0:
        return _grown(inside, spacing, wanted, rng)
    return _shrunk(inside, spacing, wanted, rng)


def _grown(
    inside: np.ndarray, spacing: tuple[float, ...], wanted: int, rng: np.random.Generator
) -> np.ndarray:
    margin = 4
    while True:
        box = _box(inside, [margin] * inside.ndim)
        part = inside[box]
        outside = np.flatnonzero(~part)
        added = wanted - np.count_nonzero(part)
        if added <= outside.size:
            distance = ndimage.distance_transform_edt(~part, sampling=spacing).ravel()[outside]
            nearest = _in_order(distance, rng)[:added]
            reach = distance[nearest].max(initial=0.0)
            # What lies beyond the box is farther than its margin: nothing nearer has been missed.
            if part.shape == inside.shape or reach <= margin * min(spacing):
                grown = inside.copy()
                grown[box] = _with(part, outside[nearest])
                return grown
        margin *= 2


def _shrunk(
    inside: np.ndarray, spacing: tuple[float, ...], wanted: int, rng: np.random.Generator
) -> np.ndarray:
    """Keep the voxels deepest inside, in no more pieces than there were.

    Where a neck would break, the smaller side goes with the rim, so that the volume is still exact.
    """
    box = _box(inside, [1] * inside.ndim)
    part = inside[box]
    members = np.flatnonzero(part)
    depth = ndimage.distance_transform_edt(part, sampling=spacing).ravel()[members]
    deepest = members[_in_order(-depth, rng)]
    pieces = _pieces(part)[1]

    def kept(count: int) -> np.ndarray:
        return _largest(_with(np.zeros_like(part), deepest[:count]), pieces)

    # The largest pieces of growing sets never get smaller, so halving finds where they suffice.
    enough, few = members.size, 0
    while enough - few > 1:
        middle = (enough + few) // 2
        if np.count_nonzero(kept(middle)) >= wanted:
            enough = middle
        else:
            few = middle
    shrunk = np.zeros_like(inside)
    shrunk[box] = _filled(kept(few), kept(enough), wanted, deepest)
    return shrunk


def _filled(core: np.ndarray, whole: np.ndarray, wanted: int, deepest: np.ndarray) -> np.ndarray:
    """Grow ``core`` within ``whole`` to ``wanted`` voxels, layer by layer, the ``deepest`` first."""
    core = core & whole
    neighbours = np.ones((3,) * core.ndim)
    while (missing := wanted - np.count_nonzero(core)) > 0:
        layer = ndimage.binary_dilation(core, neighbours, mask=whole) & ~core
        # Where nothing is left to grow from, another piece begins.
        candidates = deepest[(layer if layer.any() else whole & ~core).ravel()[deepest]]
        core = _with(core, candidates[: missing if layer.any() else 1])
    return core


def _redrawn(
    values: np.ndarray,
    inside: np.ndarray,
    spacing: tuple[float, ...],
    amount: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the contour anew along superpixels, each as likely to be in as its share inside the mask.

    The superpixel with the largest share always is in.
    """
    voxels = max(LEAST_SUPERPIXEL_VOXELS, round(amount**inside.ndim * np.count_nonzero(inside)))
    side = (voxels * math.prod(spacing)) ** (1.0 / inside.ndim)
    box = _box(inside, [2 + math.ceil(1.5 * side / step) for step in spacing])
    part = inside[box]
    labels = _superpixels(values[box], part, spacing, voxels)
    share = np.bincount(labels.ravel(), weights=part.ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
    chance = np.where(share >= SURELY_IN, 1.0, np.where(share < SURELY_OUT, 0.0, share))
    chance[share.argmax()] = 1.0
    drawn = (rng.random(chance.size) < chance)[labels]
    # Closed as theirs, but only where the lesion was: else its own bays would fill, and it would grow.
    drawn |= ndimage.binary_closing(drawn) & part
    redrawn = np.zeros_like(inside)
    redrawn[box] = _largest(drawn, _pieces(part)[1])
    return redrawn


def _superpixels(
    values: np.ndarray, inside: np.ndarray, spacing: tuple[float, ...], voxels: int
) -> np.ndarray:
    """Label superpixels of about ``voxels`` voxels (SLIC: Achanta et al., IEEE PAMI 2012;34:2274-2282)."""
    low, high = values[inside].min(), values[inside].max()
    widened = WIDENED * (high - low)
    values = values.clip(low - widened, high + widened)
    # SLIC lays its seeds out by voxels: thick slices count several times, for cubes and not columns.
    times = 1
    if values.ndim == 3:
        times = max(1, min(round(spacing[0] / spacing[-1]), MOST_SLIC_VOXELS // values.size))
    labels: np.ndarray = slic(
        np.repeat(values, times, axis=0),
        n_segments=max(1, round(values.size / voxels)),
        compactness=COMPACTNESS,
        sigma=1.0,
        spacing=np.array([spacing[0] / times, *spacing[1:]]) / spacing[-1],
        channel_axis=None,
    )
    return labels[times // 2 :: times]


def _box(inside: np.ndarray, margins: Sequence[int]) -> tuple[slice, ...]:
    """The box around a mask with a margin in voxels along each axis, within the image."""
    return tuple(
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, margin, length in zip(spans(inside), margins, inside.shape, strict=True)
    )


def _in_order(distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order by distance; equals fall in a random order, so that no side is favoured."""
    return np.lexsort((rng.random(distance.size), distance))


def _with(mask: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    added = mask.copy()
    added.flat[voxels] = True
    return added


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    labels, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return labels, int(count)


def _largest(mask: np.ndarray, pieces: int) -> np.ndarray:
    """Keep the largest ``pieces`` pieces of a mask; voxels that touch at a corner are one piece."""
    labels, count = _pieces(mask)
    if count <= pieces:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    keep = np.argsort(-sizes, kind="stable")[:pieces] + 1
    return np.isin(labels, keep)
