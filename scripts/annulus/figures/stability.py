"""How stable features are: intraclass correlations by class of feature and by what was varied."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from annulus.figures.habitats import spread
from annulus.figures.style import GREY, PALETTE, write_beside

STABLE, UNSTABLE = PALETTE[0], PALETTE[1]


def stability_figure(
    stability: pd.DataFrame, catalogue: pd.DataFrame, least: float
) -> tuple[Figure, pd.DataFrame]:
    """Intraclass correlations (boxes) and their lower 95 % bounds (dots) by class, a panel per source.

    ``stability`` is ``features/stability.csv``, ``catalogue`` names each column's class, and ``least`` is the
    smallest lower bound of a stable feature. Beside each class stand its stable features of all; one
    without an estimate is not stable, and has no dot.
    """
    table = stability.merge(catalogue[["column", "class"]], on="column", how="left")
    table["stable"] = (table["icc_lower"] >= least).astype(int)
    sources = list(table["source"].drop_duplicates())
    classes = sorted(table["class"].dropna().unique())
    height = 0.42 * len(classes) + 1.35
    figure, axes = plt.subplots(
        max(len(sources), 1), 1, figsize=(6.6, height * max(len(sources), 1)), squeeze=False, sharex=True,
        layout="constrained",
    )  # fmt: skip
    for axis, source in zip(axes.flat, sources, strict=False):
        part = table[table["source"] == source]
        for place, kind in enumerate(classes):
            _draw_class(axis, place, part[part["class"] == kind])
        axis.axvline(least, color="black", lw=0.8, ls="--")
        axis.set_title(
            f"{str(source).capitalize()} ({int(part['n'].max())} patients)", loc="left", fontsize=9
        )
        axis.set_yticks(range(len(classes)), classes, fontsize=8)
        axis.set(xlim=(_lowest(table), 1.03), ylim=(len(classes) - 0.4, -0.6))
        axis.tick_params(axis="x", labelsize=8, labelbottom=True)
    if not sources:
        axes.flat[0].text(0.5, 0.5, "no feature was judged", ha="center", va="center")
        axes.flat[0].set_axis_off()
        return figure, table
    axes.flat[-1].set_xlabel("Intraclass correlation, ICC(2,1)", fontsize=8)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return figure, table[["source", "class", "column", "icc", "icc_lower", "stable"]]


def _lowest(table: pd.DataFrame) -> float:
    """Return where the axis begins: 0, or below the lowest bound."""
    lowest = table[["icc", "icc_lower"]].min().min()
    return -0.03 if pd.isna(lowest) else float(min(-0.03, lowest - 0.03))


def _draw_class(axis: Axes, place: int, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    write_beside(axis, 1.02, place, f"{int(rows['stable'].sum())} of {len(rows)} stable")
    known = rows.dropna(subset=["icc"])
    if known.empty:
        return
    axis.boxplot(
        known["icc"], positions=[place - 0.2], orientation="horizontal", widths=0.26, showfliers=False,
        manage_ticks=False, medianprops={"color": "black", "lw": 1.4}, boxprops={"color": GREY},
        whiskerprops={"color": GREY}, capprops={"color": GREY},
    )  # fmt: skip
    bounds = known.dropna(subset=["icc_lower"])
    axis.scatter(
        bounds["icc_lower"], place + 0.2 + spread(len(bounds), 0.13), s=9, lw=0, alpha=0.7,
        color=np.where(bounds["stable"] == 1, STABLE, UNSTABLE),
    )  # fmt: skip


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=GREY, marker="s", mfc="white", ls="", ms=7, label="ICC (box: middle half)"),
        Line2D([], [], color=STABLE, label="lower 95 % bound, stable", marker="o", ls="", ms=4),
        Line2D([], [], color=UNSTABLE, label="lower 95 % bound, too low", marker="o", ls="", ms=4),
    ]
