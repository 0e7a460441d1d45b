"""Frozen models: everything that scoring a new patient needs, as plain JSON.

A model is a logistic regression on terms, or a signature of another kind (support vectors, trees). A term
is a feature, a clinical variable's term, or the Rad-score of a signature that the model carries with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column, column_of, entry_of
from annulus.modelling.frozen_steps import FrozenStep, prepared, raw_columns, step_from_json, step_to_json
from annulus.modelling.plan import rad_score
from annulus.modelling.scorers import Kernel, Trees
from annulus.modelling.threshold import CutOff


@dataclass(frozen=True)
class Linear:
    """A linear predictor on imputed z-scores: intercept + sum of coefficient * (x - mean) / sd.

    Steps ``before`` it (see :mod:`annulus.modelling.frozen_steps`) turn the raw columns into its terms.
    """

    intercept: float
    terms: tuple[str, ...] = ()
    coefficients: tuple[float, ...] = ()
    fill: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    before: tuple[FrozenStep, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that scoring needs."""
        return raw_columns(self.before, self.terms)

    def of(self, table: pd.DataFrame) -> np.ndarray:
        """Linear predictor of every row of ``table``; a missing term takes its training median."""
        if not self.terms:
            return np.full(len(table), self.intercept)
        scores: np.ndarray = self.z_scores(table) @ np.array(self.coefficients)
        return scores + self.intercept

    def z_scores(self, table: pd.DataFrame) -> np.ndarray:
        """Imputed z-scores (patient x term), which the coefficients multiply."""
        values = prepared(self.before, table, self.terms).to_numpy()
        values = np.where(np.isnan(values), self.fill, values)
        scores: np.ndarray = (values - self.mean) / self.sd
        return scores

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        content: dict[str, Any] = {
            "intercept": self.intercept,
            "terms": [
                {"term": term, "coefficient": b, "fill": fill, "mean": mean, "sd": sd}
                for term, b, fill, mean, sd in zip(
                    self.terms, self.coefficients, self.fill, self.mean, self.sd, strict=True
                )
            ],
        }
        if self.before:
            content["before"] = [step_to_json(step) for step in self.before]
        return content

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
        before = tuple(map(step_from_json, content.get("before", ())))
        return cls(intercept=content["intercept"], before=before, **parts)


Scorer = Linear | Kernel | Trees


def scorer_from_json(content: Mapping[str, Any]) -> Scorer:
    """Read a scorer of any kind; one that does not say its kind is linear."""
    kinds: Mapping[str, type[Scorer]] = {"linear": Linear, Kernel.kind: Kernel, Trees.kind: Trees}
    return kinds[content.get("kind", "linear")].from_json(content)


@dataclass(frozen=True)
class FrozenModel:
    """One model of one task.

    ``linear`` gives its linear predictor (log-odds): a regression, or a signature of another kind. ``reason``
    says why there is no model when ``linear`` is None. ``cut_off`` was chosen on training patients.
    ``log_likelihood`` is that of the training fit, of models fitted by maximum likelihood. ``variables``
    describe the columns of participants that scoring reads; a sealed model has them.
    """

    name: str
    kind: str
    linear: Scorer | None
    reason: str = ""
    clinical: tuple[str, ...] = ()
    signatures: Mapping[str, Scorer] = field(default_factory=dict)
    cut_off: CutOff | None = None
    log_likelihood: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Column] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the raw table that scoring needs: signatures' own, the model's, clinical variables."""
        if self.linear is None:
            return ()
        made = {rad_score(roi) for roi in self.signatures}
        parts = [column for scorer in self.signatures.values() for column in scorer.columns]
        parts += [
            column
            for column in self.linear.columns
            if column not in made and column.partition("[")[0] not in self.clinical
        ]
        return tuple(dict.fromkeys([*parts, *self.clinical]))

    def score(self, predictors: pd.DataFrame, columns: Mapping[str, Column] | None = None) -> np.ndarray:
        """Linear predictor of every patient from features and clinical variables as recorded.

        ``columns`` describe clinical variables where the model does not do so itself.
        """
        terms = self.term_table(predictors, columns)
        assert self.linear is not None
        return self.linear.of(terms)

    def term_table(
        self, predictors: pd.DataFrame, columns: Mapping[str, Column] | None = None
    ) -> pd.DataFrame:
        """Return what the linear predictor is made from, a column per term; missing values stay missing."""
        if self.linear is None:
            raise ValueError(f"{self.name} was not fitted: {self.reason}")
        clinical = self._clinical(predictors, {**(columns or {}), **self.variables})
        scores = pd.DataFrame(
            {rad_score(roi): scorer.of(predictors) for roi, scorer in self.signatures.items()},
            index=predictors.index,
        )
        wanted = [t for t in self.linear.columns if t not in clinical and t not in scores]
        return pd.concat([predictors[wanted], clinical, scores], axis=1)

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
            "signatures": {roi: scorer.to_json() for roi, scorer in self.signatures.items()},
            "linear": None if self.linear is None else self.linear.to_json(),
            "threshold": None if self.cut_off is None else _cut_off_json(self.cut_off),
            "log_likelihood": self.log_likelihood,
            "training": dict(self.training),
            "variables": {name: entry_of(column) for name, column in self.variables.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FrozenModel":
        """Read what :meth:`to_json` wrote."""
        return cls(
            name=content["name"],
            kind=content["kind"],
            linear=None if content["linear"] is None else scorer_from_json(content["linear"]),
            reason=content["reason"],
            clinical=tuple(content["clinical"]),
            signatures={roi: scorer_from_json(part) for roi, part in content["signatures"].items()},
            cut_off=None if content["threshold"] is None else _cut_off(content["threshold"]),
            log_likelihood=content["log_likelihood"],
            training=content["training"],
            variables={name: column_of(name, entry) for name, entry in content["variables"].items()},
        )


def _cut_off_json(cut_off: CutOff) -> dict[str, Any]:
    interval = None if np.isnan(cut_off.lower) else [cut_off.lower, cut_off.upper]
    return {"value": cut_off.value, "rule": cut_off.rule, "direction": ">=", "interval": interval}


def _cut_off(content: Mapping[str, Any]) -> CutOff:
    lower, upper = content["interval"] or (np.nan, np.nan)
    return CutOff(content["value"], content["rule"], lower, upper)


def cut_off_of(content: Mapping[str, Any]) -> float:
    """Return the cut-off of a frozen model as JSON; one that does not exist calls nobody positive."""
    return float("inf") if content["threshold"] is None else float(content["threshold"]["value"])
