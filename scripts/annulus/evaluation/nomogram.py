"""A nomogram's rulers: points per value of each term, and total points to risk.

As in R's rms: the term with the widest |coefficient * range| over the training patients gets 100
points, and points are linear in every term.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from annulus.cohort.dictionary import columns_of
from annulus.modelling.frozen import FrozenModel, Linear

NOMOGRAM_COLUMNS = ["model", "term", "value", "points"]
RISKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
TOTAL = "total_points"


@dataclass(frozen=True)
class Ruler:
    """The values of a term, their points, and its coefficient."""

    term: str
    values: np.ndarray
    points: np.ndarray


def rulers(model: FrozenModel) -> tuple[list[Ruler], Ruler]:
    """Return a ruler per term, and the ruler of total points whose values are risks.

    A ruler covers the training range, rounded outwards to even values; risks are only those that the
    rulers' points can reach. Raises ValueError when there is no model.
    """
    if model.linear is None:
        raise ValueError(f"{model.name} was not fitted: {model.reason}")
    if not isinstance(model.linear, Linear):
        raise ValueError(f"{model.name} is not a regression, so that there are no rulers")
    slopes = dict(zip(model.linear.terms, np.divide(model.linear.coefficients, model.linear.sd), strict=True))
    at_zero = model.linear.intercept - sum(
        slope * mean for slope, mean in zip(slopes.values(), model.linear.mean, strict=True)
    )
    axes = {term: _axis(term, *model.training["ranges"][term]) for term in model.linear.terms}
    widest = max(abs(slopes[term]) * np.ptp(axes[term]) for term in axes)
    per_unit = 100.0 / widest
    found, base = [], at_zero
    for term, values in axes.items():
        part = slopes[term] * values
        base += part.min()
        found.append(Ruler(term, values, (part - part.min()) * per_unit))
    reachable = sum(ruler.points.max() for ruler in found)
    risks = np.array(RISKS)
    points = (np.log(risks / (1.0 - risks)) - base) * per_unit
    inside = (points >= 0.0) & (points <= reachable)
    return found, Ruler(TOTAL, risks[inside], points[inside])


def nomogram_table(model: FrozenModel) -> pd.DataFrame:
    """Return every tick of every ruler; for ``total_points``, ``value`` is the risk.

    A model that could not be fitted has no rulers, and an empty table.
    """
    if model.linear is None:
        return pd.DataFrame(columns=NOMOGRAM_COLUMNS)
    terms, total = rulers(model)
    parts = [
        pd.DataFrame({"model": model.name, "term": r.term, "value": r.values, "points": r.points})
        for r in (*terms, total)
    ]
    return pd.concat(parts, ignore_index=True)[NOMOGRAM_COLUMNS]


def even_values(low: float, high: float, whole: bool = False) -> np.ndarray:
    """Return evenly spaced round (or whole) values that cover ``low`` to ``high``."""
    if low == high:
        return np.array([low])
    ticks = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    return np.round(np.asarray(ticks), 10)


def _axis(term: str, low: float, high: float) -> np.ndarray:
    """Return a term's values: 0 and 1 of an indicator, whole numbers of counts and ordinals."""
    column = columns_of("participants").get(term.partition("[")[0])
    kind = "number" if column is None else column.type
    if kind in ("category", "boolean"):
        return np.array([0.0, 1.0])
    values = even_values(low, high, whole=kind in ("integer", "ordinal"))
    if kind == "ordinal":
        return values[(values >= low) & (values <= high)]
    return values
