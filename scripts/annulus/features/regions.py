"""Regions of an image as extraction takes them, cut to where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from annulus.features.windows import Window


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
