"""Confusion matrices of ordered classes."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from annulus.figures.style import panels


def confusion_figure(table: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw patients by observed (row) and predicted (column) class; shades are shares of the observed class.

    ``table`` is one cohort of ``confusion.csv``.
    """
    figure, (axis,) = panels(1, 1.2 + 1.0 * len(classes), 0.9 + 0.9 * len(classes))
    if table.empty:
        axis.text(0.5, 0.5, "A level has no model:\nno patient is sorted", ha="center", va="center")
        axis.set_axis_off()
        return figure
    cells = table.set_index(["observed_class", "predicted_class"])
    shares, counts = (
        pd.DataFrame({j: [cells.loc[(i, j), key] for i in classes] for j in classes}, index=classes)
        for key in ("share_of_observed", "n")
    )
    axis.imshow(shares.fillna(0.0), cmap="Blues", vmin=0.0, vmax=1.0)
    for i, observed in enumerate(classes):
        for j, predicted in enumerate(classes):
            share = shares.loc[observed, predicted]
            text = f"{int(counts.loc[observed, predicted])}" + ("" if pd.isna(share) else f"\n{share:.0%}")
            axis.text(j, i, text, ha="center", va="center", color="white" if share > 0.6 else "black")
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), classes)
    axis.set_xlabel("Predicted by the cascade")
    axis.set_ylabel("Observed")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure
