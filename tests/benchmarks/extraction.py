"""How fast features are extracted, against pyradiomics' ``execute()`` once per region.

    uv run python tests/benchmarks/extraction.py [case ...] [--repeats 3]

Every case is SYNTHETIC, runs on one core with one thread, and times both sides in this run with the same
settings. Prints a table, then lines ``<measure> ratio <value>``: seconds of ``execute()`` with pyradiomics'
defaults over seconds here, the least of the repeats. ``additionalInfo off`` is the same against
``execute()`` without its diagnostic part. Values that differ in the mode compatible are counted.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

import numpy as np
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image, read_image, read_part, write_mask

MODES = ("shared", "compatible")
CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
FILTERS: Mapping[str, Any] = {"Original": None, "Wavelet": None, "LoG": {"sigma": [1.0, 3.0, 5.0]}}


@dataclass(frozen=True)
class Case:
    """One image with its regions and settings."""

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    radius_mm: float
    rings_mm: tuple[float, ...]
    habitats: int
    setting: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measures(self) -> dict[str, str]:
        """Name what is measured, by mode: 2-D sizes together, the lone small tumour by itself."""
        name = "2d" if self.name.startswith("2d") else self.name
        if name.startswith("small"):
            return {"shared": name, "compatible": f"compatible_{name}"}
        return {mode: f"{mode}_{name}" for mode in MODES}

    @property
    def content(self) -> dict[str, Any]:
        """The settings as a pyradiomics parameter file."""
        shape = "shape" if len(self.shape) == 3 else "shape2D"
        classes = {shape: None, **dict.fromkeys(CLASSES)}
        return {"imageType": FILTERS, "featureClass": classes, "setting": {"binWidth": 25, **self.setting}}


VOLUME = ((120, 320, 320), (0.8, 0.8, 1.6), 15.0, (1.0, 2.0, 3.0, 5.0, 10.0), 3)
SMALL = ((160, 448, 448), (0.7, 0.7, 1.1), 13.0, (), 0)
ISOTROPIC = {"resampledPixelSpacing": [1.0, 1.0, 1.0]}
CASES = (
    Case("3d", *VOLUME),
    Case("3d_resampled", *VOLUME, ISOTROPIC),
    Case("small_tumour_3d", *SMALL),
    Case("small_tumour_3d_resampled", *SMALL, ISOTROPIC),
    Case("2d_190", (190, 190), (0.2, 0.2), 6.0, (1.0, 2.0, 3.0), 0),
    Case("2d_500", (500, 500), (0.1, 0.1), 6.0, (1.0, 2.0, 3.0), 0),
    Case("2d_1000", (1000, 1000), (0.06, 0.06), 6.0, (1.0, 2.0, 3.0), 0),
)


def scene(case: Case, seed: int = 0) -> tuple[sitk.Image, dict[str, np.ndarray]]:
    """Draw an int16 image of correlated noise with a tumour, rings around it and habitats in it."""
    rng = np.random.default_rng(seed)
    noise = sitk.GetImageFromArray(rng.normal(size=case.shape).astype(np.float32))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, 1.5))
    values = 600 + 100 * smooth / smooth.std() + rng.normal(0, 20, case.shape)
    image = sitk.GetImageFromArray(np.rint(values).astype(np.int16))
    image.SetSpacing(case.spacing)
    axes = np.ogrid[tuple(slice(0, n) for n in case.shape)]
    steps = zip(axes, case.shape, case.spacing[::-1], (1.0, 1.0, 1.15), strict=False)
    distance = np.sqrt(sum(((a - n / 2) * s * f) ** 2 for a, n, s, f in steps)) - case.radius_mm
    regions = {"itr": distance <= 0}
    regions |= {f"ptr{width:g}": (distance > 0) & (distance <= width) for width in case.rings_mm}
    if case.habitats:
        broad = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 4.0))
        cuts = np.quantile(broad[regions["itr"]], np.arange(1, case.habitats) / case.habitats)
        parts = np.digitize(broad, cuts)
        regions |= {f"h{k + 1}": regions["itr"] & (parts == k) for k in range(case.habitats)}
    return image, regions


@dataclass(frozen=True)
class Theirs:
    """``execute()`` for every region; shape, which rings do not need, for the tumour alone."""

    tumour: RadiomicsFeatureExtractor
    others: RadiomicsFeatureExtractor

    @classmethod
    def of(cls, case: Case, info: bool) -> "Theirs":
        """Set up once, as for a whole study."""
        content = {
            **case.content,
            "imageType": {kind: dict(own or {}) for kind, own in FILTERS.items()},
            "setting": {**case.content["setting"], "additionalInfo": info},
        }
        without = {**content, "featureClass": dict.fromkeys(CLASSES)}
        return cls(RadiomicsFeatureExtractor(content), RadiomicsFeatureExtractor(without))

    def run(self, image: sitk.Image, regions: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Extract all regions, one after the other."""
        found = {}
        for name, inside in regions.items():
            mask = sitk.GetImageFromArray(inside.astype(np.uint8))
            mask.CopyInformation(image)
            values = (self.tumour if name == "itr" else self.others).execute(image, mask)
            found |= {
                f"{name}_{key}": float(v) for key, v in values.items() if not key.startswith("diagnostics")
            }
        return found


def ours(settings: Settings, image: sitk.Image, regions: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Extract all regions at once."""
    masks = [
        RegionMask.of(name, "tumour" if name == "itr" else "ring", inside) for name, inside in regions.items()
    ]
    return extract_image(Image(image, "header", ""), masks, None, settings)[0]


def timed(work: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Return the seconds that something takes, and what it returns."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Time every case, both ways in turn."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("cases", nargs="*", help="names of cases; all of them without any")
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--memory", action="store_true", help="only run ours, and print the peak memory")
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    chosen = [case for case in CASES if not given.cases or case.name in given.cases]
    if given.memory:
        for case in chosen:
            show_memory(case)
        return
    heads = ("execute() s", "info off s", "ours s", "ratio", "off")
    print(f"{'case':28}{'mode':12}" + "{:>12}{:>12}{:>9}{:>7}{:>7}  differing".format(*heads))
    ratios: dict[str, float] = {}
    for case in chosen:
        for measure, ratio in compared(case, given.repeats).items():
            # Of several sizes the slowest counts.
            ratios[measure] = min(ratio, ratios.get(measure, np.inf))
    for measure, ratio in ratios.items():
        print(f"{measure} ratio {ratio:.2f}")


def show_memory(case: Case) -> None:
    """Print the peak memory of reading and extracting a case, in a process of its own per mode."""
    image, regions = scene(case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sitk.WriteImage(image, str(folder / "image.nrrd"))
        for region, inside in regions.items():
            mask = sitk.GetImageFromArray(inside.astype(np.uint8))
            mask.CopyInformation(image)
            write_mask(folder / f"{region}.nrrd", mask)
        for mode in MODES:
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                base, peak = alone.submit(peak_memory, folder, case, mode, list(regions)).result()
            print(f"{case.name} {mode}: {peak:.2f} GiB at most, of which {base:.2f} are libraries")


def peak_memory(folder: Path, case: Case, mode: str, names: list[str]) -> tuple[float, float]:
    """Return the process's peak memory in GiB before and after extracting a case from files."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    logging.disable(logging.CRITICAL)
    before = most_memory()
    masks = [
        RegionMask.of(name, "tumour" if name == "itr" else "ring", *read_part(folder / f"{name}.nrrd"))
        for name in names
    ]
    extract_image(read_image(folder / "image.nrrd"), masks, None, Settings.of(case.content, mode))
    return before, most_memory()


def most_memory() -> float:
    """Return this process's peak memory in GiB; getrusage would count its parent's before it was started."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in row)
    return int(line.split()[1]) / 1024**2


def compared(case: Case, repeats: int) -> dict[str, float]:
    """Time a case both ways in turn, print a line per mode, and return the ratios by measure."""
    image, regions = scene(case)
    plain, bare = Theirs.of(case, info=True), Theirs.of(case, info=False)
    modes = {mode: Settings.of(case.content, mode) for mode in MODES}
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "execute": lambda: plain.run(image, regions),
        "info off": lambda: bare.run(image, regions),
        "shared": lambda: ours(modes["shared"], image, regions),
        "compatible": lambda: ours(modes["compatible"], image, regions),
    }
    best: dict[str, float] = {}
    results: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        for way, work in ways.items():
            seconds, results[way] = timed(work)
            best[way] = min(seconds, best.get(way, np.inf))
    found = {}
    for mode in MODES:
        truth = results["execute"]
        differing = sum(results[mode][name] != value for name, value in truth.items())
        ratio, without = best["execute"] / best[mode], best["info off"] / best[mode]
        print(
            f"{case.name:28}{mode:12}{best['execute']:12.2f}{best['info off']:12.2f}{best[mode]:9.2f}"
            f"{ratio:7.2f}{without:7.2f}  {differing} of {len(truth)}",
            flush=True,
        )
        found[case.measures[mode]] = ratio
    return found


if __name__ == "__main__":
    main()
