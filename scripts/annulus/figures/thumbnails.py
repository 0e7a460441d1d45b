"""Small pictures of every image with the outlines of its regions, for the gallery."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Picture
from scipy.ndimage import binary_erosion

from annulus.cohort.chunks import image_stem
from annulus.figures.overlay import around, middle_slice
from annulus.figures.style import OUTLINES
from annulus.imaging.qc import IMAGE_KEY
from annulus.imaging.reading import read_again, read_written
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

SIDE_PX = 280
QUALITY = 82

# Drawn from the widest to the lesion itself, so that the lesion's outline lies on top.
DRAWN = ("union", "ring", "habitat", "node", "tumour")

THUMBNAIL_COLUMNS = ["patient_id", "timepoint", "image_id", "image", "thumbnail"]


@dataclass(frozen=True)
class Outline:
    """A region to draw over an image: its name and mask."""

    name: str
    mask: np.ndarray


def draw_rows(
    images: pd.DataFrame,
    masks: pd.DataFrame,
    rois: pd.DataFrame,
    colours: Mapping[str, str],
    mask_folder: Path,
    roi_folders: Sequence[Path],
    folder: Path,
) -> list[dict[str, str]]:
    """Draw every image of a chunk that quality control could read, and write JPEG files to ``folder``.

    ``images``, ``masks`` and ``rois`` are the chunk's rows of the tables of those names; ``colours`` is
    by region. An image without regions is drawn with the outline of its mask, where there is one.
    Returns the rows of the table of thumbnails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    # Of what was not read to its end no dimension is known: opened again, here where nothing guards it, a
    # damaged file could end the whole chunk.
    readable = images[images["dimension"].notna()]
    for key, own in readable.drop_duplicates([*IMAGE_KEY]).groupby([*IMAGE_KEY]):
        facts = own.iloc[0].fillna("").astype(str).to_dict()
        logger.info("patient %s: image %s", key[0], key[2])
        try:
            grey = read_again(facts).array
        except UnreadableError as reason:
            logger.warning("patient %s: image %s is not drawn: %s", key[0], key[2], reason)
            continue
        outlines = list(_outlines(_of(rois, key), roi_folders)) or list(_masks(_of(masks, key), mask_folder))
        file = f"{image_stem(facts)}.jpg"
        picture = drawn(grey, outlines, colours)
        picture.save(folder / file, "JPEG", quality=QUALITY, optimize=True)
        rows.append({**{name: facts[name] for name in THUMBNAIL_COLUMNS[:-1]}, "thumbnail": file})
    return rows


def drawn(grey: np.ndarray, outlines: Sequence[Outline], colours: Mapping[str, str]) -> Picture.Image:
    """Draw outlines over the slice of an image that holds most of them, cut to their neighbourhood."""
    whole = np.any([outline.mask for outline in outlines], axis=0) if outlines else None
    place: tuple[int | slice, ...] = ()
    if grey.ndim == 3:
        place = (middle_slice(whole) if whole is not None and whole.any() else len(grey) // 2,)
    flat = grey[place] if place else grey
    window: tuple[slice, ...] = (slice(None), slice(None))
    if whole is not None and whole.any():
        window = around(whole[place] if place else whole)
    flat = flat[window]
    scale = SIDE_PX / max(flat.shape)
    size = (max(1, round(flat.shape[1] * scale)), max(1, round(flat.shape[0] * scale)))
    canvas = np.asarray(Picture.fromarray(_bytes(flat)).resize(size, Picture.Resampling.BILINEAR))
    colour = np.repeat(canvas[..., None], 3, axis=2).copy()
    for outline in outlines:
        mask = (outline.mask[place] if place else outline.mask)[window]
        shown = (
            np.asarray(Picture.fromarray(mask.astype(np.uint8)).resize(size, Picture.Resampling.NEAREST)) > 0
        )
        edge = shown & ~binary_erosion(shown)
        colour[edge] = _rgb(colours.get(outline.name, OUTLINES[0]))
    return Picture.fromarray(colour)


def region_colours(names: Iterable[str]) -> dict[str, str]:
    """Give every region a colour, the same in every picture of a study."""
    return {name: OUTLINES[i % len(OUTLINES)] for i, name in enumerate(dict.fromkeys(names))}


def _outlines(rois: pd.DataFrame, folders: Sequence[Path]) -> Iterator[Outline]:
    built = rois[(rois["voxels"] > 0) & rois["mask_file"].notna() & (rois["kind"] != "union")]
    order = built["kind"].map({kind: i for i, kind in enumerate(DRAWN)})
    built = built.assign(order=order, wide=-built["outer"].fillna(0)).sort_values(["order", "wide"])
    for row in built.itertuples():
        file = next(folder / row.mask_file for folder in folders if (folder / row.mask_file).is_file())
        yield Outline(row.roi, read_written(file).array > 0)


def _masks(masks: pd.DataFrame, folder: Path) -> Iterator[Outline]:
    for row in masks[masks["mask_file"].notna()].itertuples():
        yield Outline(row.mask_role, read_written(folder / row.mask_file).array > 0)


def _of(rows: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    same = (rows["patient_id"] == key[0]) & (rows["timepoint"] == key[1]) & (rows["image_id"] == key[2])
    return rows[same]


def _bytes(values: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    low, high = np.percentile(finite, [1, 99.5])
    if high <= low:
        low, high = float(finite.min()), float(finite.max()) or 1.0
    return (255 * ((finite - low) / max(high - low, 1e-12)).clip(0, 1)).astype(np.uint8)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
