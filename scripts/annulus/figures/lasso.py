"""LASSO paths and their cross-validation, a panel per signature; other models have neither, and say so."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.figures.style import GREY, PALETTE, model_title, panels

LEARNERS = {
    "svm": "support vector machine",
    "random_forest": "random forest",
    "gradient_boosting": "gradient boosting",
}


def path_figure(
    paths: Mapping[str, pd.DataFrame], cv: Mapping[str, pd.DataFrame], choices: Mapping[str, pd.DataFrame]
) -> Figure:
    """Coefficients against the penalty; the line marks the penalty that was chosen.

    ``choices`` are the models tried for each signature.
    """
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
            _leave_empty(axis, model, _without_path(cv[model], choices[model]))
            continue
        _mark_chosen(axis, cv[model])
        axis.axhline(0.0, color=GREY, lw=0.5)
        axis.set(xlabel="log(penalty)", ylabel="Coefficient per SD")
        axis.set_title(model_title(model), fontsize=8)
        axis.invert_xaxis()
        _count_axis(axis, cv[model])
    return figure


def cv_figure(cv: Mapping[str, pd.DataFrame], choices: Mapping[str, pd.DataFrame]) -> Figure:
    """Cross-validated deviance with one standard error; lines mark its minimum and one SE above."""
    figure, axes = panels(len(cv), 3.4, 2.9)
    for axis, (model, table) in zip(axes, cv.items(), strict=True):
        if table.empty:
            _leave_empty(axis, model, _without_path(table, choices[model]))
            continue
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


def _without_path(cv: pd.DataFrame, choice: pd.DataFrame) -> str:
    """Say why a signature has no path: it selects nothing, or its model has no penalties."""
    if len(cv):
        return "no feature selected"
    learner = str(choice.loc[choice["chosen"] == 1, "learner"].iloc[0])
    return f"{LEARNERS[learner]}: no path of penalties"


def _leave_empty(axis: Axes, model: str, why: str) -> None:
    axis.text(0.5, 0.5, why, ha="center", transform=axis.transAxes, fontsize=8)
    axis.set_axis_off()
    axis.set_title(model_title(model), fontsize=8)


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
