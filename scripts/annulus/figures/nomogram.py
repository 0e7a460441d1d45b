"""The nomogram as a drawing."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.evaluation.nomogram import TOTAL
from annulus.figures.style import panels, term_title


def nomogram_figure(table: pd.DataFrame, outcome: str) -> Figure:
    """Draw the rulers of ``nomogram.csv``; ``outcome`` is the event in words."""
    terms = [term for term in table["term"].drop_duplicates() if term != TOTAL]
    figure, (axis,) = panels(1, 7.0, 0.62 * (len(terms) + 3))
    if not terms:
        axis.text(0.0, 0.5, "No nomogram: its model could not be fitted (performance.csv says why).")
        axis.set_axis_off()
        return figure
    total = table[table["term"] == TOTAL]
    reachable = table[table["term"] != TOTAL].groupby("term")["points"].max().sum()
    heights = np.arange(len(terms) + 3)[::-1]
    _ruler(axis, heights[0], np.arange(0, 101, 10), np.arange(0, 101, 10) / 100.0, "Points", "{:g}")
    for height, term in zip(heights[1:], terms, strict=False):
        ruler = table[table["term"] == term]
        _ruler(
            axis, height, ruler["value"].to_numpy(), ruler["points"].to_numpy() / 100.0,
            term_title(str(term)), "{:g}",
        )  # fmt: skip
    step = float(max(10, 10 * round(reachable / 100)))
    ticks = np.arange(0.0, reachable + 1e-9, step)
    _ruler(axis, heights[-2], ticks, ticks / reachable, "Total points", "{:g}")
    _ruler(
        axis, heights[-1], total["value"].to_numpy(), total["points"].to_numpy() / reachable,
        f"Risk: {outcome}", "{:g}",
    )  # fmt: skip
    axis.set(xlim=(-0.44, 1.03), ylim=(-0.6, len(terms) + 2.6))
    axis.set_axis_off()
    return figure


def _ruler(axis: Axes, height: float, values: np.ndarray, places: np.ndarray, name: str, text: str) -> None:
    axis.text(-0.42, height, textwrap.fill(name, 30), va="center", fontsize=8)
    if not len(places):
        axis.text(0.0, height, "outside the range of the terms", va="center", fontsize=7)
        return
    axis.plot([places.min(), places.max()], [height, height], color="black", lw=0.9)
    order = np.argsort(places)
    last = -1.0
    for place, value in zip(places[order], values[order], strict=True):
        # Ticks too close to be read are left out; the ruler's last one always stands.
        if place - last < 0.035 and place < places.max():
            continue
        axis.vlines(place, height, height + 0.14, color="black", lw=0.8)
        if place - last < 0.02:
            continue
        axis.text(place, height - 0.12, text.format(value), ha="center", va="top", fontsize=6.5)
        last = place
