"""The same features of the same regions by MIRP, another engine that follows IBSI, and here.

    uv run python tests/benchmarks/mirp.py [--repeats 2]

MIRP (EUPL) is no dependency: it is run by its own interpreter, which ``uv run --with`` makes. Both sides
read the same SYNTHETIC files (a volume with a tumour, five rings and three habitats), bin into 32 levels, and
compute first-order statistics, GLCM, GLRLM, GLSZM, NGTDM and GLDM of the unfiltered image, one thread each;
start-up is left out. Prints how far features that both define agree, and the line ``mirp ratio <value>``:
MIRP's seconds over ours.
"""

import argparse
import json
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

import numpy as np
import SimpleITK as sitk
from extraction import CASES, CLASSES, scene

from annulus.features.extraction import extract_image
from annulus.features.regions import RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import read_image

VERSION = "2.7.0"
CONTENT = {
    "imageType": {"Original": None},
    "featureClass": dict.fromkeys(CLASSES),
    "setting": {"binCount": 32},
}

# MIRP's name of what both define alike.
SAME = {
    "firstorder_Mean": "stat_mean",
    "firstorder_Variance": "stat_var",
    "firstorder_Skewness": "stat_skew",
    "glcm_Contrast": "cm_contrast_d1_3d_avg_fbn_n32",
    "glcm_Correlation": "cm_corr_d1_3d_avg_fbn_n32",
    "glcm_JointEntropy": "cm_joint_entr_d1_3d_avg_fbn_n32",
    "glcm_Imc1": "cm_info_corr1_d1_3d_avg_fbn_n32",
    "glrlm_ShortRunEmphasis": "rlm_sre_3d_avg_fbn_n32",
    "glrlm_RunLengthNonUniformity": "rlm_rlnu_3d_avg_fbn_n32",
    "glszm_SmallAreaEmphasis": "szm_sze_3d_fbn_n32",
    "glszm_ZonePercentage": "szm_z_perc_3d_fbn_n32",
    "gldm_DependenceEntropy": "ngl_dc_entr_d1_a0.0_3d_fbn_n32",
    "ngtdm_Busyness": "ngt_busyness_3d_fbn_n32",
}

THEIRS = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
from pathlib import Path
from mirp import extract_features

folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
masks = sorted(map(str, folder.glob("mask_*.nii.gz")))
best = float("inf")
for _ in range(repeats):
    start = time.perf_counter()
    (table,) = extract_features(
        image=str(folder / "image.nii.gz"), mask=masks, by_slice=False,
        base_discretisation_method="fixed_bin_number", base_discretisation_n_bins=32,
        base_feature_families=["statistical", "glcm", "glrlm", "glszm", "ngtdm", "ngldm"],
        glcm_spatial_method="3d_average", glrlm_spatial_method="3d_average",
    )
    best = min(best, time.perf_counter() - start)
names = [Path(name).name[5:-7] for name in table["image_mask_file_name"]]
numbers = table.select_dtypes("number")
print(json.dumps({"seconds": best, "values": dict(zip(names, numbers.to_dict("records")))}))
"""


def theirs(folder: Path, repeats: int) -> tuple[float, Mapping[str, Mapping[str, float]]]:
    """Run MIRP in an interpreter of its own; returns seconds and values by region."""
    command = ["uv", "run", "--quiet", "--no-project", "--with", f"mirp=={VERSION}", "python", "-c", THEIRS]
    done = subprocess.run([*command, str(folder), str(repeats)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["seconds"], found["values"]


def ours(folder: Path, names: list[str]) -> dict[str, float]:
    """Read the files and extract every region."""
    masks = (sitk.ReadImage(str(folder / f"mask_{name}.nii.gz")) for name in names)
    regions = [
        RegionMask.of(name, "ring", sitk.GetArrayFromImage(mask) > 0)
        for name, mask in zip(names, masks, strict=True)
    ]
    return extract_image(read_image(folder / "image.nii.gz"), regions, None, Settings.of(CONTENT))[0]


def main() -> None:
    """Write the files, run both, compare."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--repeats", type=int, default=2)
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    image, regions = scene(next(case for case in CASES if case.name == "3d"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sitk.WriteImage(image, str(folder / "image.nii.gz"))
        for region, inside in regions.items():
            mask = sitk.GetImageFromArray(inside.astype(np.uint8))
            mask.CopyInformation(image)
            sitk.WriteImage(mask, str(folder / f"mask_{region}.nii.gz"))
        best = np.inf
        for _ in range(given.repeats):
            start = time.perf_counter()
            values = ours(folder, list(regions))
            best = min(best, time.perf_counter() - start)
        seconds, reference = theirs(folder, given.repeats)
    print(f"{len(regions)} regions: MIRP {VERSION} {seconds:.1f} s, here {best:.2f} s")
    for feature, other in SAME.items():
        apart = max(
            abs(values[f"{region}_original_{feature}"] / reference[region][other] - 1) for region in regions
        )
        print(f"{feature:32} at most {apart:.1e} apart")
    print(f"mirp ratio {seconds / best:.1f}")


if __name__ == "__main__":
    main()
