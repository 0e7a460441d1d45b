"""Numbers as a reader expects them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from annulus.figures.style import p_text


def number(value: float, digits: int = 3) -> str:
    """Write a number with fixed digits, or a dash where it is missing."""
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def with_interval(row: Mapping[str, float], digits: int = 3) -> str:
    """Write an estimate with its interval where it has one."""
    estimate = number(row["estimate"], digits)
    if pd.isna(row["lower"]):
        return estimate
    # A dash beside a minus sign cannot be read.
    between = " to " if row["lower"] < 0 else "–"
    return f"{estimate} ({number(row['lower'], digits)}{between}{number(row['upper'], digits)})"


def p_value(p: float) -> str:
    """Write a p-value as journals do, or a dash where it is missing."""
    return "–" if pd.isna(p) else p_text(p)


def text_of(value: Any) -> str:
    """Write a cell of a table, empty where it is missing."""
    return "" if pd.isna(value) else str(value)
