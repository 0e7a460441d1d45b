"""P-values adjusted for how many there are.

Holm's procedure for the comparisons declared in advance, of which even one false claim is too many;
Benjamini and Hochberg's false discovery rate for screening features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.multitest import multipletests


@dataclass(frozen=True)
class AdjustedP:
    """A p-value, the same adjusted, and how many tests it was adjusted for."""

    name: str
    p: float
    adjusted: float
    tests: int
    method: str


def holm(comparisons: Mapping[str, float]) -> tuple[AdjustedP, ...]:
    """Adjust the p-values of all declared comparisons (Holm, Scand J Stat 1979;6:65-70).

    A declared comparison that could not be tested (missing) still counts: it would otherwise make the
    others look better. Raises ValueError for p-values outside 0-1.
    """
    return _adjusted(comparisons, "holm", "Holm", keep_missing=True)


def benjamini_hochberg(features: Mapping[str, float]) -> tuple[AdjustedP, ...]:
    """Adjust the p-values of features (Benjamini & Hochberg, J R Stat Soc B 1995;57:289-300).

    Features without a p-value, such as constant ones, were not tested and do not count. Raises ValueError
    for p-values outside 0-1.
    """
    return _adjusted(features, "fdr_bh", "Benjamini-Hochberg", keep_missing=False)


def _adjusted(
    p_values: Mapping[str, float], method: str, name: str, keep_missing: bool
) -> tuple[AdjustedP, ...]:
    wrong = [f"{key} ({p})" for key, p in p_values.items() if not (np.isnan(p) or 0.0 <= p <= 1.0)]
    if wrong:
        raise ValueError(f"p-values outside 0 to 1: {', '.join(wrong)}")
    p = np.array(list(p_values.values()), dtype=float)
    missing = np.isnan(p)
    counted = np.ones_like(missing) if keep_missing else ~missing
    adjusted = np.full(len(p), np.nan)
    if counted.any():
        # A test that could not be made is the largest p-value there is.
        adjusted[counted] = multipletests(np.where(missing, 1.0, p)[counted], method=method)[1]
    adjusted[missing] = np.nan
    tests = int(counted.sum())
    return tuple(
        AdjustedP(key, float(raw), float(new), tests, name)
        for key, raw, new in zip(p_values, p, adjusted, strict=True)
    )
