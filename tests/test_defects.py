"""Planted defects: each gets its own code and a plain message, and changes nothing of anybody else's."""

import faulthandler
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Project, write_study
from defects import (
    BIRTH_DATE,
    BYSTANDERS,
    DEFECTS,
    FORMATS,
    NAME,
    PAGE,
    SETTINGS,
    Defect,
    control_quality,
    default_qc,
    lesion,
    made,
    page,
    plant_all,
    save,
)

from annulus.errors import StudyError
from annulus.imaging import guard, qc
from annulus.imaging.findings import MEANINGS, Policy
from annulus.imaging.preparing import Preparation
from annulus.simulation import cem, roster
from annulus.simulation.drawing import write_images
from annulus.tables import read_csv

# Some headers are written wrong on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TABLES = ("masks", "images", "findings", "agreement", "frames")
SECRETS = (*NAME.split("^"), BIRTH_DATE, "1956-04-13")

# What only programmers say: addresses, names of errors, classes and functions, numbers of signals.
JARGON = re.compile(
    r"0x[0-9a-f]{4,}|Traceback|\w(Error|Exception)\b|ERROR|::|\bsitk\b|ImageIO|\[nrrd\]|\b_\w+|fread|NoneType"
    r"|\bsignal\b|\bnan\b"
)


@dataclass(frozen=True)
class Controlled:
    """Quality control of bystanders and defects together, and of the bystanders alone, in ``folder``."""

    folder: Path
    calm: list[dict[str, str]]
    every: list[dict[str, str]]
    masks: pd.DataFrame
    findings: pd.DataFrame

    @property
    def together(self) -> Path:
        return self.folder / "together"


@pytest.fixture(scope="module")
def controlled(tmp_path_factory) -> Controlled:
    folder = tmp_path_factory.mktemp("defects")
    calm, every = plant_all(folder)
    control_quality(calm, folder / "alone")
    control_quality(every, folder / "together")
    masks, findings = (read_csv(folder / "together" / f"{name}.csv") for name in ("masks", "findings"))
    return Controlled(folder, calm, every, masks.fillna({"reasons": "", "mask_file": ""}), findings)


def each_defect():
    return pytest.mark.parametrize("defect", DEFECTS, ids=[defect.patient for defect in DEFECTS])


def lines_of(path: Path, patients: set[str]) -> list[str]:
    """Return a table's header and the rows of some patients, as they are written."""
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header.startswith("patient_id,")
    return [header, *(row for row in rows if row.split(",", 1)[0] in patients)]


# --- the table -----------------------------------------------------------------------------------


def test_the_table_holds_every_code_and_format_and_no_defect_twice() -> None:
    assert len(DEFECTS) >= 60
    assert len({defect.patient for defect in DEFECTS} | set(BYSTANDERS)) == len(DEFECTS) + len(BYSTANDERS)
    planted = {code for defect in DEFECTS for code in (*defect.codes, *defect.breast_codes)}
    # A file that crashes its reader is planted below.
    assert planted == set(MEANINGS) - {"damaged_file"}
    assert {defect.format for defect in DEFECTS} == set(FORMATS)


@each_defect()
def test_a_defect_has_its_codes_and_no_other(controlled: Controlled, defect: Defect) -> None:
    masks = controlled.masks[controlled.masks["patient_id"].isin([defect.patient, f"{defect.patient}-twin"])]
    is_breast = masks["mask_role"] == "breast"
    assert set(masks.loc[~is_breast, "reasons"]) == {";".join(defect.codes)}
    assert set(masks.loc[~is_breast, "decision"]) == {defect.decision}
    assert set(masks.loc[is_breast, "reasons"]) <= {";".join(defect.breast_codes)}
    # Whoever is not excluded has a mask to go on with, and nobody else.
    found = [file != "" and (controlled.together / "kept" / file).is_file() for file in masks["mask_file"]]
    # That an image is a duplicate is known after its masks were written.
    late = "duplicate_image" in defect.codes
    assert found == [late or decision != "excluded" for decision in masks["decision"]]


@each_defect()
def test_a_defect_is_told_in_plain_words(controlled: Controlled, defect: Defect) -> None:
    told = controlled.findings.loc[controlled.findings["patient_id"] == defect.patient, "message"]
    assert len(told) >= len((*defect.codes, *defect.breast_codes))
    for message in told:
        assert len(message) >= 20
        assert message.endswith(".") and not message.endswith("..")
        assert not message[0].islower()
        assert not JARGON.search(message.replace(str(controlled.folder), "")), message
    whole = " ".join(told)
    for words in defect.says:
        assert words in whole
    if defect.names:
        row = next(row for row in controlled.every if row["patient_id"] == defect.patient)
        assert Path(row[defect.names]).name in whole


def test_bystanders_are_whole_but_for_the_one_that_is_repaired(controlled: Controlled) -> None:
    masks = controlled.masks[controlled.masks["patient_id"].isin(BYSTANDERS)]
    assert set(masks["patient_id"]) == set(BYSTANDERS)
    flawed = masks[masks["reasons"] != ""]
    assert flawed["patient_id"].tolist() == ["repaired"]
    assert flawed["reasons"].tolist() == ["extra_components"]
    assert set(masks["decision"]) == {"pass", "repaired"}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("part", ["", "chunk"])
def test_the_others_rows_are_the_same_byte_for_byte(controlled: Controlled, name: str, part: str) -> None:
    alone, together = (controlled.folder / run / part / f"{name}.csv" for run in ("alone", "together"))
    found = lines_of(together, set(BYSTANDERS))
    assert found == alone.read_text(encoding="utf-8").splitlines()
    assert len(found) > 1


def test_the_others_masks_are_the_same_byte_for_byte(controlled: Controlled) -> None:
    alone = sorted((controlled.folder / "alone" / "kept").iterdir())
    assert len(alone) == len(controlled.calm)
    for file in alone:
        assert (controlled.together / "kept" / file.name).read_bytes() == file.read_bytes()


def test_nobody_else_is_lost_or_called_a_duplicate(controlled: Controlled) -> None:
    lost, pairs = (read_csv(controlled.together / f"{name}.csv") for name in ("lost", "duplicates"))
    excluded = [defect for defect in DEFECTS if defect.decision == "excluded"]
    twins = {f"{defect.patient}-twin" for defect in excluded if "duplicate_image" in defect.codes}
    assert set(lost["patient_id"]) == {defect.patient for defect in excluded} | twins
    planted = [
        defect.patient for defect in DEFECTS if {"duplicate_image", "near_duplicate_image"} & {*defect.codes}
    ]
    assert {frozenset(pair) for pair in zip(pairs["patient_a"], pairs["patient_b"], strict=True)} == {
        frozenset((patient, f"{patient}-twin")) for patient in planted
    }


def test_no_name_or_date_of_birth_is_in_any_output(controlled: Controlled) -> None:
    secrets = [secret.casefold().encode() for secret in SECRETS]

    def telling(files: Iterator[Path]) -> set[Path]:
        found = ((file, file.read_bytes().lower()) for file in files if file.is_file())
        return {file for file, content in found if any(secret in content for secret in secrets)}

    results = controlled.together
    planted = telling(file for file in controlled.folder.rglob("*") if results not in file.parents)
    assert len({file.relative_to(controlled.folder).parts[0] for file in planted}) >= 7
    logs = [file for file in results.rglob("*.log") if "physician-in-the-header" in file.read_text()]
    assert logs
    assert telling(results.rglob("*")) == set()


def test_the_page_of_defects_is_in_step(controlled: Controlled) -> None:
    assert page(controlled.masks, controlled.folder) == PAGE.read_text(encoding="utf-8")


# --- files that take their reader with them ------------------------------------------------------


def crash() -> None:
    # No need to tell the tests' own log.
    faulthandler.disable()
    os.abort()


def hang() -> None:
    while True:
        pass


def hunger() -> None:
    np.ones(2**40, np.uint8)


def checked(rows: list[dict[str, str]], folder: Path) -> qc.Report:
    control = qc.Control(Policy.of(default_qc(), "mm"), {"us": Preparation.of(SETTINGS)})
    return qc.check_rows(rows, control, folder)


@pytest.mark.parametrize("fate", [crash, hang, hunger])
def test_a_file_that_takes_its_reader_with_it_costs_nobody_else(monkeypatch, tmp_path, fate) -> None:
    rows = [row for name in ("first", "damaged", "last") for row in made("nrrd")(tmp_path, name)]
    alone = checked([rows[0], rows[2]], tmp_path / "alone")
    reader = qc.read_image

    def read(path, *arguments):
        if "damaged" in str(path):
            fate()
        return reader(path, *arguments)

    monkeypatch.setattr(qc, "read_image", read)
    monkeypatch.setattr(guard, "LEAST_SECONDS", 1.0)
    together = checked(rows, tmp_path / "together")
    (finding,) = together.findings
    assert (finding["patient_id"], finding["code"], finding["action"]) == (
        "damaged",
        "damaged_file",
        "exclude",
    )
    assert "image.nrrd" in finding["message"] and finding["message"].endswith(".")
    assert not JARGON.search(finding["message"].replace(str(tmp_path), ""))
    assert bool(re.search(r"\b\d+ s\.", finding["message"])) == (fate is hang)
    assert [mask for mask in together.masks if mask["patient_id"] != "damaged"] == alone.masks
    assert together.frames == alone.frames
    files = {mask["mask_file"] for mask in alone.masks}
    assert {file.name for file in (tmp_path / "together").iterdir()} == files
    for name in files:
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waiting() -> None:
    time.sleep(60)


@pytest.mark.parametrize("fate", [killed, waiting])
def test_a_reader_that_the_machine_ended_twice_fails_the_job_and_excludes_nobody(
    monkeypatch, tmp_path, fate
) -> None:
    monkeypatch.setattr(qc, "read_image", lambda path, *arguments: fate())
    monkeypatch.setattr(guard, "LEAST_SECONDS", 0.3)
    with pytest.raises(StudyError) as error:
        checked(made("nrrd")(tmp_path, "healthy"), tmp_path / "kept")
    message = str(error.value)
    assert "image.nrrd or its mask could not be checked, twice" in message
    assert "not excluded. Run again with fewer jobs at once" in message


def test_files_cut_within_their_header_are_unreadable(tmp_path) -> None:
    rows, expected = [], {}
    for form in ("nii", "nrrd", "mha", "png", "jpg", "tif", "bmp", "dicom"):
        for kind in ("image", "mask"):
            (row,) = made(form)(tmp_path, f"{kind} of {form}")
            path = Path(row[f"{kind}_path"])
            path.write_bytes(path.read_bytes()[:20])
            rows.append(row)
            expected[row["patient_id"]] = f"unreadable_{kind}"
    masks = checked(rows, tmp_path / "kept").masks
    assert {mask["patient_id"]: mask["reasons"] for mask in masks} == expected
    assert not any(JARGON.search(str(mask["message"]).replace(str(tmp_path), "")) for mask in masks)


# --- a whole study -------------------------------------------------------------------------------


def add_patient(project: Project, number: int) -> str:
    """Add a healthy SYNTHETIC patient to a study's tables and files; returns its id."""
    data = project.folder / "data"
    people, images = pd.read_csv(data / "participants.csv"), pd.read_csv(data / "images.csv")
    name = f"SYN-CEM-9{number:04d}"
    like = people[people["cohort"] == "train"].iloc[[number]].assign(patient_id=name, tumor_diameter_mm=24.0)
    pd.concat([people, like]).to_csv(data / "participants.csv", index=False)
    rows = pd.DataFrame(roster.manifest("cem", [name]))
    pd.concat([images, rows[rows["series"] == "rc"]]).to_csv(data / "images.csv", index=False)
    scores = dict.fromkeys(("latent_itr", "latent_ptr5", "latent_ptr10"), 0.0)
    patient = {"patient_id": name, "cohort": "train", "tumor_diameter_mm": 24.0, **scores}
    write_images(cem.simulate_images(patient, 3), roster.image_files("cem", name), data)
    return name


def empty_mask(image: Path, mask: Path) -> None:
    save(mask, np.zeros((256, 256), np.uint8), (0.8, 0.8))


def constant_image(image: Path, mask: Path) -> None:
    save(image, np.full((256, 256), 7, np.int16), (0.8, 0.8))


def missing_image(image: Path, mask: Path) -> None:
    image.unlink()


def unreadable_image(image: Path, mask: Path) -> None:
    image.write_bytes(image.read_bytes()[:2000])


def grid_mismatch(image: Path, mask: Path) -> None:
    save(mask, np.pad(lesion(2), 200).astype(np.uint8), (3.0, 3.0))


def too_few_voxels(image: Path, mask: Path) -> None:
    few = np.zeros((256, 256), np.uint8)
    few[120:123, 50:53] = 1
    save(mask, few, (0.8, 0.8))


@pytest.mark.slow
def test_a_study_with_defective_patients_finishes_and_the_others_results_are_the_same(
    finished: Project, tmp_path: Path
) -> None:
    project = write_study(tmp_path, {"train": 36, "internal_test": 18})
    faults = (empty_mask, constant_image, missing_image, unreadable_image, grid_mismatch, too_few_voxels)
    expected = {}
    for number, fault in enumerate(faults):
        name = add_patient(project, number)
        fault(*(project.folder / "data" / f"{name}_{part}.nrrd" for part in ("rc", "tumour")))
        expected[name] = f"rc: {fault.__name__}"
    project.snakemake("--cores", "2")
    lost = read_csv(project.results / "qc/lost.csv")
    # A mask that is too small does not fit the recorded diameter either.
    reasons = lost["reason"].str.partition(";")[0]
    assert dict(zip(lost["patient_id"], reasons, strict=True)) == expected
    assert (project.results / "report/report.html").stat().st_size > 1000
    before, after = (
        pd.read_parquet(study.results / "features/features.parquet") for study in (finished, project)
    )
    patients = set(before["patient_id"])
    assert len(patients) == 54 and not patients & set(expected)
    others = after[after["patient_id"].isin(patients)].reset_index(drop=True)
    assert others.to_parquet() == before.to_parquet()
    for table in ("rois/rois.csv", "qc/masks.csv", "cohort/images.csv"):
        found = lines_of(project.results / table, patients)
        assert found == lines_of(finished.results / table, patients), table
        assert len(found) > 54
