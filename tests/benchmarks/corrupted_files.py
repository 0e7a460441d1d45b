"""Whether damaged files cost anything but their own patient: quality control of corrupted files.

    uv run python tests/benchmarks/corrupted_files.py [count] [formats ...] [--seconds 10] [--seed 1]

Of every format, as image, as mask and as both, ``count`` files (1000) are corrupted, each in a way that
its number and the seed decide, and checked together with one healthy patient. Prints what became of them,
the longest time for one file, the reading process's peak memory and the time for all. Fails when an
exception ended the check, a file took longer than ``--seconds``, memory exceeded 2 GiB or the healthy
patient's rows changed. ``--number`` checks a single file again and shows all about it.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from test_dicom import dataset, enhanced, placed, write, write_series

from annulus.imaging import guard, qc
from annulus.imaging.findings import Policy
from annulus.imaging.preparing import Preparation

MOST_MEMORY = 2 * 1024**3

# With "both", the same numbers of an image's and its mask's header are replaced, so that they still fit.
ROLES = ("image", "mask", "both")
SPACING = (0.5, 0.6, 2.0)
TEXT_HEADERS = (".nrrd", ".mha", ".mhd", ".csv")
HEADER_BYTES = 400

# What a study might have set, so that every check has something to do.
THRESHOLDS = {
    "minimum_voxels": 20, "maximum_raggedness": 0.15, "minimum_body_share": 0.8,
    "maximum_saturated_share": 0.05, "marking_margin_px": 3, "minimum_grey_levels": 8,
    "maximum_grey_levels": 256, "minimum_dice": 0.7, "maximum_hd95_mm": 10,
}  # fmt: skip
REPAIRED = dict.fromkeys(("grid_mismatch", "extra_components", "holes"), "repair")
WARNED = dict.fromkeys(
    (
        "jagged_mask", "single_slice", "touches_border", "outside_body", "saturated_region",
        "burned_in_marks", "burned_in_text", "identifying_header", "grey_levels", "filter_reach",
        "rater_disagreement",
    ),
    "warn",
)  # fmt: skip
PREPARATION = Preparation("tissue", 100.0, 3.0, 25.0, (1.0, 1.0, 1.0), 1.0)
CONTROL = qc.Control(Policy(REPAIRED | WARNED, THRESHOLDS, needs_spacing=True), {"any": PREPARATION})

# What a file or folder holds: the content of each file under its name. The first is what is opened.
Content = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """A file format; ``image`` and ``mask`` write a healthy one to a path and return what to open.

    A format without ``image`` is only ever a mask, of an image of the format ``partner``.
    """

    name: str
    suffix: str
    volume: bool
    image: Callable[[Path], None] | None
    mask: Callable[[Path], None]
    partner: str = ""


def shape_of(volume: bool) -> tuple[int, ...]:
    """Return the size of the healthy files, by slice, row and column."""
    return (8, 24, 28) if volume else (40, 48)


def grey_values(volume: bool) -> np.ndarray:
    """Return a breast of noise in dark air."""
    noise = np.random.default_rng(5).normal(120, 20, shape_of(volume))
    return np.clip(np.where(breast(volume), noise, noise / 20), 0, 255).astype(np.uint8)


def breast(volume: bool) -> np.ndarray:
    """Return a breast's mask."""
    return ball(volume, 0.46)


def ball(volume: bool, share: float) -> np.ndarray:
    """Return an ellipsoid around the centre that reaches a share of the image's sides."""
    shape = shape_of(volume)
    steps = [(np.arange(length) - (length - 1) / 2) / (share * length) for length in shape]
    return sum(step**2 for step in np.ix_(*steps)) <= 1


def lesion(volume: bool, share: float = 0.25) -> np.ndarray:
    """Return a lesion's mask."""
    return ball(volume, share).astype(np.uint8)


# Healthy files


def with_itk(values: Callable[[bool], np.ndarray], volume: bool, compressed: bool) -> Callable[[Path], None]:
    """Return what writes an array as a file of any format that ITK writes."""

    def write_file(path: Path) -> None:
        image = sitk.GetImageFromArray(values(volume))
        if path.suffix not in (".png", ".jpg", ".tif", ".bmp"):
            image.SetSpacing(SPACING[: image.GetDimension()])
        sitk.WriteImage(image, str(path), compressed)

    return write_file


def visible(volume: bool) -> np.ndarray:
    """Return the lesion as a picture, as most are drawn."""
    return lesion(volume) * np.uint8(255)


def signed(volume: bool) -> np.ndarray:
    """Return grey values as scanners store them."""
    return grey_values(volume).astype(np.int16)


def one_dicom(values: Callable[[bool], np.ndarray]) -> Callable[[Path], None]:
    """Return what writes a slice."""
    return lambda path: write_one(path, values(False))


def write_one(path: Path, values: np.ndarray) -> None:
    """Write one slice."""
    place = placed(spacing=SPACING[1::-1])
    write(path, dataset(values.astype(np.uint16), **place, SOPInstanceUID="1.2.3.4.5", BitsStored=12))


def dicom_folder(values: Callable[[bool], np.ndarray]) -> Callable[[Path], None]:
    """Return what writes a folder of slices."""
    return lambda path: write_folder(path, values(True))


def write_folder(path: Path, values: np.ndarray) -> None:
    """Write a folder of slices."""
    uids = [f"1.2.3.4.5.{number}" for number in range(1, len(values) + 1)]
    write_series(path, values.astype(np.int16), SPACING, SOPInstanceUID=uids, SliceThickness="2")


def many_frames(values: Callable[[bool], np.ndarray]) -> Callable[[Path], None]:
    """Return what writes an enhanced multi-frame file."""
    return lambda path: write_enhanced(path, values(True))


def write_enhanced(path: Path, values: np.ndarray) -> None:
    """Write an enhanced multi-frame file."""
    places = [(0, 0, SPACING[2] * index) for index in range(len(values))]
    made = enhanced(values.astype(np.uint16), places, spacing=SPACING[1::-1], SOPInstanceUID="1.2.3.4.5")
    write(path, made)


def write_seg(path: Path) -> None:
    """Write the lesion as a segmentation of the folder of slices."""
    import highdicom
    from pydicom.sr.codedict import codes

    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), signed(True))
        slices = [dcmread(file) for file in sorted(Path(folder).iterdir())]
    description = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type="MANUAL",
    )
    made = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=lesion(True),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid="1.2.3.6",
        series_number=9,
        sop_instance_uid="1.2.3.7",
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    )
    # What differs from run to run would make other files of the same seed.
    del made.ContributingEquipmentSequence
    dimension = made.DimensionOrganizationSequence[0].DimensionOrganizationUID
    for item in [*made.DimensionOrganizationSequence, *made.DimensionIndexSequence]:
        if item.DimensionOrganizationUID == dimension:
            item.DimensionOrganizationUID = "1.2.3.8"
    for keyword in ("ContentDate", "InstanceCreationDate"):
        setattr(made, keyword, "20200101")
    for keyword in ("ContentTime", "InstanceCreationTime"):
        setattr(made, keyword, "120000")
    made.save_as(path)


def write_contours(path: Path) -> None:
    """Write diamonds on three slices of the folder as a structure set."""
    made = dataset(signed(False), uid.RTStructureSetStorage, "RTSTRUCT", SOPInstanceUID="1.2.3.4.5")
    del made.PixelData, made.Rows, made.Columns
    region, item = Dataset(), Dataset()
    region.ROINumber, region.ROIName = 1, "Tumour"
    item.ReferencedROINumber, item.ContourSequence = 1, []
    for index in (3, 4, 5):
        drawn = Dataset()
        corners = [(8, 12), (14, 6), (20, 12), (14, 18)]
        points = [(x * SPACING[0], y * SPACING[1], index * SPACING[2]) for x, y in corners]
        drawn.ContourGeometricType, drawn.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
        drawn.ContourData = [f"{number:.6g}" for number in np.ravel(points)]
        item.ContourSequence.append(drawn)
    made.StructureSetROISequence, made.ROIContourSequence = [region], [item]
    write(path, made)


def write_shapes(path: Path) -> None:
    """Write a polygon and a circle as VGG Image Annotator does."""
    polygon = {"name": "polygon", "all_points_x": [15, 33, 33, 15], "all_points_y": [12, 12, 28, 28]}
    circle = {"name": "circle", "cx": 24, "cy": 20, "r": 9}
    lines = ["#filename,file_size,region_id,region_shape_attributes"]
    for index, shape in enumerate((polygon, circle)):
        text = json.dumps(shape).replace('"', '""')
        lines.append(f'image.png,1234,{index},"{text}"')
    path.write_text("\n".join(lines) + "\n")


def made_by_itk(name: str, volume: bool) -> Format:
    """Return a format that ITK writes, compressed or not."""
    grey, drawn = (signed, lesion) if volume else (grey_values, visible)
    compressed = name in ("nii.gz", "nrrd", "mha")
    return Format(
        name, f".{name}", volume, with_itk(grey, volume, compressed), with_itk(drawn, volume, compressed)
    )


FORMATS = {
    one.name: one
    for one in (
        *(made_by_itk(name, True) for name in ("nii", "nii.gz", "nrrd", "mha", "mhd")),
        *(made_by_itk(name, False) for name in ("png", "jpg", "tif", "bmp")),
        Format("dicom", ".dcm", False, one_dicom(signed), one_dicom(lesion)),
        Format("dicom-folder", "", True, dicom_folder(signed), dicom_folder(lesion)),
        Format("dicom-enhanced", ".dcm", True, many_frames(signed), many_frames(lesion)),
        Format("dicom-seg", ".dcm", True, None, write_seg, "dicom-folder"),
        Format("dicom-rtstruct", ".dcm", True, None, write_contours, "dicom-folder"),
        Format("polygons", ".csv", False, None, write_shapes, "png"),
    )
}


def opened(content: Content) -> str:
    """Return the name of the file or folder that is given to a reader."""
    return Path(next(iter(content))).parts[0]


@cache
def healthy(name: str, role: str) -> Content:
    """Return the content of a healthy file or folder; the first file's name stands for all."""
    one = FORMATS[name]
    writer = one.mask if role == "mask" or one.image is None else one.image
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{role}{one.suffix}"
        writer(path)
        beside = sorted(file for file in path.parent.iterdir() if file != path)
        files = sorted(path.iterdir()) if path.is_dir() else [path, *beside]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def put(content: Content, folder: Path) -> Path:
    """Write content to a folder; returns what is to be opened."""
    for name, data in content.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder / opened(content)


# Corruption

Rng = np.random.Generator


def truncated(data: bytes, rng: Rng) -> bytes:
    """Cut the file off at a random place."""
    return data[: int(rng.integers(len(data)))]


def flipped(data: bytes, rng: Rng) -> bytes:
    """Change 1 to 50 bytes anywhere."""
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 51))):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def header_flipped(data: bytes, rng: Rng) -> bytes:
    """Change a few bytes of the header."""
    changed = bytearray(data)
    for place in rng.integers(min(len(data), HEADER_BYTES), size=int(rng.integers(1, 9))):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def block_inserted(data: bytes, rng: Rng) -> bytes:
    """Insert random bytes."""
    place = int(rng.integers(len(data)))
    return data[:place] + rng.bytes(int(rng.integers(1, 600))) + data[place:]


def block_deleted(data: bytes, rng: Rng) -> bytes:
    """Leave a block out."""
    place = int(rng.integers(len(data)))
    return data[:place] + data[place + int(rng.integers(1, 600)) :]


def block_zeroed(data: bytes, rng: Rng) -> bytes:
    """Set a block to zero."""
    place = int(rng.integers(len(data)))
    length = min(int(rng.integers(1, 600)), len(data) - place)
    return data[:place] + bytes(length) + data[place + length :]


def emptied(data: bytes, rng: Rng) -> bytes:
    """Leave nothing."""
    return b""


def swapped(data: bytes, rng: Rng) -> bytes:
    """Put another format's content in its place."""
    content = healthy(str(rng.choice(list(FORMATS))), str(rng.choice(("image", "mask"))))
    return content[str(rng.choice(list(content)))]


ANYWHERE: tuple[Callable[[bytes, Rng], bytes], ...] = (
    truncated, flipped, header_flipped, block_inserted, block_deleted, block_zeroed,
)  # fmt: skip

WHOLE_NUMBERS = {
    "B": (0, 1, 2, 3, 16, 64, 127, 255),
    "H": (0, 1, 7, 255, 4096, 32767, 65535),
    "I": (0, 1, 65536, 100_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1),
}
REAL_NUMBERS = (0.0, -1.0, 1e-38, 1e-20, 1e-5, 1e5, 1e20, 3e38, float("nan"), float("inf"))
TEXT_NUMBERS = (
    "0", "-1", "1", "7", "65536", "99999", "2147483647", "2147483648", "4294967295", "99999999999",
    "18446744073709551615", "1e-30", "1e30", "1e300", "1e-300", "nan", "inf", "-0.5",
)  # fmt: skip


def numbers_replaced(data: bytes, rng: Rng, suffix: str) -> bytes:
    """Overwrite one to three of the header's numbers: sizes, pixel sizes, types and lengths."""
    for _ in range(int(rng.integers(1, 4))):
        data = one_text_number(data, rng) if suffix in TEXT_HEADERS else one_number(data, rng, suffix)
    return with_checksum(data) if suffix == ".png" else data


def one_text_number(data: bytes, rng: Rng) -> bytes:
    """Put an impossible number in the place of one in a header of text."""
    header = re.split(rb"\n\n|LOCAL", data[:HEADER_BYTES])[0]
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", header))
    if not found:
        return data
    one = found[int(rng.integers(len(found)))]
    return data[: one.start()] + str(rng.choice(TEXT_NUMBERS)).encode() + data[one.end() :]


def one_number(data: bytes, rng: Rng, suffix: str) -> bytes:
    """Put an impossible number in the place of one in a binary header."""
    places = [place for place in PLACES[suffix](data) if place[0] + struct.calcsize(place[1]) <= len(data)]
    if not places:
        return data
    place, kind = places[int(rng.integers(len(places)))]
    if kind.endswith("s"):
        return one_decimal(data, place, struct.calcsize(kind), rng)
    changed = bytearray(data)
    numbers = REAL_NUMBERS if kind[-1] == "f" else WHOLE_NUMBERS[kind[-1].upper()]
    number = numbers[int(rng.integers(len(numbers)))]
    if kind[-1] in "hi":
        bits = 8 * struct.calcsize(kind)
        number = (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    struct.pack_into(kind, changed, place, number)
    return bytes(changed)


Places = Iterable[tuple[int, str]]


def one_decimal(data: bytes, place: int, length: int, rng: Rng) -> bytes:
    """Put an impossible number among those that a short DICOM element has as text."""
    parts = data[place : place + length].split(b"\\")
    parts[int(rng.integers(len(parts)))] = str(rng.choice(TEXT_NUMBERS)).encode()
    text = b"\\".join(parts)
    text += b" " * (len(text) % 2)
    return data[: place - 2] + struct.pack("<H", len(text)) + text + data[place + length :]


def nifti_places(data: bytes) -> Places:
    """Yield where a NIfTI header has numbers: sizes, type, pixel sizes, scale, position and direction."""
    yield from ((40 + 2 * index, "<h") for index in range(8))
    yield from ((place, "<h") for place in (70, 72, 252, 254))
    yield from ((76 + 4 * index, "<f") for index in range(8))
    yield from ((place, "<f") for place in (108, 112, 116, *range(256, 328, 4)))


def png_places(data: bytes) -> Places:
    """Yield where a PNG file has width, height, bits, colour type and the first block's length."""
    return [(16, ">I"), (20, ">I"), (24, ">B"), (25, ">B"), (28, ">B"), (33, ">I")]


def bmp_places(data: bytes) -> Places:
    """Yield where a BMP file has sizes, offsets, bits and colours."""
    return [(place, "<I") for place in (2, 10, 14, 18, 22, 30, 34, 46)] + [(26, "<H"), (28, "<H")]


def tiff_places(data: bytes) -> Places:
    """Yield where a TIFF file has the types, counts and values of its first directory."""
    order = "<" if data[:2] == b"II" else ">"
    yield 4, f"{order}I"
    if len(data) < 8:
        return
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for index in range(min(count, 40)):
        entry = start + 2 + 12 * index
        yield from ((entry, f"{order}H"), (entry + 2, f"{order}H"))
        yield from ((entry + 4, f"{order}I"), (entry + 8, f"{order}I"))


def jpeg_places(data: bytes) -> Places:
    """Yield where a JPEG file has bits, height, width, channels, sampling and the lengths of its parts."""
    for part in re.finditer(rb"\xff([\xc0\xc2\xc4\xda\xdb\xdd\xe0])", data[:2000]):
        yield part.start() + 2, ">H"
        if part[1] in (b"\xc0", b"\xc2"):
            yield from ((part.start() + place, ">H") for place in (5, 7))
            yield from ((part.start() + place, ">B") for place in (4, 9, 11, 12))


def dicom_places(data: bytes) -> Places:
    """Yield where a DICOM file has numbers, as number or text, and the lengths of elements."""
    pattern = rb"[\x06\x08\x18\x20\x28\x62][\x00\x30]..(US|UL|DS|IS|FD|SQ|OW|OB)"
    for element in re.finditer(pattern, data, re.DOTALL):
        kind, start = element[1], element.end()
        if kind in (b"SQ", b"OW", b"OB"):
            yield start + 2, "<I"
            continue
        yield start, "<H"
        if start + 2 > len(data):
            continue
        (length,) = struct.unpack_from("<H", data, start)
        if kind == b"US":
            yield start + 2, "<H"
        elif kind == b"UL":
            yield start + 2, "<I"
        elif 0 < length < 200:
            yield start + 2, f"{length}s"


PLACES: dict[str, Callable[[bytes], Places]] = {
    ".nii": nifti_places,
    ".png": png_places,
    ".jpg": jpeg_places,
    ".tif": tiff_places,
    ".bmp": bmp_places,
    ".dcm": dicom_places,
}


def with_checksum(data: bytes) -> bytes:
    """Return a PNG file whose header's checksum fits again."""
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:] if len(data) > 33 else data


def corrupted(name: str, role: str, number: int, seed: int, which: str) -> tuple[Content, str]:
    """Return the corrupted image or mask (``which``) of a number, and how it was corrupted."""
    content = dict(healthy(name, which))
    rng = np.random.default_rng([seed, list(FORMATS).index(name), ROLES.index(role), number])
    files = list(content)
    # Of a header and its pixels, most can be done to the header.
    to_header = len(files) == 2 and (role == "both" or rng.random() < 0.7)
    file = files[0] if to_header else files[int(rng.integers(len(files)))]
    suffix, data = Path(file).suffix, content[file]
    inner = suffix == ".gz" and (role == "both" or rng.random() < 0.7)
    if inner:
        suffix, data = ".nii", gzip.decompress(data)
    kind = float(rng.random())
    if role == "both" or (kind < 0.3 and (suffix in PLACES or suffix in TEXT_HEADERS)):
        changed, how = numbers_replaced(data, rng, suffix), "numbers replaced"
    else:
        change = (
            ANYWHERE[int(rng.integers(len(ANYWHERE)))] if kind < 0.94 else emptied if kind < 0.95 else swapped
        )
        changed, how = change(data, rng), change.__name__
    content[file] = gzip.compress(changed, 6, mtime=0) if inner else changed
    return content, f"{file} {how}"


# Checking


@dataclass(frozen=True)
class Outcome:
    """What became of the corrupted files of one format in one role.

    ``decisions`` counts passed, repaired and excluded patients, those by their code; ``deaths`` and
    ``escaped`` (tracebacks) are by the file's number, ``longest`` is the number and seconds of the
    slowest; ``memory`` is the reading process's peak in bytes.
    """

    name: str
    role: str
    files: int
    decisions: Counter[str]
    deaths: dict[int, str]
    escaped: dict[int, str]
    longest: tuple[int, float]
    memory: int
    seconds: float
    healthy_rows_changed: bool

    def line(self) -> str:
        """Return the outcome as a line of the table."""
        excluded = {code: count for code, count in self.decisions.items() if code not in ("pass", "repaired")}
        codes = ", ".join(f"{code} {count}" for code, count in sorted(excluded.items()))
        passed, repaired = self.decisions["pass"], self.decisions["repaired"]
        return (
            f"{self.name:<15}{self.role:<6}{self.files:>6}{passed:>7}{repaired:>9}{sum(excluded.values()):>9}"
            f"{len(self.deaths):>6}{len(self.escaped):>8}{self.longest[1]:>8.2f}{self.memory / 2**20:>8.0f}"
            f"{self.seconds:>8.1f}  {codes}"
        )

    def problems(self, most_seconds: float) -> list[str]:
        """Return what is wrong with how the files were dealt with."""
        found = [f"file {number}: {text.splitlines()[-1]}" for number, text in self.escaped.items()]
        if self.longest[1] > most_seconds:
            found.append(f"file {self.longest[0]} took {self.longest[1]:.1f} s")
        if self.memory > MOST_MEMORY:
            found.append(f"memory reached {self.memory / 2**30:.2f} GiB")
        if self.healthy_rows_changed:
            found.append("the healthy patient's rows changed")
        return [f"{self.name} as {self.role}: {problem}" for problem in found]


HEADER = (
    f"{'format':<15}{'as':<6}{'files':>6}{'passed':>7}{'repaired':>9}{'excluded':>9}{'died':>6}{'escaped':>8}"
    f"{'longest':>8}{'MiB':>8}{'s':>8}  excluded by code"
)


@dataclass
class Note:
    """What happened to one item: seconds, why its process died, the traceback of an exception."""

    seconds: float
    died: str = ""
    escaped: str = ""


class Escaped(str):
    """The traceback of an exception that would have ended the check."""


def watching(notes: list[Note]) -> type[guard.Guarded[Any, Any]]:
    """Return a guard that takes a note of every item, and goes on after exceptions."""

    class Watching(guard.Guarded[Any, Any]):
        def __init__(self, work: Callable[[Any], Any], size: Callable[[Any], int]) -> None:
            def caught(item: Any) -> Any:
                try:
                    return work(item)
                except Exception as error:
                    if guard.wants_memory(error):
                        raise
                    return Escaped(traceback.format_exc())

            super().__init__(caught, size)

        def over(self, items: Iterable[Any]) -> Iterator[Any]:
            started = time.perf_counter()
            for result in super().over(items):
                note = Note(time.perf_counter() - started)
                notes.append(note)
                if isinstance(result, guard.Died):
                    note.died = result.reason
                if isinstance(result, Escaped):
                    note.escaped = str(result)
                    result = guard.Died("an exception escaped")
                yield result
                started = time.perf_counter()

    return Watching


def check_format(name: str, role: str, numbers: Sequence[int], seed: int) -> Outcome:
    """Check the corrupted files of these numbers together with a healthy patient."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        well = healthy_rows(name, folder)
        alone = qc.check_rows(well, CONTROL, folder / "alone")
        bad = [corrupted_rows(name, role, number, seed, folder) for number in numbers]
        notes: list[Note] = []
        original, qc.Guarded = qc.Guarded, watching(notes)  # type: ignore[misc]
        try:
            report = qc.check_rows([row for rows in [*bad, well] for row in rows], CONTROL, folder / "kept")
        finally:
            qc.Guarded = original  # type: ignore[misc]
        changed = facts_of(alone, folder / "alone") != facts_of(report, folder / "kept")
    assert len(notes) == len(numbers) + 1
    by_number = dict(zip(numbers, notes, strict=False))
    slowest = max(by_number, key=lambda number: by_number[number].seconds)
    return Outcome(
        name,
        role,
        len(numbers),
        decisions_of(report),
        {number: note.died for number, note in by_number.items() if note.died},
        {number: note.escaped for number, note in by_number.items() if note.escaped},
        (slowest, by_number[slowest].seconds),
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        time.perf_counter() - started,
        changed,
    )


def healthy_rows(name: str, folder: Path) -> list[dict[str, str]]:
    """Write a healthy patient; returns the rows of the manifest."""
    image = put(healthy(FORMATS[name].partner or name, "image"), folder / "well")
    mask = put(healthy(name, "mask"), folder / "well")
    return manifest("healthy", image, mask, breast_file(name, folder))


def corrupted_rows(name: str, role: str, number: int, seed: int, folder: Path) -> list[dict[str, str]]:
    """Write a patient with one corrupted file; returns the rows of the manifest."""
    image = folder / "well" / opened(healthy(FORMATS[name].partner or name, "image"))
    mask = folder / "well" / opened(healthy(name, "mask"))
    if role != "mask":
        image = put(corrupted(name, role, number, seed, "image")[0], folder / f"{number}")
    if role != "image":
        mask = put(corrupted(name, role, number, seed, "mask")[0], folder / f"{number}")
    return manifest(f"{number}", image, mask, breast_file(name, folder) if number % 2 else None)


def breast_file(name: str, folder: Path) -> Path:
    """Write a breast mask for a format's images; returns its path."""
    volume = FORMATS[name].volume
    path = folder / "breast.mha"
    if not path.exists():
        with_itk(lambda volume: breast(volume).astype(np.uint8), volume, True)(path)
    return path


def manifest(patient: str, image: Path, mask: Path, breast_mask: Path | None) -> list[dict[str, str]]:
    """Return a patient's rows: an outline by two raters, and a breast where there is one."""
    lesion_row = {
        "patient_id": patient, "image_id": "1", "timepoint": "baseline", "modality": "MRI", "series": "t1",
        "view": "na", "image": "any", "image_path": str(image), "mask_path": str(mask),
        "mask_role": "tumour", "rater": "1", "lesion": "1", "label": "",
        "pixel_spacing_x_mm": "0.5", "pixel_spacing_y_mm": "0.6", "slice_thickness_mm": "2",
    }  # fmt: skip
    rows = [lesion_row, lesion_row | {"rater": "2"}]
    if breast_mask:
        rows.append(lesion_row | {"mask_role": "breast", "mask_path": str(breast_mask)})
    return rows


def decisions_of(report: qc.Report) -> Counter[str]:
    """Count what became of the corrupted patients' first outline; excluded ones by their first code."""
    codes: dict[object, str] = {}
    for found in report.findings:
        if found["action"] == "exclude" and (found["rater"], found["mask_role"]) == ("1", "tumour"):
            codes.setdefault(found["patient_id"], str(found["code"]))
    return Counter(
        codes.get(row["patient_id"], str(row["decision"]))
        for row in report.masks
        if row["patient_id"] != "healthy" and (row["rater"], row["mask_role"]) == ("1", "tumour")
    )


def facts_of(report: qc.Report, folder: Path) -> tuple[str, list[bytes]]:
    """Return the healthy patient's rows of all tables, and the masks written."""
    tables = vars(report).values()
    rows = [row for table in tables for row in table if row["patient_id"] == "healthy"]
    files = [str(row["mask_file"]) for row in rows if row.get("mask_file")]
    return repr(rows), [(folder / file).read_bytes() for file in files]


def check_quietly(name: str, role: str, numbers: Sequence[int], seed: int) -> Outcome:
    """Check without what libraries print of damaged files."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return check_format(name, role, numbers, seed)


def described(name: str, role: str, number: int, seed: int) -> str:
    """Return how a file was corrupted."""
    return corrupted(name, role, number, seed, "mask" if role == "mask" else "image")[1]


def main() -> int:
    """Check every format and print the table; returns 1 when something is wrong."""
    parser = argparse.ArgumentParser(description="Check quality control on corrupted files.")
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("formats", nargs="*", default=list(FORMATS), help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="that one file may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, help="check this file alone")
    given = parser.parse_args()
    numbers = range(given.count) if given.number is None else [given.number]
    problems: list[str] = []
    print(HEADER)
    # A process of its own for each, so that memory is told apart.
    context = multiprocessing.get_context("spawn")
    for name in given.formats:
        for role in ROLES if FORMATS[name].image else ROLES[:2]:
            with ProcessPoolExecutor(1, context) as pool:
                outcome = pool.submit(check_quietly, name, role, numbers, given.seed).result()
            print(outcome.line(), flush=True)
            problems += outcome.problems(given.seconds)
            for number, reason in outcome.deaths.items():
                print(f"    file {number} ({described(name, role, number, given.seed)}): {reason}")
            if given.number is not None:
                print(*outcome.escaped.values(), sep="\n")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
