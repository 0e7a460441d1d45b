"""Negative controls: features that should tell nothing, extracted like those that should.

A signature that predicts as well from a region whose voxels were shuffled predicts from the region's size
and histogram; one that predicts as well from the same shape elsewhere in the breast, from neither
(Welch et al., Radiother Oncol 2019;130:2-9).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from annulus.features.extraction import Values, extract_image
from annulus.features.regions import CannotExtract, RegionMask
from annulus.features.settings import Settings
from annulus.imaging.reading import Image
from annulus.imaging.seeds import seed_of

logger = logging.getLogger(__name__)

# What stands for a control among the kinds of regions: it has no shape of its own.
CONTROL = "control"

# Places tried before a region is said to fit nowhere else.
TRIES = 5000


def control_name(roi: str, control: str) -> str:
    """Return the short name of a region's control."""
    return f"{roi}{control}"


def extract_with_controls(
    image: Image,
    regions: Sequence[RegionMask],
    tissue: sitk.Image | None,
    settings: Settings,
    phases: Iterable[Image],
    controls: Mapping[str, Sequence[str]],
    where: Mapping[str, str],
    seed: int,
) -> tuple[Values, list[dict[str, str]]]:
    """Extract an image's regions, then their controls; see ``extract_image``.

    ``controls`` names regions by ``shuffled`` and ``elsewhere``; ``where`` is the image's key, from which
    and ``seed`` its controls are drawn, whatever else is extracted.
    """
    values, failures = extract_image(image, regions, tissue, settings, phases)
    for control, rois in controls.items():
        for region in regions:
            if region.name not in rois:
                continue
            name = control_name(region.name, control)
            drawn = np.random.default_rng(seed_of(seed, where["patient_id"], where["image_id"], name))
            try:
                source, own = CONTROLS[control](image, region, regions, tissue, drawn)
                found = extract_image(
                    source, [replace(own, name=name, kind=CONTROL)], tissue, settings, phases, regions
                )
            except CannotExtract as error:
                failures.append({"roi": name, "feature": "", "reason": str(error)})
                continue
            values |= found[0]
            failures += found[1]
    return values, failures


def _shuffled(
    image: Image,
    region: RegionMask,
    regions: Sequence[RegionMask],
    tissue: sitk.Image | None,
    drawn: np.random.Generator,
) -> tuple[Image, RegionMask]:
    """Return the image with the region's grey values in random order."""
    values = sitk.GetArrayFromImage(image.pixels)
    values[region.window.slices][region.part] = drawn.permutation(values[region.window.slices][region.part])
    pixels = sitk.GetImageFromArray(values)
    pixels.CopyInformation(image.pixels)
    return replace(image, pixels=pixels), region


def _elsewhere(
    image: Image,
    region: RegionMask,
    regions: Sequence[RegionMask],
    tissue: sitk.Image | None,
    drawn: np.random.Generator,
) -> tuple[Image, RegionMask]:
    """Return the region moved to a random place in the tissue that no region touches."""
    shape = image.pixels.GetSize()[::-1]
    free = np.ones(shape, dtype=bool) if tissue is None else sitk.GetArrayFromImage(tissue) > 0
    for other in regions:
        free[other.window.slices] &= ~other.part
    room = [total - own for total, own in zip(shape, region.part.shape, strict=True)]
    for _ in range(TRIES):
        corner = tuple(int(drawn.integers(0, most + 1)) for most in room)
        moved = replace(region, corner=corner)
        if free[moved.window.slices][region.part].all():
            return image, moved
    raise CannotExtract("the region's shape was found no other place in the tissue")


CONTROLS = {"shuffled": _shuffled, "elsewhere": _elsewhere}
