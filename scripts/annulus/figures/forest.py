"""A model's AUC in subgroups of every cohort, with one p-value for interaction per variable."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.figures.style import (
    GREY,
    PALETTE,
    cohort_title,
    level_title,
    model_title,
    p_text,
    variable_title,
    write_beside,
)

# Columns of text beside the plot, in widths of the plot.
LABEL, COUNTS, ESTIMATE, INTERACTION = -1.42, -0.30, 1.06, 1.72
INCHES_PER_ROW = 0.235

OVERALL = "all"


def forest_figure(
    subgroups: pd.DataFrame, performance: pd.DataFrame, models: Sequence[str]
) -> tuple[Figure, pd.DataFrame]:
    """AUC and interval in every subgroup of the first of ``models`` that there is, a panel per cohort.

    Areas of squares are proportional to patients within a cohort; the first row is the whole cohort. The
    table holds those rows too (variable ``all``).
    """
    there = [model for model in models if model in set(subgroups["model"])]
    if not there:
        figure, axis = plt.subplots(figsize=(4, 1))
        axis.set_axis_off()
        axis.text(0.5, 0.5, "no model was fitted", ha="center")
        return figure, subgroups.iloc[:0]
    model = there[0]
    table = subgroups[subgroups["model"] == model]
    parts = [
        pd.concat([_overall(performance, model, cohort), part], ignore_index=True)
        for cohort, part in table.groupby("cohort", sort=False)
    ]
    heights = [len(_lines(part)) + 1.5 for part in parts]
    between = 0.45 * len(heights) / sum(heights) / INCHES_PER_ROW
    inches = INCHES_PER_ROW * sum(heights) + 0.45 * (len(parts) - 1) + 0.9
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(7.6, inches), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    figure.subplots_adjust(left=0.38, right=0.66, bottom=0.5 / inches, top=1.0 - 0.4 / inches, hspace=between)
    for axis, part in zip(axes.flat, parts, strict=True):
        _panel(axis, part)
    axes.flat[-1].set_xlabel("AUC")
    write_beside(axes.flat[0], LABEL, -2.4, model_title(model))
    return figure, pd.concat(parts, ignore_index=True)


def _overall(performance: pd.DataFrame, model: str, cohort: object) -> pd.DataFrame:
    rows = performance[
        (performance["model"] == model) & (performance["cohort"] == cohort) & (performance["metric"] == "auc")
    ]
    found = rows.rename(columns={"estimate": "auc"}).assign(variable=OVERALL, level="all patients")
    return found[
        ["variable", "level", "model", "cohort", "n", "events", "auc", "lower", "upper", "synthetic"]
    ]


def _lines(part: pd.DataFrame) -> list[tuple[str, Mapping[str, Any]]]:
    """Return lines from top to bottom: a heading per variable, and a row per level."""
    lines: list[tuple[str, Mapping[str, Any]]] = []
    for variable, rows in part.groupby("variable", sort=False):
        if variable != OVERALL:
            lines.append((variable_title(str(variable)), {"p_interaction": rows["p_interaction"].iloc[0]}))
        lines += [("", row) for row in rows.to_dict("records")]
    return lines


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    lines, overall = _lines(part), part[part["variable"] == OVERALL]
    first = part.iloc[0]
    kind = ", out-of-fold" if first["cohort"] == "train" else ""
    for x, text in ((LABEL, f"{cohort_title(first['cohort'])}{kind}"), (COUNTS, "n (events)"),
                    (ESTIMATE, "AUC (95 % interval)"), (INTERACTION, "p for interaction")):  # fmt: skip
        write_beside(axis, x, -1.1, text, fontweight="bold")
    axis.axvline(0.5, color=GREY, lw=0.8, ls=":")
    for auc in overall["auc"].dropna():
        axis.axvline(auc, color=GREY, lw=0.8, ls="--")
    for height, (heading, row) in enumerate(lines):
        if heading:
            write_beside(axis, LABEL, height, heading)
            write_beside(axis, INTERACTION, height, p_text(row["p_interaction"]))
            continue
        _draw_level(axis, height, row, float(part["n"].max()))
    axis.set(xlim=(-0.02, 1.02), ylim=(len(lines) - 0.4, -1.5), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[])
    axis.spines["left"].set_visible(False)
    axis.tick_params(labelsize=8)


def _draw_level(axis: Axes, height: int, row: Mapping[str, Any], largest: float) -> None:
    whole = row["variable"] == OVERALL
    level = "" if pd.isna(row["level"]) else level_title(str(row["level"]), str(row["variable"]))
    write_beside(axis, LABEL, height, "All patients" if whole else f"    {level}")
    write_beside(axis, COUNTS, height, f"{int(row['n'])} ({int(row['events'])})")
    if pd.isna(row["auc"]):
        write_beside(axis, ESTIMATE, height, "not estimable")
        return
    colour = "black" if whole else PALETTE[0]
    if pd.isna(row["lower"]):
        write_beside(axis, ESTIMATE, height, f"{row['auc']:.2f}")
    else:
        axis.plot([row["lower"], row["upper"]], [height, height], color=colour, lw=1.1)
        write_beside(axis, ESTIMATE, height, f"{row['auc']:.2f} ({row['lower']:.2f}–{row['upper']:.2f})")
    axis.scatter(
        row["auc"], height, s=75.0 * row["n"] / largest, marker="D" if whole else "s", color=colour,
        zorder=3, clip_on=False,
    )  # fmt: skip
