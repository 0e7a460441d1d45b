"""Time and memory of five rings around a lesion of 10 mL in a breast MRI, against the whole volume.

    uv run python tests/benchmarks/rings.py

A SYNTHETIC mask of 448 x 448 x 160 voxels. The alternatives are to dilate the mask by a ball per width,
rounded to voxels, and to threshold a centre-to-centre distance map, both on the whole volume. Each runs in a
process of its own, three times in turn; seconds are of processor time. Also prints how far the rings'
volume is from the analytic one.
"""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from math import pi

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

import numpy as np
import SimpleITK as sitk

from annulus.imaging.regions import Plan, Region, build_regions

SHAPE, SPACING, RADIUS_MM = (160, 448, 448), (0.8, 0.8, 1.0), 13.365
WIDTHS_MM = (2.0, 4.0, 6.0, 8.0, 10.0)
REPEATS = 3


def lesion() -> np.ndarray:
    """Return a ball of 10 mL whose centre lies between the voxels."""
    place, steps = np.array([80.3, 200.2, 150.4]), np.array(SPACING[::-1])
    first = (place - RADIUS_MM / steps).astype(int) - 1
    around = tuple(
        slice(low, low + int(2 * RADIUS_MM / step) + 4) for low, step in zip(first, steps, strict=True)
    )
    centres = np.moveaxis(np.mgrid[around], 0, -1)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[around] = np.linalg.norm((centres - place) * steps, axis=-1) <= RADIUS_MM
    return mask


def by_build_regions(tumour: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rings as the workflow builds them."""
    rings = tuple(Region(f"ring{width:g}", "ring", outer=width) for width in WIDTHS_MM)
    for built in build_regions(tumour, None, SPACING, True, Plan("mm", rings, 1, 1.0)):
        yield built.mask


def by_dilation(tumour: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rings by dilating the whole volume."""
    image = sitk.GetImageFromArray(tumour.astype(np.uint8))
    for width in WIDTHS_MM:
        radius = [round(width / step) for step in SPACING]
        yield (sitk.GetArrayViewFromImage(sitk.BinaryDilate(image, radius, sitk.sitkBall)) > 0) & ~tumour


def by_whole_distance(tumour: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rings from a distance map of the whole volume."""
    image = sitk.GetImageFromArray(tumour.astype(np.uint8))
    image.SetSpacing(SPACING)
    distance = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True))
    for width in WIDTHS_MM:
        yield ~tumour & (distance <= width)


Way = Callable[[np.ndarray], Iterator[np.ndarray]]


def measure(way: Way) -> tuple[float, float, list[float]]:
    """Return seconds of processor time, MB beyond the mask's, and the rings' errors of volume in percent."""
    tumour = lesion()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    voxels = [int(mask.sum()) for mask in way(tumour)]
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    truth = [4 / 3 * pi * ((RADIUS_MM + width) ** 3 - RADIUS_MM**3) for width in WIDTHS_MM]
    errors = [100 * (n * np.prod(SPACING) / volume - 1) for n, volume in zip(voxels, truth, strict=True)]
    return seconds, peak / 1024, errors


def main() -> None:
    """Run every way in processes of their own and print what they took."""
    ways: dict[str, Way] = {
        "build_regions": by_build_regions,
        "dilation of the whole volume": by_dilation,
        "distance map of the whole volume": by_whole_distance,
    }
    found: dict[str, list[tuple[float, float, list[float]]]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[name].append(pool.apply(measure, (way,)))
    ours = min(seconds for seconds, _, _ in found["build_regions"])
    for name, runs in found.items():
        seconds, memory = min(run[0] for run in runs), max(run[1] for run in runs)
        errors = " ".join(f"{error:+.1f}" for error in runs[0][2])
        print(
            f"{name}: {seconds:.2f} s (least of {REPEATS}), {memory:.0f} MB, {seconds / ours:.1f} x", end=""
        )
        print(f"; error of volume at {WIDTHS_MM} mm: {errors} %")


if __name__ == "__main__":
    main()
