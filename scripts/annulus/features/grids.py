"""Where features are computed: the grid, its grey values, and the regions on it.

Two modes. ``shared`` prepares an image once for all of its regions: a box around all of them, wide enough
that no filter can tell it from the whole image, on one grid. ``compatible`` prepares what pyradiomics'
``execute()`` would prepare, region by region where its numbers depend on the region.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk
from radiomics import imageoperations

from annulus.features.filters import GRADIENT_REACH, Extremes, View
from annulus.features.settings import Settings
from annulus.features.windows import Window
from annulus.imaging.preparing import (
    CannotPrepareError,
    grey_scale,
    normalised,
    reference_tissue,
)
from annulus.imaging.reading import Image

# With less, a Laplacian of Gaussian still sees where the box ends; see docs/features.md.
LOG_REACH_SIGMAS = 6.0

# A cubic B-spline's coefficients forget a voxel by a factor of 0.27 per voxel.
SPLINE_REACH = 32

# Places are compared to this many decimals of a voxel.
POSITION_DECIMALS = 9

Reasons = dict[str, str]


class CannotExtract(Exception):
    """An image or region without features; the message says why."""


@dataclass(frozen=True)
class RegionMask:
    """One region of an image: its name, kind and mask, cut to ``part`` that begins at ``corner``."""

    name: str
    kind: str
    part: np.ndarray
    corner: tuple[int, ...]

    @classmethod
    def of(
        cls, name: str, kind: str, inside: np.ndarray, corner: Sequence[int] | None = None
    ) -> "RegionMask":
        """Cut a mask, which begins at ``corner`` of its image, to what is set in it."""
        window = Window.of(inside)
        start = tuple(corner or (0,) * inside.ndim)
        if window is None:
            return cls(name, kind, np.zeros((0,) * inside.ndim, dtype=bool), start)
        place = tuple(a + b for a, b in zip(window.low, start, strict=True))
        return cls(name, kind, inside[window.slices].astype(bool), place)

    @cached_property
    def window(self) -> Window:
        """Its box in the image."""
        return Window(self.corner, tuple(a + n for a, n in zip(self.corner, self.part.shape, strict=True)))

    def inside(self, shape: Sequence[int]) -> np.ndarray:
        """Return its mask in an image of ``shape``."""
        whole = np.zeros(shape, dtype=bool)
        whole[self.window.slices] = self.part
        return whole


@dataclass(frozen=True)
class Placed:
    """A region on the grid its features come from: ``outline`` for shape, ``texture`` for the rest.

    They differ where the settings leave out grey values of a range (``resegmentRange``).
    """

    outline: RegionMask
    texture: RegionMask


@dataclass(frozen=True)
class Stage:
    """A grid with its grey values and the regions whose features come from it."""

    pixels: sitk.Image
    placed: tuple[Placed, ...]
    extremes: Extremes
    mirrored: bool

    @cached_property
    def view(self) -> View:
        """What filters work on: a window around all regions."""
        window = Window.around(one.texture.window for one in self.placed)
        return View(self.pixels, window, self.extremes, self.mirrored)


def stages(
    image: Image,
    regions: Sequence[RegionMask],
    tissue: sitk.Image | None,
    settings: Settings,
    phases: Iterable[Image] = (),
    beside: Sequence[RegionMask] = (),
) -> tuple[list[Stage], Reasons]:
    """Prepare an image for its regions.

    ``tissue`` is the breast mask to normalise within; ``phases`` are further images that the same grey
    scale is to hold for, ``beside`` regions that are no part of that tissue. Returns the stages and, for
    regions that have none, why. Raises CannotExtract, saying why, when the whole image is of no use.
    """
    if settings.spacing and image.spacing_source == "unknown":
        raise CannotExtract("the pixel size is unknown, so the image cannot be resampled")
    present = [region for region in regions if region.part.any()]
    lost = {region.name: "the region is empty" for region in regions if not region.part.any()}
    if not present:
        return [], lost
    if settings.mode == "compatible":
        return _compatible(image, present, settings, lost)
    scale = _scale(image, [*present, *beside], tissue, settings, phases)
    return _shared(image, present, scale, settings, lost)


# --- shared ------------------------------------------------------------------------------------


def _shared(
    image: Image,
    regions: Sequence[RegionMask],
    scale: tuple[float, float] | None,
    settings: Settings,
    lost: Reasons,
) -> tuple[list[Stage], Reasons]:
    whole = sitk.GetArrayViewFromImage(image.pixels)
    ends = normalised(np.array([whole.min(), whole.max()]), scale, settings.preparation)
    grid = Lattice.of(image.pixels, settings.spacing)
    union = Window.around(region.window for region in regions)
    box = Window.whole(grid.shape)
    if len(grid.shape) == 3:
        box = grid.covering(union).grown(_reach(settings, grid.spacing), grid.shape)
    pixels = grid.cut(image.pixels, box, lambda values: normalised(values, scale, settings.preparation))
    placed = []
    for region in regions:
        on_grid = grid.place(region, box)
        found, reason = _placed(on_grid, pixels, settings, shape_of_texture=False)
        if found is None:
            lost[region.name] = reason
        else:
            placed.append(found)
    if not placed:
        return [], lost
    return [Stage(pixels, tuple(placed), Extremes.of(ends), mirrored=True)], lost


def _scale(
    image: Image,
    regions: Sequence[RegionMask],
    tissue: sitk.Image | None,
    settings: Settings,
    phases: Iterable[Image],
) -> tuple[float, float] | None:
    def values() -> Iterable[np.ndarray]:
        yield sitk.GetArrayViewFromImage(image.pixels)
        for phase in phases:
            yield sitk.GetArrayViewFromImage(phase.pixels)

    try:
        return grey_scale(values(), _reference(tissue, regions), settings.preparation)
    except CannotPrepareError as error:
        raise CannotExtract(str(error)) from None


def _reference(tissue: sitk.Image | None, regions: Sequence[RegionMask]) -> np.ndarray | None:
    if tissue is None:
        return None
    breast = sitk.GetArrayViewFromImage(tissue) > 0
    inside = np.zeros(breast.shape, dtype=bool)
    for region in regions:
        inside[region.window.slices] |= region.part
    return reference_tissue(breast, inside)


def _reach(settings: Settings, spacing: Sequence[float]) -> tuple[int, ...]:
    """How many voxels (z, y, x) around the regions the widest filter sees."""
    voxels = np.full(len(spacing), GRADIENT_REACH)
    if "Wavelet" in settings.image_types:
        own = {**settings.setting, **settings.image_types["Wavelet"]}
        length = pywt.Wavelet(own.get("wavelet", "coif1")).dec_len
        voxels = np.maximum(voxels, length * (own.get("start_level", 0) + own.get("level", 1)))
    if "LBP2D" in settings.image_types:
        radius = settings.image_types["LBP2D"].get("lbp2DRadius", 1)
        voxels = np.maximum(voxels, int(np.ceil(radius)) + 1)
    widest = max(settings.image_types.get("LoG", {}).get("sigma", [0.0]))
    log = np.ceil(LOG_REACH_SIGMAS * widest / np.array(spacing[::-1])).astype(int)
    return tuple(int(n) for n in np.maximum(voxels, log))


@dataclass(frozen=True)
class Lattice:
    """The voxels of a whole image after resampling, of which only what is needed is ever computed.

    ``shape`` is (z, y, x); ``spacing`` and ``shift`` (x, y, z) in mm, ``shift`` from the image's first
    voxel to the lattice's, so that both have the same centre, as IBSI asks for.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    old_shape: tuple[int, ...]
    old_spacing: tuple[float, ...]
    shift: tuple[float, ...]
    resampled: bool

    @classmethod
    def of(cls, pixels: sitk.Image, wanted: Sequence[float]) -> "Lattice":
        """Lay the lattice over an image; a wanted spacing of 0 keeps the image's own."""
        size, old = np.array(pixels.GetSize()), np.array(pixels.GetSpacing())
        if not wanted:
            own = tuple(int(n) for n in size[::-1])
            return cls(own, tuple(old), own, tuple(old), (0.0,) * len(size), False)
        new = np.array(wanted[: len(size)])
        if len(new) != len(size):
            raise CannotExtract(
                f"resampledPixelSpacing has {len(new)} values, the image {len(size)} dimensions"
            )
        new = np.where(new == 0, old, new)
        # Rounded first: 0.3 / 0.1 is 2.9999999999999996, and must not cost or add a pixel.
        count = np.ceil(np.round(size * old / new, 6)).astype(int)
        shift = ((size - 1) * old - (count - 1) * new) / 2
        shapes = (tuple(int(n) for n in each[::-1]) for each in (count, size))
        return cls(next(shapes), tuple(new), next(shapes), tuple(old), tuple(shift), True)

    def covering(self, old: Window) -> Window:
        """Return the lattice's box over a box of the image."""
        if not self.resampled:
            return old
        low, high = [], []
        for axis in range(len(self.shape)):
            end = len(self.shape) - 1 - axis
            new, size, shift = self.spacing[end], self.old_spacing[end], self.shift[end]
            low.append(max(0, int(np.floor(((old.low[axis] - 0.5) * size - shift) / new))))
            far = int(np.ceil(((old.high[axis] - 0.5) * size - shift) / new)) + 1
            high.append(min(self.shape[axis], far))
        return Window(tuple(low), tuple(high))

    def cut(self, pixels: sitk.Image, box: Window, change: Any) -> sitk.Image:
        """Compute the grey values of a box of the lattice; ``change`` normalises those of the image."""
        if not self.resampled:
            return _changed(pixels[tuple(box.slices[::-1])], change)
        near = self._under(box).grown((SPLINE_REACH,) * len(box.low), pixels.GetSize()[::-1])
        direction = np.array(pixels.GetDirection()).reshape(len(self.shape), len(self.shape))
        offset = np.array(self.shift) + np.array(box.low[::-1]) * np.array(self.spacing)
        return sitk.Resample(
            _changed(pixels[tuple(near.slices[::-1])], change),
            [int(n) for n in box.shape[::-1]],
            sitk.Transform(),
            sitk.sitkBSpline,
            (np.array(pixels.GetOrigin()) + direction @ offset).tolist(),
            self.spacing,
            pixels.GetDirection(),
            0.0,
            sitk.sitkFloat64,
        )

    def place(self, region: RegionMask, box: Window) -> RegionMask:
        """Put a region on the lattice, its corner counted from that of ``box``.

        Where half or more of a mask, interpolated linearly, is there (IBSI reference manual, 2020, section
        2.4). Positions are rounded, so that a voxel half in and half out does not hang on rounding.
        """
        if not self.resampled:
            return replace(region, corner=region.window.within(box).low)
        own = self.covering(region.window)
        share = region.part.astype(float)
        for axis in range(share.ndim):
            share = self._interpolated(
                share, axis, region.corner[axis], np.arange(own.low[axis], own.high[axis])
            )
        inside = np.round(share, POSITION_DECIMALS) >= 0.5
        return RegionMask.of(region.name, region.kind, inside, own.within(box).low)

    def _interpolated(self, values: np.ndarray, axis: int, corner: int, wanted: np.ndarray) -> np.ndarray:
        """Interpolate a part that begins at ``corner`` linearly at the lattice's places along an axis."""
        end = len(self.shape) - 1 - axis
        place = (self.shift[end] + wanted * self.spacing[end]) / self.old_spacing[end]
        place = np.round(place, POSITION_DECIMALS).clip(0, self.old_shape[axis] - 1)
        below = np.floor(place).astype(int)
        # One voxel of nothing on either side stands for all that lies beyond the part.
        padded = np.pad(np.moveaxis(values, axis, -1), [(0, 0)] * (values.ndim - 1) + [(1, 1)])
        ends = padded.shape[-1] - 1
        low, high = (padded[..., (index - corner + 1).clip(0, ends)] for index in (below, below + 1))
        return np.moveaxis(low + (high - low) * (place - below), -1, axis)

    def _under(self, box: Window) -> Window:
        """Return the image's box under a box of the lattice."""
        low, high = [], []
        for axis in range(len(self.shape)):
            end = len(self.shape) - 1 - axis
            new, size, shift = self.spacing[end], self.old_spacing[end], self.shift[end]
            low.append(int(np.floor((shift + box.low[axis] * new) / size)))
            high.append(int(np.ceil((shift + (box.high[axis] - 1) * new) / size)) + 1)
        return Window(tuple(low), tuple(high))


def _changed(pixels: sitk.Image, change: Any) -> sitk.Image:
    values = sitk.GetArrayFromImage(pixels)
    found = change(values)
    if found is values:
        return pixels
    image = sitk.GetImageFromArray(found)
    image.CopyInformation(pixels)
    return image


# --- compatible --------------------------------------------------------------------------------


def _compatible(
    image: Image, regions: Sequence[RegionMask], settings: Settings, lost: Reasons
) -> tuple[list[Stage], Reasons]:
    pixels = image.pixels
    if settings.normalise_within == "image":
        pixels = imageoperations.normalizeImage(pixels, **settings.setting)
    resampled = settings.spacing and settings.setting["interpolator"] is not None
    if resampled or settings.setting["preCrop"]:
        return _region_by_region(pixels, regions, settings, lost)
    placed = []
    for region in regions:
        found, reason = _placed(region, pixels, settings, shape_of_texture=True)
        if found is None:
            lost[region.name] = reason
        else:
            placed.append(found)
    if not placed:
        return [], lost
    extremes = Extremes.of(sitk.GetArrayViewFromImage(pixels))
    return [Stage(pixels, tuple(placed), extremes, mirrored=False)], lost


def _region_by_region(
    pixels: sitk.Image, regions: Sequence[RegionMask], settings: Settings, lost: Reasons
) -> tuple[list[Stage], Reasons]:
    found = []
    source = _Source(pixels, settings.setting)
    for region in regions:
        try:
            cut, inside = source.around(region)
        except (ValueError, AssertionError, RuntimeError) as error:
            lost[region.name] = str(error)
            continue
        place, reason = _placed(
            RegionMask.of(region.name, region.kind, inside), cut, settings, shape_of_texture=True
        )
        if place is None:
            lost[region.name] = reason
            continue
        extremes = Extremes.of(sitk.GetArrayViewFromImage(cut))
        found.append(Stage(cut, (place,), extremes, mirrored=False))
    return found, lost


class _Source:
    """An image that pyradiomics would resample for every region anew, its spline fitted once."""

    def __init__(self, pixels: sitk.Image, setting: Mapping[str, Any]) -> None:
        self.pixels, self.setting = pixels, setting
        how = setting.get("interpolator")
        self.interpolator = getattr(sitk, how) if isinstance(how, str) else how
        self.spline: sitk.Image | None = None

    def around(self, region: RegionMask) -> tuple[sitk.Image, np.ndarray]:
        """Return the image and the region's mask on the grid that pyradiomics makes for this region."""
        mask = sitk.GetImageFromArray(region.inside(self.pixels.GetSize()[::-1]).astype(np.uint8))
        mask.CopyInformation(self.pixels)
        if self.setting["resampledPixelSpacing"] is None or self.interpolator is None:
            pad = self.setting["padDistance"]
            window = region.window.grown((pad,) * len(region.corner), self.pixels.GetSize()[::-1])
            return self.pixels[tuple(window.slices[::-1])], region.inside(self.pixels.GetSize()[::-1])[
                window.slices
            ]
        # The mask stands in for the image, whose grid it shares: what is wanted is where both go.
        _, placed = imageoperations.resampleImage(
            mask, mask, **{**self.setting, "interpolator": sitk.sitkNearestNeighbor, "label": 1}
        )
        inside = sitk.GetArrayFromImage(placed) == 1
        if np.allclose(placed.GetSpacing(), self.pixels.GetSpacing()):
            start = self.pixels.TransformPhysicalPointToIndex(placed.GetOrigin())
            cut = tuple(slice(a, a + n) for a, n in zip(start, placed.GetSize(), strict=True))
            return self.pixels[cut], inside
        return self._resampled(placed), inside

    def _resampled(self, grid: sitk.Image) -> sitk.Image:
        kind = self.pixels.GetPixelID()
        if self.interpolator != sitk.sitkBSpline:
            return sitk.Resample(self.pixels, grid, sitk.Transform(), self.interpolator, 0.0, kind)
        if self.spline is None:
            fit = sitk.BSplineDecompositionImageFilter()
            fit.SetSplineOrder(3)
            self.spline = fit.Execute(sitk.Cast(self.pixels, sitk.sitkFloat64))
        return sitk.Resample(self.spline, grid, sitk.Transform(), sitk.sitkBSplineResamplerOrder3, 0.0, kind)


# --- both --------------------------------------------------------------------------------------


def _placed(
    region: RegionMask, pixels: sitk.Image, settings: Settings, shape_of_texture: bool
) -> tuple[Placed | None, str]:
    """Check a region on its grid, and leave out grey values beyond the settings' range.

    With ``shape_of_texture`` the outline is cut to the box of what is left, as pyradiomics does.
    """
    setting = settings.setting
    reason = _too_small(region, setting)
    if reason:
        return None, reason
    if setting["resegmentRange"] is None:
        return Placed(region, region), ""
    texture = _resegmented(region, pixels, setting)
    reason = _too_small(texture, setting) if texture.part.sum() > 1 else "resegmentRange leaves no voxels"
    if reason:
        return None, reason
    outline = texture if setting.get("resegmentShape", False) else region
    if shape_of_texture and outline is region:
        part = region.part[texture.window.within(region.window).slices]
        outline = RegionMask(region.name, region.kind, part, texture.corner)
    return Placed(outline, texture), ""


def _too_small(region: RegionMask, setting: Mapping[str, Any]) -> str:
    count = int(region.part.sum())
    if count == 0:
        return "no voxel of the region is left after resampling"
    extent = sum(n > 1 for n in region.part.shape)
    least = setting["minimumROIDimensions"]
    if extent == 0 or extent < least:
        needed = f"{max(least, 1)} at least are needed (minimumROIDimensions)"
        return f"the region extends along {extent} axes, {needed}"
    size = setting["minimumROISize"]
    if size is not None and count <= size:
        return f"the region has {count} voxels, more than {size} are needed (minimumROISize)"
    return ""


def _resegmented(region: RegionMask, pixels: sitk.Image, setting: Mapping[str, Any]) -> RegionMask:
    values = sitk.GetArrayViewFromImage(pixels)[region.window.slices]
    own = values[region.part]
    limits = sorted(setting["resegmentRange"])
    mode = setting.get("resegmentMode", "absolute")
    if mode == "relative":
        limits = [own.max() * limit for limit in limits]
    elif mode == "sigma":
        limits = [own.mean() + own.std() * limit for limit in limits]
    keep = region.part & (values >= limits[0])
    if len(limits) == 2:
        keep &= values <= limits[1]
    return RegionMask.of(region.name, region.kind, keep, region.corner)
