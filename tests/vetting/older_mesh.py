"""The mesh that pyradiomics' baseline was made with: that of 3.0.1 without one triangle.

In cubes whose corners 1 to 5 are inside (or outside, all others being the reverse), number 62 of the
table of marching cubes, 3.0.1 closes the surface by a triangle over the edges 5, 7 and 0. Left out, the
baseline's values come out to the last digit; of the three cases only brain1 has such cubes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

OLDER_MESH = ("MeshVolume", "SurfaceArea", "Sphericity", "SurfaceVolumeRatio")

# As offsets (slice, row, column) from the cube's corner 0, in the order of pyradiomics.
CORNERS = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))
INSIDE = (1, 2, 3, 4, 5)
TRIANGLE = np.array([(1, 0.5, 1), (1, 0.5, 0), (0, 0, 0.5)])


def older_mesh(
    found: Mapping[str, float], inside: np.ndarray, spacing: Sequence[float]
) -> tuple[dict[str, float], int]:
    """Convert the features of ``OLDER_MESH`` (mm); also returns in how many cubes the triangle stands."""
    cubes, signs = _cubes(inside)
    sides = np.array(spacing[::-1])
    points = (cubes[:, None, :] + TRIANGLE) * sides
    normals = np.cross(points[:, 0] - points[:, 2], points[:, 1] - points[:, 2])
    area = found["SurfaceArea"] - np.linalg.norm(normals, axis=1).sum() / 2
    cones = np.einsum("ij,ij->i", np.cross(points[:, 0], points[:, 1]), points[:, 2])
    volume = found["MeshVolume"] - (signs * cones).sum() / 6
    sphericity = (36 * np.pi * volume**2) ** (1 / 3) / area
    values = (volume, area, sphericity, area / volume)
    return dict(zip(OLDER_MESH, (float(v) for v in values), strict=True)), len(cubes)


def _cubes(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where such cubes are, counted from the padded box of the region, and the sense of each."""
    spans = [(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(inside)]
    padded = np.pad(inside[tuple(slice(*span) for span in spans)], 1)
    shape = [n - 1 for n in padded.shape]
    corners = [
        padded[tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))] for corner in CORNERS
    ]
    found, signs = [], []
    for sign, wanted in ((1, True), (-1, False)):
        every = np.ones(shape, bool)
        for number, corner in enumerate(corners):
            every &= corner == (wanted if number in INSIDE else not wanted)
        found.append(np.argwhere(every))
        signs.append(np.full(len(found[-1]), sign))
    return np.concatenate(found), np.concatenate(signs)
