"""The grid of a resampled image, of which only what is needed is ever computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from annulus.features.regions import CannotExtract, RegionMask
from annulus.features.windows import Window

# A cubic B-spline's coefficients forget a voxel by a factor of 0.27 per voxel.
SPLINE_REACH = 32

# Places are compared to this many decimals of a voxel.
POSITION_DECIMALS = 9


@dataclass(frozen=True)
class Lattice:
    """The voxels of a whole image after resampling, all lengths by array axis: (z, y, x).

    ``spacing`` and ``shift`` are in mm, ``shift`` from the image's first voxel to the lattice's, so that
    both have the same centre, as IBSI asks for. Without resampling it is the image's own grid.
    """

    shape: tuple[int, ...]
    steps_mm: np.ndarray
    image_shape: tuple[int, ...]
    image_steps_mm: np.ndarray
    shift_mm: np.ndarray
    resampled: bool

    @classmethod
    def of(cls, pixels: sitk.Image, wanted: Sequence[float]) -> "Lattice":
        """Lay the lattice over an image; ``wanted`` is the spacing (x, y, z), 0 for the image's own."""
        size, old = np.array(pixels.GetSize()[::-1]), np.array(pixels.GetSpacing()[::-1])
        own = tuple(int(n) for n in size)
        if not wanted:
            return cls(own, old, own, old, np.zeros(len(own)), False)
        new = np.array(wanted[: len(size)])[::-1]
        if len(new) != len(size):
            raise CannotExtract(
                f"resampledPixelSpacing has {len(new)} values, the image {len(size)} dimensions"
            )
        new = np.where(new == 0, old, new)
        # Rounded first: 0.3 / 0.1 is 2.9999999999999996, and must not cost or add a pixel.
        count = np.ceil(np.round(size * old / new, 6)).astype(int)
        shift = ((size - 1) * old - (count - 1) * new) / 2
        return cls(tuple(int(n) for n in count), new, own, old, shift, True)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing (x, y, z) in mm."""
        return tuple(float(step) for step in self.steps_mm[::-1])

    def covering(self, box: Window) -> Window:
        """Return the lattice's box over a box of the image."""
        if not self.resampled:
            return box
        edges = [(np.array(ends) - 0.5) * self.image_steps_mm - self.shift_mm for ends in (box.low, box.high)]
        low = np.floor(edges[0] / self.steps_mm).clip(0)
        high = np.minimum(np.ceil(edges[1] / self.steps_mm) + 1, self.shape)
        return Window(tuple(map(int, low)), tuple(map(int, high)))

    def cut(self, pixels: sitk.Image, box: Window, change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
        """Compute the grey values of a box of the lattice; ``change`` normalises those of the image."""
        if not self.resampled:
            return _changed(pixels[tuple(box.slices[::-1])], change)
        near = self._under(box).grown((SPLINE_REACH,) * len(box.low), self.image_shape)
        direction = np.array(pixels.GetDirection()).reshape(len(self.shape), len(self.shape))
        offset = (self.shift_mm + np.array(box.low) * self.steps_mm)[::-1]
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
        for axis, (first, end) in enumerate(zip(own.low, own.high, strict=True)):
            share = self._interpolated(share, axis, region.corner[axis], np.arange(first, end))
        inside = np.round(share, POSITION_DECIMALS) >= 0.5
        return RegionMask.of(region.name, region.kind, inside, own.within(box).low)

    def _interpolated(self, values: np.ndarray, axis: int, corner: int, wanted: np.ndarray) -> np.ndarray:
        """Interpolate a part that begins at ``corner`` linearly at the lattice's places along an axis."""
        place = (self.shift_mm[axis] + wanted * self.steps_mm[axis]) / self.image_steps_mm[axis]
        place = np.round(place, POSITION_DECIMALS).clip(0, self.image_shape[axis] - 1)
        below = np.floor(place).astype(int)
        # One voxel of nothing on either side stands for all that lies beyond the part.
        padded = np.pad(np.moveaxis(values, axis, -1), [(0, 0)] * (values.ndim - 1) + [(1, 1)])
        last = padded.shape[-1] - 1
        low, high = (padded[..., (index - corner + 1).clip(0, last)] for index in (below, below + 1))
        return np.moveaxis(low + (high - low) * (place - below), -1, axis)

    def _under(self, box: Window) -> Window:
        """Return the image's box under a box of the lattice."""
        places = [
            self.shift_mm + ends * self.steps_mm for ends in (np.array(box.low), np.array(box.high) - 1)
        ]
        low, high = np.floor(places[0] / self.image_steps_mm), np.ceil(places[1] / self.image_steps_mm) + 1
        return Window(tuple(map(int, low)), tuple(map(int, high)))


def _changed(pixels: sitk.Image, change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    values = sitk.GetArrayFromImage(pixels)
    found = change(values)
    if found is values:
        return pixels
    image = sitk.GetImageFromArray(found)
    image.CopyInformation(pixels)
    return image
