"""Frozen signatures that are not linear: support vectors and trees, evaluated by plain arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from annulus.modelling.frozen_steps import FrozenStep, prepared, raw_columns, step_from_json, step_to_json


@dataclass(frozen=True)
class Kernel:
    """A support vector machine with a radial kernel, its decision value turned into log-odds.

    Log-odds = offset + slope * (bias + sum over support vectors s of weight * exp(-gamma |z - s|^2)), of the
    z-scores z (Platt scaling). ``intercept`` is the log-odds of the event in training, from which scores
    are counted where models of several signatures are fitted.
    """

    kind: ClassVar[str] = "svm"

    intercept: float
    terms: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    vectors: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    gamma: float
    bias: float
    slope: float
    offset: float
    before: tuple[FrozenStep, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that scoring needs."""
        return raw_columns(self.before, self.terms)

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """Log-odds of every row of ``table``."""
        values = prepared(self.before, table, self.terms).to_numpy()
        distance = cdist((values - self.mean) / self.sd, np.array(self.vectors), "sqeuclidean")
        decision: np.ndarray = np.exp(-self.gamma * distance) @ np.array(self.weights) + self.bias
        return self.offset + self.slope * decision

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        return {
            "kind": self.kind,
            "intercept": self.intercept,
            "terms": [
                {"term": term, "mean": mean, "sd": sd}
                for term, mean, sd in zip(self.terms, self.mean, self.sd, strict=True)
            ],
            "vectors": [list(vector) for vector in self.vectors],
            "weights": list(self.weights),
            "gamma": self.gamma,
            "bias": self.bias,
            "slope": self.slope,
            "offset": self.offset,
            "before": [step_to_json(step) for step in self.before],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Kernel":
        """Read what :meth:`to_json` wrote."""
        return cls(
            intercept=content["intercept"],
            terms=tuple(term["term"] for term in content["terms"]),
            mean=tuple(term["mean"] for term in content["terms"]),
            sd=tuple(term["sd"] for term in content["terms"]),
            vectors=tuple(map(tuple, content["vectors"])),
            weights=tuple(content["weights"]),
            gamma=content["gamma"],
            bias=content["bias"],
            slope=content["slope"],
            offset=content["offset"],
            before=tuple(map(step_from_json, content["before"])),
        )


@dataclass(frozen=True)
class Tree:
    """One tree, by node: its term's position (-1 at a leaf), threshold, children and value."""

    term: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """Value of the leaf that every row of ``values`` (patient x term) falls into."""
        term, threshold = np.array(self.term), np.array(self.threshold)
        left, right = np.array(self.left), np.array(self.right)
        node = np.zeros(len(values), dtype=int)
        while (inner := np.flatnonzero(term[node] >= 0)).size:
            at = node[inner]
            low = values[inner, term[at]] <= threshold[at]
            node[inner] = np.where(low, left[at], right[at])
        found: np.ndarray = np.array(self.value)[node]
        return found


@dataclass(frozen=True)
class Trees:
    """Trees added up: offset + weight * sum of their leaves' values, as ``scale`` says.

    ``scale`` is ``log_odds`` (boosting) or ``probability`` (a forest). ``intercept`` as in :class:`Kernel`.
    """

    kind: ClassVar[str] = "trees"

    intercept: float
    terms: tuple[str, ...]
    trees: tuple[Tree, ...]
    offset: float
    weight: float
    scale: str
    before: tuple[FrozenStep, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that scoring needs."""
        return raw_columns(self.before, self.terms)

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """Log-odds of every row of ``table``."""
        # Single precision, in which scikit-learn compares with thresholds.
        values = prepared(self.before, table, self.terms).to_numpy().astype(np.float32)
        total = self.offset + self.weight * sum(
            (tree.of(values) for tree in self.trees), np.zeros(len(table))
        )
        found: np.ndarray = total if self.scale == "log_odds" else np.log(total / (1.0 - total))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        return {
            "kind": self.kind,
            "intercept": self.intercept,
            "terms": list(self.terms),
            "trees": [
                {name: list(getattr(tree, name)) for name in ("term", "threshold", "left", "right", "value")}
                for tree in self.trees
            ],
            "offset": self.offset,
            "weight": self.weight,
            "scale": self.scale,
            "before": [step_to_json(step) for step in self.before],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Trees":
        """Read what :meth:`to_json` wrote."""
        return cls(
            intercept=content["intercept"],
            terms=tuple(content["terms"]),
            trees=tuple(
                Tree(**{name: tuple(values) for name, values in tree.items()}) for tree in content["trees"]
            ),
            offset=content["offset"],
            weight=content["weight"],
            scale=content["scale"],
            before=tuple(map(step_from_json, content["before"])),
        )


def probability(linear_predictor: np.ndarray | pd.Series) -> np.ndarray:
    """Turn linear predictors into probabilities."""
    p: np.ndarray = 1.0 / (1.0 + np.exp(-np.asarray(linear_predictor, dtype=float)))
    return p
