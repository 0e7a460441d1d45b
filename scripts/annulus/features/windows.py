"""Boxes of voxels: where regions lie in an image, and how far around them a filter must see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from annulus.imaging.boxes import spans


@dataclass(frozen=True)
class Window:
    """A box of voxels from ``low`` to before ``high``, indexed like arrays: (slice, row, column)."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @classmethod
    def of(cls, inside: np.ndarray, corner: Sequence[int] | None = None) -> "Window | None":
        """Return the smallest box around what is set in ``inside``, which begins at ``corner``; else None."""
        if not inside.any():
            return None
        start = corner or (0,) * inside.ndim
        sides = list(zip(spans(inside), start, strict=True))
        return cls(tuple(s.start + a for s, a in sides), tuple(s.stop + a for s, a in sides))

    @classmethod
    def around(cls, windows: Iterable["Window"]) -> "Window":
        """Return the smallest box around several."""
        every = list(windows)
        return cls(
            tuple(int(n) for n in np.min([w.low for w in every], axis=0)),
            tuple(int(n) for n in np.max([w.high for w in every], axis=0)),
        )

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Window":
        """Return the box of a whole array."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along every axis."""
        return tuple(b - a for a, b in zip(self.low, self.high, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """What cuts the box out of an array."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))

    def grown(self, reach: Sequence[int], shape: Sequence[int]) -> "Window":
        """Return the box with ``reach`` voxels more on every side, as far as an array of ``shape`` goes."""
        sides = zip(self.low, self.high, reach, shape, strict=True)
        box = [(max(0, low - more), min(size, high + more)) for low, high, more, size in sides]
        return Window(tuple(low for low, _ in box), tuple(high for _, high in box))

    def within(self, other: "Window") -> "Window":
        """Return this box as seen from the corner of ``other``."""
        return Window(
            tuple(a - b for a, b in zip(self.low, other.low, strict=True)),
            tuple(a - b for a, b in zip(self.high, other.low, strict=True)),
        )
