"""The picture of regions over an image shows the image that the regions were built in."""

import hashlib

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.figures.overlay import choose_images
from annulus.imaging.reading import write_mask

SHAPE = (20, 24)


def test_of_one_image_id_at_two_timepoints_the_image_of_the_regions_is_shown(tmp_path):
    images, rois = [], []
    for number, timepoint in enumerate(("post_nst", "baseline")):
        path = tmp_path / f"{timepoint}.nrrd"
        grey = sitk.GetImageFromArray(np.full(SHAPE, 100.0 * (number + 1), np.float32))
        sitk.WriteImage(grey, str(path))
        # The tumour has shrunk after treatment.
        mask = np.zeros(SHAPE, np.uint8)
        mask[8 : 10 + 4 * number, 8:16] = 1
        write_mask(tmp_path / "rois" / f"{timepoint}.nrrd", sitk.GetImageFromArray(mask))
        key = {"patient_id": "p", "timepoint": timepoint, "image_id": "i", "image": "us"}
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append({**key, "image_path": str(path), "image_sha256": sha256, "spacing_source": "unknown"})
        region = {"roi": "tumour", "kind": "tumour", "outer": 0.0, "status": "ok"}
        rois.append({**key, **region, "mask_file": f"{timepoint}.nrrd"})
    split = pd.DataFrame({"patient_id": ["p"], "cohort": ["train"]})
    (shown,) = choose_images(
        split, pd.DataFrame(images), pd.DataFrame(rois), ["us"], {"0000": str(tmp_path / "rois")}, 1
    )
    assert set(np.unique(shown.grey)) == {200.0}
    assert shown.regions["tumour"].sum() == 6 * 8
