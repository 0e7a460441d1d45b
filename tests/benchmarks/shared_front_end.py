"""How much is saved by preparing an image once for all regions, against pyradiomics once per region.

    uv run python tests/benchmarks/shared_front_end.py

Prints seconds and the ratio, both measured in this run on the same SYNTHETIC image, and how many of the
values differ.
"""

import logging
import os
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor

from annulus.features.extraction import RegionMask, extract_image
from annulus.features.settings import Settings
from annulus.imaging.reading import Image, on_grid_of
from annulus.imaging.regions import Plan, Region, build_regions
from annulus.simulation import cem

CLASSES = {"firstorder": None, "glcm": None, "glrlm": None, "glszm": None, "gldm": None, "ngtdm": None}
FILTERS = {"Original": None, "Wavelet": None, "LoG": {"sigma": [1.0, 2.0, 3.0, 5.0]}}


def main() -> None:
    """Time both ways, three times in turn."""
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    patient = cem.patients_of(cem.simulate_patients({"train": 3}, 0.34, 1))[0]
    drawn = cem.simulate_images(patient, 1)
    image = Image(sitk.Cast(drawn["rc"], sitk.sitkFloat64), "header", "")
    tumour, breast = (sitk.GetArrayFromImage(drawn[name]) > 0 for name in ("tumour", "breast"))
    rings = [Region(f"ring{outer}", "ring", 0.0, outer) for outer in (2, 4, 6, 8, 10)]
    plan = Plan("mm", (Region("itr", "tumour"), *rings), 10, 0.5)
    regions = [
        RegionMask(b.region.name, b.region.kind, on_grid_of(b.mask, image))
        for b in build_regions(tumour, breast, image.spacing, True, plan)
    ]
    settings = Settings.of({"imageType": FILTERS, "featureClass": CLASSES, "setting": {"binWidth": 5}})
    theirs = RadiomicsFeatureExtractor(
        {
            "imageType": {name: dict(args or {}) for name, args in FILTERS.items()},
            "featureClass": CLASSES,
            "setting": {"binWidth": 5},
        }
    )
    times: dict[str, list[float]] = {"once per image": [], "once per region": []}
    for _ in range(3):
        start = time.perf_counter()
        ours, _ = extract_image(image, regions, None, settings)
        times["once per image"].append(time.perf_counter() - start)
        start = time.perf_counter()
        reference = {
            f"{region.name}_{name}": float(value)
            for region in regions
            for name, value in theirs.execute(image.pixels, sitk.Cast(region.mask, sitk.sitkUInt32)).items()
            if not name.startswith("diagnostics")
        }
        times["once per region"].append(time.perf_counter() - start)
    same = [np.array_equal(ours[name], reference[name], equal_nan=True) for name in ours]
    for name, seconds in times.items():
        print(f"{name}: {min(seconds):.2f} s (least of 3)")
    print(f"ratio: {min(times['once per region']) / min(times['once per image']):.2f}")
    print(f"values: {len(ours)}, differing: {len(same) - sum(same)}")


if __name__ == "__main__":
    main()
