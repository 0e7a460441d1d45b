"""What each term adds to one patient's linear predictor, and where a model leaves its training data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from annulus.cohort.dictionary import Column
from annulus.modelling.frozen import FrozenModel, Linear


@dataclass(frozen=True)
class Contribution:
    """One term of a linear model in one patient: coefficient times z-score is added to the log-odds.

    ``value`` is as recorded or extracted (NaN where missing and filled in); ``lowest`` and ``highest`` are
    the range in training, NaN where the model does not keep it.
    """

    term: str
    value: float
    z: float
    contribution: float
    lowest: float = math.nan
    highest: float = math.nan

    @property
    def filled(self) -> bool:
        """Whether the value was missing, so that the training median (or most frequent level) stood in."""
        return math.isnan(self.value)

    @property
    def out_of_range(self) -> bool:
        """Whether the value lies outside what the training patients had."""
        return self.value < self.lowest or self.value > self.highest


def contributions(
    model: FrozenModel, patient: pd.DataFrame, columns: Mapping[str, Column]
) -> tuple[Contribution, ...]:
    """Take the linear predictor of one patient (a table of one row) apart, the largest contribution first.

    The contributions and the model's intercept add up to its linear predictor. Raises ValueError where the
    model is not linear, so that no such parts exist, or where there is not exactly one patient.
    """
    if len(patient) != 1:
        raise ValueError(f"one patient is expected, not {len(patient)}")
    if not isinstance(model.linear, Linear):
        raise ValueError(f"{model.name} is not linear")
    linear, terms = model.linear, model.term_table(patient, columns)
    if not linear.terms:
        return ()
    z = linear.z_scores(terms)[0]
    ranges = model.training.get("ranges", {})
    parts = [
        Contribution(term, float(terms[term].iloc[0]), float(score), float(score * b), *ranges.get(term, ()))
        for term, score, b in zip(linear.terms, z, linear.coefficients, strict=True)
    ]
    return tuple(sorted(parts, key=lambda part: -abs(part.contribution)))


def missing_values(
    model: FrozenModel, predictors: pd.DataFrame, columns: Mapping[str, Column]
) -> pd.DataFrame:
    """Say which values (patient x needed column) are missing, so that the model fills them in.

    A level that no training patient had counts as missing.
    """
    terms = model.term_table(predictors, columns)
    found = {}
    for name in model.columns:
        own = [term for term in terms if name in model.clinical and str(term).partition("[")[0] == name]
        found[name] = terms[own].isna().any(axis=1) if own else predictors[name].isna()
    return pd.DataFrame(found, index=predictors.index, dtype=bool)
