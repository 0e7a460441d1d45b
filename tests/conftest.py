"""A small study in a copy of the project, run once and used by every test of the workflow."""

import os

# One thread per worker, as in the workflow; numpy reads this when it is first imported.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import settings

from annulus.cohort.dictionary import VARIABLES
from annulus.simulation import roster
from annulus.simulation.drawing import write_images
from annulus.simulation.simulators import draw_images, simulate_cohort
from annulus.tables import write_csv

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "profiles", "scripts", "workflow")
NAME = "small"
TABLES = "results/small/tasks/her2_fish"

# The same examples in every run: a change fails because of what changed, not because of the draw. Longer
# proofs draw their own.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


# Files of tests that run whole studies. They begin first, or one process is still at them when all others
# are done.
LONGEST = (
    "test_workflow.py",
    "test_studies.py",
    "test_mri_study.py",
    "test_external.py",
    "test_pathway.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file tests stay as they stand."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture(autouse=True)
def no_variables_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the variables of studies that other tests loaded."""
    monkeypatch.setenv(VARIABLES, "")


@dataclass(frozen=True)
class Project:
    """A copy of the project with a small study in it."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results" / NAME

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run Snakemake on the small study and return what it printed."""
        command = [sys.executable, "-m", "snakemake", "--configfile", "small.yaml", *arguments]
        return run(command, self.folder, check)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule Snakemake would run."""
        return planned_jobs(self.snakemake("-n", "--quiet", "rules", *arguments))

    def read_design(self) -> dict:
        return yaml.safe_load((self.folder / "small.yaml").read_text())

    def write_design(self, design: dict) -> None:
        (self.folder / "small.yaml").write_text(yaml.safe_dump(design, sort_keys=False))


def run(command: list[str], folder: Path, check: bool = True) -> str:
    """Run a command in a folder; its output is in the failure."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"TMPDIR": "/tmp"}
    )
    text = done.stdout + done.stderr
    if check:
        assert done.returncode == 0, text[-8000:]
    return text


def planned_jobs(text: str) -> dict[str, int]:
    """Read the job table of a dry run."""
    if "Nothing to be done" in text:
        return {}
    lines = text.split("count\n", 1)[1].splitlines()
    rows = [line.split() for line in lines]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def copy_project(folder: Path) -> None:
    """Copy what a clone of the project holds."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)


def write_patients(folder: Path, cohorts: dict[str, int], seed: int = 3) -> None:
    """Write SYNTHETIC patients as a user would bring them: two tables and image files."""
    shares = {"negative": 0.6, "positive": 0.4}
    people, truth = simulate_cohort("cem", cohorts, shares, null=False, defects=0.0, seed=seed)
    for patient in people.merge(truth).to_dict("records"):
        files = roster.image_files("cem", patient["patient_id"])
        write_images(draw_images("cem", patient, 1, seed), files, folder)
    write_csv(folder / "participants.csv", people)
    rows = pd.DataFrame(roster.manifest("cem", list(people["patient_id"])))
    write_csv(folder / "images.csv", rows[rows["series"] == "rc"])


def small_design() -> dict:
    """Return a design that uses every stage and takes a minute."""
    return {
        "name": NAME,
        "title": "A small study for tests",
        "cohort": "small_cohort.yaml",
        "seed": 11,
        "resamples": 4,
        "repeated_splits": 4,
        "images": {"rc": {"modality": "CEM", "series": "rc", "settings": "small_settings.yaml"}},
        "qc": {"minimum_voxels": 20},
        "regions": {
            "unit": "mm",
            "minimum_voxels": 20,
            "rois": {"itr": {"kind": "tumour"}, "ptr5": {"kind": "ring", "outer": 5}},
        },
        "split": {
            "by": "column",
            "column": "cohort",
            "cohorts": {"train": ["train"], "internal_test": ["internal_test"]},
        },
        "tasks": {
            "her2_fish": {
                "outcome": "her2_ish",
                "positive": ["positive"],
                "negative": ["negative"],
                "signatures": ["itr", "ptr5"],
                "signature": {"model": {"lasso": {"folds": 4, "count": 20, "smallest_ratio": 0.2}}},
                "outer_folds": 3,
                "clinical": {"candidates": ["tumor_diameter_mm", "age_years"], "entry_p": 0.99},
                "combined": {
                    "radiomics": {"signatures": ["itr", "ptr5"]},
                    "nomogram": {"signatures": ["itr"], "clinical": ["tumor_diameter_mm"]},
                },
                "nomogram": "nomogram",
                "decision": {"description": "treat", "thresholds": [0.1, 0.6]},
                "bootstraps": 100,
            }
        },
    }


def write_study(folder: Path, cohorts: dict[str, int]) -> Project:
    """Write a small study, its cohort, settings and patients into a copy of the project."""
    copy_project(folder)
    write_patients(folder / "data", cohorts)
    cohort = {
        "name": "small_cohort",
        "source": "table",
        "folder": "data",
        "chunks": 3,
        "redistribution": True,
        "participants": {"file": "participants.csv"},
        "images": {"file": "images.csv"},
    }
    settings = {
        "normalise_within": "tissue",
        "imageType": {"Original": None},
        "featureClass": {"firstorder": None, "shape2D": None, "glrlm": None},
        "setting": {"binWidth": 25, "normalizeScale": 100},
    }
    (folder / "small_cohort.yaml").write_text(yaml.safe_dump(cohort))
    (folder / "small_settings.yaml").write_text(yaml.safe_dump(settings))
    project = Project(folder)
    project.write_design(small_design())
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small study that has run to its report on 2 cores. Tests must leave it as it is."""
    project = write_study(tmp_path_factory.mktemp("finished"), {"train": 36, "internal_test": 18})
    project.snakemake("--cores", "2")
    return project


@pytest.fixture
def copy_of_finished(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, with times and metadata, to change at will."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Project(folder)
