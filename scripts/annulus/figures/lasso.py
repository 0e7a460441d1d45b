"""LASSO paths and their cross-validation, a panel per signature."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.figures.style import GREY, PALETTE, model_title, panels


def path_figure(paths: Mapping[str, pd.DataFrame], cv: Mapping[str, pd.DataFrame]) -> Figure:
    """Coefficients against the penalty; the line marks the penalty that was chosen."""
    figure, axes = panels(len(paths), 3.4, 2.9)
    for axis, (model, path) in zip(axes, paths.items(), strict=True):
        for number, (_, line) in enumerate(path.groupby("column", sort=False)):
            axis.plot(
                np.log(line["penalty"]),
                line["coefficient"],
                lw=0.8,
                color=PALETTE[number % len(PALETTE)],
            )
        if path.empty:
            axis.text(0.5, 0.5, "no feature selected", ha="center", transform=axis.transAxes, fontsize=8)
            axis.set_axis_off()
            axis.set_title(model_title(model), fontsize=8)
            continue
        _mark_chosen(axis, cv[model])
        axis.axhline(0.0, color=GREY, lw=0.5)
        axis.set(xlabel="log(penalty)", ylabel="Coefficient per SD")
        axis.set_title(model_title(model), fontsize=8)
        axis.invert_xaxis()
        _count_axis(axis, cv[model])
    return figure


def cv_figure(cv: Mapping[str, pd.DataFrame]) -> Figure:
    """Cross-validated deviance with one standard error; lines mark its minimum and one SE above."""
    figure, axes = panels(len(cv), 3.4, 2.9)
    for axis, (model, table) in zip(axes, cv.items(), strict=True):
        axis.errorbar(
            np.log(table["penalty"]), table["deviance"], table["standard_error"],
            fmt="o", ms=2, color=PALETTE[1], ecolor="#CCCCCC", elinewidth=0.7,
        )  # fmt: skip
        for rule, style in (("minimum", "--"), ("one_se", ":")):
            chosen = table.loc[table["rule"].fillna("").astype(str).str.contains(rule), "penalty"]
            if len(chosen):
                axis.axvline(np.log(chosen.iloc[0]), color="black", lw=0.7, ls=style)
        axis.set(xlabel="log(penalty)", ylabel="Binomial deviance")
        axis.set_title(model_title(model), fontsize=8)
        axis.invert_xaxis()
        _count_axis(axis, table)
    return figure


def _mark_chosen(axis: Axes, cv: pd.DataFrame) -> None:
    chosen = cv.loc[cv["chosen"] == 1, "penalty"]
    if len(chosen):
        axis.axvline(np.log(chosen.iloc[0]), color="black", lw=0.7, ls="--")


def _count_axis(axis: Axes, cv: pd.DataFrame) -> None:
    """Print the number of selected features along the top, as glmnet does."""
    shown = cv.iloc[np.linspace(0, len(cv) - 1, min(6, len(cv))).astype(int)]
    top = axis.secondary_xaxis("top")
    top.set_xticks(np.log(shown["penalty"]), shown["selected"].astype(str), fontsize=6)
    top.tick_params(length=2)
    top.spines["top"].set_visible(False)
