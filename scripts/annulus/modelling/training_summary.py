"""What training patients looked like to a model, column by column, for other cohorts to be held against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from annulus.cohort.dictionary import Column

LINEAR_PREDICTOR = "linear_predictor"

# A matrix of more columns than this is larger than the model, and singular with most training cohorts.
MOST_CORRELATED = 60

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def column_summary(values: pd.Series, column: Column | None) -> dict[str, Any]:
    """Summarise a raw column; ``column`` describes a clinical variable and is None for a feature.

    ``n`` have a value and ``missing`` have none. Numbers: mean, standard deviation (n - 1), extremes and
    quantiles (linear between order statistics), None where there are too few values. Others: counts per
    level, of those of the dictionary or else those that there are.
    """
    if column is not None and column.type not in ("number", "integer", "boolean"):
        known = values.dropna().astype(str)
        levels = column.levels or sorted(known.unique())
        counts = {str(level): int((known == level).sum()) for level in levels}
        return {"n": len(known), "missing": int(values.isna().sum()), "levels": counts}
    return number_summary(pd.to_numeric(values).to_numpy(dtype=float))


def number_summary(values: np.ndarray) -> dict[str, Any]:
    """Summarise numbers, of which NaN are missing."""
    known = values[~np.isnan(values)]
    found: dict[str, Any] = {"n": len(known), "missing": len(values) - len(known)}
    quantiles = np.quantile(known, list(QUANTILES.values())) if len(known) else [None] * len(QUANTILES)
    numbers = {
        "mean": known.mean() if len(known) else None,
        "sd": known.std(ddof=1) if len(known) > 1 else None,
        "minimum": known.min() if len(known) else None,
        **dict(zip(QUANTILES, quantiles, strict=True)),
        "maximum": known.max() if len(known) else None,
    }
    return found | {name: None if value is None else float(value) for name, value in numbers.items()}


def summaries(
    predictors: pd.DataFrame, columns: Sequence[str], variables: Mapping[str, Column]
) -> dict[str, Any]:
    """Summarise every raw column that a model's scoring needs, in training patients."""
    return {name: column_summary(predictors[name], variables.get(name)) for name in columns}


def correlation(
    predictors: pd.DataFrame, columns: Sequence[str], variables: Mapping[str, Column]
) -> dict[str, Any] | None:
    """Pearson correlations in training patients of a model's raw columns that are numbers and vary.

    A missing value counts as the column's median, so that the matrix stays one of correlations (positive
    semi-definite). Returns ``names`` and ``matrix``, or None with more than 60 such columns.
    """
    numeric = [
        name
        for name in columns
        if name not in variables or variables[name].type in ("number", "integer", "boolean")
    ]
    table = predictors[numeric].apply(pd.to_numeric).astype(float)
    table = table.fillna(table.median())
    table = table.loc[:, table.nunique() > 1]
    if table.shape[1] > MOST_CORRELATED:
        return None
    matrix = np.atleast_2d(np.corrcoef(table.to_numpy().T)) if table.shape[1] else np.empty((0, 0))
    return {"names": list(table.columns), "matrix": matrix.tolist()}
