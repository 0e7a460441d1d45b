"""Features of a batch of patients: one row per image, whatever goes wrong with one of them."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.features.controls import CONTROL, control_name, extract_with_controls
from annulus.features.regions import CannotExtract, RegionMask
from annulus.features.settings import Settings
from annulus.features.store import Entry, Store, key_of
from annulus.imaging.reading import Image, read_again, read_part, read_written
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

# What quality control found out about a file that decides how it is read.
READING = ["image_sha256", "spacing_source", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "series_uid"]

_KEY = ("patient_id", "timepoint", "image_id")


@dataclass(frozen=True)
class Extraction:
    """How a study's features are extracted.

    ``settings`` and ``scale_with`` (other images on the same grey scale) are by the study's image name;
    ``controls`` names regions by kind of control; ``store`` may be None.
    """

    settings: Mapping[str, Settings]
    scale_with: Mapping[str, Sequence[str]]
    controls: Mapping[str, Sequence[str]]
    store: Store | None
    seed: int

    @classmethod
    def of(cls, plan: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]) -> "Extraction":
        """Read a study's ``extraction`` and its images' settings files."""
        return cls(
            {image: Settings.of(content, plan["mode"]) for image, content in settings.items()},
            plan["scale_with"],
            plan["controls"],
            Store(Path(plan["store"])) if plan["store"] else None,
            plan["seed"],
        )


def with_controls(
    kinds: Mapping[str, Mapping[str, str]], controls: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """Add controls to the regions of every image."""
    return {
        image: dict(regions)
        | {
            control_name(roi, control): CONTROL
            for control, rois in controls.items()
            for roi in rois
            if roi in regions
        }
        for image, regions in kinds.items()
    }


def extract_rows(
    images: pd.DataFrame,
    rois: pd.DataFrame,
    masks: pd.DataFrame,
    extraction: Extraction,
    roi_folders: Sequence[Path],
    mask_folder: Path,
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Extract a chunk: one row per image, one column per region and feature.

    ``images``, ``rois`` and ``masks`` are the chunk's rows of the tables of those names; ``roi_folders``
    hold the region masks. Every row has the same columns ``<roi>_<filter>_<class>_<feature>``; what could
    not be computed is missing, and an image with nothing at all has no row. Returns the rows, keyed by
    patient, timepoint, image and image id, and the failures.
    """
    rows: list[dict[str, object]] = []
    failures: list[dict[str, str]] = []
    for subject in _subjects(images, rois, masks, roi_folders, mask_folder):
        logger.info("patient %s: image %s", subject.where["patient_id"], subject.where["image_id"])
        failures += subject.unusable()
        entry = _entry(subject, extraction)
        failures += [{**subject.where, **row} for row in entry.failures]
        values = {column: np.nan if value is None else value for column, value in entry.values.items()}
        if not np.isfinite(list(values.values())).any():
            continue
        settings = extraction.settings[subject.where["image"]]
        dimension = int(float(subject.fact["dimension"]))
        kinds = with_controls({"": subject.kinds()}, extraction.controls)[""]
        columns = {
            "_".join((roi, *parts)): np.nan
            for roi, kind in kinds.items()
            for parts in settings.columns(dimension, kind)
        }
        rows.append({**subject.where, **columns, **values})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*_KEY, "image"]), failures


def _entry(subject: "_Subject", extraction: Extraction) -> Entry:
    store = extraction.store if subject.known_by_content(extraction) else None
    if store is None:
        return _extracted(subject, extraction)
    key = key_of(subject.content(extraction))
    found = store.get(key)
    if found is not None:
        logger.info("its features are in the store")
        return found
    entry = _extracted(subject, extraction)
    if entry.values:
        store.put(key, entry)
    return entry


def _extracted(subject: "_Subject", extraction: Extraction) -> Entry:
    regions = subject.regions()
    try:
        values, failures = extract_with_controls(
            read_again(subject.fact), regions, subject.tissue(), extraction.settings[subject.where["image"]],
            subject.phases(extraction), extraction.controls, subject.where, extraction.seed,
        )  # fmt: skip
    except (CannotExtract, UnreadableError) as error:
        return Entry({}, [{"roi": region.name, "feature": "", "reason": str(error)} for region in regions])
    return Entry({c: float(v) if np.isfinite(v) else None for c, v in values.items()}, failures)


@dataclass(frozen=True)
class _Subject:
    """One image with its regions and the files that they come from."""

    where: Mapping[str, str]
    fact: Mapping[str, str]
    rois: pd.DataFrame
    files: Mapping[str, Path]
    breast: Path | None
    siblings: Mapping[str, Mapping[str, str]]

    @property
    def usable(self) -> pd.DataFrame:
        return self.rois[self.rois["status"] == "ok"]

    def kinds(self) -> dict[str, str]:
        return dict(zip(self.rois["roi"], self.rois["kind"], strict=True))

    def unusable(self) -> list[dict[str, str]]:
        return [
            {**self.where, "roi": region.roi, "reason": f"{region.status}: {region.reason}"}
            for region in self.rois[self.rois["status"] != "ok"].itertuples()
        ]

    def regions(self) -> list[RegionMask]:
        return [
            RegionMask.of(region.roi, region.kind, *read_part(self.files[region.roi]))
            for region in self.usable.itertuples()
        ]

    def tissue(self) -> sitk.Image | None:
        return read_written(self.breast).pixels if self.breast else None

    def _phase_facts(self, extraction: Extraction) -> list[Mapping[str, str]]:
        wanted = extraction.scale_with.get(self.where["image"], ())
        return [self.siblings[name] for name in wanted if name in self.siblings]

    def phases(self, extraction: Extraction) -> "_Phases":
        wanted = extraction.scale_with.get(self.where["image"], ())
        absent = [name for name in wanted if name not in self.siblings]
        if absent:
            raise CannotExtract(f"the image {', '.join(absent)}, which shares its grey scale, is missing")
        return _Phases(self._phase_facts(extraction))

    def known_by_content(self, extraction: Extraction) -> bool:
        """Say whether everything that was read has a hash, without which two images might pass for one."""
        images = [fact.get("image_sha256", "") for fact in [self.fact, *self._phase_facts(extraction)]]
        return all([*images, *self.usable["mask_sha256"].fillna("")])

    def content(self, extraction: Extraction) -> list[object]:
        """Everything that this image's features are computed from."""
        usable = self.usable
        facts = [self.fact, *self._phase_facts(extraction)]
        return [
            [[fact.get(name, "") for name in READING] for fact in facts],
            usable[["roi", "kind", "mask_sha256"]].astype(str).to_numpy().tolist(),
            hashlib.sha256(self.breast.read_bytes()).hexdigest() if self.breast else "",
            extraction.settings[self.where["image"]].sha256,
            {name: list(rois) for name, rois in extraction.controls.items()},
            # Controls are drawn from these.
            [extraction.seed, self.where["patient_id"], self.where["image_id"]]
            if extraction.controls
            else [],
        ]


@dataclass(frozen=True)
class _Phases:
    """Images that share a grey scale, read one at a time and as often as they are asked for."""

    facts: Sequence[Mapping[str, str]]

    def __iter__(self) -> Iterator[Image]:
        for fact in self.facts:
            yield read_again(fact)


def _subjects(
    images: pd.DataFrame,
    rois: pd.DataFrame,
    masks: pd.DataFrame,
    roi_folders: Sequence[Path],
    mask_folder: Path,
) -> Iterator[_Subject]:
    facts = images.drop_duplicates([*_KEY]).set_index([*_KEY]).astype(object).fillna("").astype(str)
    breasts = masks[(masks["mask_role"] == "breast") & (masks["decision"] != "excluded")]
    breasts = breasts[breasts["mask_file"].notna()].drop_duplicates([*_KEY]).set_index([*_KEY])["mask_file"]
    for key, regions in rois.groupby([*_KEY]):
        fact = facts.loc[[key]].iloc[0].to_dict()
        where = dict(zip(_KEY, map(str, key), strict=True))
        usable = regions[regions["status"] == "ok"]
        siblings = facts.loc[[key[0]]].xs(key[1], level="timepoint", drop_level=False)
        yield _Subject(
            where | {"image": fact["image"]},
            fact | where,
            regions,
            {row.roi: _found(row.mask_file, roi_folders) for row in usable.itertuples()},
            mask_folder / breasts.loc[key] if key in breasts.index else None,
            {own["image"]: own for own in siblings.reset_index().astype(str).to_dict("records")},
        )


def _found(file: str, folders: Sequence[Path]) -> Path:
    return next(folder / file for folder in folders if (folder / file).is_file())
