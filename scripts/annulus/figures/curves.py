"""ROC, calibration and decision curves of one cohort."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.evaluation.smoothing import why_no_loess
from annulus.evaluation.predictions import known
from annulus.figures.style import GREY, cohort_title, colours, model_title, panels

# Lighter than the lines of treating all or none, which it may lie on.
NOBODY = "#D0D0D0"


def roc_figure(
    curves: pd.DataFrame,
    predictions: pd.DataFrame,
    performance: pd.DataFrame,
    cohort: str,
    models: Sequence[str],
) -> tuple[Figure, pd.DataFrame]:
    """ROC curves of ``models`` in ``cohort`` with AUC and interval; a dot marks the frozen cut-off."""
    table = known(predictions)
    table = table[table["cohort"] == cohort]
    shown = curves[(curves["cohort"] == cohort) & curves["model"].isin(models)]
    figure, (axis,) = panels(1, 3.9, 4.6)
    for model, colour in colours(list(models)).items():
        curve = shown[shown["model"] == model]
        if curve.empty:
            continue
        auc = _estimate(performance, model, cohort, "auc")
        interval = "no interval" if pd.isna(auc.lower) else f"{auc.lower:.3f}–{auc.upper:.3f}"
        label = f"{model_title(model)}  {auc.estimate:.3f} ({interval})"
        axis.plot(curve["false_positive_rate"], curve["sensitivity"], color=colour, lw=1.5, label=label)
        axis.plot(
            1.0 - _estimate(performance, model, cohort, "specificity").estimate,
            _estimate(performance, model, cohort, "sensitivity").estimate,
            "o", color=colour, ms=5, mec="white", clip_on=False, zorder=5,
        )  # fmt: skip
    axis.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    axis.set(
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        xlabel="1 − specificity",
        ylabel="Sensitivity",
    )
    axis.set_title(_subtitle(table, cohort), loc="left", fontsize=9)
    if len(shown):
        axis.legend(
            loc="upper left", bbox_to_anchor=(-0.02, -0.16), title="AUC (95 % interval)", alignment="left"
        )
    else:
        axis.text(0.5, 0.5, _why_no_curve(table), ha="center", color=GREY, fontsize=8)
    return figure, shown


def _why_no_curve(table: pd.DataFrame) -> str:
    return "only one outcome: no curve" if len(table) else "no patient's outcome is known"


def calibration_figure(
    curves: pd.DataFrame,
    predictions: pd.DataFrame,
    performance: pd.DataFrame,
    cohort: str,
    models: Sequence[str],
) -> tuple[Figure, pd.DataFrame]:
    """Calibration of ``models`` in ``cohort``, a panel each, with the distribution of predictions."""
    table = known(predictions)
    table = table[table["cohort"] == cohort]
    shown = [model for model in models if model in set(table["model"])]
    figure, axes = panels(max(1, len(shown)), 3.3, 3.9)
    palette = colours(list(models))
    for axis, model in zip(axes, shown, strict=False):
        _calibration_panel(
            axis, curves[(curves["cohort"] == cohort) & (curves["model"] == model)],
            table[table["model"] == model], palette[model],
        )  # fmt: skip
        slope = _estimate(performance, model, cohort, "calibration_slope")
        large = _estimate(performance, model, cohort, "calibration_in_the_large")
        brier = _estimate(performance, model, cohort, "brier")
        score = "not estimable" if pd.isna(brier.estimate) else f"{brier.estimate:.3f}"
        axis.text(
            0.12, 1.03,
            f"{model_title(model)}\nslope {_with_interval(slope)}\nin the large {_with_interval(large)}\n"
            f"Brier {score}{_smooth_error(_estimate(performance, model, cohort, 'ici'))}",
            transform=axis.transAxes, va="bottom", fontsize=7,
        )  # fmt: skip
    figure.suptitle(_subtitle(table, cohort), x=0.01, ha="left", fontsize=9)
    shown_curves = curves[(curves["cohort"] == cohort) & curves["model"].isin(shown)]
    return figure, shown_curves


def decision_figure(
    curves: pd.DataFrame,
    shifted: pd.DataFrame,
    predictions: pd.DataFrame,
    cohort: str,
    models: Sequence[str],
    decision: str,
) -> tuple[Figure, pd.DataFrame]:
    """Decision curves of ``models`` in ``cohort``, with bootstrap bands, over the stated thresholds.

    A second panel has them at the declared prevalence, where ``shifted`` holds such curves. Thresholds
    above every predicted risk of a model are grey.
    """
    table = known(predictions)
    table = table[table["cohort"] == cohort]
    strategies = [*models, "treat_all", "treat_none"]
    observed, moved = (
        part[(part["cohort"] == cohort) & part["model"].isin(strategies)] for part in (curves, shifted)
    )
    parts = [observed.assign(prevalence=np.nan), *([moved] if len(moved) else [])]
    figure, axes = panels(len(parts), 4.6, 3.7)
    if table.empty:
        axes[0].text(0.5, 0.5, _why_no_curve(table), ha="center", color=GREY, fontsize=8)
        axes[0].set_axis_off()
        return figure, pd.concat(parts, ignore_index=True)
    prevalence = float(table.drop_duplicates("patient_id")["y"].mean())
    subtitle = _subtitle(table, cohort)
    _decision_panel(axes[0], observed, models, prevalence, decision)
    axes[0].set_title(subtitle, loc="left", fontsize=9)
    for axis in axes[1:]:
        declared = float(moved["prevalence"].iloc[0])
        _decision_panel(axis, moved, models, declared, decision)
        axis.set_title(f"The same at a prevalence of {declared:g}", loc="left", fontsize=9)
    return figure, pd.concat(parts, ignore_index=True)


def _decision_panel(
    axis: Axes, rows: pd.DataFrame, models: Sequence[str], prevalence: float, decision: str
) -> None:
    beyond = False
    for model, colour in colours(list(models)).items():
        curve = rows[rows["model"] == model]
        if curve.empty:
            continue
        within = curve[curve["beyond_largest_risk"] == 0]
        above = curve[curve["beyond_largest_risk"] == 1]
        axis.fill_between(
            within["threshold"], within["lower"], within["upper"], color=colour, alpha=0.12, lw=0
        )
        axis.plot(within["threshold"], within["net_benefit"], color=colour, lw=1.8, label=model_title(model))
        axis.plot(above["threshold"], above["net_benefit"], color=NOBODY, lw=4.0, zorder=1)
        beyond = beyond or len(above) > 0
    if beyond:
        axis.plot([], [], color=NOBODY, lw=4.0, label="No predicted risk as high")
    for model, style in (("treat_all", "-"), ("treat_none", "--")):
        curve = rows[rows["model"] == model]
        axis.plot(curve["threshold"], curve["net_benefit"], color=GREY, lw=0.9, ls=style,
                  label=model_title(model))  # fmt: skip
    highest = float(rows["net_benefit"].max())
    label = textwrap.fill(f"Threshold probability to {decision}", 48)
    axis.set(
        ylim=(min(-0.05 * prevalence, -0.001), max(highest, prevalence, 0.01) * 1.1),
        xlim=(rows["threshold"].min(), rows["threshold"].max()),
        xlabel=label,
        ylabel="Net benefit per patient",
    )
    lines = label.count("\n") + 1
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14 - 0.06 * lines), ncols=2)


def _calibration_panel(axis: Axes, curves: pd.DataFrame, predictions: pd.DataFrame, colour: str) -> None:
    axis.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    for smoother, style in (("logistic", "--"), ("loess", "-")):
        curve = curves[curves["smoother"] == smoother]
        if curve.empty:
            continue
        axis.plot(curve["predicted"], curve["observed"], color=colour, lw=1.5, ls=style,
                  label=smoother)  # fmt: skip
        axis.fill_between(curve["predicted"], curve["lower"], curve["upper"], color=colour, alpha=0.12, lw=0)
    for event, base, direction in ((1, -0.09, 1), (0, -0.10, -1)):
        p = predictions.loc[predictions["y"] == event, "evaluated"]
        axis.vlines(p, base, base + direction * 0.05, color=colour, lw=0.6, alpha=0.7)
    for text, height in (("event", -0.065), ("no event", -0.125)):
        axis.text(1.04, height, text, fontsize=6, va="center", color=GREY, clip_on=False)
    axis.set(
        xlim=(-0.02, 1.02), ylim=(-0.17, 1.02), aspect="equal",
        xlabel="Predicted probability", ylabel="Observed proportion",
        xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6),
    )  # fmt: skip
    if len(curves):
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.14))
    reason = why_no_loess(predictions["y"].to_numpy(), predictions["evaluated"].to_numpy())
    if reason:
        axis.text(0.0, 1.0, textwrap.fill(reason, 34), va="top", fontsize=6, color=GREY)


def _estimate(performance: pd.DataFrame, model: str, cohort: str, metric: str) -> pd.Series:
    found = performance[
        (performance["model"] == model)
        & (performance["cohort"] == cohort)
        & (performance["metric"] == metric)
    ]
    if found.empty:
        return pd.Series({"estimate": np.nan, "lower": np.nan, "upper": np.nan})
    return found.iloc[0]


def _smooth_error(ici: pd.Series) -> str:
    return "" if pd.isna(ici.estimate) else f", ICI {ici.estimate:.3f} (loess)"


def _with_interval(value: pd.Series) -> str:
    if pd.isna(value.estimate):
        return "not estimable"
    return f"{value.estimate:.2f} ({value.lower:.2f}, {value.upper:.2f})"


def _subtitle(table: pd.DataFrame, cohort: str) -> str:
    first = table.drop_duplicates("patient_id")
    kind = ", out-of-fold" if cohort == "train" else ""
    return f"{cohort_title(cohort)}{kind} (n = {len(first)}, {int(first['y'].sum())} events)"
