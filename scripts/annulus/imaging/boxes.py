"""The box around what is set in a mask."""

import numpy as np


def spans(values: np.ndarray) -> tuple[slice, ...]:
    """Return the bounding box of what is not zero; there must be something."""
    found = []
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        held = np.flatnonzero(np.any(values, axis=others))
        found.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(found)
