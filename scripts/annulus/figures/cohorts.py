"""Models over cohorts: AUC and calibration slope in each, pooled, and what to expect of the next cohort."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.evaluation.pooling import EXTERNAL, INTERNAL, LEFT_OUT, TRAINING
from annulus.figures.style import GREY, PALETTE, cohort_title, model_title, write_beside

INCHES_PER_ROW = 0.235

# Widths in inches: a letter of the names, the counts, a plot, the estimates beside it.
LETTER, COUNTS, PLOT, ESTIMATES = 0.06, 0.85, 1.75, 1.95
BESIDE = 1.06

# Rows from top to bottom; each kind that is pooled has its pooled row below it.
ORDER = (TRAINING, INTERNAL, EXTERNAL, LEFT_OUT)
POOLED_TITLES = {EXTERNAL: "Pooled, external", LEFT_OUT: "Pooled, centres left out"}
NEXT_TITLES = {EXTERNAL: "Next cohort, prediction", LEFT_OUT: "Next centre, prediction"}
POOLED, NEXT = "pooled", "next"
COLOURS = {TRAINING: GREY, INTERNAL: GREY, EXTERNAL: PALETTE[0], LEFT_OUT: PALETTE[2]}


@dataclass(frozen=True)
class Panel:
    """One metric: its title, the value that means neither better nor worse, and the widest axis."""

    metric: str
    title: str
    neutral: float
    lowest: float
    highest: float


PANELS = (
    Panel("auc", "AUC", 0.5, 0.0, 1.0),
    Panel("calibration_slope", "Calibration slope", 1.0, -1.0, 3.0),
)


def cohorts_figure(
    cohorts: pd.DataFrame, pooled: pd.DataFrame, task: str, models: Sequence[str]
) -> tuple[Figure, pd.DataFrame]:
    """AUC and calibration slope of ``models`` of a task by cohort, with 95 % intervals.

    A diamond is the pooled estimate with its interval, the line below it the prediction interval for
    another cohort. Grey cohorts are those of the training patients' own hospital, which are not pooled.
    ``cohorts`` and ``pooled`` are the tables of :mod:`annulus.evaluation.pooling`.
    """
    table = _drawn(cohorts, pooled, task, models)
    if table.empty:
        figure, axis = plt.subplots(figsize=(4, 1))
        axis.set_axis_off()
        axis.text(0.5, 0.5, "no model was judged in any cohort", ha="center")
        return figure, table
    lines = _lines(table, models)
    label = LETTER * max(len(line.text) for line in lines)
    width = label + COUNTS + 2.0 * (PLOT + ESTIMATES)
    height = INCHES_PER_ROW * (len(lines) + 1.0) + 0.75
    figure, axes = plt.subplots(1, 2, figsize=(width, height))
    figure.subplots_adjust(
        left=(label + COUNTS) / width, right=1.0 - ESTIMATES / width, bottom=0.5 / height,
        top=1.0 - 0.15 / height, wspace=ESTIMATES / PLOT,
    )  # fmt: skip
    largest = float(table["n"].max())
    for axis, panel in zip(axes, PANELS, strict=True):
        _panel(axis, panel, table[table["metric"] == panel.metric], lines, largest)
    heading = Line("Model and cohort", "n (events)")
    for place, line, weight in [
        (-1.1, heading, "bold"),
        *((i, line, "normal") for i, line in enumerate(lines)),
    ]:
        write_beside(axes[0], -(label + COUNTS) / PLOT, place, line.text, fontweight=weight)
        write_beside(axes[0], -COUNTS / PLOT, place, line.counts, fontweight=weight)
    return figure, table


@dataclass(frozen=True)
class Line:
    """One line of the figure: a model's name, a cohort, or a pooled estimate."""

    text: str
    counts: str = ""
    model: str = ""
    kind: str = ""
    cohort: str = ""


def _drawn(cohorts: pd.DataFrame, pooled: pd.DataFrame, task: str, models: Sequence[str]) -> pd.DataFrame:
    """Put cohorts and pooled estimates (``cohort`` pooled) of the shown models below one another."""
    metrics = [panel.metric for panel in PANELS]
    both = pd.concat([cohorts, pooled.assign(cohort=POOLED)], ignore_index=True)
    shown = (both["task"] == task) & both["model"].isin(list(models)) & both["metric"].isin(metrics)
    columns = [
        "model", "metric", "kind", "cohort", "n", "events", "cohorts", "estimate", "lower", "upper",
        "prediction_lower", "prediction_upper", "tau2", "i2", "method", "note", "synthetic",
    ]  # fmt: skip
    return both[shown].reindex(columns=columns).reset_index(drop=True)


def _lines(table: pd.DataFrame, models: Sequence[str]) -> list[Line]:
    lines: list[Line] = []
    for model in models:
        rows = table[table["model"] == model]
        if rows.empty:
            continue
        lines.append(Line(model_title(model)))
        for kind in ORDER:
            lines += _of_kind(rows[rows["kind"] == kind], model, kind)
    return lines


def _of_kind(rows: pd.DataFrame, model: str, kind: str) -> Iterator[Line]:
    """Yield a line per cohort of a kind, then the pooled estimate and the next cohort, where known."""
    for row in rows[rows["cohort"] != POOLED].drop_duplicates("cohort").itertuples():
        yield Line(
            f"    {_title(kind, row.cohort)}", f"{int(row.n)} ({int(row.events)})", model, kind, row.cohort
        )
    combined = rows[(rows["cohort"] == POOLED) & rows["estimate"].notna()]
    if combined.empty:
        return
    counted = f"{int(combined['cohorts'].max())} {'centres' if kind == LEFT_OUT else 'cohorts'}"
    yield Line(f"    {POOLED_TITLES[kind]}", counted, model, kind, POOLED)
    if combined["prediction_lower"].notna().any():
        yield Line(f"    {NEXT_TITLES[kind]}", "", model, kind, NEXT)


def _title(kind: str, cohort: str) -> str:
    if kind == LEFT_OUT:
        return f"Centre {cohort}, left out"
    return f"{cohort_title(cohort)}, out-of-fold" if kind == TRAINING else cohort_title(cohort)


def _panel(axis: Axes, panel: Panel, rows: pd.DataFrame, lines: Sequence[Line], largest: float) -> None:
    limits = _limits(panel, rows)
    axis.set(xlim=limits, ylim=(len(lines) - 0.4, -1.5), yticks=[], xlabel=panel.title)
    write_beside(axis, BESIDE, -1.1, f"{panel.title} (95 % interval)", fontweight="bold")
    axis.plot([panel.neutral] * 2, [-0.5, len(lines)], color=GREY, lw=0.8, ls=":")
    axis.spines["left"].set_visible(False)
    axis.tick_params(labelsize=8)
    keyed = {(row["model"], row["kind"], row["cohort"]): row for row in rows.to_dict("records")}
    for height, line in enumerate(lines):
        row = keyed.get((line.model, line.kind, POOLED if line.cohort == NEXT else line.cohort))
        if row is not None:
            write_beside(axis, BESIDE, height, _text(line, row))
            _draw(axis, height, line, row, limits, largest)


def _text(line: Line, row: Mapping[str, Any]) -> str:
    if line.cohort == NEXT:
        ends = row["prediction_lower"], row["prediction_upper"]
        return "needs 3 cohorts" if pd.isna(ends[0]) else f"{_number(ends[0])} to {_number(ends[1])}"
    if pd.isna(row["estimate"]):
        return "not estimable"
    if pd.isna(row["lower"]):
        return _number(row["estimate"])
    return f"{_number(row['estimate'])} ({_number(row['lower'])} to {_number(row['upper'])})"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _draw(
    axis: Axes, height: int, line: Line, row: Mapping[str, Any], limits: tuple[float, float], largest: float
) -> None:
    colour = COLOURS[line.kind]
    if line.cohort == NEXT:
        _line(axis, height, (row["prediction_lower"], row["prediction_upper"]), limits, colour)
        return
    if line.cohort == POOLED:
        _diamond(axis, height, row, limits, colour)
        return
    _line(axis, height, (row["lower"], row["upper"]), limits, colour)
    if limits[0] <= row["estimate"] <= limits[1]:
        size = max(8.0, 60.0 * row["n"] / largest)
        axis.scatter(row["estimate"], height, s=size, marker="s", color=colour, zorder=3)


def _limits(panel: Panel, rows: pd.DataFrame) -> tuple[float, float]:
    """Return an axis that holds the neutral value and, as far as it may go, every interval."""
    ends = rows[["estimate", "lower", "upper", "prediction_lower", "prediction_upper"]].to_numpy(dtype=float)
    known = np.clip(ends[np.isfinite(ends)], panel.lowest, panel.highest)
    low, high = min([panel.neutral, *known]), max([panel.neutral, *known])
    margin = 0.04 * (high - low) or 0.1
    return float(low - margin), float(high + margin)


def _diamond(
    axis: Axes, height: int, row: Mapping[str, Any], limits: tuple[float, float], colour: str
) -> None:
    left, middle, right = np.clip([row["lower"], row["estimate"], row["upper"]], *limits)
    if np.isfinite(middle):
        corners = [height, height - 0.3, height, height + 0.3]
        axis.fill([left, middle, right, middle], corners, color=colour, zorder=3, lw=0)
        _arrows(axis, height, (row["lower"], row["upper"]), limits, colour)


def _line(
    axis: Axes, height: int, ends: tuple[float, float], limits: tuple[float, float], colour: str
) -> None:
    """Draw an interval, where there is one."""
    if not np.isfinite(ends).all():
        return
    axis.plot(np.clip(ends, *limits), [height, height], color=colour, lw=1.1)
    _arrows(axis, height, ends, limits, colour)


def _arrows(
    axis: Axes, height: int, ends: tuple[float, float], limits: tuple[float, float], colour: str
) -> None:
    """Mark ends that lie beyond the axis."""
    for beyond, edge, marker in (
        (ends[0] < limits[0], limits[0], "<"),
        (ends[1] > limits[1], limits[1], ">"),
    ):
        if beyond:
            axis.plot(edge, height, marker, color=colour, ms=4, clip_on=False)
