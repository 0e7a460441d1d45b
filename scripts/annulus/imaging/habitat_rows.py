"""Habitats of a chunk of patients: their voxels, and the regions that a lesion is divided into."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk

from annulus.cohort.chunks import image_stem
from annulus.errors import StudyError
from annulus.imaging.habitats import (
    Habitats,
    Voxels,
    assign,
    habitat_features,
    label_image,
    label_map_like,
    sample_voxels,
    voxel_vectors,
)
from annulus.imaging.kinetics import kinetic_map
from annulus.imaging.reading import Image, read_again
from annulus.imaging.regions import Outlines, saved_mask
from annulus.imaging.registration import Registration, register
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

PHASES = ("pre", "early", "late")
PATIENT_KEY = ["patient_id", "timepoint"]
REGISTRATION_KEYS = ["patient_id", "timepoint", "image_id", "image", "fixed_image_id"]


class NoHabitatsError(Exception):
    """A patient whose lesion cannot be divided; the message says why."""


@dataclass(frozen=True)
class HabitatPlan:
    """What habitats are made of; see ``regions.habitats`` in the study's schema."""

    image: str
    channels: Mapping[str, Mapping[str, str]]
    spacing_mm: tuple[float, ...] | None
    registration: Literal["none", "rigid", "affine"]
    voxels_per_patient: int

    @classmethod
    def of(cls, habitats: Mapping[str, Any]) -> "HabitatPlan":
        """Read the ``regions.habitats`` part of a study."""
        spacing = habitats.get("spacing_mm")
        return cls(
            image=habitats["image"],
            channels=habitats["channels"],
            spacing_mm=tuple(spacing) if spacing else None,
            registration=habitats["registration"],
            voxels_per_patient=habitats["voxels_per_patient"],
        )

    @property
    def sources(self) -> list[str]:
        """Name the images that channels are made of, each once."""
        names = [channel[key] for channel in self.channels.values() for key in channel if key != "map"]
        return list(dict.fromkeys(names))


@dataclass
class Divided:
    """One patient's lesion on the common grid, with the images' transforms and their quality."""

    voxels: Voxels
    vectors: np.ndarray
    outlines: Outlines
    facts: Mapping[str, Mapping[str, str]]
    registrations: dict[str, Registration] = field(default_factory=dict)


def sample_rows(
    images: pd.DataFrame, masks: pd.DataFrame, plan: HabitatPlan, mask_folder: Path, seed: int
) -> tuple[dict[str, np.ndarray], list[dict[str, object]]]:
    """Draw voxels of every patient of a chunk.

    ``images`` are the chunk's rows of ``cohort/images.csv``, ``masks`` all of ``qc/masks.csv``. Returns
    arrays (voxels, channels) by patient, and the rows of ``rois/registration.csv``. A patient whose
    lesion cannot be divided has no array; why stands in ``rois/rois.csv`` later.
    """
    found: dict[str, list[np.ndarray]] = {}
    rows: list[dict[str, object]] = []
    for key, divided in _divided(images, masks, plan, mask_folder, seed):
        if isinstance(divided, Divided):
            found.setdefault(key[0], []).append(divided.vectors)
            rows += _registration_rows(key, divided, plan)
    samples = {
        # However many timepoints a patient has, the voxels lent are as many as anyone's.
        patient: sample_voxels(np.concatenate(vectors), plan.voxels_per_patient, seed, patient)
        for patient, vectors in found.items()
    }
    return samples, rows


def divide_rows(
    images: pd.DataFrame,
    masks: pd.DataFrame,
    plan: HabitatPlan,
    habitats: Habitats,
    minimum_voxels: int,
    extracted: list[str],
    mask_folder: Path,
    folder: Path,
    seed: int,
) -> list[dict[str, object]]:
    """Divide the lesions of a chunk by frozen habitats, and write them as regions of every image.

    ``extracted`` names the images that features come from. Returns rows of ``rois/rois.csv``, one per
    image and habitat, with the habitat's share of the lesion in ``fraction``; those of a patient whose
    lesion cannot be divided are empty and say why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for key, divided in _divided(images, masks, plan, mask_folder, seed):
        if isinstance(divided, Divided):
            rows += _regions(key, divided, plan, habitats, minimum_voxels, extracted, folder)
            continue
        own = images[(images["patient_id"] == key[0]) & (images["timepoint"] == key[1])]
        for name, image_id in _first_ids(own).items():
            if name in extracted:
                rows += [
                    _row(key, image_id, name, number, "empty", str(divided))
                    for number in range(1, habitats.k + 1)
                ]
    return rows


def _divided(
    images: pd.DataFrame, masks: pd.DataFrame, plan: HabitatPlan, mask_folder: Path, seed: int
) -> Iterator[tuple[tuple[str, str], Divided | NoHabitatsError]]:
    usable = masks[(masks["decision"] != "excluded") & masks["mask_file"].notna()]
    good = masks[masks["decision"] != "excluded"]
    for key, own in images.groupby(PATIENT_KEY):
        logger.info("patient %s", key[0])
        try:
            yield key, _divide(own, _of(usable, key), _of(good, key), plan, mask_folder, seed)
        except (NoHabitatsError, StudyError, UnreadableError) as reason:
            logger.warning("patient %s: %s", key[0], reason)
            yield key, NoHabitatsError(str(reason))


def _divide(
    own: pd.DataFrame, usable: pd.DataFrame, good: pd.DataFrame, plan: HabitatPlan, folder: Path, seed: int
) -> Divided:
    ids = _first_ids(own[own["image_id"].isin(good["image_id"])])
    missing = [name for name in (plan.image, *plan.sources) if name not in ids]
    if missing:
        raise NoHabitatsError(f"no usable image {', '.join(dict.fromkeys(missing))}")
    outlines = Outlines.read(usable[usable["image_id"] == ids[plan.image]], folder)
    if outlines is None or "tumour" not in outlines.masks:
        raise NoHabitatsError(f"no usable mask of the tumour in {plan.image}")
    facts = {
        name: own[own["image_id"] == image_id].iloc[0].fillna("").astype(str).to_dict()
        for name, image_id in ids.items()
    }
    read = {name: read_again(facts[name]) for name in dict.fromkeys((plan.image, *plan.sources))}
    _refuse_unknown_pixel_size(read, plan)
    pixels = {name: image.pixels for name, image in read.items()}
    lesion = sitk.GetImageFromArray(outlines.masks["tumour"].astype(np.uint8))
    lesion.CopyInformation(outlines.image.pixels)
    registrations = {
        name: register(pixels[name], pixels[plan.image], plan.registration, lesion, seed)
        for name in plan.sources
        if plan.registration != "none" and name != plan.image
    }
    voxels = voxel_vectors(
        {name: pixels[name] for name in plan.sources},
        lesion,
        plan.spacing_mm,
        {name: found.transform for name, found in registrations.items()},
    )
    if not len(voxels.vectors):
        raise NoHabitatsError("the lesion has no voxel on the common grid")
    return Divided(voxels, _channels(voxels, plan, facts), outlines, facts, registrations)


def _refuse_unknown_pixel_size(images: Mapping[str, Image], plan: HabitatPlan) -> None:
    """Refuse images without a pixel size where anything is measured in mm, or they differ in their grid."""
    unknown = [name for name, image in images.items() if image.spacing_source == "unknown"]
    one_grid = all(image.pixels.IsSameImageGeometryAs(images[plan.image].pixels) for image in images.values())
    if not unknown or (one_grid and plan.spacing_mm is None and plan.registration == "none"):
        return
    raise NoHabitatsError(
        f"the pixel size of {', '.join(unknown)} is unknown, so that images cannot be brought onto a grid in "
        "mm, registered, or compared where their grids differ: give it in the image manifest"
    )


def _channels(voxels: Voxels, plan: HabitatPlan, facts: Mapping[str, Mapping[str, str]]) -> np.ndarray:
    columns = dict(zip(plan.sources, voxels.vectors.T, strict=True))
    found = []
    for channel in plan.channels.values():
        if channel["map"] == "value":
            found.append(columns[channel["image"]].astype(np.float64))
            continue
        phases = {phase: columns[channel[phase]] for phase in PHASES if phase in channel}
        times = {phase: facts[channel[phase]].get("acq_time_s", "") for phase in phases}
        known = {phase: float(time) for phase, time in times.items() if time}
        found.append(kinetic_map(channel["map"], phases, known))
    return np.stack(found, axis=1).astype(np.float32)


def _regions(
    key: tuple[str, str],
    divided: Divided,
    plan: HabitatPlan,
    habitats: Habitats,
    minimum_voxels: int,
    extracted: list[str],
    folder: Path,
) -> Iterator[dict[str, object]]:
    labels = assign(habitats, divided.vectors)
    shares = habitat_features(labels, habitats.k)
    label_map = label_image(labels, divided.voxels)
    for name, facts in divided.facts.items():
        if name not in extracted:
            continue
        try:
            image, values = _on_image(divided, label_map, name, plan)
        except (NoHabitatsError, StudyError, UnreadableError) as why:
            logger.warning("patient %s: %s: %s", key[0], name, why)
            for number in range(1, habitats.k + 1):
                yield _row(key, facts["image_id"], name, number, "empty", str(why))
            continue
        for number in range(1, habitats.k + 1):
            mask = values == number
            count = int(mask.sum())
            status = "empty" if not count else "too_small" if count < minimum_voxels else "ok"
            reason = "" if status == "ok" else f"{count} voxels, {minimum_voxels} needed"
            row = _row(key, facts["image_id"], name, number, status, reason)
            file = f"{image_stem(facts, f'h{number}')}.nrrd"
            yield row | {
                "voxels": count,
                "volume_mm3": _volume(count, image),
                "fraction": shares[f"h{number}_fraction"],
                "present": shares[f"h{number}_present"],
                "lesion": divided.outlines.lesion,
                **saved_mask(mask, (0,) * mask.ndim, image, folder, file),
            }


def _on_image(
    divided: Divided, label_map: sitk.Image, name: str, plan: HabitatPlan
) -> tuple[Image, np.ndarray]:
    """Read an image, and bring the habitats onto its grid."""
    image, found = read_again(divided.facts[name]), divided.registrations.get(name)
    sources = (image.spacing_source, divided.facts[plan.image]["spacing_source"])
    if "unknown" in sources and not image.pixels.IsSameImageGeometryAs(divided.outlines.image.pixels):
        raise NoHabitatsError(
            f"the pixel size of {name} or {plan.image} is unknown, so that habitats cannot be carried from "
            "one to the other: give it in the image manifest"
        )
    on_image = label_map_like(label_map, image.pixels, found.transform if found else None)
    return image, sitk.GetArrayFromImage(on_image)


def _row(
    key: tuple[str, str], image_id: str, image: str, number: int, status: str, reason: str
) -> dict[str, object]:
    return {
        "patient_id": key[0],
        "timepoint": key[1],
        "image_id": image_id,
        "image": image,
        "roi": f"h{number}",
        "kind": "habitat",
        "voxels": 0,
        "status": status,
        "reason": reason,
    }


def _registration_rows(
    key: tuple[str, str], divided: Divided, plan: HabitatPlan
) -> Iterator[dict[str, object]]:
    for name, found in divided.registrations.items():
        yield {
            "patient_id": key[0],
            "timepoint": key[1],
            "image_id": divided.facts[name]["image_id"],
            "image": name,
            "fixed_image_id": divided.facts[plan.image]["image_id"],
            **found.to_row(),
        }


def _volume(voxels: int, image: Image) -> float | None:
    known = image.spacing_source != "unknown"
    return voxels * float(np.prod(image.spacing)) if known else None


def _first_ids(rows: pd.DataFrame) -> dict[str, str]:
    """Return the first image by id of every image name."""
    return {str(name): str(ids.min()) for name, ids in rows.groupby("image")["image_id"]}


def _of(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return rows[(rows["patient_id"] == key[0]) & (rows["timepoint"] == key[1])]
