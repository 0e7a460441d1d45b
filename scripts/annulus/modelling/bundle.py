"""Sealed models: a fitted model with all that scoring patients elsewhere takes, and its own hash.

Plain JSON that any program reads; nothing is ever unpickled.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import annulus
from annulus.canonical import sha256_of
from annulus.cohort.dictionary import Column, entry_of
from annulus.errors import StudyError
from annulus.modelling.frozen import FrozenModel
from annulus.modelling.plan import LESION_SIZE
from annulus.modelling.size import SIZE
from annulus.modelling.training_summary import LINEAR_PREDICTOR, correlation, number_summary, summaries

FORMAT = 1

# Of a feature's row of features/catalogue.csv.
FEATURE_KEYS = (
    "column", "image", "roi", "time", "filter", "class", "feature", "ibsi_code", "settings_sha256", "mode",
)  # fmt: skip

LIBRARIES = (
    "numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "pyradiomics", "SimpleITK",
)  # fmt: skip

LICENCE = "BSD-3-Clause"


@dataclass(frozen=True)
class Task:
    """The task of a model: its name, and its outcome's column, values and label as the study names them."""

    name: str
    outcome: Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What all models of a study share: its name, how predictors are made, licences, hashes of inputs."""

    study: str
    front_end_sha256: str
    licences: Mapping[str, Any]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Bundle:
    """A sealed model as it was read: the model, and everything that stands in the file."""

    model: FrozenModel
    content: Mapping[str, Any]

    @property
    def study(self) -> str:
        """Name of the study that the model is from."""
        return str(self.content["study"])

    @property
    def task(self) -> str:
        """Name of the task that the model is of."""
        return str(self.content["task"])

    @property
    def sha256(self) -> str:
        """Hash of everything else in the file."""
        return str(self.content["sha256"])


def seal(
    fitted: Mapping[str, Any],
    task: Task,
    origin: Origin,
    predictors: pd.DataFrame,
    dictionary: Mapping[str, Column],
    catalogue: pd.DataFrame | None,
) -> dict[str, Any]:
    """Turn a fitted model (``fitted.json``) into the content of its sealed ``model.json``.

    ``predictors`` are those of the task's training patients whose outcome is known; ``dictionary`` describes
    clinical variables; ``catalogue`` has a row per feature column of ``predictors``
    (:func:`annulus.features.timepoints.catalogue_by_patient`), None in a study without images.
    """
    model = FrozenModel.from_json(fitted)
    columns = model.columns
    variables = {name: dictionary[name] for name in columns if name in dictionary}
    training = dict(model.training)
    if model.linear is not None:
        training |= {
            "prevalence": training["events"] / training["n"],
            "summary": {
                **summaries(predictors, columns, variables),
                LINEAR_PREDICTOR: number_summary(model.score(predictors, variables)),
            },
            "correlation": correlation(predictors, columns, variables),
        }
    content = {
        "format": FORMAT,
        "study": origin.study,
        "task": task.name,
        "outcome": dict(task.outcome),
        **dict(fitted),
        "features": features_of([name for name in columns if name not in variables], catalogue),
        "variables": {name: entry_of(column) for name, column in variables.items()},
        "training": training,
        "front_end_sha256": origin.front_end_sha256,
        "versions": versions(),
        "licences": dict(origin.licences),
        "hashes": dict(origin.hashes),
    }
    return content | {"sha256": sha256_of(content)}


def read_bundle(path: str | Path) -> Bundle:
    """Read a sealed model.

    Raises StudyError when the file is missing, is no sealed model, or was edited after it was sealed.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError:
        raise StudyError(f"{path}: there is no such file. A frozen model is a model.json.") from None
    except ValueError:
        raise StudyError(f"{path}: this is no JSON. Take the model.json that the study wrote.") from None
    if not isinstance(content, dict) or not {"format", "study", "task", "linear", "sha256"} <= set(content):
        raise StudyError(
            f"{path}: this is not a frozen model of annulus. Give the model.json of models/<task>/<model>/."
        )
    if content["format"] != FORMAT:
        raise StudyError(
            f"{path}: its format is {content['format']}, and this version of annulus reads {FORMAT}. Use the "
            f"version that the file names (versions.annulus)."
        )
    if _seal_of(content) != content["sha256"]:
        raise StudyError(
            f"{path}: the model was edited after it was frozen; its content no longer has the sha256 in it. "
            "Take the file that the study wrote, or run the study again to freeze what you changed."
        )
    return Bundle(FrozenModel.from_json(content), content)


def event_shares(bundles: Iterable[Bundle]) -> dict[str, float]:
    """Return the share of training patients with the event, by task."""
    shares = {bundle.task: bundle.content["training"].get("prevalence") for bundle in bundles}
    return {task: float(share) for task, share in shares.items() if share is not None}


def features_of(columns: Sequence[str], catalogue: pd.DataFrame | None) -> list[dict[str, str]]:
    """Describe feature columns by their rows of the catalogue; the lesion's size has none.

    Raises AssertionError where a catalogue lacks a column.
    """
    if catalogue is None:
        return [_size() if name == LESION_SIZE else {"column": name} for name in columns]
    rows = catalogue.set_index("column", drop=False)
    absent = [name for name in columns if name not in rows.index and name != LESION_SIZE]
    if absent:
        raise AssertionError(f"features that the catalogue lacks: {absent[:5]}")
    cells = rows.reindex(columns=list(FEATURE_KEYS)).fillna("").astype(str)
    return [
        _size() if name == LESION_SIZE else {str(key): str(v) for key, v in cells.loc[name].items()}
        for name in columns
    ]


def versions() -> dict[str, str]:
    """Return the versions of annulus, Python and the libraries that fit and score."""
    found = {"annulus": annulus.__version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}


def licences_of(cohort: Mapping[str, Any]) -> dict[str, Any]:
    """Return under what annulus and the training patients' data (of ``cohort``) may be used."""
    data = {key: cohort.get(key, "not stated") for key in ("name", "licence", "citation")}
    return {"annulus": LICENCE, "cohort": {**data, "redistribution": bool(cohort["redistribution"])}}


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _seal_of(content: Mapping[str, Any]) -> str:
    try:
        return sha256_of({key: value for key, value in content.items() if key != "sha256"})
    except ValueError:
        return "a number is not finite"


def _size() -> dict[str, str]:
    return {"column": LESION_SIZE, "description": SIZE.description}
