"""Habitats: how many there are, where they lie in a few patients, and how much of each lesion they are."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import binary_fill_holes

from annulus.cohort.chunks import chunk_of
from annulus.figures.overlay import Shown, first_image
from annulus.figures.style import COHORT_TITLES, GREY, OUTLINES, PALETTE, cohort_title, panels

# Measures of ``cluster_validity.csv`` that may be there, and what speaks for a number of clusters.
MEASURES = {
    "calinski_harabasz": "Calinski–Harabasz index (higher is better)",
    "silhouette": "Silhouette (higher is better)",
    "inertia": "Within-cluster sum of squares",
    "bic": "BIC (lower is better)",
}

EVENT, NO_EVENT, UNKNOWN = "event", "no event", ""


def cluster_validity_figure(validity: pd.DataFrame, chosen: int) -> tuple[Figure, pd.DataFrame]:
    """Each measure of validity against the number of clusters, with the number that was chosen.

    ``validity`` is ``rois/cluster_validity.csv``. The number of the highest Calinski-Harabasz index is the
    one chosen; the other measures stand beside it.
    """
    measures = [measure for measure in MEASURES if validity[measure].notna().any()]
    figure, axes = panels(len(measures), 3.0, 2.7)
    for axis, measure in zip(axes, measures, strict=True):
        axis.plot(validity["k"], validity[measure], "o-", color=PALETTE[0], ms=4, lw=1.2)
        axis.axvline(chosen, color="black", lw=0.8, ls="--")
        taken = validity[validity["k"] == chosen]
        axis.plot(taken["k"], taken[measure], "o", color=PALETTE[1], ms=8, zorder=3)
        axis.set_xlabel("Number of habitats", fontsize=8)
        axis.set_ylabel(MEASURES[measure], fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(validity["k"].min() - 0.4, validity["k"].max() + 0.4)
        axis.tick_params(labelsize=8)
    return figure, validity.assign(chosen=(validity["k"] == chosen).astype(int))


def fraction_figure(
    rois: pd.DataFrame, split: pd.DataFrame, outcome: pd.Series, event: str
) -> tuple[Figure, pd.DataFrame]:
    """Share of the lesion that each habitat takes, by cohort, and in training by outcome.

    ``rois`` is ``rois/rois.csv``, ``outcome`` 0 or 1 by training patient and ``event`` what 1 means; outcomes
    of other cohorts are not looked at. A box is the middle half with the median, a dot a patient (the mean
    over timepoints). Patients whose lesion could not be divided are left out.
    """
    table = _fractions(rois, split, outcome)
    habitats = sorted(table["habitat"].unique())
    if not habitats:
        figure, axis = plt.subplots(figsize=(4, 1), layout="constrained")
        axis.text(0.5, 0.5, "no lesion was divided into habitats", ha="center", va="center")
        axis.set_axis_off()
        return figure, table
    groups = list(table[["cohort", "outcome"]].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = panels(len(habitats), 3.1, 0.42 * len(groups) + 0.95)
    for axis, habitat in zip(axes, habitats, strict=True):
        part = table[table["habitat"] == habitat].set_index(["cohort", "outcome"])["fraction"].sort_index()
        for height, group in enumerate(groups):
            _box(axis, height, part.loc[[group]].to_numpy(), _colour(group[1]))
        axis.set_title(habitat, fontsize=9)
        axis.set_xlabel("Share of the lesion", fontsize=8)
        axis.set(xlim=(-0.03, 1.03), ylim=(len(groups) - 0.5, -0.5))
        axis.tick_params(labelsize=8)
        axis.set_yticks(range(len(groups)), [""] * len(groups))
    # A row of panels shares the names of its first.
    for axis in axes[::3]:
        counts = table[table["habitat"] == habitats[0]].groupby(["cohort", "outcome"]).size()
        axis.set_yticks(range(len(groups)), [_group_title(group, event, counts[group]) for group in groups])
    return figure, table


def _fractions(rois: pd.DataFrame, split: pd.DataFrame, outcome: pd.Series) -> pd.DataFrame:
    rows = rois[(rois["kind"] == "habitat") & rois["fraction"].notna()]
    # The images of a lesion share its habitats.
    rows = rows.drop_duplicates(["patient_id", "timepoint", "roi"])
    means = rows.groupby(["patient_id", "roi"], as_index=False)["fraction"].mean()
    table = means.rename(columns={"roi": "habitat"}).merge(split[["patient_id", "cohort"]], on="patient_id")
    known = outcome.map({1.0: EVENT, 0.0: NO_EVENT})
    training = table["cohort"] == "train"
    table["outcome"] = table["patient_id"].map(known).where(training).fillna(UNKNOWN)
    cohorts = sorted(table["cohort"].unique(), key=_place)
    table["cohort"] = pd.Categorical(table["cohort"], categories=cohorts, ordered=True)
    outcomes = [EVENT, NO_EVENT, UNKNOWN]
    table["outcome"] = pd.Categorical(table["outcome"], categories=outcomes, ordered=True)
    table = table.sort_values(["cohort", "outcome", "habitat", "patient_id"], ignore_index=True)
    table = table.astype({"cohort": str, "outcome": str})
    return table[["cohort", "outcome", "patient_id", "habitat", "fraction"]]


def _place(cohort: str) -> tuple[int, str]:
    """Put cohorts in the order that readers expect: external ones last, by name."""
    known = list(COHORT_TITLES)
    return (known.index(cohort) if cohort in known else len(known)), cohort


def _colour(outcome: str) -> str:
    return {EVENT: PALETTE[1], NO_EVENT: PALETTE[0]}.get(outcome, GREY)


def _group_title(group: tuple[str, str], event: str, count: int) -> str:
    cohort, outcome = group
    words = {EVENT: f", {event}: yes", NO_EVENT: f", {event}: no"}.get(outcome, "")
    return f"{cohort_title(cohort)}{words} (n = {count})"


def _box(axis: Axes, height: int, values: np.ndarray, colour: str) -> None:
    axis.boxplot(
        values, positions=[height], orientation="horizontal", widths=0.62, showfliers=False,
        manage_ticks=False, medianprops={"color": "black", "lw": 1.4}, boxprops={"color": colour},
        whiskerprops={"color": colour}, capprops={"color": colour},
    )  # fmt: skip
    axis.plot(values, height + spread(len(values), 0.2), ".", color=colour, ms=4, alpha=0.6, mew=0)


def spread(count: int, most: float) -> np.ndarray:
    """Return ``count`` shifts, within ``most`` either way, that keep dots of equal value apart."""
    # Multiples of the golden ratio fill an interval evenly whatever their number (Weyl).
    shifts: np.ndarray = (np.arange(1, count + 1) * 0.6180339887498949) % 1.0
    return (2.0 * shifts - 1.0) * most


def choose_divided(
    split: pd.DataFrame,
    images: pd.DataFrame,
    rois: pd.DataFrame,
    name: str,
    folders: Mapping[str, str],
    chunks: int,
    patients: int = 3,
) -> list[Shown]:
    """Read the image called ``name`` of the first training patients (by id) whose lesion was divided.

    ``folders`` holds the masks of habitats by chunk.
    """
    divided = rois[(rois["image"] == name) & (rois["kind"] == "habitat") & (rois["voxels"] > 0)]
    training = set(split.loc[split["cohort"] == "train", "patient_id"])
    return [
        first_image(divided[divided["patient_id"] == patient], images, folders[chunk_of(patient, chunks)])
        for patient in sorted(training.intersection(divided["patient_id"]))[:patients]
    ]


def habitat_map_figure(images: Sequence[Shown], count: int) -> tuple[Figure, pd.DataFrame]:
    """Draw every image with its lesion outlined, and below with its habitats 1 to ``count`` in colour.

    The table counts each habitat's pixels in the slice drawn.
    """
    if not images:
        figure, axis = plt.subplots(figsize=(4, 1), layout="constrained")
        axis.text(0.5, 0.5, "no training patient's lesion was divided", ha="center", va="center")
        axis.set_axis_off()
        return figure, pd.DataFrame(columns=["image", "habitat", "pixels"])
    figure, axes = plt.subplots(
        2, len(images), figsize=(2.6 * len(images), 5.4), squeeze=False, layout="constrained"
    )
    names = [f"h{number}" for number in range(1, count + 1)]
    colour = {name: OUTLINES[i % len(OUTLINES)] for i, name in enumerate(names)}
    for image, above, below in zip(images, axes[0], axes[1], strict=True):
        lesion = binary_fill_holes(np.any(list(image.regions.values()), axis=0))
        low, high = np.percentile(image.grey, [1, 99.9])
        for axis in (above, below):
            axis.imshow(image.grey, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.contour(lesion, levels=[0.5], colors=["white"], linewidths=1.0)
            axis.set(xticks=[], yticks=[])
        below.imshow(_painted(image, colour), interpolation="nearest")
        above.set_title(image.title, fontsize=8)
    figure.legend(
        handles=[Patch(color=colour[name], label=name) for name in names],
        loc="outside lower center",
        ncols=len(names),
    )
    rows = [
        {"image": image.title, "habitat": name, "pixels": int(image.regions[name].sum())}
        for image in images
        for name in names
        if name in image.regions
    ]
    return figure, pd.DataFrame(rows)


def _painted(image: Shown, colour: Mapping[str, str]) -> np.ndarray:
    """Return red, green, blue and opacity of every pixel."""
    painted = np.zeros((*image.grey.shape, 4))
    for name, mask in image.regions.items():
        painted[mask] = (*(int(colour[name][i : i + 2], 16) / 255.0 for i in (1, 3, 5)), 0.6)
    return painted
