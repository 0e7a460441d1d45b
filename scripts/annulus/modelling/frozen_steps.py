"""Frozen steps between a table of features and a signature, as plain JSON.

Each step keeps the features that the signature needs of it, and works on new patients one by one, whoever
else is in the table (but for ComBat's centres that training did not have, where those are estimated).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from annulus.modelling.harmonisation import Harmonise


@dataclass(frozen=True)
class MedianFill:
    """A missing feature takes its training median."""

    kind: ClassVar[str] = "median"

    features: tuple[str, ...]
    fill: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that it needs beside the features."""
        return ()

    def apply(self, features: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """Return its features of ``features`` without missing values."""
        values = features[list(self.features)].to_numpy(dtype=float)
        filled = np.where(np.isnan(values), self.fill, values)
        return pd.DataFrame(filled, features.index, list(self.features))


@dataclass(frozen=True)
class Regression:
    """A linear regression of one feature on others, by their positions; limits of None are none."""

    feature: int
    neighbours: tuple[int, ...]
    coefficients: tuple[float, ...]
    intercept: float
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class ChainedFill:
    """Missing features take their training medians, then what chained regressions say, in their order."""

    kind: ClassVar[str] = "iterative"

    features: tuple[str, ...]
    fill: tuple[float, ...]
    regressions: tuple[Regression, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that it needs beside the features."""
        return ()

    def apply(self, features: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """Return its features of ``features`` without missing values."""
        values = features[list(self.features)].to_numpy(dtype=float)
        missing = np.isnan(values)
        values = np.where(missing, self.fill, values)
        for part in self.regressions:
            rows = missing[:, part.feature]
            if not rows.any():
                continue
            found = values[np.ix_(rows, part.neighbours)] @ np.array(part.coefficients) + part.intercept
            values[rows, part.feature] = np.clip(
                found,
                -np.inf if part.lowest is None else part.lowest,
                np.inf if part.highest is None else part.highest,
            )
        return pd.DataFrame(values, features.index, list(self.features))


@dataclass(frozen=True)
class ZScore:
    """Features less their training mean, in training standard deviations."""

    kind: ClassVar[str] = "scale"

    features: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that it needs beside the features."""
        return ()

    def apply(self, features: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
        """Return z-scores of its features."""
        values = features[list(self.features)].to_numpy(dtype=float)
        return pd.DataFrame((values - self.mean) / self.sd, features.index, list(self.features))


FrozenStep = MedianFill | ChainedFill | ZScore | Harmonise

KINDS: Mapping[str, type[FrozenStep]] = {
    step.kind: step for step in (MedianFill, ChainedFill, ZScore, Harmonise)
}


def prepared(steps: Sequence[FrozenStep], table: pd.DataFrame, terms: Sequence[str]) -> pd.DataFrame:
    """Take ``table`` (patient x column, as extracted) through the steps; returns its ``terms``."""
    features = table[list(steps[0].features if steps else terms)].astype(float)
    for step in steps:
        features = step.apply(features, table)
    return features[list(terms)]


def raw_columns(steps: Sequence[FrozenStep], terms: Sequence[str]) -> tuple[str, ...]:
    """Name the columns of the raw table that steps and then ``terms`` need, each once."""
    features = steps[0].features if steps else terms
    return tuple(dict.fromkeys([*features, *(name for step in steps for name in step.columns)]))


def step_to_json(step: FrozenStep) -> dict[str, Any]:
    """Return a step as plain names and numbers."""
    return {"step": step.kind, **_lists(asdict(step))}


def step_from_json(content: Mapping[str, Any]) -> FrozenStep:
    """Read what :func:`step_to_json` wrote."""
    parts = {key: _tuples(value) for key, value in content.items() if key != "step"}
    kind = KINDS[content["step"]]
    if kind is ChainedFill:
        parts["regressions"] = tuple(
            Regression(**{key: _tuples(value) for key, value in part.items()})
            for part in parts["regressions"]
        )
    return kind(**parts)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
