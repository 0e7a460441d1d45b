"""Frozen models as the command line opens them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annulus.cohort.dictionary import Column
from annulus.errors import StudyError
from annulus.modelling.bundle import read_bundle
from annulus.modelling.frozen import FrozenModel


@dataclass(frozen=True)
class OpenedModel:
    """A frozen model, the raw columns it needs, and everything that stands in its file."""

    model: FrozenModel
    content: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that scoring needs."""
        return self.model.columns

    @property
    def variables(self) -> Mapping[str, Column]:
        """The clinical variables among them, as the model itself describes them."""
        return self.model.variables

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on simulated patients."""
        return bool(self.content["synthetic"])


def open_model(place: Path) -> OpenedModel:
    """Read a frozen model from its folder or its model.json.

    Raises StudyError when there is none, the file is none or was edited, or the model could not be fitted.
    """
    path = place / "model.json" if place.is_dir() else place
    bundle = read_bundle(path)
    if bundle.model.linear is None:
        reason = bundle.model.reason
        raise StudyError(f"{path}: {bundle.model.name} could not be fitted, so it scores nobody: {reason}")
    return OpenedModel(bundle.model, bundle.content)
