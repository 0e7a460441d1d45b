"""P-values of comparisons declared in advance, adjusted for how many there are."""

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
    wrong = [f"{key} ({p})" for key, p in comparisons.items() if not (np.isnan(p) or 0.0 <= p <= 1.0)]
    if wrong:
        raise ValueError(f"p-values outside 0 to 1: {', '.join(wrong)}")
    if not comparisons:
        return ()
    p = np.array(list(comparisons.values()), dtype=float)
    missing = np.isnan(p)
    # A test that could not be made is the largest p-value there is.
    adjusted = multipletests(np.where(missing, 1.0, p), method="holm")[1]
    adjusted[missing] = np.nan
    return tuple(
        AdjustedP(key, float(raw), float(new), len(p), "Holm")
        for key, raw, new in zip(comparisons, p, adjusted, strict=True)
    )
