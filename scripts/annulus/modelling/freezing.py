"""All models of a study sealed at once, when every one of them is fitted."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from annulus.cohort.dictionary import columns_of
from annulus.features.timepoints import catalogue_by_patient
from annulus.modelling.bundle import Origin, Task, file_sha256, seal
from annulus.modelling.fitting import read_training
from annulus.tables import read_csv, read_json

TRAINING = "train"


def seal_all(
    fitted: Sequence[tuple[str, str]],
    outcomes: Mapping[str, Mapping[str, Any]],
    origin: Origin,
    training: tuple[str, str],
    catalogue: pd.DataFrame | None,
) -> list[dict[str, Any]]:
    """Seal every fitted model, in the order given.

    ``fitted`` has the task and the file of each, ``outcomes`` the coding of every task's outcome,
    ``training`` the files of training patients' predictors and outcomes.
    """
    known = {task: read_training(*training, task).predictors for task in outcomes}
    dictionary = columns_of("participants")
    return [
        seal(read_json(path), Task(task, outcomes[task]), origin, known[task], dictionary, catalogue)
        for task, path in fitted
    ]


def hashes_of(split: pd.DataFrame, training: tuple[str, str], code: str) -> dict[str, str]:
    """Hash what models were fitted on: the split's training rows, predictors and outcomes, and the code.

    Patients of other cohorts are left out, so that no model changes with them.
    """
    rows = split[split["cohort"] == TRAINING].to_csv(index=False, lineterminator="\n")
    return {
        "training_split": hashlib.sha256(rows.encode()).hexdigest(),
        "training_predictors": file_sha256(training[0]),
        "training_outcomes": file_sha256(training[1]),
        "code": code,
    }


def read_catalogue(
    path: str | None,
    images: Sequence[str],
    timepoints: Mapping[str, str],
    changes: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame | None:
    """Read the catalogue of feature columns as predictors have them; None in a study without images."""
    return None if path is None else catalogue_by_patient(read_csv(path), images, timepoints, changes)
