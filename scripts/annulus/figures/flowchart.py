"""The flow chart of patients, from the table of its steps."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.figures.style import cohort_title, panels

# Boxes hide the shafts behind them.
BOX = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "#333333", "linewidth": 0.9}
ARROW = {"arrowstyle": "-|>", "color": "#333333", "linewidth": 0.9}


def flowchart_figure(flow: pd.DataFrame) -> Figure:
    """Draw ``qc/flow.csv``: who entered, who was left out and why, and the cohorts."""
    steps = flow[flow["cohort"] == "all"].reset_index(drop=True)
    cohorts = flow[flow["cohort"] != "all"].reset_index(drop=True)
    left = steps[steps["n_out"] < steps["n_in"]].reset_index(drop=True)
    tasks = max((str(reason).count(";") + 1 for reason in cohorts["reason"]), default=1)
    figure, (axis,) = panels(1, max(7.0, 2.4 * len(cohorts)), 1.25 * (len(left) + 2) + 0.15 * tasks)
    height = float(len(left) + 1)
    _box(axis, 0.5, height, f"Patients in the participants table\nn = {steps.iloc[0]['n_in']}")
    for step in left.itertuples():
        height -= 1.0
        _arrow(axis, (0.5, height + 1.0), (0.5, height))
        lost = step.n_in - step.n_out
        reason = textwrap.fill(str(step.reason).replace("_", " "), 40)
        _arrow(axis, (0.5, height + 0.5), (0.64, height + 0.5))
        axis.text(0.65, height + 0.5, f"{reason}\nn = {lost}", va="center", fontsize=7, bbox=BOX, zorder=3)
        _box(axis, 0.5, height, f"{str(step.step).capitalize()}\nn = {step.n_out}")
    for number, cohort in enumerate(cohorts.itertuples()):
        place = (number + 0.5) / len(cohorts)
        _arrow(axis, (0.5, height), (place, height - 1.0))
        _box(
            axis, place, height - 1.0,
            f"{cohort_title(str(cohort.cohort))}\nn = {cohort.n_out}\n{_by_task(str(cohort.reason))}",
        )  # fmt: skip
    axis.set(xlim=(0.0, 1.05), ylim=(height - 1.55, len(left) + 1.5))
    axis.set_axis_off()
    return figure


def _by_task(events: str) -> str:
    """Put the events of every task on a line of their own."""
    return "\n".join(part.strip().replace("_", " ") for part in events.split(";"))


def _box(axis: Axes, x: float, y: float, text: str) -> None:
    axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=BOX, zorder=3)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow whose head ends where the box around ``end`` begins."""
    shrink = {"shrinkA": 0.0, "shrinkB": 20.0 if start[1] != end[1] else 0.0}
    axis.annotate("", xy=end, xytext=start, arrowprops={**ARROW, **shrink}, zorder=1)
