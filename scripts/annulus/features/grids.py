"""Where features are computed: the grid, its grey values, and the regions on it.

Two modes. ``shared`` prepares an image once for all of its regions: a box around all of them, wide enough
that no filter can tell it from the whole image, on one grid. ``compatible`` prepares what pyradiomics'
``execute()`` would prepare, region by region where its numbers depend on the region.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk
from radiomics import imageoperations

from annulus.features.filters import GRADIENT_REACH, Extremes, View
from annulus.features.lattice import Lattice
from annulus.features.regions import CannotExtract, RegionMask
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

Reasons = dict[str, str]


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
    on_grid = [grid.place(region, box) for region in regions]
    return _one_stage(on_grid, pixels, Extremes.of(ends), settings, lost)


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
        own = settings.setting_of("Wavelet")
        length = pywt.Wavelet(own.get("wavelet", "coif1")).dec_len
        voxels = np.maximum(voxels, length * (own.get("start_level", 0) + own.get("level", 1)))
    if "LBP2D" in settings.image_types:
        radius = settings.setting_of("LBP2D").get("lbp2DRadius", 1)
        voxels = np.maximum(voxels, int(np.ceil(radius)) + 1)
    if "LoG" in settings.image_types:
        widest = max(settings.setting_of("LoG")["sigma"])
        log = np.ceil(LOG_REACH_SIGMAS * widest / np.array(spacing[::-1])).astype(int)
        voxels = np.maximum(voxels, log)
    return tuple(int(n) for n in voxels)


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
    extremes = Extremes.of(sitk.GetArrayViewFromImage(pixels))
    return _one_stage(regions, pixels, extremes, settings, lost)


def _region_by_region(
    pixels: sitk.Image, regions: Sequence[RegionMask], settings: Settings, lost: Reasons
) -> tuple[list[Stage], Reasons]:
    found: list[Stage] = []
    source = _Source(pixels, settings.setting)
    for region in regions:
        try:
            cut, inside = source.around(region)
        except (ValueError, AssertionError, RuntimeError) as error:
            lost = lost | {region.name: str(error)}
            continue
        own = RegionMask.of(region.name, region.kind, inside)
        extremes = Extremes.of(sitk.GetArrayViewFromImage(cut))
        stages_of_region, lost = _one_stage([own], cut, extremes, settings, lost)
        found += stages_of_region
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
        shape = self.pixels.GetSize()[::-1]
        whole = region.inside(shape)
        if self.setting["resampledPixelSpacing"] is None or self.interpolator is None:
            window = region.window.grown((self.setting["padDistance"],) * len(shape), shape)
            return self.pixels[tuple(window.slices[::-1])], whole[window.slices]
        mask = sitk.GetImageFromArray(whole.astype(np.uint8))
        mask.CopyInformation(self.pixels)
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


def _one_stage(
    regions: Sequence[RegionMask],
    pixels: sitk.Image,
    extremes: Extremes,
    settings: Settings,
    lost: Reasons,
) -> tuple[list[Stage], Reasons]:
    """Return the stage of regions on one grid, if any, and ``lost`` with those that are too small."""
    checked = {region.name: _placed(region, pixels, settings) for region in regions}
    placed = tuple(found for found in checked.values() if isinstance(found, Placed))
    lost = lost | {name: found for name, found in checked.items() if isinstance(found, str)}
    if not placed:
        return [], lost
    return [Stage(pixels, placed, extremes, mirrored=settings.mode == "shared")], lost


def _placed(region: RegionMask, pixels: sitk.Image, settings: Settings) -> Placed | str:
    """Check a region on its grid, and leave out grey values beyond the settings' range.

    Returns why, where the region is too small.
    """
    setting = settings.setting
    reason = _too_small(region, setting)
    if reason:
        return reason
    if setting["resegmentRange"] is None:
        return Placed(region, region)
    texture = _resegmented(region, pixels, setting)
    reason = _too_small(texture, setting) if texture.part.sum() > 1 else "resegmentRange leaves no voxels"
    if reason:
        return reason
    outline = texture if setting.get("resegmentShape", False) else region
    if settings.mode == "compatible" and outline is region:
        # pyradiomics cuts the outline to the box of what is left.
        part = region.part[texture.window.within(region.window).slices]
        outline = RegionMask(region.name, region.kind, part, texture.corner)
    return Placed(outline, texture)


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
