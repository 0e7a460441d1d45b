"""Read images and masks of every format, as 2-D or 3-D scalar images with a known or unknown pixel size."""

import gzip
import hashlib
import logging
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image as Picture

from annulus.cohort.files import listed, parts_of, size_on_disk
from annulus.imaging.dicom import is_dicom, read_dicom
from annulus.imaging.segmentation import is_segmentation, read_polygons, read_segmentation
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

# Formats whose header carries no pixel size that can be trusted.
WITHOUT_SPACING = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}

# Lossy: the values of a mask smear, and stand above or below one half of the largest.
LOSSY = {".jpg", ".jpeg"}

# Spacing along x, y and z as the image manifest gives it, and as cohort/images.csv keeps it.
GIVEN_SPACING = ("pixel_spacing_x_mm", "pixel_spacing_y_mm", "slice_thickness_mm")
KEPT_SPACING = ("spacing_x_mm", "spacing_y_mm", "spacing_z_mm")

# ITU-R BT.601 luminance, as the ultrasound machine itself would print in grey.
LUMINANCE = (0.299, 0.587, 0.114)

# Larger images are looked at with gaps when only their coarse layout matters.
COARSE_VOXELS = 2_000_000

# From a microscope's pixel to a slice distance that no examination has.
POSSIBLE_SPACING_MM = (1e-4, 1e3)

# Deflate unfolds no further than 1032 to 1: a header that claims more pixels is damaged. A picture may
# hold eight pixels of black and white in a byte.
MOST_BYTES_PER_BYTE = 1100
PIXELS_PER_BYTE = 8


@dataclass(frozen=True)
class Image:
    """A scalar image, 2-D where it has a single slice.

    ``spacing_source`` is ``header``, ``config`` or ``unknown``; with ``unknown`` the spacing is
    1 pixel and no length in mm may be derived from it. ``colour`` is the image before colour became
    luminance; ``identifiers`` names header elements that may say who the patient is.
    """

    pixels: sitk.Image
    spacing_source: str
    sha256: str
    colour: sitk.Image | None = field(default=None, repr=False)
    identifiers: tuple[str, ...] = ()
    path: str = ""

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

    @property
    def content_sha256(self) -> str:
        """Hash of the grey values (large volumes thinned), the same in whatever format they are saved."""
        digest = hashlib.sha256(repr(self.array.shape).encode())
        digest.update(np.ascontiguousarray(self.array[thinning(self.array)], dtype=np.float64).data)
        return digest.hexdigest()


def read_image(path: str | Path, given: Mapping[str, str] | None = None) -> Image:
    """Read one image: a file of any format, or a folder with one DICOM series.

    Colour becomes luminance, and the log says so. ``given`` is the image's manifest row: its pixel
    spacing stands in where the file has none, its ``series_uid`` chooses one of several DICOM series.
    Raises UnreadableError, saying why, when there is no image to be had.
    """
    row, place = given or {}, Path(path)
    _refuse_missing(path)
    identifiers: tuple[str, ...] = ()
    if is_dicom(place):
        found = read_dicom(place, row.get("series_uid", ""), row.get("patient_id", ""))
        pixels, known, sha256 = found.pixels, found.spacing_known, _hash(found.files)
        identifiers = found.identifiers
        _refuse_impossible_geometry(pixels, place)
    else:
        pixels, sha256 = _read(place)
        known = _spacing_known(place, pixels)
        identifiers = _named_elements(pixels, place)
    colour = pixels if pixels.GetNumberOfComponentsPerPixel() > 1 else None
    if colour is not None:
        pixels = _luminance(pixels, place)
    pixels, colour = _flat(pixels, place), None if colour is None else _flat(colour, place)
    source = "header"
    if not known:
        spacing = _given_spacing(row, pixels.GetDimension())
        pixels.SetSpacing(spacing or (1.0,) * pixels.GetDimension())
        source = "config" if spacing else "unknown"
    return Image(pixels, source, sha256, colour, identifiers, str(path))


def read_again(facts: Mapping[str, str]) -> Image:
    """Read an image as quality control read it; ``facts`` is its row of ``cohort/images.csv``."""
    given = dict(zip(GIVEN_SPACING, (facts.get(name, "") for name in KEPT_SPACING), strict=True))
    chosen = {name: facts.get(name, "") for name in ("series_uid", "patient_id")}
    return read_image(facts["image_path"], given | chosen)


def read_mask(paths: str | Path, image: Image | None = None, label: str = "") -> Image:
    """Read one mask; several files, joined by a semicolon, are united and must lie on one grid.

    ``image`` is what the mask lies on, which contours and segments need. ``label`` chooses one value of
    a label map, or one segment or contour by number, name or code; then the mask holds 0 and 1, and
    otherwise the file's own values. Of a colour mask the largest channel counts. Raises UnreadableError,
    saying why, when there is no mask to be had.
    """
    files = [Path(path) for path in listed(str(paths))]
    masks = [_read_one_mask(file, image, label) for file in files]
    if len(masks) == 1:
        return masks[0]
    # One whose file has a geometry says where all of them lie.
    first = next((mask for mask in masks if mask.spacing_source == "header"), masks[0])
    if not all(same_grid(mask, first) for mask in masks):
        grids = "; ".join(described_grid(mask) for mask in masks)
        raise UnreadableError(
            f"the masks to unite do not lie on one grid ({grids}): {paths}. Save all of them on the image's "
            "grid",
            "grid_mismatch",
        )
    united = np.any([mask.array != 0 for mask in masks], axis=0)
    logger.info("%s: %d masks united", files[0], len(masks))
    return Image(on_grid_of(united, first), first.spacing_source, _hash(files), path=str(paths))


def _read_one_mask(path: Path, image: Image | None, label: str) -> Image:
    _refuse_missing(path)
    if path.suffix.lower() == ".csv" and image is not None:
        return Image(read_polygons(path, Path(image.path).name, image.pixels), "header", _hash([path]))
    if image is not None and is_segmentation(path):
        found = _flat(read_segmentation(path, label, image.pixels), path)
        return Image(found, "header", _hash([path]))
    if is_dicom(path):
        dicom = read_dicom(path)
        pixels, known, sha256 = dicom.pixels, dicom.spacing_known, _hash(dicom.files)
    else:
        pixels, sha256 = _read(path)
        known = _spacing_known(path, pixels)
    pixels = _flat(_one_channel(pixels), path)
    if path.suffix.lower() in LOSSY:
        pixels = _without_smear(pixels, path)
    if label:
        pixels = _of_label(pixels, label, path)
    return Image(pixels, "header" if known else "unknown", sha256, path=str(path))


def _one_channel(pixels: sitk.Image) -> sitk.Image:
    channels = pixels.GetNumberOfComponentsPerPixel()
    if channels == 1:
        return pixels
    values = sitk.GetArrayFromImage(pixels)
    # A fourth channel (or a second) is opacity, not annotation.
    coloured = values[..., : 3 if channels >= 3 else 1].max(axis=-1)
    flat = sitk.GetImageFromArray(coloured)
    flat.CopyInformation(pixels)
    return flat


def _without_smear(pixels: sitk.Image, path: Path) -> sitk.Image:
    values = sitk.GetArrayFromImage(pixels)
    if len(np.unique(values)) <= 2:
        return pixels
    logger.info("%s: a mask saved lossily; half of its largest value and more counts", path)
    clean = sitk.GetImageFromArray((values >= values.max() / 2).astype(np.uint8))
    clean.CopyInformation(pixels)
    return clean


def _of_label(pixels: sitk.Image, label: str, path: Path) -> sitk.Image:
    values = sitk.GetArrayFromImage(pixels)
    there = np.unique(values[values != 0])
    try:
        chosen = values == float(label)
    except ValueError:
        chosen = np.zeros(values.shape, dtype=bool)
    if not chosen.any():
        shown = ", ".join(f"{value:g}" for value in there[:10]) or "none"
        raise UnreadableError(
            f"{path}: no voxel has the label {label!r}. Its labels: {shown}.", "wrong_label"
        )
    mask = sitk.GetImageFromArray(chosen.astype(np.uint8))
    mask.CopyInformation(pixels)
    return mask


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


def described_grid(read: Image) -> str:
    """Return the size of an image or mask, and where its file says so its pixel size and place, in words."""
    size = " x ".join(map(str, read.pixels.GetSize()))
    if read.spacing_source == "unknown":
        return f"{size} pixels"
    spacing = " x ".join(f"{length:g}" for length in read.spacing)
    origin = ", ".join(f"{place:g}" for place in read.pixels.GetOrigin())
    return f"{size} pixels of {spacing} mm from ({origin})"


def thinning(values: np.ndarray) -> tuple[slice, ...]:
    """Return the slices that thin an image to about ``COARSE_VOXELS``, where its coarse layout will do."""
    step = max(1, int(np.ceil((values.size / COARSE_VOXELS) ** (1 / values.ndim))))
    return (slice(None, None, step),) * values.ndim


def on_grid_of(array: np.ndarray, image: Image) -> sitk.Image:
    """Make a uint8 mask image of ``array`` with the geometry of ``image``."""
    mask = sitk.GetImageFromArray(array.astype(np.uint8))
    mask.CopyInformation(image.pixels)
    return mask


def write_mask(path: str | Path, mask: sitk.Image) -> None:
    """Write a mask whole, cut to what is set; the same mask gives the same bytes.

    A lesion is a small part of a volume, and writing all of it would take most of the time. The file
    still lies where it belongs when opened over its image; ``read_written`` gives the whole mask back.
    """
    write_part(path, sitk.GetArrayViewFromImage(mask), (0,) * mask.GetDimension(), mask)


def write_part(path: str | Path, part: np.ndarray, corner: Sequence[int], grid: sitk.Image) -> None:
    """Write a mask of which ``part`` alone may be set, as ``write_mask`` does.

    ``corner`` is where the part's first voxel lies on ``grid``, indexed like the array.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    low, high = _bounds(part)
    place = [int(a) + int(b) for a, b in zip(corner, low, strict=True)][::-1]
    cut = sitk.GetImageFromArray(part[tuple(map(slice, low, high))].astype(np.uint8))
    cut.SetSpacing(grid.GetSpacing())
    cut.SetDirection(grid.GetDirection())
    cut.SetOrigin(grid.TransformIndexToPhysicalPoint(place))
    cut.SetMetaData("whole_size", _words(grid.GetSize()))
    cut.SetMetaData("whole_origin", _words(grid.GetOrigin()))
    cut.SetMetaData("whole_corner", _words(place))
    partial = target.with_name(f".partial-{target.name}")
    sitk.WriteImage(cut, str(partial), useCompression=True)
    partial.replace(target)


def read_part(path: str | Path) -> tuple[np.ndarray, tuple[int, ...]]:
    """Read a mask that ``write_mask`` wrote: what is set, and where in the whole mask it begins."""
    cut = sitk.ReadImage(str(path))
    corner = [int(word) for word in cut.GetMetaData("whole_corner").split()]
    return sitk.GetArrayFromImage(cut) > 0, tuple(corner[::-1])


def read_written(path: str | Path) -> Image:
    """Read a mask that ``write_mask`` wrote, on the whole grid of its image."""
    cut = sitk.ReadImage(str(path))
    size = [int(word) for word in cut.GetMetaData("whole_size").split()]
    corner = [int(word) for word in cut.GetMetaData("whole_corner").split()]
    values = np.zeros(size[::-1], dtype=np.uint8)
    place = tuple(
        slice(start, start + length) for start, length in zip(corner[::-1], cut.GetSize()[::-1], strict=True)
    )
    values[place] = sitk.GetArrayViewFromImage(cut)
    whole = sitk.GetImageFromArray(values)
    whole.SetSpacing(cut.GetSpacing())
    whole.SetDirection(cut.GetDirection())
    whole.SetOrigin([float(word) for word in cut.GetMetaData("whole_origin").split()])
    return Image(whole, "header", "", path=str(path))


def _bounds(values: np.ndarray) -> tuple[list[int], list[int]]:
    """Return first and one past last index of what is set, by axis; of nothing, one voxel."""
    low, high = [], []
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        held = np.flatnonzero(values.any(axis=others))
        low.append(int(held[0]) if len(held) else 0)
        high.append(int(held[-1]) + 1 if len(held) else 1)
    return low, high


def _words(numbers: Iterable[float]) -> str:
    return " ".join(repr(number) for number in numbers)


def _refuse_missing(path: str | Path) -> None:
    # An empty path would be the working directory.
    if not str(path) or not Path(path).exists():
        raise UnreadableError(f"there is no file {path}", "missing_file")
    if Path(path).is_file() and not Path(path).stat().st_size:
        raise UnreadableError(f"{path} is empty: it has no bytes.")


def _read(path: Path) -> tuple[sitk.Image, str]:
    if path.is_dir():
        raise UnreadableError(f"{path} is a folder without DICOM files.", "no_images")
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        _refuse_absurd(reader, path)
        _refuse_cut_short(reader, path)
        pixels = reader.Execute()
        if not pixels.GetNumberOfPixels():
            raise UnreadableError(f"{path}: its header claims an image without pixels: it is damaged.")
        _refuse_impossible_geometry(pixels, path)
        return pixels, _hash([path])
    except (RuntimeError, MemoryError, OverflowError, ValueError, OSError, EOFError, zlib.error) as error:
        logger.warning("%s: %s", path, error)
        raise UnreadableError(
            f"{path} cannot be read as an image: it is damaged, cut short, or of another format than its "
            "name says."
        ) from None


def _refuse_absurd(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse a header that claims far more pixels than the file can hold, before memory is taken."""
    one = sitk.Image([1] * max(2, reader.GetDimension()), reader.GetPixelID(), reader.GetNumberOfComponents())
    claimed = (
        float(np.prod(np.asarray(reader.GetSize(), dtype=float))) * sitk.GetArrayViewFromImage(one).nbytes
    )
    packed = PIXELS_PER_BYTE if path.suffix.lower() in WITHOUT_SPACING else 1
    if claimed > packed * MOST_BYTES_PER_BYTE * size_on_disk(path):
        size = " x ".join(map(str, reader.GetSize()))
        raise UnreadableError(
            f"{path}: its header claims {size} pixels, which the file cannot hold: it is damaged", "too_large"
        )


def _refuse_impossible_geometry(pixels: sitk.Image, path: Path) -> None:
    """Refuse a pixel size, place or direction that no scanner writes: the header is damaged."""
    low, high = POSSIBLE_SPACING_MM
    spacing = pixels.GetSpacing()
    finite = np.isfinite([*spacing, *pixels.GetOrigin(), *pixels.GetDirection()]).all()
    if not finite or not all(low <= length <= high for length in spacing):
        shown = " x ".join(f"{length:g}" for length in spacing)
        raise UnreadableError(
            f"{path}: its header claims pixels of {shown} mm, or a place that is no number: it is damaged."
        )


def _refuse_cut_short(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse what ITK would fill up with zeros without a word: files cut short, and NaN in NIfTI.

    Raises OSError or EOFError for a file cut short, UnreadableError for values that are not finite.
    """
    if path.suffix.lower() in {".jpg", ".jpeg", ".bmp"}:
        with Picture.open(path) as picture:
            picture.load()
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as stream:
        content = stream.read()
    one = sitk.Image([1] * max(2, reader.GetDimension()), reader.GetPixelID(), reader.GetNumberOfComponents())
    stored = sitk.GetArrayViewFromImage(one)
    order = "<" if int.from_bytes(content[:4], "little") in (348, 540) else ">"
    new = int.from_bytes(content[:4], "little" if order == "<" else "big") == 540
    kind, bits = struct.unpack_from(f"{order}hh", content, 12 if new else 70)
    begin = (
        struct.unpack_from(f"{order}q", content, 168)[0]
        if new
        else struct.unpack_from(f"{order}f", content, 108)[0]
    )
    count = int(np.prod(reader.GetSize())) * max(1, stored.size)
    if len(content) < int(begin) + count * (bits if kind != 128 else 8) // 8:
        raise EOFError("the file is cut short")
    if kind in (16, 64):
        values = np.frombuffer(content, f"{order}f{bits // 8}", count, int(begin))
        if not np.isfinite(values).all():
            raise UnreadableError(f"{path} holds values that are not finite.", "not_finite")


def _spacing_known(path: Path, pixels: sitk.Image) -> bool:
    """Say whether a file that could be read gives its pixel size; where it does not, ITK makes it 1 mm."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix in WITHOUT_SPACING:
        return False
    if suffix in {".nrrd", ".nhdr"}:
        return _nrrd_lengths(path) >= sum(length > 1 for length in pixels.GetSize())
    if suffix in {".mha", ".mhd"}:
        header = _header_lines(path, b"ElementDataFile")
        return any(re.match(rb"\s*ElementS(pacing|ize)\s*=", line) for line in header)
    if name.endswith((".nii", ".nii.gz", ".hdr", ".img")):
        beside = path.with_suffix(".hdr") if suffix == ".img" else path
        return all(length > 0 for length in _nifti_lengths(beside, pixels))
    return True


def _nrrd_lengths(path: Path) -> int:
    """Return along how many axes an NRRD header gives a distance between samples."""
    for line in _header_lines(path, b""):
        key, _, value = line.decode("latin-1").lower().partition(":")
        if key == "spacings":
            return sum(word != "nan" for word in value.split())
        if key == "space directions":
            return sum("nan" not in vector for vector in re.findall(r"\([^)]*\)", value))
    return 0


def _header_lines(path: Path, last: bytes) -> list[bytes]:
    """Return the lines of a text header down to that which begins with ``last``, or else is empty."""
    lines = []
    with path.open("rb") as stream:
        for line in stream:
            if line.lstrip().startswith(last) if last else not line.strip():
                break
            lines.append(line)
    return lines


def _nifti_lengths(path: Path, pixels: sitk.Image) -> list[float]:
    """Return what a NIfTI or Analyze header gives as pixel size, along the axes longer than one pixel."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as stream:
        header = stream.read(540)
    order = "<" if int.from_bytes(header[:4], "little") in (348, 540) else ">"
    new = int.from_bytes(header[:4], "little" if order == "<" else "big") == 540
    lengths = struct.unpack_from(f"{order}{3 * ('d' if new else 'f')}", header, 112 if new else 80)
    return [given for given, length in zip(lengths, pixels.GetSize(), strict=False) if length > 1]


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        for part in parts_of(file):
            digest.update(part.read_bytes())
    return digest.hexdigest()


def _named_elements(pixels: sitk.Image, path: Path) -> tuple[str, ...]:
    """Name a file's free metadata that may carry a name or date of birth, where it is filled."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as stream:
            header = stream.read(32)
        # Where Analyze and early NIfTI writers put the patient's name; ITK passes over it.
        filled = header[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and header[14:32].strip(b"\0 ")
        return ("db_name",) if filled else ()
    telling = ("patient", "birth", "db_name")
    return tuple(
        key
        for key in pixels.GetMetaDataKeys()
        if any(part in key.lower() for part in telling) and pixels.GetMetaData(key).strip(" \0")
    )


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


def _flat(pixels: sitk.Image, path: Path) -> sitk.Image:
    if pixels.GetDimension() == 3 and pixels.GetSize()[2] == 1:
        return pixels[:, :, 0]
    if pixels.GetDimension() not in (2, 3):
        raise UnreadableError(
            f"{path} has {pixels.GetDimension()} dimensions, as several phases in one file have; give each "
            "phase a file of its own"
        )
    return pixels


def _given_spacing(given: Mapping[str, str], dimension: int) -> tuple[float, ...] | None:
    values = [given.get(name, "") for name in GIVEN_SPACING[:dimension]]
    return tuple(map(float, values)) if all(values) else None
