"""Resampling in the mode shared against splines of another library, on the grid that IBSI prescribes.

pyradiomics lays its grid otherwise, so its baseline says nothing about this mode.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from vetting.baselines import CASES, read_case
from vetting.filters import STATISTICS
from vetting.ibsi_preprocessing import CUBIC, LINEAR, on_new_grid
from vetting.rows import About, Row, columns_of, judged

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings

ORACLE = "scipy's cubic splines on IBSI's grid"

# Spacings (x, y, z) in mm; the last puts new voxels halfway between old ones.
SPACINGS_MM = ((1.09, 1.09, 2.9), (0.72, 0.73, 4.3), (2.0, 2.0, 2.0))

# Of the largest grey value, and of its square for the variance.
TOLERANCE = 1e-11


def rows() -> Iterator[Row]:
    """Yield first-order statistics and the volume of every test case's region after resampling."""
    for case in CASES:
        image, inside = read_case(case)
        region = RegionMask.of("roi", "tumour", inside)
        for spacing in SPACINGS_MM:
            content = {
                "imageType": {"Original": None},
                "featureClass": {"shape": ["VoxelVolume"], "firstorder": list(STATISTICS)},
                "setting": {"binWidth": 25, "resampledPixelSpacing": list(spacing)},
            }
            values, failures = extract_image(image, [region], None, Settings.of(content, "shared"))
            if failures:
                raise AssertionError(f"{case}: {failures[0]}")
            setting = "spacing " + " x ".join(f"{side:g}" for side in spacing) + " mm"
            about = About(ORACLE, case, "shared", setting, "oracle")
            found = columns_of(values, "roi")
            yield from _judged(about, image.array, inside, image.spacing, spacing, found)


def _judged(
    about: About,
    values: np.ndarray,
    inside: np.ndarray,
    old: Sequence[float],
    new: Sequence[float],
    found: dict[tuple[str, str, str], float],
) -> Iterator[Row]:
    there = on_new_grid(inside.astype(float), old, LINEAR, new).round(9) >= 0.5
    truth = on_new_grid(values, old, CUBIC, new)[there]
    largest = float(np.abs(truth).max())
    for feature, statistic in STATISTICS.items():
        column = ("original", "firstorder", feature)
        scale = largest**2 if feature == "Variance" else largest
        yield judged(about, column, float(statistic(truth)), found[column], TOLERANCE * scale)
    column, volume = ("original", "shape", "VoxelVolume"), float(there.sum() * np.prod(new))
    yield judged(about, column, volume, found[column], TOLERANCE * volume)
