"""Co-occurrence, run length, dependence and tone difference matrices from one pass over neighbours.

pyradiomics walks the whole bounding box once per class and direction. Here every direction is looked
along once, from the region's own voxels, and all four matrices are counted from what is seen. Counts are
whole numbers, so they are the same as pyradiomics' own; a test holds them against each other.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from radiomics import cMatrices


@dataclass(frozen=True)
class Counts:
    """What is counted around the voxels of a region, in the shapes of pyradiomics' C functions.

    With n the highest grey level and a directions: ``cooccurrence`` is (1, n, n, a), ``runs`` (1, n,
    longest side of the bounding box, a), ``dependence`` (1, n, 4 a + 1) by number of equal neighbours,
    ``differences`` (1, n, 3): voxels, the sum of distances between a voxel's level and its neighbours'
    mean level, and the level.
    """

    cooccurrence: np.ndarray
    runs: np.ndarray
    dependence: np.ndarray
    differences: np.ndarray
    directions: np.ndarray


@dataclass(frozen=True)
class NeighbourMatrices:
    """Stands in for pyradiomics' module of C functions, for one region: counts once, answers each class.

    ``matrix`` holds grey levels from 1 inside the region's bounding box and 0 outside the region.
    ``force_2d`` leaves out directions along the array's axis ``flat_axis``. What is not counted here
    (distances other than 1, a cut-off of dependence, zones) is left to the C functions.
    """

    matrix: np.ndarray
    force_2d: bool
    flat_axis: int
    calculate_glszm: Any = field(default=staticmethod(cMatrices.calculate_glszm), repr=False)

    @cached_property
    def counts(self) -> Counts:
        """Everything counted in one pass."""
        return count_neighbours(self.matrix, self.force_2d, self.flat_axis)

    def calculate_glcm(self, *given: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the co-occurrence matrix and its directions."""
        if not _is_next(given[2]):
            return cMatrices.calculate_glcm(*given)
        return self.counts.cooccurrence, self.counts.directions

    def calculate_glrlm(self, *given: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the run length matrix and its directions."""
        return self.counts.runs, self.counts.directions

    def calculate_gldm(self, *given: Any) -> np.ndarray:
        """Return the dependence matrix."""
        if not _is_next(given[2]) or given[4] != 0:
            return cMatrices.calculate_gldm(*given)
        return self.counts.dependence

    def calculate_ngtdm(self, *given: Any) -> np.ndarray:
        """Return the tone difference matrix."""
        if not _is_next(given[2]):
            return cMatrices.calculate_ngtdm(*given)
        return self.counts.differences


def _is_next(distances: np.ndarray) -> bool:
    return distances.tolist() == [1]


def count_neighbours(matrix: np.ndarray, force_2d: bool, flat_axis: int) -> Counts:
    """Look around every voxel of a region once; arguments as in ``NeighbourMatrices``."""
    directions = cMatrices.generate_angles(np.array(matrix.shape), np.array([1]), False, force_2d, flat_axis)
    view = _View.of(matrix)
    n, own = int(view.own.max()), view.own - 1
    cooccurrence = np.zeros((1, n, n, len(directions)))
    runs = np.zeros((1, n, max(matrix.shape), len(directions)))
    equal = np.zeros(len(own), dtype=np.int64)
    seen, total = equal.copy(), equal.copy()
    for number, direction in enumerate(directions):
        step = int(direction @ view.strides)
        ahead, behind = view.along(step), view.along(-step)
        cooccurrence[0, :, :, number] = _pairs(own, ahead, n)
        # As in pyradiomics, a direction whose every line meets the region once has no runs at all.
        if ahead.any() or view.meets_twice(direction):
            runs[0, :, :, number] = view.runs(ahead, behind, step, n, max(matrix.shape))
        for levels in (ahead, behind):
            equal += levels == view.own
            seen += levels > 0
            total += levels
    # pyradiomics leaves room for twice the neighbours there are; numpy's order of adding depends on it.
    most = 4 * len(directions) + 1
    dependence = np.bincount(own * most + equal, minlength=n * most).reshape(1, n, most).astype(float)
    mean = np.divide(total, seen, out=view.own.astype(float), where=seen > 0)
    voxels = np.bincount(own, minlength=n)
    columns = [voxels, np.bincount(own, np.abs(view.own - mean), n), np.arange(1, n + 1)]
    differences = np.ascontiguousarray(np.array(columns, dtype=float).T)[None]
    return Counts(cooccurrence, runs, dependence, differences, directions)


def _pairs(own: np.ndarray, ahead: np.ndarray, n: int) -> np.ndarray:
    inside = ahead > 0
    return np.bincount(own[inside] * n + ahead[inside] - 1, minlength=n * n).reshape(n, n)


@dataclass(frozen=True)
class _View:
    """A region's voxels in its bounding box with a margin of 0, so that no step leads around a corner."""

    shaped: np.ndarray
    flat: np.ndarray
    where: np.ndarray
    own: np.ndarray
    strides: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> "_View":
        padded = np.pad(matrix, 1)
        flat = padded.ravel()
        where = np.flatnonzero(flat)
        return cls(padded, flat, where, flat[where], np.array(padded.strides) // padded.itemsize)

    def along(self, step: int) -> np.ndarray:
        """Return the grey level one step from every voxel, 0 outside the region."""
        return self.flat[self.where + step]

    def meets_twice(self, direction: np.ndarray) -> bool:
        """Say whether some line along ``direction`` meets the region more than once."""
        places = np.argwhere(self.shaped)
        axis = int(np.flatnonzero(direction)[0])
        lines = places - (places[:, axis] * direction[axis])[:, None] * direction
        return len(np.unique(lines, axis=0)) < len(lines)

    def runs(self, ahead: np.ndarray, behind: np.ndarray, step: int, n: int, longest: int) -> np.ndarray:
        """Count runs of equal levels along ``step`` by level and length."""
        found = np.zeros((n, longest))
        starts, goes_on = behind != self.own, ahead == self.own
        found[:, 0] = np.bincount(self.own[starts & ~goes_on] - 1, minlength=n)
        long = starts & goes_on
        place, level = self.where[long] + step, self.own[long]
        for length in range(1, longest):
            if not len(place):
                break
            place = place + step
            on = self.flat[place] == level
            found[:, length] = np.bincount(level[~on] - 1, minlength=n)
            place, level = place[on], level[on]
        return found
