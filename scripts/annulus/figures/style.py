"""One look for all figures, and saving them with the table that they were drawn from."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from annulus.cohort.dictionary import columns_of
from annulus.modelling.plan import LESION_SIZE
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


FEATURE = re.compile(r"([a-z0-9]+)_([a-z0-9]+)_(.+)_([^_]+)_([^_]+)")
LAPLACIAN = re.compile(r"log-sigma-(\d+)-(\d+)-mm-3D")


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
        return _capitalised(f"{region_title(model.removeprefix('signature_'))} signature")
    if model in MODEL_TITLES:
        return MODEL_TITLES[model]
    return model.replace("_", " ").capitalize()


def region_title(roi: str) -> str:
    """Write a region's short name: abbreviations in capitals (ITR, PTR5), words as they are (habitats)."""
    return roi.upper() if len(roi) <= 3 or any(letter.isdigit() for letter in roi) else roi


def variable_title(variable: str) -> str:
    """Describe a clinical variable with its unit, by the data dictionary; another name stays as it is."""
    column = columns_of("participants").get(variable)
    if column is None:
        return variable
    return f"{column.description}, {column.unit}" if column.unit else column.description


def term_title(term: str) -> str:
    """Write a term of a model as a reader expects it: a Rad-score, a variable or a variable's level."""
    if term.startswith("radscore_"):
        return f"Rad-score {region_title(term.removeprefix('radscore_'))}"
    if term == LESION_SIZE:
        return "Lesion size, per doubling"
    variable, _, level = term.partition("[")
    return f"{variable_title(variable)}{': ' + level_title(level.rstrip(']')) if level else ''}"


def level_title(level: str, variable: str = "") -> str:
    """Write a level of a variable as words; of a variable that is true or false, yes or no."""
    column = columns_of("participants").get(variable)
    if column is not None and column.type == "boolean":
        return {"0": "no", "1": "yes"}.get(level, level)
    return level.replace("_", " ")


def feature_title(column: str) -> str:
    """Write a feature's column (image_region_filter_class_name) as words; another name stays as it is."""
    parts = FEATURE.fullmatch(column)
    if parts is None:
        return column
    image, region, filtered, kind, name = parts.groups()
    filtered = LAPLACIAN.sub(r"LoG \1.\2 mm", filtered)
    return f"{image} {region} {kind} {name}" + ("" if filtered == "original" else f" [{filtered}]")


def p_text(p: float) -> str:
    """Write a p-value as journals do, in words where there is none."""
    if pd.isna(p):
        return "not estimable"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def write_beside(axis: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write a cell of the table beside a plot: ``x`` in widths of the axis, ``y`` in the axis's data."""
    axis.text(
        x, y, text, transform=axis.get_yaxis_transform(), va="center", fontsize=8, clip_on=False, **style
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


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

    SYNTHETIC is written above figures of simulated patients. The same figure gives the same bytes.
    """
    if synthetic:
        figure.text(
            0.995, 1.0, "SYNTHETIC", ha="right", va="bottom", fontsize=8, color="#B00020",
            fontweight="bold",
        )  # fmt: skip
    for kind, undated in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        write = partial(figure.savefig, format=kind, metadata=undated, bbox_inches="tight")
        write_whole(paths[kind], write)
    plt.close(figure)
    write_csv(Path(paths["csv"]), table)
