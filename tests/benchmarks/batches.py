"""What batches of patients cost beyond their features: start-up, growth, memory and the store.

    uv run python tests/benchmarks/batches.py [--patients 1000] [--stream 10000]

SYNTHETIC 2-D images are written, extracted and deleted patient by patient or batch by batch. Prints the share
of a job's time that starting takes, the time of 2,000 patients over that of 1,000, peak memory while patients
stream through, and a second run from the store over the first, as lines ``<measure> ratio <value>``.
"""

import argparse
import hashlib
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.config import read_yaml
from annulus.features.batches import Extraction, extract_rows
from annulus.imaging.reading import Image, on_grid_of, write_mask

ROOT = Path(__file__).parents[2]
SHAPE = (120, 140)
PER_BATCH = 20
NOTHING = pd.DataFrame(columns=["patient_id", "timepoint", "image_id", "mask_role", "decision", "mask_file"])


def extraction(store: str) -> Extraction:
    """Return the shipped settings for ultrasound, with a store or (empty) without."""
    plan = {"mode": "shared", "scale_with": {}, "controls": {}, "store": store, "seed": 1}
    return Extraction.of(plan, {"us": read_yaml(ROOT / "config" / "imaging" / "us_bmode.yaml")})


def write_batch(folder: Path, numbers: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the images and masks of a batch; returns the tables images and rois."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    images, rois = [], []
    for number in numbers:
        rng = np.random.default_rng(number)
        noise = sitk.GetImageFromArray(rng.normal(size=SHAPE))
        values = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, 1.5))
        pixels = sitk.GetImageFromArray((128 + 40 * values / values.std()).clip(0, 255).astype(np.uint8))
        pixels.SetSpacing((0.2, 0.2))
        image = Image(pixels, "header", "")
        path = folder / f"{number}.nrrd"
        sitk.WriteImage(pixels, str(path))
        key = {"patient_id": f"P{number}", "timepoint": "baseline", "image_id": f"P{number}_1"}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append(
            {**key, "image": "us", "image_path": str(path), "image_sha256": digest, "dimension": 2,
             "spacing_source": "header"}
        )  # fmt: skip
        distance = np.hypot(rows - SHAPE[0] / 2, columns - SHAPE[1] / 2) - rng.uniform(15, 25)
        for roi, kind, inside in (
            ("itr", "tumour", distance <= 0),
            ("ptr", "ring", (distance > 0) & (distance <= 12)),
        ):
            file = f"{number}_{roi}.nrrd"
            write_mask(folder / file, on_grid_of(inside, image))
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            rois.append(
                {**key, "roi": roi, "kind": kind, "status": "ok", "mask_file": file, "mask_sha256": digest}
            )
    return pd.DataFrame(images), pd.DataFrame(rois)


def run(patients: int, folder: Path, store: str, offset: int = 0) -> float:
    """Write, extract and delete patients batch by batch; returns the seconds of extraction alone."""
    seconds = 0.0
    for start in range(offset, offset + patients, PER_BATCH):
        images, rois = write_batch(folder, range(start, start + PER_BATCH))
        begun = time.perf_counter()
        table, failures = extract_rows(images, rois, NOTHING, extraction(store), [folder], folder)
        seconds += time.perf_counter() - begun
        if len(table) != PER_BATCH or failures:
            raise SystemExit(f"{len(table)} of {PER_BATCH} patients, {len(failures)} failures")
        for file in folder.glob("*.nrrd"):
            file.unlink()
    return seconds


def start_up() -> float:
    """Return the seconds that a job takes before its first patient."""
    code = "import annulus.features.batches, annulus.tables, annulus.job"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--patients", type=int, default=1000)
    options.add_argument("--stream", type=int, default=10_000)
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(PER_BATCH, folder, "")
        one = run(given.patients, folder, "")
        two = run(2 * given.patients, folder, "", offset=10**6)
        begun = min(start_up() for _ in range(3))
        per_patient = one / given.patients
        print(f"{given.patients} patients: {one:.1f} s, {2 * given.patients}: {two:.1f} s")
        print(f"start-up {begun:.2f} s, a patient {per_patient:.3f} s")
        for batch in (20, 50, 100, 200):
            print(f"start-up is {begun / (begun + batch * per_patient):.1%} of a job of {batch} patients")
        store = str(folder / "store")
        first = run(200, folder, store)
        again = run(200, folder, store)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run(given.stream, folder, "", offset=2 * 10**6)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"peak memory {before / 1024:.0f} MiB before and {after / 1024:.0f} MiB after "
            f"{given.stream} patients"
        )
        print(f"twice_the_patients ratio {two / one:.2f}")
        print(f"from_the_store ratio {first / again:.1f}")
        print(f"streaming_memory ratio {after / before:.2f}")


if __name__ == "__main__":
    main()
