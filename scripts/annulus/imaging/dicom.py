"""Read DICOM images: one file, a folder with a series of slices, or an enhanced multi-frame file.

Geometry and the conversion of stored values are taken from the header of every slice, not from the
decoder. GDCM, as ITK uses it, applies the first slice's number type to all slices of a series, prefers
the detector's pixel size to the calibrated one, leaves out the magnification factor and the regions of
an ultrasound image, refuses some inverted images, and takes one rescaling for all frames of a file.
"""

import logging
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import uid
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag

from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

# pydicom's own warnings quote header values, which may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATIONS = {str(uid.SegmentationStorage), LABEL_MAP}
STRUCTURE_SETS = {str(uid.RTStructureSetStorage)}
# Objects with rows and columns that are no images of a patient.
NOT_IMAGES = SEGMENTATIONS | STRUCTURE_SETS | {str(uid.RTDoseStorage)}

MAXIMUM_BYTES = 2**31
# Files of a folder that are looked at before it counts as one without DICOM.
LOOKED_AT = 32

# A gap between slices may differ from the median gap by this share of it.
UNEVEN_GAP = 0.02
# Closer than this share of the mean gap, two slices are at the same position.
SAME_POSITION = 0.01
# Slices may drift within their plane by this many pixels from the first to the last.
DRIFT_PIXELS = 0.5
# Regions of an ultrasound image may differ in pixel size by this share.
REGION_DIFFERENCE = 0.01

TWO_DIMENSIONAL, CENTIMETRES = 1, 3

# Keys under which a 2-D image keeps its place in the patient, as ITK names header elements.
POSITION_KEY, ORIENTATION_KEY = "0020|0032", "0020|0037"

PALETTE = [
    f"{part}{colour}PaletteColorLookupTable{what}"
    for colour in ("Red", "Green", "Blue")
    for part, what in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
PIXEL_MODULE = [
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "FloatPixelData", "DoubleFloatPixelData", "PixelData", *PALETTE,
]  # fmt: skip

# Besides every element of the type "person name".
IDENTIFYING = {"PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs"}
PLACEHOLDERS = {
    "", "anon", "anonym", "anonymous", "anonymized", "anonymised", "deidentified", "na", "n/a", "noname",
    "none", "removed", "unknown",
}  # fmt: skip
PLACEHOLDER_DATES = {"18000101", "19000101"}
# One item per frame: thousands, and none of them holds a name.
FRAME_GROUPS = {"PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"}


@dataclass(frozen=True)
class DicomImage:
    """An image read from DICOM, 2-D where it has a single slice.

    ``pixels`` are rescaled values, or a vector of red, green and blue. With ``spacing_known`` False
    the spacing is 1 pixel. ``files`` are those used, by slice; ``identifiers`` names the header
    elements that may identify the patient. A 2-D image with a position keeps it, and its orientation,
    in the metadata keys ``0020|0032`` and ``0020|0037``.
    """

    pixels: sitk.Image
    spacing_known: bool
    files: tuple[Path, ...]
    identifiers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plane:
    """Where a frame lies in the patient: its first pixel's centre in mm, and two unit vectors."""

    position: np.ndarray
    along_row: np.ndarray
    down_column: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """Unit vector along which slices are stacked."""
        return np.cross(self.along_row, self.down_column)


@dataclass(frozen=True)
class _File:
    path: Path
    header: Dataset

    @property
    def frames(self) -> int:
        return number_of_frames(self.header)


@dataclass(frozen=True)
class _Slice:
    """One frame; ``spacing`` is the distance between rows and between columns in mm, if known."""

    file: _File
    frame: int
    plane: Plane | None
    spacing: tuple[float, float] | None
    slope: float
    intercept: float


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM, or a folder holds a DICOM file; its sub-folders are not searched.

    A file counts with the mark ``DICM`` after its preamble whatever its name, and without it where its
    suffix is .dcm and its header can be read. Of a folder the first 32 files are looked at.
    """
    if path.is_dir():
        files = sorted(_candidates(path), key=lambda file: (not _has_suffix(file), file.name))
        return any(map(is_dicom, files[:LOOKED_AT]))
    if not path.is_file():
        return False
    if _has_preamble(path):
        return True
    if not _has_suffix(path):
        return False
    try:
        read_header(path)
    except UnreadableError:
        return False
    return True


def read_header(path: Path) -> Dataset:
    """Read a DICOM file's header without its pixels.

    Raises UnreadableError when the file is not there, damaged or not DICOM.
    """
    if not path.is_file():
        raise UnreadableError(f"there is no file {path}")
    with guarded(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        # A DICOMDIR says what it is in the part before the header alone.
        if "SOPClassUID" not in header:
            header.SOPClassUID = header.file_meta.get("MediaStorageSOPClassUID", "")
        if not header.SOPClassUID and "Rows" not in header:
            raise UnreadableError(f"{path} is not a DICOM file, or is damaged; copy or export it again")
        return header


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes pydicom raise into UnreadableError.

    The reason given is the error's type alone: its text may quote a header value.
    """
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except (UnreadableError, MemoryError):
        raise
    except Exception:
        raise UnreadableError(f"{path} is damaged or not valid DICOM; copy or export it again") from None


def read_dicom(path: Path, series_uid: str = "", pseudonym: str = "") -> DicomImage:
    """Read one image from a DICOM file, or from a folder with the files of a series.

    Slices are sorted along their normal, the spacing between them is that of their positions, and
    stored values are rescaled slice by slice. An inverted image (MONOCHROME1) is turned: stored value v
    becomes 2^BitsStored - 1 - v, or -1 - v where values are signed. Whole-number slopes and intercepts
    give integers; others give float32, or float64 for more than 16 bits. In the image's folder SEG,
    RTSTRUCT and whatever else has no pixels is passed over. ``pseudonym`` is the name under which the
    study knows the patient.

    Raises UnreadableError with one of the codes ``no_images``, ``not_an_image``, ``several_series``,
    ``no_such_series``, ``several_images``, ``several_phases``, ``uneven_slices``, ``mixed_orientation``,
    ``cine_loop``, ``too_large``, ``undecodable_pixels``, or without a code for a damaged header.
    """
    with guarded(path):
        files = _series(_images(path), series_uid, path)
        _refuse_too_large(files, path)
        slices = [_slice(file, frame) for file in files for frame in range(file.frames)]
        if len(slices) > 1:
            slices = _in_order(slices, path)
        spacing_known = slices[0].spacing is not None
        if slices[0].file.header.PhotometricInterpretation == "MONOCHROME1":
            logger.info("%s: the image is stored inverted (MONOCHROME1) and was turned", path)
        values, is_colour = _values(slices), _is_colour(slices[0].file.header)
        used = tuple(dict.fromkeys(piece.file.path for piece in slices))
        names = (name for file in files for name in identifying_tags(file.header, pseudonym))
        identifiers = tuple(dict.fromkeys(names))
        return DicomImage(_placed(values, slices, is_colour), spacing_known, used, identifiers)


def identifying_tags(source: Path | Dataset, pseudonym: str = "") -> tuple[str, ...]:
    """Name the filled header elements that may tell who the patient is, never their values.

    These are every person's name (patient, relatives, physicians, operators) at any depth, the patient's
    birth date, address, telephone number and other numbers, and burned-in annotation said to be there.
    A value does not count that is blank, a word such as ``anonymous`` or ``removed``, one character
    repeated, or equal to the PatientID or ``pseudonym``, case, spaces and ``^`` aside. A birth date counts
    where it is a possible day other than 1800-01-01 or 1900-01-01, even where the header calls the
    identity removed: a true date is one nevertheless. A year alone does not count.
    """
    header = source if isinstance(source, Dataset) else read_header(source)
    with guarded(source if isinstance(source, Path) else Path("the header")):
        known = {_core(header.get("PatientID")), _core(pseudonym)}
        return tuple(dict.fromkeys(_filled(header, known)))


def functional_value(header: Dataset, frame: int, sequence: str, keyword: str) -> Any:
    """Look a value up for one frame: in its own functional group, the shared one, then the header."""
    own, shared = (header.get(name) or [] for name in sorted(FRAME_GROUPS))
    for groups in (own[frame : frame + 1], shared[:1]):
        for group in groups:
            items = group.get(sequence) or []
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
    return header.get(keyword)


def plane_of(header: Dataset, frame: int) -> Plane | None:
    """Return where a frame lies, or None where the header does not say or its directions are impossible."""
    for frame_of, space in (("", "Patient"), ("Volume", "Volume")):
        place = (f"PlanePosition{frame_of}Sequence", f"ImagePosition{space}")
        turn = (f"PlaneOrientation{frame_of}Sequence", f"ImageOrientation{space}")
        position = _floats(functional_value(header, frame, *place), 3)
        directions = _floats(functional_value(header, frame, *turn), 6)
        if position is not None and directions is not None:
            return _plane(position, directions)
    return None


def pixel_spacing(header: Dataset, frame: int) -> tuple[float, float] | None:
    """Return the distance between rows and between columns in mm, or None where nothing gives it.

    PixelSpacing comes first, unless it merely repeats ImagerPixelSpacing and no calibration is claimed,
    which by DICOM PS3.3 10.7.1.1 means that the magnification was not corrected for. Then come
    ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor, and NominalScannedPixelSpacing.
    """
    given = _lengths(functional_value(header, frame, "PixelMeasuresSequence", "PixelSpacing"))
    imager = _lengths(header.get("ImagerPixelSpacing"))
    repeats = given is not None and imager is not None and np.allclose(given, imager, rtol=1e-6)
    if given and not (repeats and not header.get("PixelSpacingCalibrationType")):
        return given
    if imager:
        factor = float(header.get("EstimatedRadiographicMagnificationFactor") or 1)
        # The source is farther from the detector than from the patient; anything else is no factor.
        factor = factor if np.isfinite(factor) and factor >= 1 else 1.0
        return imager[0] / factor, imager[1] / factor
    return _lengths(header.get("NominalScannedPixelSpacing"))


def number_of_frames(header: Dataset) -> int:
    """Return how many frames a file holds."""
    return int(header.get("NumberOfFrames") or 1)


def size_in_bytes(header: Dataset) -> int:
    """Return how many bytes the pixels take when decoded, as the header has it."""
    pixels = int(header.Rows) * int(header.Columns) * number_of_frames(header)
    return pixels * _samples(header) * max(int(header.get("BitsAllocated") or 8) // 8, 1)


def refuse_too_large(size: int, path: Path) -> None:
    """Raise UnreadableError (``too_large``) when pixels would take more than 2 GiB."""
    if size > MAXIMUM_BYTES:
        raise UnreadableError(
            f"{path} says that its pixels take {size / 2**30:.1f} GiB; at most {MAXIMUM_BYTES / 2**30:.0f} "
            "GiB are read. If that size is right, crop the image; if not, the header is damaged: export it "
            "again",
            "too_large",
        )


def stored_values(path: Path) -> np.ndarray:
    """Decode a file's pixels as they are stored, indexed (frame, row, column) or with a colour axis last.

    pydicom decodes what it can, colour becoming red, green and blue. GDCM decodes the rest (lossless and
    12-bit JPEG) from a copy that holds the pixels and nothing else, so that it changes nothing itself.
    Raises UnreadableError (``undecodable_pixels``).
    """
    with guarded(path):
        dataset = pydicom.dcmread(path, force=True, specific_tags=list(PIXEL_MODULE))
        meta = dataset.file_meta
        if "TransferSyntaxUID" not in meta:
            implicit = dataset.original_encoding[0]
            meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        try:
            values = pixel_array(dataset)
        except Exception:
            _refuse_cut_short(dataset, path)
            values = _decoded_by_gdcm(dataset, path)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
            # Tables of 16 bits hold the shade in the upper byte.
            values = (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values
        shape = (number_of_frames(dataset), int(dataset.Rows), int(dataset.Columns))
        return values.reshape((*shape, -1) if _is_colour(dataset) else shape)


def _refuse_cut_short(dataset: Dataset, path: Path) -> None:
    """Refuse uncompressed pixels of which some are missing."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated or int(dataset.get("BitsAllocated") or 0) % 8:
        return
    names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    held, needed = max(len(dataset.get(name) or b"") for name in names), size_in_bytes(dataset)
    # Of YBR_FULL_422 two pixels share their colour.
    needed = needed * 2 // 3 if dataset.PhotometricInterpretation == "YBR_FULL_422" else needed
    if held < needed:
        raise UnreadableError(
            f"the pixels of {path} are cut short: {held} of {needed} bytes are there. Copy or export it "
            "again",
            "undecodable_pixels",
        )


def _decoded_by_gdcm(dataset: Dataset, path: Path) -> np.ndarray:
    message = (
        f"the pixels of {path} cannot be decoded (stored as {dataset.file_meta.TransferSyntaxUID.name}): "
        "they are cut short, damaged, or compressed in a way that is not read. Copy it again, or export it "
        "uncompressed"
    )
    grey = _samples(dataset) == 1
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated or not (
        grey or dataset.PhotometricInterpretation == "RGB"
    ):
        raise UnreadableError(message, "undecodable_pixels")
    bare = Dataset()
    for name in PIXEL_MODULE:
        if name in dataset:
            bare[name] = dataset[name]
    bare.file_meta = dataset.file_meta
    bare.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
    bare.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(path)])
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    with tempfile.TemporaryDirectory() as folder:
        copy = str(Path(folder) / "pixels.dcm")
        try:
            bare.save_as(copy, enforce_file_format=True)
            return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(copy, imageIO="GDCMImageIO")))
        except (RuntimeError, ValueError):
            raise UnreadableError(message, "undecodable_pixels") from None


def _is_colour(header: Dataset) -> bool:
    return _samples(header) > 1 or header.PhotometricInterpretation == "PALETTE COLOR"


def _samples(header: Dataset) -> int:
    return int(header.get("SamplesPerPixel") or 1)


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield the folder's files; hidden ones are left out, for a Mac doubles every file with one."""
    return (file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith("."))


def _has_preamble(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _has_suffix(path: Path) -> bool:
    return path.suffix.lower() == ".dcm"


def _images(path: Path) -> list[_File]:
    """Read the headers of the images there are, with one file or a folder given."""
    if path.is_file():
        header = read_header(path)
        if not _is_image(header):
            raise UnreadableError(
                f"{path} is no image but {_kind(header)}; give the image's own file or folder, and this as "
                "mask where it is one",
                "not_an_image",
            )
        return [_File(path, header)]
    if not path.is_dir():
        raise UnreadableError(f"there is no file or folder {path}")
    files = [
        _File(file, read_header(file))
        for file in _candidates(path)
        if _has_preamble(file) or _has_suffix(file)
    ]
    if not files:
        raise UnreadableError(
            f"the folder {path} holds no DICOM file; its sub-folders are not searched, so name the one that "
            "holds the series",
            "no_images",
        )
    images = [file for file in files if _is_image(file.header)]
    if not images:
        kinds = " and ".join(sorted({_kind(file.header) for file in files}))
        raise UnreadableError(
            f"the folder {path} holds no image but {kinds}; give the image's own folder", "not_an_image"
        )
    return images


def _is_image(header: Dataset) -> bool:
    return "Rows" in header and "Columns" in header and header.get("SOPClassUID") not in NOT_IMAGES


def _kind(header: Dataset) -> str:
    return str(uid.UID(header.get("SOPClassUID", "")).name) or "an object without a class"


def _series(files: list[_File], series_uid: str, path: Path) -> list[_File]:
    """Return the files of the series asked for, or of the only one."""
    series: dict[str, list[_File]] = {}
    for file in files:
        series.setdefault(str(file.header.get("SeriesInstanceUID", "")), []).append(file)
    if series_uid and series_uid in series:
        return series[series_uid]
    there = "; ".join(sorted((_series_text(name, files) for name, files in series.items()), key=_by_number))
    if series_uid:
        raise UnreadableError(
            f"{path} holds no series {series_uid}, which series_uid in the image manifest asks for, but "
            f"{there}",
            "no_such_series",
        )
    if len(series) > 1:
        raise UnreadableError(
            f"{path} holds {len(series)} image series: {there}. Name one as series_uid in the image manifest",
            "several_series",
        )
    return files


def _series_text(name: str, files: list[_File]) -> str:
    header = files[0].header
    with guarded(files[0].path):
        number, modality = str(header.get("SeriesNumber") or "?"), str(header.get("Modality") or "?")
    # Nothing but a number and a coded modality is repeated: whatever else stands there may be a name.
    number = number if re.fullmatch(r"\d{1,12}", number) else "?"
    modality = modality if re.fullmatch(r"[A-Z]{2,10}", modality) else "?"
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    return f"series {number} ({modality}, {count}, {name or 'without SeriesInstanceUID'})"


def _by_number(text: str) -> tuple[int, str]:
    number = text.split()[1]
    return (int(number) if number.isdigit() else -1), text


def _refuse_too_large(files: Sequence[_File], path: Path) -> None:
    if any(int(file.header.Rows) < 1 or int(file.header.Columns) < 1 or file.frames < 1 for file in files):
        raise UnreadableError(f"{path} says that it has no rows, columns or frames; export it again")
    refuse_too_large(sum(size_in_bytes(file.header) for file in files), path)


def _slice(file: _File, frame: int) -> _Slice:
    header = file.header
    plane = plane_of(header, frame) if _frames_have_groups(header) else None
    if plane is None and file.frames > 1:
        raise UnreadableError(
            f"{file.path} holds {file.frames} frames without positions in space, as a cine loop does; save "
            "the frame that was segmented as an image of its own",
            "cine_loop",
        )
    if header.get("ModalityLUTSequence"):
        raise UnreadableError(
            f"{file.path} rescales its values by a table (Modality LUT), which is not supported; export it "
            "with a slope and an intercept",
            "undecodable_pixels",
        )
    spacing = _spacing_of(file, frame)
    slope, intercept = (
        functional_value(header, frame, "PixelValueTransformationSequence", keyword)
        for keyword in ("RescaleSlope", "RescaleIntercept")
    )
    line = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    if not np.all(np.isfinite(line)) or line[0] == 0:
        raise UnreadableError(f"{file.path} has no usable RescaleSlope or RescaleIntercept; export it again")
    return _Slice(file, frame, plane, spacing, *line)


def _frames_have_groups(header: Dataset) -> bool:
    """Say whether every frame can have a position of its own."""
    frames = number_of_frames(header)
    return frames == 1 or len(header.get("PerFrameFunctionalGroupsSequence") or []) == frames


def _plane(position: np.ndarray, directions: np.ndarray) -> Plane | None:
    row, column = directions[:3], directions[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(row @ column) > 1e-2:
        return None
    row = row / lengths[0]
    normal = np.cross(row, column)
    normal = normal / np.linalg.norm(normal)
    return Plane(position, row, np.cross(normal, row))


def _spacing_of(file: _File, frame: int) -> tuple[float, float] | None:
    regions = [_region_spacing(region) for region in file.header.get("SequenceOfUltrasoundRegions") or []]
    sizes = np.array([size for size in regions if size])
    if not len(sizes):
        return pixel_spacing(file.header, frame)
    if np.any(sizes.max(axis=0) > (1 + REGION_DIFFERENCE) * sizes.min(axis=0)):
        logger.warning(
            "%s: the pixel size is unknown, for its ultrasound regions disagree: %s mm",
            file.path,
            ", ".join(f"{row:g} x {column:g}" for row, column in sizes),
        )
        return None
    return float(sizes[0][0]), float(sizes[0][1])


def _region_spacing(region: Dataset) -> tuple[float, float] | None:
    """Return the distance between rows and columns in mm of a 2-D region measured in cm."""
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    if region.get("RegionSpatialFormat") != TWO_DIMENSIONAL or units != (CENTIMETRES, CENTIMETRES):
        return None
    # An axis that points up or left has a negative step.
    deltas = [abs(float(region.get(f"PhysicalDelta{axis}") or 0)) * 10 for axis in "YX"]
    return _lengths(deltas)


def _in_order(slices: Sequence[_Slice], path: Path) -> list[_Slice]:
    """Sort slices along their normal; refuse what is not one evenly spaced stack."""
    planes = [piece.plane for piece in slices if piece.plane is not None]
    if len(planes) < len(slices):
        raise UnreadableError(
            f"{path} holds {len(slices)} images of one series, {len(slices) - len(planes)} of them without a "
            "usable position in space, so they are no volume; name one file in the image manifest",
            "several_images",
        )
    _refuse_mixed(slices, planes, path)
    normal = planes[0].normal
    places = np.array([plane.position for plane in planes])
    depths = places @ normal
    order = np.argsort(depths, kind="stable")
    depths, drift = depths[order], places - places[0]
    drift = np.linalg.norm(drift - np.outer(drift @ normal, normal), axis=1).max()
    if drift > DRIFT_PIXELS * min(slices[0].spacing or (1.0,)):
        raise UnreadableError(
            f"the slices of {path} are not stacked along their normal: within their plane they lie up to "
            f"{drift:.3g} mm apart, as with a tilted gantry or two fields of view. Export them resampled to "
            "a straight stack, or each field of view as its own series",
            "mixed_orientation",
        )
    _refuse_repeated(slices, depths, path)
    _refuse_uneven(depths, path)
    return [slices[index] for index in order]


def _refuse_mixed(slices: Sequence[_Slice], planes: Sequence[Plane], path: Path) -> None:
    first = slices[0]
    headers = [piece.file.header for piece in slices]
    sizes = {(int(header.Columns), int(header.Rows)) for header in headers}
    spacings = [piece.spacing for piece in slices]
    turns = np.array([[plane.along_row, plane.down_column] for plane in planes])
    angle = np.degrees(np.arccos(np.clip((turns * turns[0]).sum(axis=2).min(), -1, 1)))
    if len(sizes) > 1:
        found = "of different sizes: " + ", ".join(f"{x} x {y}" for x, y in sorted(sizes))
    elif len(set(map(_is_colour, headers))) > 1:
        found = "partly grey and partly colour"
    elif any((size is None) != (first.spacing is None) for size in spacings):
        found = "partly without a pixel size"
    elif first.spacing and not np.allclose(np.array(spacings, float), first.spacing, rtol=1e-3):
        texts = sorted({f"{size[0]:g} x {size[1]:g}" for size in spacings if size})
        found = f"of different pixel sizes: {', '.join(texts)} mm"
    elif angle > 0.1:
        found = f"not parallel: their directions differ by up to {angle:.1f} degrees"
    else:
        return
    raise UnreadableError(
        f"the {len(slices)} slices of {path} are {found}. Keep the slices of one stack and move the others, "
        "such as a localizer, to a folder of their own",
        "mixed_orientation",
    )


def _refuse_repeated(slices: Sequence[_Slice], depths: np.ndarray, path: Path) -> None:
    span = float(depths[-1] - depths[0])
    starts = np.diff(depths) >= max(1e-3, SAME_POSITION * span / (len(depths) - 1))
    if starts.all():
        return
    if not starts.any() and len({piece.file.path for piece in slices}) == 1:
        raise UnreadableError(
            f"{path} holds {len(slices)} frames at one position, as a cine loop does; save the frame that "
            "was segmented as an image of its own",
            "cine_loop",
        )
    counts = Counter(np.concatenate([[0], np.cumsum(starts)]).tolist())
    low, high = min(counts.values()), max(counts.values())
    names = Counter(piece.file.header.get("SOPInstanceUID") for piece in slices if piece.file.frames == 1)
    hint = " Some files are copies of one another (the same SOPInstanceUID): delete the copies."
    raise UnreadableError(
        f"{path} holds {len(slices)} images at {len(counts)} positions: "
        f"{high if low == high else f'{low} to {high}'} at each, such as the phases of a dynamic series, "
        "echoes or b-values. Give each phase a folder or a series of its own."
        + (hint if names and max(names.values()) > 1 else ""),
        "several_phases",
    )


def _refuse_uneven(depths: np.ndarray, path: Path) -> None:
    gaps = np.diff(depths)
    median = float(np.median(gaps))
    bad = np.flatnonzero(np.abs(gaps - median) > UNEVEN_GAP * median)
    if not len(bad):
        return
    worst = bad[np.argmax(np.abs(gaps[bad] - median))]
    others = f", and {len(bad) - 1} further gaps are uneven" if len(bad) > 1 else ""
    raise UnreadableError(
        f"the slices of {path} are unevenly spaced: between {depths[worst]:.2f} and {depths[worst + 1]:.2f}"
        f" mm along their normal the gap is {gaps[worst]:.3g} mm, the median gap {median:.3g} mm{others}. "
        "Copy the missing slices, or resample the series to even spacing",
        "uneven_slices",
    )


def _values(slices: Sequence[_Slice]) -> np.ndarray:
    """Decode and rescale the slices, indexed (slice, row, column), with an axis of colours last if any."""
    by_file: dict[Path, list[int]] = {}
    for index, piece in enumerate(slices):
        by_file.setdefault(piece.file.path, []).append(index)
    header = slices[0].file.header
    shape = (len(slices), int(header.Rows), int(header.Columns))
    if _is_colour(header):
        colours = {path: stored_values(path) for path in by_file}
        return np.stack([colours[piece.file.path][piece.frame] for piece in slices])
    values = np.empty(shape, _number_type(slices))
    for path, indices in by_file.items():
        stored = stored_values(path)
        for index in indices:
            values[index] = _rescaled(stored[slices[index].frame], slices[index])
    return values


def _number_type(slices: Sequence[_Slice]) -> np.dtype[Any]:
    """Choose the smallest type that holds every value the headers allow."""
    header = slices[0].file.header
    bits = max(int(piece.file.header.get("BitsStored") or 64) for piece in slices)
    whole = all(piece.slope.is_integer() and piece.intercept.is_integer() for piece in slices)
    if not whole or bits > 32 or "BitsStored" not in header:
        return np.dtype(np.float32 if bits <= 16 else np.float64)
    limits = [
        end * piece.slope + piece.intercept for piece in slices for end in _stored_range(piece.file.header)
    ]
    for kind in (np.uint8, np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= min(limits) and max(limits) <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float64)


def _stored_range(header: Dataset) -> tuple[int, int]:
    bits = int(header.BitsStored)
    low = -(2 ** (bits - 1)) if header.get("PixelRepresentation") else 0
    return low, low + 2**bits - 1


def _rescaled(stored: np.ndarray, piece: _Slice) -> np.ndarray:
    header = piece.file.header
    if np.issubdtype(stored.dtype, np.integer):
        low, high = _stored_range(header)
        if stored.min() < low or stored.max() > high:
            raise UnreadableError(
                f"{piece.file.path} stores values beyond the {int(header.BitsStored)} bits its header gives; "
                "export it again",
                "undecodable_pixels",
            )
        stored = stored.astype(np.int64)
        if header.PhotometricInterpretation == "MONOCHROME1":
            # Low and high swap ends: 2^bits - 1 - v where values are unsigned, -1 - v where they are signed.
            stored = low + high - stored
    if piece.slope.is_integer() and piece.intercept.is_integer() and stored.dtype == np.int64:
        return stored * int(piece.slope) + int(piece.intercept)
    return stored * piece.slope + piece.intercept


def _placed(values: np.ndarray, slices: Sequence[_Slice], is_colour: bool) -> sitk.Image:
    first, last = slices[0], slices[-1]
    image = sitk.GetImageFromArray(values, isVector=is_colour)
    gap = 1.0
    if first.plane is not None and last.plane is not None:
        plane = first.plane
        if len(slices) > 1:
            gap = float((last.plane.position - plane.position) @ plane.normal) / (len(slices) - 1)
        image.SetOrigin(plane.position.tolist())
        axes = np.column_stack([plane.along_row, plane.down_column, plane.normal])
        image.SetDirection(axes.ravel().tolist())
    if first.spacing:
        image.SetSpacing((first.spacing[1], first.spacing[0], gap))
    if len(slices) > 1:
        return image
    flat = image[:, :, 0]
    if first.plane is not None:
        flat.SetMetaData(POSITION_KEY, _text(first.plane.position))
        flat.SetMetaData(ORIENTATION_KEY, _text([*first.plane.along_row, *first.plane.down_column]))
    return flat


def _text(numbers: Iterable[float]) -> str:
    return "\\".join(repr(float(number)) for number in numbers)


def _floats(value: Any, count: int) -> np.ndarray | None:
    if value is None or isinstance(value, str) or len(np.atleast_1d(value)) != count:
        return None
    numbers = np.array([float(number) for number in value])
    return numbers if np.all(np.isfinite(numbers)) else None


def _lengths(value: Any) -> tuple[float, float] | None:
    numbers = _floats(value, 2)
    return (float(numbers[0]), float(numbers[1])) if numbers is not None and np.all(numbers > 0) else None


def _filled(header: Dataset, known: set[str]) -> Iterator[str]:
    for tag in sorted(header.keys()):
        keyword = dictionary_keyword(tag) if dictionary_has_tag(tag) else ""
        kind = header.get_item(tag).VR or (dictionary_VR(tag) if keyword else "")
        if kind == "SQ" and keyword not in FRAME_GROUPS:
            for item in header[tag].value or []:
                yield from _filled(item, known)
        elif keyword == "BurnedInAnnotation":
            if _core(header[tag].value) == "yes":
                yield _name(tag)
        elif (kind == "PN" or keyword in IDENTIFYING) and _tells(header[tag].value, keyword, known):
            yield _name(tag)


def _name(tag: BaseTag) -> str:
    keyword = dictionary_keyword(tag) if dictionary_has_tag(tag) else "private element"
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"


def _tells(value: Any, keyword: str, known: set[str]) -> bool:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    cores = {_core(single) for single in values} - PLACEHOLDERS - known
    cores = {core for core in cores if len(set(core)) > 1}
    return any(map(_is_full_date, cores)) if keyword == "PatientBirthDate" else bool(cores)


def _core(value: Any) -> str:
    """Reduce a value to lower case without the marks and spaces that separate the parts of a name."""
    return re.sub(r"[\s^=,.*_\\-]+", "", "" if value is None else str(value)).casefold()


def _is_full_date(core: str) -> bool:
    if not re.fullmatch(r"\d{8}", core) or core in PLACEHOLDER_DATES:
        return False
    try:
        datetime.strptime(core, "%Y%m%d")
    except ValueError:
        return False
    return True
