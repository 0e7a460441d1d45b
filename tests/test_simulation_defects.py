"""What is planted in SYNTHETIC images, and that quality control finds exactly that."""

import pytest
import yaml
from conftest import ROOT

from annulus.config import problems, read_yaml
from annulus.imaging.findings import Policy
from annulus.imaging.preparing import Preparation
from annulus.imaging.qc import Control, check_rows
from annulus.simulation.drawing import write_images
from annulus.simulation.planting import DEFECTS, with_defect
from annulus.simulation.roster import image_files, manifest
from annulus.simulation.simulators import draw_images, simulate_cohort


@pytest.fixture(scope="module")
def control():
    schema = yaml.safe_load((ROOT / "workflow/schemas/study.schema.yaml").read_text())["properties"]["qc"]
    thresholds = {"minimum_voxels": 30}
    assert not problems(thresholds, schema)
    preparation = Preparation.of(read_yaml(ROOT / "config/imaging/cem_recombined.yaml"))
    return Control(Policy.of(thresholds, "mm"), {"rc": preparation}, {"rc": "tumour"})


def checked(folder, control, defects):
    """Draw a patient per defect, and return the codes that quality control finds by patient."""
    people, truth = simulate_cohort("cem", {"train": len(defects)}, None, False, 0.0, 2)
    rows = []
    for defect, patient in zip(defects, people.merge(truth).to_dict("records"), strict=True):
        name = patient["patient_id"]
        write_images(
            with_defect(draw_images("cem", patient, 1, 2), "cem", defect), image_files("cem", name), folder
        )
        rows += [
            {**row, "image": "rc"} | {key: str(folder / row[key]) for key in ("image_path", "mask_path")}
            for row in manifest("cem", [name])
            if row["series"] == ("le" if defect == "constant_image" else "rc")
        ]
    found = check_rows(rows, control, folder / "masks").masks
    return {
        name: {code for row in found if row["patient_id"] == name for code in row["reasons"].split(";")}
        for name in people["patient_id"]
    }


def test_every_planted_defect_is_found_and_a_healthy_patient_has_none(tmp_path, control):
    codes = list(checked(tmp_path, control, ["", *DEFECTS]).values())
    healthy, spoiled = codes[0], codes[1:]
    assert healthy <= {""}
    for found, expected in zip(spoiled, DEFECTS.values(), strict=True):
        assert expected in found
