"""Time and memory of quality control and five rings of one breast MRI, against doing it on the whole volume.

A SYNTHETIC volume of 448 x 448 x 160 voxels with a lesion of 10 mL. The alternative does what scripts in the
field do: reads, labels components and fills holes in the whole volume, dilates it by a ball per ring width
(rounded to voxels), and writes whole-volume masks. Each runs in a process of its own. Run:
    uv run python tests/benchmarks/quality_control.py
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml
from scipy import ndimage

from annulus.config import problems
from annulus.imaging.findings import Policy
from annulus.imaging.qc import IMAGE_COLUMNS, MASK_COLUMNS, Control, check_rows
from annulus.imaging.regions import Plan, build_rows

SHAPE, SPACING, RADIUS_MM = (160, 448, 448), (0.8, 0.8, 1.1), 13.4
WIDTHS_MM = (2, 4, 6, 8, 10)
SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "study.schema.yaml"


def write_volume(folder: Path) -> None:
    """Write the image and its mask."""
    rng = np.random.default_rng(0)
    values = rng.normal(300, 40, SHAPE)
    slices, rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    values *= np.where((rows - 200) ** 2 + (columns - 224) ** 2 < 190**2, 1.0, 0.05)
    x, y, z = SPACING
    lesion = ((slices - 80) * z) ** 2 + ((rows - 200) * y) ** 2 + ((columns - 150) * x) ** 2 <= RADIUS_MM**2
    for name, array in (("image", values.astype(np.int16)), ("mask", lesion.astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING)
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))


def ours(folder: Path) -> None:
    """Quality control with every check, and five rings, as a job of the workflow does it."""
    qc: dict = {}
    problems(qc, yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]["qc"])
    row = {
        "patient_id": "p", "image_id": "i", "timepoint": "baseline", "view": "na", "rater": "1",
        "lesion": "1", "image": "mr", "mask_role": "tumour", "image_path": str(folder / "image.nii.gz"),
        "mask_path": str(folder / "mask.nii.gz"), "modality": "MRI", "series": "dce_1",
    }  # fmt: skip
    report = check_rows([row], Control(Policy.of(qc, "mm"), {}), folder / "qc")
    rois = {f"ring{width}": {"kind": "ring", "outer": width} for width in WIDTHS_MM}
    plan = Plan.of({"unit": "mm", "minimum_voxels": 50, "maximum_lost_fraction": 0.2, "rois": rois})
    images = pd.DataFrame([{key: found.get(key) for key in IMAGE_COLUMNS} for found in report.images])
    masks = pd.DataFrame([{key: found.get(key) for key in MASK_COLUMNS} for found in report.masks])
    build_rows(images, masks, plan, folder / "qc", folder / "rois")


def whole_volume(folder: Path) -> None:
    """Check components, holes and grey values, and dilate by a ball per width, in the whole volume."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "image.nii.gz")))
    mask = sitk.ReadImage(str(folder / "mask.nii.gz"))
    inside = sitk.GetArrayFromImage(mask) > 0
    if not np.isfinite(image).all() or image.min() == image.max():
        raise SystemExit("the benchmark's image is no image")
    ndimage.label(inside)
    ndimage.binary_fill_holes(inside)
    for width in WIDTHS_MM:
        grown = sitk.BinaryDilate(mask, [round(width / step) for step in SPACING], sitk.sitkBall)
        ring = sitk.Subtract(grown, mask)
        sitk.WriteImage(ring, str(folder / f"ring{width}.nrrd"), useCompression=True)


def measured(work: Callable[[Path], None], folder: Path) -> tuple[float, float]:
    """Return wall seconds and peak MiB of ``work`` and its children in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(work, folder, sender))
    process.start()
    seconds, peak = receiver.recv()
    process.join()
    return seconds, peak


def _measure(work: Callable[[Path], None], folder: Path, sender) -> None:  # type: ignore[no-untyped-def]
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    begun = time.perf_counter()
    work(folder)
    seconds = time.perf_counter() - begun
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    sender.send((seconds, max(own, children) / 1024))


def main() -> int:
    """Print both and their ratio."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # In a process of its own as well: a child inherits the peak of its parent.
        measured(write_volume, folder)
        seconds, peak = measured(ours, folder)
        other_seconds, other_peak = measured(whole_volume, folder)
    print(
        f"ours:         {seconds:6.2f} s  {peak:6.0f} MiB  (all checks and 5 rings; 3 s and 1536 MiB allowed)"
    )
    print(f"whole volume: {other_seconds:6.2f} s  {other_peak:6.0f} MiB  (3 checks and 5 dilations)")
    print(
        f"ratio:        {other_seconds / seconds:6.1f} times faster, {other_peak / peak:.1f} times the memory"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
