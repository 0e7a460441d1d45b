"""Frozen models as the command line opens them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annulus.cohort.dictionary import Column, columns_of
from annulus.errors import StudyError
from annulus.modelling.attribution import needed_columns
from annulus.modelling.frozen import FrozenModel


@dataclass(frozen=True)
class OpenedModel:
    """A frozen model, the raw columns it needs, and those of them that the data dictionary describes."""

    model: FrozenModel
    columns: tuple[str, ...]
    variables: Mapping[str, Column]
    synthetic: bool


def open_model(place: Path) -> OpenedModel:
    """Read a frozen model from its folder or its model.json.

    Raises StudyError when there is none, the file is none, or the model could not be fitted.
    """
    path = place / "model.json" if place.is_dir() else place
    if not path.is_file():
        raise StudyError(
            f"{path}: there is no such file. A frozen model is results/<study>/models/<task>/<model>."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = FrozenModel.from_json(content)
    except (ValueError, KeyError, TypeError):
        raise StudyError(
            f"{path}: this is no frozen model. Give the model.json of a study's results."
        ) from None
    if model.linear is None:
        raise StudyError(f"{path}: {model.name} could not be fitted, so it scores nobody: {model.reason}")
    columns, dictionary = needed_columns(model), columns_of("participants")
    variables = {name: dictionary[name] for name in columns if name in dictionary}
    return OpenedModel(model, columns, variables, bool(content.get("synthetic")))
