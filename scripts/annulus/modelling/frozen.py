"""Frozen models: everything that scoring a new patient needs, as plain JSON.

A model is a logistic regression on terms. A term is a feature, a clinical variable's term, or the
Rad-score of a signature that the model carries with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column


@dataclass(frozen=True)
class Linear:
    """A linear predictor on imputed z-scores: intercept + sum of coefficient * (x - mean) / sd."""

    intercept: float
    terms: tuple[str, ...] = ()
    coefficients: tuple[float, ...] = ()
    fill: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """Linear predictor of every row of ``table``; a missing term takes its training median."""
        if not self.terms:
            return np.full(len(table), self.intercept)
        values = table[list(self.terms)].to_numpy(dtype=float)
        values = np.where(np.isnan(values), self.fill, values)
        scores: np.ndarray = (values - self.mean) / self.sd @ np.array(self.coefficients)
        return scores + self.intercept

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        return {
            "intercept": self.intercept,
            "terms": [
                {"term": term, "coefficient": b, "fill": fill, "mean": mean, "sd": sd}
                for term, b, fill, mean, sd in zip(
                    self.terms, self.coefficients, self.fill, self.mean, self.sd, strict=True
                )
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Linear":
        """Read what :meth:`to_json` wrote."""
        parts = {
            name: tuple(term[key] for term in content["terms"])
            for name, key in (
                ("terms", "term"),
                ("coefficients", "coefficient"),
                ("fill", "fill"),
                ("mean", "mean"),
                ("sd", "sd"),
            )
        }
        return cls(intercept=content["intercept"], **parts)


@dataclass(frozen=True)
class FrozenModel:
    """One model of one task.

    ``reason`` says why there is no model when ``linear`` is None. ``threshold`` is the training
    cut-off on the probability (at or above it is positive).
    """

    name: str
    kind: str
    linear: Linear | None
    reason: str = ""
    clinical: tuple[str, ...] = ()
    signatures: Mapping[str, Linear] = field(default_factory=dict)
    threshold: float | None = None
    threshold_rule: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def score(self, predictors: pd.DataFrame, columns: Mapping[str, Column]) -> np.ndarray:
        """Linear predictor of every patient from features and clinical variables as recorded."""
        if self.linear is None:
            raise ValueError(f"{self.name} was not fitted: {self.reason}")
        clinical = self._clinical(predictors, columns)
        scores = pd.DataFrame(
            {rad_score(roi): linear.of(predictors) for roi, linear in self.signatures.items()},
            index=predictors.index,
        )
        wanted = [t for t in self.linear.terms if t not in clinical and t not in scores]
        return self.linear.of(pd.concat([predictors[wanted], clinical, scores], axis=1))

    def _clinical(self, predictors: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
        """Encode clinical variables; a level that no training patient had counts as missing."""
        parts = []
        for name in self.clinical:
            terms = encode(predictors, [columns[name]])
            unseen = [term for term in terms if self.linear and term not in self.linear.terms]
            if len(unseen) < terms.shape[1]:
                terms[terms[unseen].eq(1.0).any(axis=1)] = np.nan
            parts.append(terms)
        return pd.concat([pd.DataFrame(index=predictors.index), *parts], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Return the model as plain JSON content."""
        return {
            "name": self.name,
            "kind": self.kind,
            "fitted": self.linear is not None,
            "reason": self.reason,
            "clinical": list(self.clinical),
            "signatures": {roi: linear.to_json() for roi, linear in self.signatures.items()},
            "linear": None if self.linear is None else self.linear.to_json(),
            "threshold": {
                "value": self.threshold,
                "rule": self.threshold_rule,
                "direction": ">=",
            },
            "training": dict(self.training),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FrozenModel":
        """Read what :meth:`to_json` wrote."""
        return cls(
            name=content["name"],
            kind=content["kind"],
            linear=None if content["linear"] is None else Linear.from_json(content["linear"]),
            reason=content["reason"],
            clinical=tuple(content["clinical"]),
            signatures={roi: Linear.from_json(part) for roi, part in content["signatures"].items()},
            threshold=content["threshold"]["value"],
            threshold_rule=content["threshold"]["rule"],
            training=content["training"],
        )


def rad_score(roi: str) -> str:
    """Name the term that holds the Rad-score of a region."""
    return f"radscore_{roi}"
