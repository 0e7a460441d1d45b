"""Read images and masks through SimpleITK, as 2-D or 3-D scalar images with a known or unknown pixel size."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

logger = logging.getLogger(__name__)

# Formats whose header carries no pixel size that can be trusted.
WITHOUT_SPACING = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}

# Spacing along x, y and z as the image manifest gives it, and as cohort/images.csv keeps it.
GIVEN_SPACING = ("pixel_spacing_x_mm", "pixel_spacing_y_mm", "slice_thickness_mm")
KEPT_SPACING = ("spacing_x_mm", "spacing_y_mm", "spacing_z_mm")

# ITU-R BT.601 luminance, as the ultrasound machine itself would print in grey.
LUMINANCE = (0.299, 0.587, 0.114)


class UnreadableError(Exception):
    """An image or mask that cannot be used; the message says why."""


@dataclass(frozen=True)
class Image:
    """A scalar image, 2-D where it has a single slice.

    ``spacing_source`` is ``header``, ``config`` or ``unknown``; with ``unknown`` the spacing is
    1 pixel and no length in mm may be derived from it.
    """

    pixels: sitk.Image
    spacing_source: str
    sha256: str

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size along x, y (and z), in mm, or in pixels where it is unknown."""
        return tuple(self.pixels.GetSpacing())

    @cached_property
    def array(self) -> np.ndarray:
        """Grey values indexed (row, column) or (slice, row, column).

        A copy: a view would dangle as soon as the image goes out of scope.
        """
        values: np.ndarray = sitk.GetArrayFromImage(self.pixels)
        return values


def read_image(path: str | Path, given: Mapping[str, str] | None = None) -> Image:
    """Read one image; colour becomes luminance, and the log says so.

    ``given`` is the image's manifest row, whose pixel spacing stands in where the file has none.
    Raises UnreadableError, saying why, when the file cannot be read.
    """
    pixels, sha256 = _read(Path(path))
    if pixels.GetNumberOfComponentsPerPixel() > 1:
        pixels = _luminance(pixels, Path(path))
    pixels = _flat(pixels)
    if Path(path).suffix.lower() not in WITHOUT_SPACING:
        return Image(pixels, "header", sha256)
    spacing = _given_spacing(given or {}, pixels.GetDimension())
    pixels.SetSpacing(spacing or (1.0,) * pixels.GetDimension())
    return Image(pixels, "config" if spacing else "unknown", sha256)


def read_again(facts: Mapping[str, str]) -> Image:
    """Read an image as quality control read it; ``facts`` is its row of ``cohort/images.csv``."""
    given = dict(zip(GIVEN_SPACING, (facts.get(name, "") for name in KEPT_SPACING), strict=True))
    return read_image(facts["image_path"], given)


def read_mask(path: str | Path) -> Image:
    """Read one mask with its values as they are; of a colour mask, the largest channel value.

    Raises UnreadableError, saying why, when the file cannot be read.
    """
    pixels, sha256 = _read(Path(path))
    channels = pixels.GetNumberOfComponentsPerPixel()
    if channels > 1:
        values = sitk.GetArrayFromImage(pixels)
        # A fourth channel is opacity, not annotation.
        flat = sitk.GetImageFromArray(values[..., : min(channels, 3)].max(axis=-1))
        flat.CopyInformation(pixels)
        pixels = flat
    known = Path(path).suffix.lower() not in WITHOUT_SPACING
    return Image(_flat(pixels), "header" if known else "unknown", sha256)


def same_grid(mask: Image, image: Image, tolerance: float = 1e-3) -> bool:
    """Say whether a mask lies on the image's grid, to ``tolerance`` pixels.

    A mask whose file has no geometry is held to its size alone.
    """
    if mask.pixels.GetSize() != image.pixels.GetSize():
        return False
    if mask.spacing_source == "unknown" or image.spacing_source != "header":
        return True
    spacing = np.asarray(image.spacing)
    shift = np.abs(np.subtract(mask.pixels.GetOrigin(), image.pixels.GetOrigin()))
    turn = np.abs(np.subtract(mask.pixels.GetDirection(), image.pixels.GetDirection()))
    return bool(
        np.allclose(mask.spacing, spacing, rtol=tolerance, atol=0)
        and np.all(shift <= tolerance * spacing)
        and np.all(turn <= tolerance)
    )


def on_grid_of(array: np.ndarray, image: Image) -> sitk.Image:
    """Make a uint8 mask image of ``array`` with the geometry of ``image``."""
    mask = sitk.GetImageFromArray(array.astype(np.uint8))
    mask.CopyInformation(image.pixels)
    return mask


def write_mask(path: str | Path, mask: sitk.Image) -> None:
    """Write a mask whole, compressed; the same mask gives the same bytes."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    sitk.WriteImage(mask, str(partial), useCompression=True)
    partial.replace(target)


def _read(path: Path) -> tuple[sitk.Image, str]:
    if not path.is_file():
        raise UnreadableError(f"there is no file {path}")
    try:
        return sitk.ReadImage(str(path)), hashlib.sha256(path.read_bytes()).hexdigest()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UnreadableError(f"{path} cannot be read as an image ({reason})") from None


def _luminance(pixels: sitk.Image, path: Path) -> sitk.Image:
    channels = pixels.GetNumberOfComponentsPerPixel()
    if channels < 3:
        logger.info("%s: the first of %d channels is used", path, channels)
        return sitk.VectorIndexSelectionCast(pixels, 0, sitk.sitkFloat32)
    logger.info("%s: colour became luminance (0.299 R + 0.587 G + 0.114 B)", path)
    parts = [
        weight * sitk.VectorIndexSelectionCast(pixels, channel, sitk.sitkFloat32)
        for channel, weight in enumerate(LUMINANCE)
    ]
    return parts[0] + parts[1] + parts[2]


def _flat(pixels: sitk.Image) -> sitk.Image:
    if pixels.GetDimension() == 3 and pixels.GetSize()[2] == 1:
        return pixels[:, :, 0]
    if pixels.GetDimension() not in (2, 3):
        raise UnreadableError(
            f"an image of {pixels.GetDimension()} dimensions was found; give each phase a file"
        )
    return pixels


def _given_spacing(given: Mapping[str, str], dimension: int) -> tuple[float, ...] | None:
    values = [given.get(name, "") for name in GIVEN_SPACING[:dimension]]
    return tuple(map(float, values)) if all(values) else None
