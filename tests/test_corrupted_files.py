"""Damaged files cost nobody but their own patient: a few of each format here, a thousand with -m slow."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from corrupted_files import FORMATS, check_format

MOST_SECONDS = 10.0
FAST = ("nii", "nrrd", "png", "dicom")


def problems(name: str, count: int, most_seconds: float) -> list[str]:
    return check_format(name, "image", range(count), seed=1).problems(most_seconds)


@pytest.mark.parametrize("name", [name for name in FAST if name in FORMATS])
def test_a_few_damaged_files_change_nothing_of_a_healthy_patient(name):
    # Seconds depend on the machine, and are the slow test's business.
    assert problems(name, 12, float("inf")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_thousand_damaged_files_change_nothing_of_a_healthy_patient(name):
    assert problems(name, 1000, MOST_SECONDS) == []
