"""The picture of regions over an image shows the image that the regions were built in."""

import hashlib

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.figures.habitats import choose_divided
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


def test_habitats_have_a_map_of_their_own_and_training_patients_alone_are_shown(tmp_path):
    images, rois = [], []
    for patient in ("p", "q", "r"):
        path = tmp_path / f"{patient}.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(np.full(SHAPE, 100.0, np.float32)), str(path))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        key = {"patient_id": patient, "timepoint": "baseline", "image_id": f"i{patient}", "image": "us"}
        images.append({**key, "image_path": str(path), "image_sha256": sha256, "spacing_source": "unknown"})
        # The lesion of r could not be divided, and q is no training patient.
        parts = {"tumour": slice(8, 12), "h1": slice(8, 10), "h2": slice(10, 10)}
        for roi, rows in parts.items():
            mask = np.zeros(SHAPE, np.uint8)
            mask[rows, 8:16] = 1
            file = f"{patient}_{roi}.nrrd"
            write_mask(tmp_path / "rois" / file, sitk.GetImageFromArray(mask))
            kind = "tumour" if roi == "tumour" else "habitat"
            voxels = 0 if patient == "r" and kind == "habitat" else int(mask.sum())
            status = "ok" if voxels else "empty"
            row = {"roi": roi, "kind": kind, "outer": 0.0, "status": status, "voxels": voxels}
            rois.append({**key, **row, "mask_file": file})
    split = pd.DataFrame({"patient_id": ["p", "q", "r"], "cohort": ["train", "internal_test", "train"]})
    tables = (split, pd.DataFrame(images), pd.DataFrame(rois))
    folders = {"0000": str(tmp_path / "rois")}
    (divided,) = choose_divided(*tables, "us", folders, 1)
    assert divided.title == "ip"
    assert {name: int(mask.sum()) for name, mask in divided.regions.items()} == {"h1": 2 * 8}
    # An empty habitat neither hides a patient from the picture of regions nor is drawn in it.
    whole = choose_images(*tables, ["us"], folders, 1)
    assert [shown.title for shown in whole] == ["ip", "ir"]
    assert [list(shown.regions) for shown in whole] == [["tumour"], ["tumour"]]
