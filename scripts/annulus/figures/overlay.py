"""Regions drawn over the images of a few patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import binary_fill_holes

from annulus.cohort.chunks import chunk_of
from annulus.figures.style import OUTLINES, panels
from annulus.imaging.qc import IMAGE_KEY
from annulus.imaging.reading import read_again, read_written


@dataclass(frozen=True)
class Shown:
    """One image to show: its grey values and region masks, 2-D and on one grid."""

    title: str
    grey: np.ndarray
    regions: Mapping[str, np.ndarray]


def overlay_figure(images: list[Shown]) -> tuple[Figure, pd.DataFrame]:
    """Draw the outline of every region over each image; the table counts their pixels."""
    figure, axes = panels(len(images), 3.2, 3.4)
    names = list(dict.fromkeys(name for image in images for name in image.regions))
    colour = {name: OUTLINES[i % len(OUTLINES)] for i, name in enumerate(names)}
    for axis, image in zip(axes, images, strict=True):
        low, high = np.percentile(image.grey, [1, 99.9])
        axis.imshow(image.grey, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        for name, mask in image.regions.items():
            if mask.any():
                axis.contour(binary_fill_holes(mask), levels=[0.5], colors=[colour[name]], linewidths=1.0)
        axis.set_xlabel(image.title, fontsize=7)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.legend(
        handles=[Line2D([], [], color=colour[name], label=name) for name in names],
        loc="outside lower center",
        ncols=len(names),
    )
    rows = [
        {"image": image.title, "roi": name, "pixels": int(mask.sum())}
        for image in images
        for name, mask in image.regions.items()
    ]
    return figure, pd.DataFrame(rows)


def choose_images(
    split: pd.DataFrame,
    images: pd.DataFrame,
    rois: pd.DataFrame,
    names: Sequence[str],
    folders: Mapping[str, str],
    chunks: int,
    cohort: str = "train",
    patients: int = 3,
) -> list[Shown]:
    """Read the last of the study's images (by ``names``) of the first patients of a cohort.

    First means by id, among patients all of whose regions were built. ``folders`` holds the region
    masks by chunk. Habitats have a figure of their own.
    """
    built = rois[(rois["image"] == names[-1]) & (rois["kind"] != "habitat")]
    whole = built.groupby("patient_id")["status"].apply(lambda s: (s == "ok").all())
    members = set(split.loc[split["cohort"] == cohort, "patient_id"])
    chosen = [patient for patient in sorted(whole[whole].index) if patient in members][:patients]
    return [
        first_image(built[built["patient_id"] == patient], images, folders[chunk_of(patient, chunks)])
        for patient in chosen
    ]


def first_image(regions: pd.DataFrame, images: pd.DataFrame, folder: str) -> Shown:
    """Read the first image (by time and id) among a patient's ``regions``, whose masks lie in ``folder``."""
    first = regions.sort_values([*IMAGE_KEY])[[*IMAGE_KEY]].iloc[0]
    rows, facts = (table[(table[[*IMAGE_KEY]] == first).all(axis="columns")] for table in (regions, images))
    return read_shown(facts.iloc[0].fillna("").astype(str).to_dict(), rows, Path(folder))


def read_shown(facts: Mapping[str, str], rows: pd.DataFrame, folder: Path) -> Shown:
    """Read an image and its regions' masks, cut out around them; ``facts`` is its row of images.csv."""
    grey = read_again(facts).array
    # A union's outline is that of its ring. The widest first, so that the tumour is drawn over it.
    drawn = rows[rows["kind"] != "union"].sort_values("outer", ascending=False)
    masks = {row.roi: read_written(folder / row.mask_file).array > 0 for row in drawn.itertuples()}
    if grey.ndim == 3:
        middle = middle_slice(np.any(list(masks.values()), axis=0))
        grey, masks = grey[middle], {name: mask[middle] for name, mask in masks.items()}
    place = around(np.any(list(masks.values()), axis=0))
    return Shown(facts["image_id"], grey[place], {name: mask[place] for name, mask in masks.items()})


def around(regions: np.ndarray) -> tuple[slice, ...]:
    """Return the part of an image that holds all regions with as much room on every side."""
    where = np.argwhere(regions)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    room = int((high - low).max() / 2)
    return tuple(
        slice(max(0, int(a) - room), min(length, int(b) + room))
        for a, b, length in zip(low, high, regions.shape, strict=True)
    )


def middle_slice(mask: np.ndarray) -> int:
    """Return the slice of a volume that holds most of the mask."""
    return int(mask.sum(axis=(1, 2)).argmax())
