"""Sensitivity, specificity, accuracy and predictive values at a frozen cut-off, with their intervals."""

from typing import Literal

import numpy as np
from scipy import stats

from annulus.evaluation.discrimination import Interval
from annulus.evaluation.predictions import refuse_missing

ProportionInterval = Literal["Clopper-Pearson", "Wilson"]

SCIPY_NAMES = {"Clopper-Pearson": "exact", "Wilson": "wilson"}


def classification(
    outcome: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    level: float = 0.95,
    method: ProportionInterval = "Clopper-Pearson",
) -> dict[str, Interval]:
    """Classify probabilities at or above ``threshold`` as positive.

    Intervals are Clopper-Pearson's (Biometrika 1934;26:404-413), which cover at least as often as they
    say, or Wilson's (J Am Stat Assoc 1927;22:209-212), which do so on average. A proportion of
    nobody, such as the predictive value of a call that no patient got, is missing. Raises ValueError where
    an outcome, a probability or the threshold is missing.
    """
    refuse_missing(outcome, probability)
    if np.isnan(threshold):
        raise ValueError("there is no cut-off to classify by")
    y = np.asarray(outcome, dtype=bool)
    called = np.asarray(probability) >= threshold
    counts = {
        "sensitivity": (int((called & y).sum()), int(y.sum())),
        "specificity": (int((~called & ~y).sum()), int((~y).sum())),
        "accuracy": (int((called == y).sum()), len(y)),
        "ppv": (int((called & y).sum()), int(called.sum())),
        "npv": (int((~called & ~y).sum()), int((~called).sum())),
    }
    return {name: proportion(k, n, level, method) for name, (k, n) in counts.items()}


def proportion(
    k: int, n: int, level: float = 0.95, method: ProportionInterval = "Clopper-Pearson"
) -> Interval:
    """Proportion ``k`` of ``n`` with its interval; missing when ``n`` is 0."""
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, method, "no such patient")
    bounds = stats.binomtest(k, n).proportion_ci(level, SCIPY_NAMES[method])
    return Interval(k / n, bounds.low, bounds.high, method, f"{k}/{n}")
