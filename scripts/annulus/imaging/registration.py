"""Registration of one image to another of the same patient: rigid or affine, by mutual information.

A transform maps a point of the fixed image, in mm, to the point of the moving image that shows the
same tissue, as SimpleITK's resampling wants it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Literal

import numpy as np
import SimpleITK as sitk

from annulus.errors import StudyError
from annulus.imaging.boxes import spans

Kind = Literal["rigid", "affine"]

NOTHING_MOVED = "registration did not better the metric, so the images stay where they were"
RAN_AWAY = "registration carried the tissue out of the moving image, so the images stay where they were"
RIGID_KEPT = "the affine step did not better the rigid one, which is used"

REGISTRATION_COLUMNS = [
    "registration_kind", "registration_status", "metric_before", "metric_after", "overlap_before",
    "overlap_after", "largest_shift_mm", "iterations", "stop_reason", "warning", "parameters",
    "centre",
]  # fmt: skip

HISTOGRAM_BINS = 32

# Of the optimiser: what the step shrinks by where the gradient turns, and the gradient that ends it.
RELAXATION, FLAT = 0.5, 1e-8

# Enough points for a joint histogram of 32 x 32 bins; more only takes time.
SAMPLED_POINTS = 100_000

# Steps along the parameters, scaled so that a step of 1 moves no point of the image by more than 1 mm.
FIRST_STEP_MM, LAST_STEP_MM, STEPS_PER_LEVEL = 2.0, 1e-3, 200

# Images are compared within the mask and this far about it: of a small lesion alone, mutual
# information is best where the two images have nothing to do with each other.
SURROUND_MM = 20.0

# Fewer voxels than this do not fill the histogram.
MINIMUM_VOXELS = 2000

# Voxels about what is compared that smoothing may draw on.
MASK_MARGIN = 4

# A registration that leaves less than this share of the tissue in the moving image ran away.
LEAST_OVERLAP = 0.5

# Of the three resolutions, coarse first; a side is never shrunk to fewer voxels than this.
SHRINK_FACTORS, SHORTEST_SIDE = (4, 2, 1), 8

# The share of an interpolated value that must come from voxels with a value.
HALF = 0.5 - 1e-6


@dataclass(frozen=True)
class Registration:
    """A transform, and how well it was found.

    ``status`` is ``registered``, or ``identity`` when registration failed or made the metric worse;
    ``warning`` then says why, and ``transform`` and ``parameters`` are those of the identity. The
    metric is the negative Mattes mutual information over what is compared: lower is better. ``overlap``
    is the share of what is compared that lies inside the moving image, where the scanner put it
    and where the registration did; ``largest_shift_mm`` is the longest way of a corner of its
    bounding box under ``transform``.
    """

    transform: sitk.Transform
    kind: Kind
    status: str
    metric_before: float | None
    metric_after: float | None
    overlap_before: float | None
    overlap_after: float | None
    largest_shift_mm: float
    iterations: int
    stop_reason: str
    warning: str
    parameters: tuple[float, ...]

    def to_row(self) -> dict[str, object]:
        """Return the quality of the registration as :data:`REGISTRATION_COLUMNS`."""
        return {
            "registration_kind": self.kind,
            "registration_status": self.status,
            "metric_before": self.metric_before,
            "metric_after": self.metric_after,
            "overlap_before": self.overlap_before,
            "overlap_after": self.overlap_after,
            "largest_shift_mm": self.largest_shift_mm,
            "iterations": self.iterations,
            "stop_reason": self.stop_reason,
            "warning": self.warning,
            "parameters": _written(self.parameters),
            # About which the transform turns: without it the parameters are no transform.
            "centre": _written(self.transform.GetFixedParameters()),
        }


def register(
    moving: sitk.Image, fixed: sitk.Image, kind: Kind, fixed_mask: sitk.Image | None = None, seed: int = 0
) -> Registration:
    """Register ``moving`` to ``fixed``, starting from where the scanner's coordinates put them.

    Scalar images of 2 or 3 dimensions; they are compared within 20 mm of ``fixed_mask`` (any grid;
    non-zero is inside), or everywhere. An affine registration starts from the rigid one. Three
    resolutions, one thread, and points drawn by ``seed``: the same input gives the same transform. The
    metric is Mattes mutual information (Mattes et al., IEEE Trans Med Imaging 2003;22:120-128), which
    also holds between contrasts that differ. What cannot be registered gets the identity and a
    warning. Raises StudyError when the images differ in dimensions.
    """
    dimension = fixed.GetDimension()
    if moving.GetDimension() != dimension:
        raise StudyError(
            f"An image of {moving.GetDimension()} dimensions cannot be registered to one of {dimension}. "
            "Give both as volumes or both as single slices."
        )
    centre = _middle(fixed)
    try:
        mask = _mask_on(fixed, fixed_mask)
        fixed, mask = _cut_to(fixed, mask)
        centre = _middle(fixed)
        pair = _Pair(_prepared(_around(moving, fixed), "moving"), _prepared(fixed, "fixed"), mask, seed)
    except _CannotRegisterError as reason:
        return _unregistered(kind, _rigid(centre), str(reason))
    return pair.registered(kind, _rigid(centre))


def resampled_like(
    moving: sitk.Image,
    grid: sitk.Image,
    transform: sitk.Transform | None = None,
    interpolator: Literal["linear", "nearest"] = "linear",
) -> sitk.Image:
    """Resample ``moving`` onto the grid of another image through a transform (none: the identity).

    ``linear`` gives single precision, NaN beyond the moving image; a voxel has a value where at least
    half of what it is interpolated from has one, and the value is that of this part. ``nearest`` keeps
    the pixel type, and has 0 beyond the image. Nothing is smoothed first. Raises StudyError when the
    dimensions differ.
    """
    if moving.GetDimension() != grid.GetDimension():
        raise StudyError(
            f"An image of {moving.GetDimension()} dimensions cannot be resampled onto a grid of "
            f"{grid.GetDimension()}."
        )
    way = transform or sitk.Transform(grid.GetDimension(), sitk.sitkIdentity)
    if interpolator == "nearest":
        return sitk.Resample(moving, grid, way, sitk.sitkNearestNeighbor, 0, moving.GetPixelID())
    values = sitk.Cast(moving, sitk.sitkFloat32)
    finite = np.isfinite(sitk.GetArrayViewFromImage(values))
    if finite.all():
        return sitk.Resample(values, grid, way, sitk.sitkLinear, float("nan"), sitk.sitkFloat32)
    return _interpolated_where_finite(values, finite, grid, way)


def bounding_box(mask: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """First index along x, y (and z) that is inside a mask, and the first beyond it.

    Both are 0 for an empty mask.
    """
    inside = sitk.GetArrayViewFromImage(mask) != 0
    if not inside.any():
        return np.zeros(inside.ndim, dtype=int), np.zeros(inside.ndim, dtype=int)
    # The array's axes run the other way.
    box = spans(inside)[::-1]
    return np.array([side.start for side in box]), np.array([side.stop for side in box])


class _CannotRegisterError(Exception):
    """Why a pair of images cannot be registered, in words for the table of registrations."""


@dataclass(frozen=True)
class _Pair:
    """Two images as the metric sees them."""

    moving: sitk.Image
    fixed: sitk.Image
    mask: sitk.Image
    seed: int

    def registered(self, kind: Kind, start: sitk.Transform) -> Registration:
        try:
            before, overlap = self.metric(start), self.overlap(start)
            found, iterations, stop = self.optimised(start)
            after, warning = self.metric(found), ""
            if kind == "affine":
                rigid, rigid_after, found = found, after, _affine(found)
                found, more, stop = self.optimised(found)
                iterations, after = iterations + more, self.metric(found)
                if not after < rigid_after:
                    found, after, warning = _affine(rigid), rigid_after, RIGID_KEPT
        except RuntimeError as error:
            return _unregistered(kind, start, _last_line(error))
        overlap_after = self.overlap(found)
        if not after < before:
            warning = NOTHING_MOVED
        elif overlap_after < LEAST_OVERLAP * overlap:
            warning = RAN_AWAY
        stays = warning in (NOTHING_MOVED, RAN_AWAY)
        used = _start(kind, start) if stays else found
        return Registration(
            transform=used,
            kind=kind,
            status="identity" if stays else "registered",
            metric_before=before,
            metric_after=after,
            overlap_before=overlap,
            overlap_after=overlap_after,
            largest_shift_mm=_largest_shift(used, self.mask),
            iterations=iterations,
            stop_reason=stop,
            warning=warning,
            parameters=tuple(used.GetParameters()),
        )

    def metric(self, transform: sitk.Transform) -> float:
        """Metric at full resolution over every voxel that is compared."""
        method = self._method()
        method.SetInitialTransform(transform)
        return float(method.MetricEvaluate(self.fixed, self.moving))

    def overlap(self, transform: sitk.Transform) -> float:
        everywhere = sitk.Image(self.moving.GetSize(), sitk.sitkUInt8) + 1
        everywhere.CopyInformation(self.moving)
        hit = sitk.GetArrayFromImage(resampled_like(everywhere, self.mask, transform, "nearest"))
        return float(hit[sitk.GetArrayViewFromImage(self.mask) != 0].mean())

    def optimised(self, start: sitk.Transform) -> tuple[sitk.Transform, int, str]:
        """Return the transform, the iterations of all levels, and why the last level stopped.

        The pyramid is built here, as SimpleITK's own never shrinks the moving image, which takes
        most of the time, and shrinks all axes alike, which a stack of few slices cannot bear.
        """
        found, count, stop = _copy(start), _Counter(), ""
        for factor in SHRINK_FACTORS:
            fixed, moving = _shrunk(self.fixed, factor), _shrunk(self.moving, factor)
            method = self._method()
            method.SetInitialTransform(found, inPlace=True)
            method.SetMetricSamplingStrategy(method.RANDOM)
            share = min(1.0, SAMPLED_POINTS / fixed.GetNumberOfPixels())
            # SimpleITK takes a seed of 0 for the wall clock's time.
            method.SetMetricSamplingPercentage(share, self.seed % (2**32 - 1) + 1)
            method.SetOptimizerAsRegularStepGradientDescent(
                FIRST_STEP_MM, LAST_STEP_MM, STEPS_PER_LEVEL, RELAXATION, FLAT
            )
            method.SetOptimizerScalesFromPhysicalShift()
            method.AddCommand(sitk.sitkIterationEvent, count)
            method.Execute(fixed, moving)
            stop = method.GetOptimizerStopConditionDescription()
        return found, count.calls, stop

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetNumberOfWorkUnits(1)
        method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
        method.SetMetricFixedMask(self.mask)
        method.SetInterpolator(sitk.sitkLinear)
        return method


class _Counter:
    calls = 0

    def __call__(self) -> None:
        self.calls += 1


def _unregistered(kind: Kind, start: sitk.Transform, reason: str) -> Registration:
    transform = _start(kind, start)
    return Registration(
        transform=transform,
        kind=kind,
        status="identity",
        metric_before=None,
        metric_after=None,
        overlap_before=None,
        overlap_after=None,
        largest_shift_mm=0.0,
        iterations=0,
        stop_reason="",
        warning=f"not registered: {reason}",
        parameters=tuple(transform.GetParameters()),
    )


def _rigid(centre: tuple[float, ...]) -> sitk.Transform:
    identity = sitk.Euler3DTransform() if len(centre) == 3 else sitk.Euler2DTransform()
    identity.SetCenter(centre)
    return identity


def _affine(rigid: sitk.Transform) -> sitk.Transform:
    affine = sitk.AffineTransform(rigid.GetDimension())
    affine.SetCenter(rigid.GetCenter())
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _start(kind: Kind, start: sitk.Transform) -> sitk.Transform:
    return start if kind == "rigid" else _affine(start)


def _copy(transform: sitk.Transform) -> sitk.Transform:
    return type(transform)(transform)


def _mask_on(fixed: sitk.Image, mask: sitk.Image | None) -> sitk.Image:
    if mask is None:
        whole = sitk.Image(fixed.GetSize(), sitk.sitkUInt8) + 1
        whole.CopyInformation(fixed)
        return whole
    inside = resampled_like(sitk.Cast(mask != 0, sitk.sitkUInt8), fixed, None, "nearest")
    if not sitk.GetArrayViewFromImage(inside).any():
        raise _CannotRegisterError("the mask has no voxel in the fixed image")
    return inside


def _cut_to(fixed: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Cut both to the mask, its surroundings and what smoothing draws on, and grow the mask."""
    low, high = bounding_box(mask)
    margin = np.ceil(SURROUND_MM / np.array(fixed.GetSpacing())).astype(int) + MASK_MARGIN
    low = np.maximum(low - margin, 0)
    size = (np.minimum(high + margin, fixed.GetSize()) - low).tolist()
    near = sitk.RegionOfInterest(mask, size, low.tolist())
    if not sitk.GetArrayViewFromImage(near).all():
        distance = sitk.SignedMaurerDistanceMap(near, squaredDistance=False, useImageSpacing=True)
        near = sitk.Cast(distance <= SURROUND_MM, sitk.sitkUInt8)
    voxels = int(sitk.GetArrayViewFromImage(near).sum())
    if voxels < MINIMUM_VOXELS:
        raise _CannotRegisterError(
            f"only {voxels} voxels lie within {SURROUND_MM:g} mm of the mask, {MINIMUM_VOXELS} needed"
        )
    return sitk.RegionOfInterest(fixed, size, low.tolist()), near


def _prepared(image: sitk.Image, which: str) -> sitk.Image:
    """Clip the thousandths at both ends, which would take most of the histogram's bins."""
    values = sitk.GetArrayFromImage(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise _CannotRegisterError(f"the {which} image holds values that are not finite")
    low, high = np.percentile(values, [0.1, 99.9])
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        raise _CannotRegisterError(f"every grey value of the {which} image is {low:g}")
    clipped = sitk.GetImageFromArray(np.clip(values, np.float32(low), np.float32(high)))
    clipped.CopyInformation(image)
    return clipped


def _around(image: sitk.Image, box: sitk.Image) -> sitk.Image:
    """Cut ``image`` to what lies within one size of the box: tissue never went farther."""
    reach = product(*[(-n - 0.5, 2 * n - 0.5) for n in box.GetSize()])
    points = [box.TransformContinuousIndexToPhysicalPoint(corner) for corner in reach]
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points])
    low = np.clip(np.floor(indices.min(axis=0)), 0, image.GetSize()).astype(int)
    high = np.clip(np.ceil(indices.max(axis=0)) + 1, 0, image.GetSize()).astype(int)
    if np.any(high <= low):
        raise _CannotRegisterError("the images do not overlap")
    return sitk.RegionOfInterest(image, (high - low).tolist(), low.tolist())


def _shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    """Smooth and thin out, along each axis as far as its length allows."""
    factors = [max(1, min(factor, length // SHORTEST_SIDE)) for length in image.GetSize()]
    if max(factors) == 1:
        return image
    widths = [(f / 2) ** 2 if f > 1 else 0.0 for f in factors]
    return sitk.Shrink(sitk.DiscreteGaussian(image, widths, useImageSpacing=False), factors)


def _middle(image: sitk.Image) -> tuple[float, ...]:
    return tuple(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _largest_shift(transform: sitk.Transform, box: sitk.Image) -> float:
    largest = -inf
    for corner in product(*[(-0.5, n - 0.5) for n in box.GetSize()]):
        point = box.TransformContinuousIndexToPhysicalPoint(corner)
        largest = max(largest, float(np.linalg.norm(np.subtract(transform.TransformPoint(point), point))))
    return largest


def _interpolated_where_finite(
    image: sitk.Image, finite: np.ndarray, grid: sitk.Image, transform: sitk.Transform
) -> sitk.Image:
    def resampled(values: np.ndarray) -> np.ndarray:
        source = sitk.GetImageFromArray(values)
        source.CopyInformation(image)
        # Double precision, or a share of exactly one would not come out as one.
        result = sitk.Resample(source, grid, transform, sitk.sitkLinear, float("nan"), sitk.sitkFloat64)
        return sitk.GetArrayFromImage(result)

    values = sitk.GetArrayFromImage(image).astype(np.float64)
    share = resampled(finite.astype(np.float64))
    total = resampled(np.where(finite, values, 0.0))
    result = np.full(share.shape, np.nan)
    np.divide(total, share, out=result, where=share >= HALF)
    out = sitk.GetImageFromArray(result.astype(np.float32))
    out.CopyInformation(grid)
    return out


def _written(numbers: Iterable[float]) -> str:
    return " ".join(repr(value) for value in numbers)


def _last_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]
