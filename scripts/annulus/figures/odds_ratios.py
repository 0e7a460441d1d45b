"""Odds ratios of the models that papers print, on one logarithmic axis with their numbers beside."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from annulus.figures.style import GREY, PALETTE, model_title, p_text, term_title, write_beside

# Columns of text beside the plot, in widths of the plot.
LABEL, ESTIMATE, P = -1.62, 1.08, 1.86
INCHES_PER_ROW = 0.235

# Beyond these factors either way an interval says nothing but that it is wide, and ends in an arrow; an axis
# that held all of it would hide the narrow ones. Estimates are followed further.
WIDEST, FARTHEST = 20.0, 100.0
WIDE_TICKS = (0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 100.0)
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)

WALD = "wald"


def odds_ratio_figure(odds_ratios: pd.DataFrame, models: Sequence[str]) -> tuple[Figure, pd.DataFrame]:
    """Multivariable odds ratios of ``models`` with 95 % intervals, from the task's ``odds_ratios.csv``.

    Where a term has intervals of two kinds, that by profile likelihood (Firth's where the outcome is
    separated) is drawn. An interval beyond the axis, or without an end, ends in an arrow. A model without
    multivariable odds ratios says so.
    """
    table = _drawn(odds_ratios, models)
    lines = _lines(table, models)
    inches = INCHES_PER_ROW * (len(lines) + 1.5) + 0.7
    figure, axis = plt.subplots(figsize=(7.6, inches))
    figure.subplots_adjust(left=0.38, right=0.66, bottom=0.45 / inches, top=1.0 - 0.15 / inches)
    low, high = _limits(table)
    axis.set_xscale("log")
    axis.set(xlim=(low, high), ylim=(len(lines) - 0.4, -1.5), yticks=[], xlabel="Odds ratio")
    for x, text in ((LABEL, "Model and term"), (ESTIMATE, "OR (95 % interval)"), (P, "p")):
        write_beside(axis, x, -1.1, text, fontweight="bold")
    axis.plot([1.0, 1.0], [-0.5, len(lines)], color=GREY, lw=0.8, ls=":")
    for height, (heading, row) in enumerate(lines):
        if heading:
            write_beside(axis, LABEL, height, heading)
        else:
            _draw_term(axis, height, row, low, high)
    ticks = TICKS if high / low < 30.0 else WIDE_TICKS
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.tick_params(labelsize=8)
    axis.spines["left"].set_visible(False)
    return figure, table


def _drawn(odds_ratios: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    rows = odds_ratios[
        (odds_ratios["analysis"] == "multivariable") & odds_ratios["model"].isin(list(models))
    ].copy()
    rows["model"] = pd.Categorical(rows["model"], categories=list(models), ordered=True)
    # A term keeps its place; of its intervals the one that is not Wald's stands last.
    rows["order"] = rows.groupby(["model", "term"], sort=False, observed=True).ngroup()
    rows["better"] = rows["ci_method"] != WALD
    rows = rows.sort_values(["model", "order", "better"], kind="stable")
    rows = rows.drop_duplicates(["model", "term"], keep="last").drop(columns=["order", "better"])
    return rows.astype({"model": str}).reset_index(drop=True)


def _lines(table: pd.DataFrame, models: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return lines from top to bottom: a heading per model, and a row per term."""
    lines: list[tuple[str, Mapping[str, Any]]] = []
    for model in models:
        rows = table[table["model"] == model].to_dict("records")
        if not rows:
            lines.append((f"{model_title(model)}: no multivariable odds ratios", {}))
            continue
        first = rows[0]
        lines.append((f"{model_title(model)} (n = {int(first['n'])}, {int(first['events'])} events)", {}))
        lines += [("", row) for row in rows]
    return lines


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Return an axis that holds 1 and, as far as they may go, every estimate and interval."""
    parts = [
        np.clip(values[np.isfinite(values) & (values > 0)], 1.0 / most, most)
        for columns, most in ((["lower", "upper"], WIDEST), (["odds_ratio"], FARTHEST))
        for values in [table[columns].to_numpy(dtype=float).ravel()]
    ]
    ends = np.concatenate(parts)
    low, high = min([0.5, *ends]), max([2.0, *ends])
    return float(low) / 1.15, float(high) * 1.15


def _draw_term(axis: Axes, height: int, row: Mapping[str, Any], low: float, high: float) -> None:
    write_beside(axis, LABEL, height, f"    {term_title(str(row['term']))}")
    if pd.isna(row["odds_ratio"]):
        write_beside(axis, ESTIMATE, height, "not estimable")
        return
    write_beside(axis, ESTIMATE, height, _with_interval(row))
    write_beside(axis, P, height, p_text(row["p"]))
    lower, upper = _ends(row)
    left, right = np.clip([lower, upper], low, high)
    axis.plot([left, right], [height, height], color=PALETTE[0], lw=1.1)
    for end, edge, marker in ((lower < low, low, "<"), (upper > high, high, ">")):
        if end:
            axis.plot(edge, height, marker, color=PALETTE[0], ms=5, clip_on=False)
    if low <= row["odds_ratio"] <= high:
        axis.plot(row["odds_ratio"], height, "s", color=PALETTE[0], ms=3.5, zorder=3)


def _ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return both ends of an interval; one that is missing lies beyond any axis."""
    lower = 0.0 if pd.isna(row["lower"]) else float(row["lower"])
    return lower, np.inf if pd.isna(row["upper"]) else float(row["upper"])


def _with_interval(row: Mapping[str, Any]) -> str:
    lower = "none" if pd.isna(row["lower"]) else _ratio(row["lower"])
    upper = "none" if not np.isfinite(row["upper"]) else _ratio(row["upper"])
    return f"{_ratio(row['odds_ratio'])} ({lower} to {upper})"


def _ratio(value: float) -> str:
    if value > 1000.0:
        return "> 1000"
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"
