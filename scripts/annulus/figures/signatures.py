"""What signatures are made of: their coefficients, how their features go together, and patients by score."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.special import logit

from annulus.figures.lasso import LEARNERS
from annulus.figures.style import PALETTE, feature_title, model_title
from annulus.modelling.frozen import cut_off_of

# More cannot be read in one figure.
MOST_COEFFICIENTS = 25
MOST_CORRELATED = 40

RAISES, LOWERS = PALETTE[1], PALETTE[0]


def coefficient_figure(
    models: Mapping[str, Mapping[str, Any]], choices: Mapping[str, pd.DataFrame]
) -> tuple[Figure, pd.DataFrame]:
    """Non-zero coefficients per SD of each frozen signature, a panel each on one scale.

    ``models`` are frozen signatures as JSON, ``choices`` the models tried for each. Of a signature with
    many the ``MOST_COEFFICIENTS`` largest are drawn, and the panel says so; one without says why.
    """
    parts = {model: _coefficients(model, content) for model, content in models.items()}
    drawn = {model: _largest(part) for model, part in parts.items()}
    heights = [max(len(part), 1) + 1.6 for part in drawn.values()]
    inches = 0.19 * sum(heights) + 0.5
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(7.2, inches), squeeze=False, sharex=True, layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    table = pd.concat(drawn.values(), ignore_index=True)
    largest = table["coefficient"].abs().max() if len(table) else 1.0
    for axis, (model, part) in zip(axes.flat, drawn.items(), strict=True):
        axis.set_title(model_title(model), loc="left", fontsize=8, fontweight="bold")
        if part.empty:
            _say(axis, _without_coefficients(models[model], choices[model]))
            continue
        _bars(axis, part, largest)
        if len(part) < len(parts[model]):
            axis.set_title(f"{len(part)} largest of {len(parts[model])}", loc="right", fontsize=8)
    if len(table):
        lowest = [axis for axis, part in zip(axes.flat, drawn.values(), strict=True) if len(part)][-1]
        lowest.set_xlabel("Coefficient (log-odds per SD of the feature)", fontsize=8)
        lowest.tick_params(labelbottom=True)
    return figure, table


def _coefficients(model: str, content: Mapping[str, Any]) -> pd.DataFrame:
    terms = (content["linear"] or {}).get("terms", [])
    table = pd.DataFrame(
        {
            "model": model,
            "column": [term["term"] for term in terms],
            "coefficient": np.array([term["coefficient"] for term in terms], dtype=float),
        }
    )
    return table[table["coefficient"] != 0.0].sort_values("coefficient", ascending=False, kind="stable")


def _largest(part: pd.DataFrame) -> pd.DataFrame:
    return part[part["coefficient"].abs().rank(method="first", ascending=False) <= MOST_COEFFICIENTS]


def _without_coefficients(content: Mapping[str, Any], choice: pd.DataFrame) -> str:
    """Say why there is no coefficient: nothing was selected, or the model is of another kind."""
    learner = str(choice.loc[choice["chosen"] == 1, "learner"].iloc[0])
    return f"{LEARNERS[learner]}: no coefficients" if learner in LEARNERS else "no feature selected"


def _bars(axis: Axes, part: pd.DataFrame, largest: float) -> None:
    heights, values = np.arange(len(part)), part["coefficient"].to_numpy()
    axis.barh(heights, values, height=0.7, color=[RAISES if b > 0 else LOWERS for b in values])
    for height, value in zip(heights, values, strict=True):
        axis.annotate(
            (f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}").replace("-", "−"), (value, height),
            xytext=(3 if value > 0 else -3, 0), textcoords="offset points", fontsize=7,
            va="center", ha="left" if value > 0 else "right",
        )  # fmt: skip
    axis.axvline(0.0, color="black", lw=0.8)
    axis.set_yticks(heights, [feature_title(column) for column in part["column"]], fontsize=7)
    axis.set(ylim=(len(part) - 0.4, -0.6), xlim=(-1.2 * largest, 1.2 * largest))
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=7, labelbottom=False)
    axis.spines["left"].set_visible(False)


def _say(axis: Axes, why: str) -> None:
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes, fontsize=8)
    axis.set_axis_off()


def correlation_figure(selection: pd.DataFrame, predictors: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Spearman correlation of the features that signatures kept, similar ones side by side.

    ``selection`` is the task's ``selection.csv``; ``predictors`` has a row per training patient. Missing
    values are left out pair by pair. Features are ordered by average linkage of 1 - abs(correlation). Of
    more than ``MOST_CORRELATED`` those of largest coefficient (or importance) are shown, and the figure says
    so. The table has a row per pair, in the order drawn.
    """
    kept = _kept(selection)
    shown = kept[:MOST_CORRELATED]
    if len(shown) < 2:
        figure, axis = plt.subplots(figsize=(4, 1), layout="constrained")
        _say(axis, "fewer than two features were kept")
        return figure, pd.DataFrame(columns=["number_a", "feature_a", "number_b", "feature_b", "rho"])
    rho = predictors[shown].corr(method="spearman")
    rho = rho.iloc[_similar_together(rho.to_numpy()), :]
    rho = rho[rho.index]
    titles = [f"{feature_title(column)}  {n}" for n, column in enumerate(rho.index, start=1)]
    side = max(0.14 * len(rho), 1.5)
    width = side + 0.055 * max(map(len, titles)) + 0.9
    figure, axis = plt.subplots(figsize=(width, side + 0.5), layout="constrained")
    image = axis.imshow(rho.to_numpy(), cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    # Seen through cells without a correlation.
    axis.set_facecolor("#D0D0D0")
    numbers = np.arange(1, len(rho) + 1)
    axis.set_xticks(numbers - 1, [str(number) for number in numbers], fontsize=7)
    axis.set_yticks(numbers - 1, titles, fontsize=7)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=min(1.0, 2.0 / side), aspect=12, pad=0.02)
    bar.set_label("Spearman correlation", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    cut = f", the {len(shown)} of largest coefficient of {len(kept)} kept" if len(shown) < len(kept) else ""
    axis.set_title(f"Training (n = {len(predictors)}){cut}", loc="left", fontsize=8)
    names = rho.index.to_numpy()
    return figure, pd.DataFrame(
        {
            "number_a": np.repeat(numbers, len(names)),
            "feature_a": np.repeat(names, len(names)),
            "number_b": np.tile(numbers, len(names)),
            "feature_b": np.tile(names, len(names)),
            "rho": rho.to_numpy().ravel(),
        }
    )


def _kept(selection: pd.DataFrame) -> list[str]:
    """Name the features that any signature kept, of largest coefficient or importance first."""
    signatures = selection[selection["model"].str.startswith("signature_") & selection["step_removed"].isna()]
    weight = signatures["coefficient"].fillna(signatures["statistic"]).abs()
    ordered = signatures.assign(weight=weight).sort_values("weight", ascending=False, kind="stable")
    return list(ordered["column"].drop_duplicates())


def _similar_together(rho: np.ndarray) -> np.ndarray:
    distances = 1.0 - np.abs(np.nan_to_num(rho))
    np.fill_diagonal(distances, 0.0)
    condensed = squareform(np.clip((distances + distances.T) / 2.0, 0.0, None))
    order: np.ndarray = leaves_list(linkage(condensed, method="average", optimal_ordering=True))
    return order


def waterfall_figure(
    training: Mapping[str, pd.DataFrame],
    frozen: Mapping[str, Mapping[str, Any]],
    outcome: pd.Series,
    event: str,
) -> tuple[Figure, pd.DataFrame]:
    """Training patients by rising out-of-fold score of the first model that was fitted, by outcome.

    ``training`` and ``frozen`` have each model's out-of-fold probabilities and frozen JSON; ``outcome`` is 0
    or 1 by patient, ``event`` what 1 means. A score is the log-odds of the out-of-fold probability; bars
    start at the frozen cut-off, so that those called positive point up. A probability of 0 or 1 has no
    finite score: its bar ends at the edge and the figure counts such patients.
    """
    fitted = [model for model, table in training.items() if len(table)]
    if not fitted:
        figure, axis = plt.subplots(figsize=(4, 1), layout="constrained")
        _say(axis, "no model was fitted")
        return figure, pd.DataFrame(columns=["model", "rank", "patient_id", "y", "score", "cut_off"])
    model = fitted[0]
    table = _ranked(training[model], outcome).assign(model=model)
    cut = cut_off_of(frozen[model])
    table["cut_off"] = float(logit(cut)) if 0.0 < cut < 1.0 else np.nan
    figure, axis = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    _waterfall(axis, table)
    events = int(table["y"].sum())
    axis.set(ylabel="Log-odds, out of fold", xlabel="Training patients by rising score")
    axis.legend(
        handles=[
            Patch(color=RAISES, label=f"{event}: yes (n = {events})"),
            Patch(color=LOWERS, label=f"{event}: no (n = {len(table) - events})"),
        ],
        loc="upper left",
    )
    axis.set_title(model_title(model), loc="left", fontsize=9)
    return figure, table[["model", "rank", "patient_id", "y", "score", "cut_off"]]


def _ranked(training: pd.DataFrame, outcome: pd.Series) -> pd.DataFrame:
    p = training["probability_out_of_fold"].to_numpy(dtype=float)
    table = pd.DataFrame({"patient_id": training["patient_id"], "score": logit(p)})
    table["y"] = table["patient_id"].map(outcome)
    table = table.dropna(subset=["y", "score"]).sort_values(["score", "patient_id"], ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1))


def _waterfall(axis: Axes, table: pd.DataFrame) -> None:
    base = 0.0 if table["cut_off"].isna().all() else float(table["cut_off"].iloc[0])
    scores = table["score"].to_numpy()
    finite = scores[np.isfinite(scores)]
    low, high = min([base, *finite]), max([base, *finite])
    room = 0.06 * (high - low) + 1e-6
    heights = np.clip(scores, low - room, high + room) - base
    colours = [RAISES if y == 1 else LOWERS for y in table["y"]]
    width = 0.8 if len(table) <= 150 else 1.0
    axis.bar(table["rank"], heights, bottom=base, width=width, color=colours, lw=0)
    axis.set(xlim=(0.0, len(table) + 1.0), ylim=(low - room, high + room))
    axis.axhline(base, color="black", lw=0.8)
    if table["cut_off"].notna().any():
        axis.text(
            1.005, base, "frozen\ncut-off", transform=axis.get_yaxis_transform(), va="center", fontsize=8
        )
    beyond = int((~np.isfinite(scores)).sum())
    if beyond:
        axis.set_title(f"{beyond} with a probability of 0 or 1 reach the edge", loc="right", fontsize=8)
