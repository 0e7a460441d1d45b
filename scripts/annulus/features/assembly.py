"""Chunks of features put together: one row per patient and timepoint, and the catalogue of columns."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from annulus.errors import StudyError
from annulus.features.columns import CATALOGUE_COLUMNS, KEYS
from annulus.features.ibsi_codes import ibsi_code
from annulus.features.settings import Settings


def dimensions_of(images: pd.DataFrame) -> dict[str, int]:
    """Return by image name whether its images (``cohort/images.csv``) are 2-D or 3-D.

    Raises StudyError when one name has both.
    """
    found = images.dropna(subset=["dimension"]).groupby("image")["dimension"].unique()
    mixed = [str(name) for name, dimensions in found.items() if len(dimensions) > 1]
    if mixed:
        raise StudyError(
            f"images {', '.join(mixed)}: some are 2-D and some 3-D, whose features do not compare. "
            "Tell them apart by series in the manifest."
        )
    return {str(name): int(dimensions[0]) for name, dimensions in found.items()}


@dataclass(frozen=True)
class HabitatShares:
    """How much of the lesion each habitat takes: ``k`` habitats, divided in ``image``."""

    image: str
    k: int

    def columns(self) -> Iterator[tuple[str, str, str]]:
        """Yield column, region and feature of every share."""
        for number in range(1, self.k + 1):
            for feature in ("fraction", "present"):
                roi = f"h{number}"
                yield f"{self.image}_{roi}_original_habitat_{feature}", roi, feature

    def of(self, rois: pd.DataFrame) -> pd.DataFrame:
        """Return the shares by patient and timepoint, from ``rois/rois.csv``."""
        rows = rois[(rois["kind"] == "habitat") & (rois["image"] == self.image)].set_index([*KEYS, "roi"])
        columns = {
            column: rows[feature].xs(roi, level="roi")
            if roi in rows.index.levels[2]
            else pd.Series(dtype=float)
            for column, roi, feature in self.columns()
        }
        return pd.DataFrame(columns)


def with_habitats(kinds: Mapping[str, Mapping[str, str]], k: int) -> dict[str, dict[str, str]]:
    """Add ``k`` habitats to the regions of every image of tumours."""
    habitats = {f"h{number}": "habitat" for number in range(1, k + 1)}
    return {
        image: dict(regions) | (habitats if "node" not in regions.values() else {})
        for image, regions in kinds.items()
    }


def assemble(
    chunks: Iterable[pd.DataFrame],
    usable: pd.DataFrame,
    several: Mapping[str, str],
    kinds: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Settings],
    dimensions: Mapping[str, int],
    shares: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Turn rows per image into rows per patient, with columns ``<image>_<roi>_...``.

    ``usable`` holds the keys of images that quality control, having seen the whole study, lets through.
    ``several`` says per image name whether several images of one patient are averaged (``mean``) or
    refused (``refuse``, StudyError). ``kinds`` is by image and region, ``settings`` and ``dimensions``
    by image: they alone decide the columns, whatever could be computed. ``shares`` are those of habitats.
    A patient without one of the images has no row: filling in a whole image would be inventing it.
    """
    rows = pd.concat(list(chunks), ignore_index=True).merge(usable, on=[*KEYS, "image_id", "image"])
    parts = []
    for name, policy in several.items():
        columns = [column for column, _, _ in _columns(name, kinds, settings, dimensions)]
        parts.append(_of_image(rows[rows["image"] == name], name, columns, policy))
    table = pd.concat(parts, axis=1, join="inner").sort_index()
    return (table if shares is None else table.join(shares)).reset_index()


def _columns(
    image: str,
    kinds: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Settings],
    dimensions: Mapping[str, int],
) -> Iterator[tuple[str, str, tuple[str, str, str]]]:
    """Yield column (without the image), region, and filter, class and feature."""
    for roi, kind in kinds[image].items():
        for parts in settings[image].columns(dimensions[image], kind):
            yield "_".join((roi, *parts)), roi, parts


def _of_image(rows: pd.DataFrame, name: str, columns: list[str], several: str) -> pd.DataFrame:
    unexpected = set(rows.columns) - {*columns, *KEYS, "image", "image_id"}
    foreign = [c for c in unexpected if rows[c].notna().any()]
    if foreign:
        raise AssertionError(f"features that the settings do not foresee: {sorted(foreign)[:5]}")
    doubled = rows[rows.duplicated(KEYS, keep=False)]
    if several == "refuse" and len(doubled):
        first = doubled.iloc[0]
        raise StudyError(
            f"Patient {first['patient_id']} has several images {name} at {first['timepoint']} "
            f"(first {first['image_id']}). Keep one in the manifest, or set images.{name}.several "
            "to mean."
        )
    values = rows.set_index(KEYS).reindex(columns=columns).astype(float)
    return values.groupby(level=KEYS).mean().add_prefix(f"{name}_")


def catalogue(
    features: pd.DataFrame,
    kinds: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Settings],
    dimensions: Mapping[str, int],
    shares: HabitatShares | None = None,
) -> pd.DataFrame:
    """Describe every feature column, and say which are constant or missing for everyone.

    ``kinds`` is by image and region, ``settings`` and ``dimensions`` (2 or 3) by image. Raises AssertionError
    when ``features`` does not have exactly the columns that the settings foresee.
    """
    rows = [
        {
            "column": f"{image}_{column}",
            "image": image,
            "roi": roi,
            "filter": parts[0],
            "class": parts[1],
            "feature": parts[2],
            "ibsi_code": ibsi_code(parts[1], parts[2]),
            "settings_sha256": settings[image].sha256,
            "mode": settings[image].mode,
        }
        for image in settings
        for column, roi, parts in _columns(image, kinds, settings, dimensions)
    ]
    rows += [
        {
            "column": column,
            "image": shares.image,
            "roi": roi,
            "filter": "original",
            "class": "habitat",
            "feature": feature,
            "ibsi_code": "",
            "settings_sha256": settings[shares.image].sha256,
            "mode": "",
        }
        for shares in ([shares] if shares else [])
        for column, roi, feature in shares.columns()
    ]
    table = pd.DataFrame(rows)
    columns = [c for c in features.columns if c not in KEYS]
    if columns != list(table["column"]):
        raise AssertionError("the feature columns are not those that the settings foresee")
    values = features[columns]
    table["missing"] = values.isna().sum().to_numpy()
    table["constant"] = (values.nunique(dropna=True) <= 1).astype(int).to_numpy()
    return table[CATALOGUE_COLUMNS]
