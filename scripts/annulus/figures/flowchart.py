"""The flow chart of patients, from the table of its steps."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.figures.style import cohort_title, panels

BOX = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "#333333", "linewidth": 0.9}
ARROW = {"arrowstyle": "-|>", "color": "#333333", "linewidth": 0.9}


def flowchart_figure(flow: pd.DataFrame) -> Figure:
    """Draw ``qc/flow.csv``: who entered, who was left out and why, and the cohorts."""
    steps = flow[flow["cohort"] == "all"].reset_index(drop=True)
    cohorts = flow[flow["cohort"] != "all"].reset_index(drop=True)
    left = steps[steps["n_out"] < steps["n_in"]].reset_index(drop=True)
    figure, (axis,) = panels(1, max(7.0, 2.4 * len(cohorts)), 1.25 * (len(left) + 2))
    height = float(len(left) + 1)
    _box(axis, 0.5, height, f"Patients in the participants table\nn = {steps.iloc[0]['n_in']}")
    for step in left.itertuples():
        height -= 1.0
        _arrow(axis, (0.5, height + 1.0), (0.5, height))
        lost = step.n_in - step.n_out
        reason = textwrap.fill(str(step.reason), 44)
        _box(axis, 0.86, height + 0.5, f"{reason}\nn = {lost}", width_right=True)
        _arrow(axis, (0.5, height + 0.5), (0.67, height + 0.5), to_box=False)
        _box(axis, 0.5, height, f"{str(step.step).capitalize()}\nn = {step.n_out}")
    for number, cohort in enumerate(cohorts.itertuples()):
        place = (number + 0.5) / len(cohorts)
        _arrow(axis, (0.5, height), (place, height - 1.0))
        _box(
            axis, place, height - 1.0,
            f"{cohort_title(str(cohort.cohort))}\nn = {cohort.n_out}\n{cohort.reason}",
        )  # fmt: skip
    axis.set(xlim=(0.0, 1.05), ylim=(height - 1.55, len(left) + 1.5))
    axis.set_axis_off()
    return figure


def _box(axis: Axes, x: float, y: float, text: str, width_right: bool = False) -> None:
    axis.text(
        x, y, text, ha="center", va="center", fontsize=7 if width_right else 8, bbox=BOX, zorder=3
    )


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], to_box: bool = True
) -> None:
    shrink = 18.0 if to_box else 0.0
    axis.annotate(
        "", xy=end, xytext=start, arrowprops={**ARROW, "shrinkB": shrink, "shrinkA": 0.0}, zorder=1
    )
