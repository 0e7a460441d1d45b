"""One look for all figures, and saving them with the table that they were drawn from."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.tables import write_csv, write_whole

# Okabe & Ito's palette, told apart under every common colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
GREY = "#8A8A8A"

# The same palette where lines lie on dark images: without black and grey, with its yellow.
OUTLINES = ("#D55E00", "#56B4E9", "#F0E442", "#CC79A7", "#009E73", "#E69F00", "#0072B2")

COHORT_TITLES = {
    "train": "Training",
    "internal_test": "Internal test",
    "prospective_test": "Prospective test",
}

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "pdf.fonttype": 42,
        "savefig.dpi": 300,
        "svg.hashsalt": "annulus",
    }
)


def cohort_title(cohort: str) -> str:
    """Write a cohort's name as a reader expects it."""
    if cohort in COHORT_TITLES:
        return COHORT_TITLES[cohort]
    return f"External: {cohort.removeprefix('external_').replace('_', ' ')}"


MODEL_TITLES = {
    "clinical_full": "Clinical, all variables",
    "volume": "Size alone",
    "size_clinical": "Size and clinical",
}


def model_title(model: str) -> str:
    """Write a model's name as a reader expects it."""
    if model.startswith("signature_"):
        return f"{model.removeprefix('signature_').upper()} signature"
    if model in MODEL_TITLES:
        return MODEL_TITLES[model]
    return model.replace("_", " ").capitalize()


def colours(models: list[str]) -> dict[str, str]:
    """Give every model the same colour in every figure of a study."""
    return {model: PALETTE[i % len(PALETTE)] for i, model in enumerate(models)}


def panels(count: int, width: float = 3.4, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels side by side, three to a row, lettered when several."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.set_axis_off()
    if count > 1:
        for letter, axis in zip("ABCDEFGHIJKL", flat[:count], strict=False):
            axis.set_title(letter, loc="left", fontweight="bold", fontsize=10)
    return figure, flat[:count]


def save(figure: Figure, paths: Mapping[str, str], table: pd.DataFrame, synthetic: bool) -> None:
    """Write a figure's PDF, PNG and CSV (keys ``pdf``, ``png``, ``csv``), and close it.

    SYNTHETIC is written across figures of simulated patients. The same figure gives the same bytes.
    """
    if synthetic:
        figure.text(
            0.995, 0.995, "SYNTHETIC", ha="right", va="top", fontsize=8, color="#B00020",
            fontweight="bold",
        )  # fmt: skip
    for kind, undated in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        write = partial(figure.savefig, format=kind, metadata=undated, bbox_inches="tight")
        write_whole(paths[kind], write)
    plt.close(figure)
    write_csv(Path(paths["csv"]), table)
