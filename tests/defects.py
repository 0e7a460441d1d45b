"""Planted defects: SYNTHETIC patients of every format, each with one fault; run, it writes docs/defects.md.

A patient is drawn from its name alone and is healthy but for the fault, so that whatever quality control
finds is that fault.
"""

import gzip
import json
import multiprocessing
import os
import runpy
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import highdicom
import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes as terms
from scipy import ndimage
from skimage.measure import find_contours
from test_dicom import dataset, enhanced, placed, write, write_series
from test_segmentation import write_contours

from annulus.config import problems
from annulus.simulation.noise import power_law_texture
from annulus.tables import read_csv, write_csv

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "defects.md"

FORMATS = {
    "nii": "NIfTI",
    "nii.gz": "NIfTI, compressed",
    "nrrd": "NRRD",
    "mha": "MetaImage, .mha",
    "mhd": "MetaImage, .mhd and .raw",
    "png": "PNG",
    "jpg": "JPEG",
    "tif": "TIFF",
    "bmp": "BMP",
    "dicom": "DICOM, one file",
    "series": "DICOM series",
    "enhanced": "DICOM, multi-frame",
    "seg": "DICOM series, SEG",
    "rtstruct": "DICOM series, RTSTRUCT",
    "vgg": "PNG, polygons (CSV)",
}
VOLUMES = ("nii", "nii.gz", "nrrd", "mha", "mhd")
PICTURES = ("png", "jpg", "tif", "bmp")
FLAT = (*PICTURES, "dicom", "vgg")

VOXEL_MM = (1.0, 1.0, 2.0)
ORIGIN_MM = (-20.0, 10.0, 5.0)

# Stand in headers, and must stand in no output.
NAME, BIRTH_DATE = "Verylongname^Erika", "19560413"

# Settings under which every check has something to say.
SETTINGS = {
    "imageType": {"LoG": {"sigma": [1.0]}},
    "setting": {"binWidth": 2, "resampledPixelSpacing": [1, 1, 1]},
}

Row = dict[str, str]
Plant = Callable[[Path, str], list[Row]]
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Defect:
    """A fault in one format, and what quality control must make of it.

    ``codes`` and ``decision`` are those of the tumour's masks, ``breast_codes`` those of a breast mask.
    Every one of ``says`` stands in the message, and the name of the file that ``names`` (a column of the
    manifest). ``plant`` writes the patient and returns its manifest rows; ``diameter_mm`` is recorded.
    """

    fault: str
    format: str
    codes: tuple[str, ...]
    decision: str
    says: tuple[str, ...]
    plant: Plant = field(repr=False)
    names: str = ""
    breast_codes: tuple[str, ...] = ()
    diameter_mm: float | None = None

    @property
    def patient(self) -> str:
        """Return the patient's name, which is that of the fault and the format."""
        return "-".join("".join(c if c.isalnum() else " " for c in f"{self.fault} {self.format}").split())


# --- healthy patients ----------------------------------------------------------------------------


def grey_of(patient: str, dimensions: int) -> np.ndarray:
    """Draw an image, 80 x 96 pixels (uint8) or 10 x 32 x 36 voxels (int16), unlike every other patient's."""
    rng = np.random.default_rng(zlib.crc32(patient.encode()))
    shape = (80, 96) if dimensions == 2 else (10, 32, 36)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 0.8)
    texture = power_law_texture(rng, shape, 3.0) + 0.3 * noise / noise.std()
    if dimensions == 2:
        return np.clip(np.round(120 + 22 * texture), 25, 230).astype(np.uint8)
    return np.round(300 + 45 * texture).astype(np.int16)


def lesion(dimensions: int) -> np.ndarray:
    """Draw a round lesion in the middle, 29 pixels across, or 17 voxels and 6 slices."""
    if dimensions == 2:
        rows, columns = np.ogrid[:80, :96]
        return (rows - 40) ** 2 + (columns - 48) ** 2 <= 14**2
    slices, rows, columns = np.ogrid[:10, :32, :36]
    return ((slices - 4.5) / 3) ** 2 + ((rows - 16) / 8) ** 2 + ((columns - 18) / 8) ** 2 <= 1.05


def row_of(patient: str, image: object, mask: object, **more: str) -> Row:
    """Return a row of the image manifest."""
    return {
        "patient_id": patient, "image_id": f"{patient}_1", "timepoint": "baseline", "modality": "US",
        "series": "bmode", "view": "na", "image": "us", "image_path": str(image), "mask_path": str(mask),
        "mask_role": "tumour", "rater": "1", "lesion": "1", "label": "", "series_uid": "",
        "pixel_spacing_x_mm": "", "pixel_spacing_y_mm": "", "slice_thickness_mm": "", **more,
    }  # fmt: skip


GIVEN_MM = {"pixel_spacing_x_mm": "0.5", "pixel_spacing_y_mm": "0.5"}


def save(path: Path, array: np.ndarray, spacing: Sequence[float] = (), **metadata: str) -> Path:
    """Write an array by SimpleITK; a volume has the healthy geometry, a picture none."""
    image = sitk.GetImageFromArray(array, isVector=array.shape[-1] in (3, 4))
    if image.GetDimension() == 3:
        image.SetSpacing(spacing or VOXEL_MM)
        image.SetOrigin(ORIGIN_MM)
    elif spacing:
        image.SetSpacing(spacing)
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


@cache
def series_headers() -> tuple[bytes, ...]:
    """Return the files of a series with the healthy geometry, by slice, up to their pixels."""
    blank = np.zeros((10, 32, 36), np.int16)
    with tempfile.TemporaryDirectory() as folder:
        files = write_series(Path(folder), blank, VOXEL_MM, ORIGIN_MM, SliceThickness="2")
        return tuple(file.read_bytes()[: -blank[0].nbytes] for file in files)


def save_series(folder: Path, volume: np.ndarray, **elements: Any) -> Path:
    """Write a volume as a series with the healthy geometry."""
    if elements:
        write_series(folder, volume, VOXEL_MM, ORIGIN_MM, SliceThickness="2", **elements)
        return folder
    folder.mkdir(parents=True)
    for index, (header, values) in enumerate(zip(series_headers(), volume, strict=True)):
        (folder / f"slice{index:03}.dcm").write_bytes(header + values.tobytes())
    return folder


def save_enhanced(path: Path, volume: np.ndarray, **elements: Any) -> Path:
    """Write a volume as one multi-frame file with the healthy geometry."""
    positions = [np.add(ORIGIN_MM, (0, 0, 2 * index)) for index in range(len(volume))]
    return write(path, enhanced(volume, positions, spacing=(1.0, 1.0), **elements))


def save_one(path: Path, pixels: np.ndarray, **elements: Any) -> Path:
    """Write a picture as one DICOM ultrasound image."""
    elements = {"PixelSpacing": [0.5, 0.5], **elements}
    return write(path, dataset(pixels, uid.UltrasoundImageStorage, "US", **elements))


def save_segments(path: Path, series: Path, masks: Mapping[str, np.ndarray]) -> Path:
    """Write masks by name as the segments of a SEG upon a series."""
    descriptions = [
        highdicom.seg.SegmentDescription(
            number, name, terms.SCT.MorphologicallyAbnormalStructure, terms.SCT.Neoplasm, "MANUAL"
        )
        for number, name in enumerate(masks, 1)
    ]
    made = highdicom.seg.Segmentation(
        [dcmread(file) for file in sorted(series.iterdir())],
        np.stack([mask.astype(np.uint8) for mask in masks.values()], axis=-1),
        "BINARY", descriptions, uid.generate_uid(), 9, uid.generate_uid(), 1, "none", "none", "0", "0",
    )  # fmt: skip
    made.save_as(path)
    return path


def outlines(inside: np.ndarray) -> list[np.ndarray]:
    """Return the contours (x, y) of a flat mask, halfway between pixels inside and outside."""
    return [contour[:-1, ::-1] - 1 for contour in find_contours(np.pad(inside, 1).astype(float), 0.5)]


def contours_of(inside: np.ndarray) -> list[np.ndarray]:
    """Return the contours of a mask of the healthy geometry, slice by slice, as points in mm."""
    return [
        np.column_stack([points * VOXEL_MM[:2] + ORIGIN_MM[:2], np.full(len(points), 2.0 * z + ORIGIN_MM[2])])
        for z, flat in enumerate(inside)
        for points in outlines(flat)
    ]


def save_polygons(path: Path, image: str, inside: np.ndarray) -> Path:
    """Write a flat mask as the VGG Image Annotator does."""
    shapes = [
        {"name": "polygon", "all_points_x": x.tolist(), "all_points_y": y.tolist()}
        for x, y in (points.T for points in outlines(inside))
    ]
    rows = [
        {"filename": image, "region_id": number, "region_shape_attributes": json.dumps(shape)}
        for number, shape in enumerate(shapes)
    ]
    pd.DataFrame(rows, columns=["filename", "region_id", "region_shape_attributes"]).to_csv(path, index=False)
    return path


def healthy(folder: Path, form: str, grey: np.ndarray, inside: np.ndarray) -> Row:
    """Write an image and a mask in a format; returns what the manifest says of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    mask = inside if inside.dtype != bool else inside.astype(np.uint8)
    if form in VOLUMES:
        files = save(folder / f"image.{form}", grey), save(folder / f"mask.{form}", mask)
    elif form in PICTURES:
        bright = mask if mask.max() > 1 else 255 * mask
        files = save(folder / f"image.{form}", grey), save(folder / f"mask.{form}", bright)
    elif form == "dicom":
        files = save_one(folder / "image.dcm", grey), save(folder / "mask.png", 255 * mask)
    elif form == "series":
        files = save_series(folder / "series", grey), save(folder / "mask.nrrd", mask)
    elif form == "enhanced":
        files = save_enhanced(folder / "image.dcm", grey), save(folder / "mask.nrrd", mask)
    elif form == "seg":
        series = save_series(folder / "series", grey)
        files = series, save_segments(folder / "seg.dcm", series, {"Tumour": inside > 0})
    elif form == "rtstruct":
        regions = [("Tumour", contours_of(inside > 0))]
        files = save_series(folder / "series", grey), write_contours(folder / "rtstruct.dcm", regions)
    else:
        files = save(folder / "image.png", grey), save_polygons(folder / "via.csv", "image.png", inside > 0)
    given = GIVEN_MM if form in (*PICTURES, "vgg") else {}
    return {"image_path": str(files[0]), "mask_path": str(files[1]), **given}


def made(
    form: str,
    image: Change | None = None,
    mask: Callable[[np.ndarray], np.ndarray] | None = None,
    files: Callable[[Row], object] | None = None,
    **more: str,
) -> Plant:
    """Return how to write a patient whose image, mask, written files or manifest row is changed."""

    def plant(folder: Path, patient: str) -> list[Row]:
        dimensions = 2 if form in FLAT else 3
        inside = lesion(dimensions)
        inside = inside if mask is None else mask(inside)
        grey = grey_of(patient, dimensions)
        grey = grey if image is None else image(grey, inside > 0)
        row = row_of(patient, "", "") | healthy(folder / patient, form, grey, inside)
        if files is not None:
            files(row)
        return [row | more]

    return plant


def with_breast(form: str, region: np.ndarray) -> Plant:
    """Return how to write a patient with a breast mask besides; ``region`` is broadcast to the image."""

    def plant(folder: Path, patient: str) -> list[Row]:
        (row,) = made(form)(folder, patient)
        breast = np.broadcast_to(region, lesion(2).shape).astype(np.uint8) * 255
        path = save(folder / patient / "breast.png", breast)
        return [row, row | {"mask_role": "breast", "mask_path": str(path)}]

    return plant


# --- damage to files -----------------------------------------------------------------------------


def pixels_of(path: Path) -> Path:
    """Return the file that holds the pixels: that beside a detached header, or the middle slice."""
    if path.is_dir():
        return sorted(path.iterdir())[5]
    return path.with_suffix(".raw") if path.suffix == ".mhd" else path


def cut_short(key: str) -> Callable[[Row], None]:
    """Return how to cut the file at 60 % of its length."""

    def damage(row: Row) -> None:
        path = pixels_of(Path(row[key]))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    return damage


def overwritten(key: str, content: bytes) -> Callable[[Row], None]:
    """Return how to put something else in the file's place."""

    def damage(row: Row) -> None:
        path = Path(row[key])
        (pixels_of(path) if path.is_dir() else path).write_bytes(content)

    return damage


def removed(key: str) -> Callable[[Row], None]:
    """Return how to remove the file or folder."""

    def damage(row: Row) -> None:
        path = Path(row[key])
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return damage


def swollen(key: str) -> Callable[[Row], None]:
    """Return how to make the file's header claim some 30000 pixels along every axis."""

    def damage(row: Row) -> None:
        path = Path(row[key])
        held = bytearray(path.read_bytes())
        kind = "".join(path.suffixes)
        if kind in (".nii", ".nii.gz"):
            held = bytearray(gzip.decompress(held)) if kind == ".nii.gz" else held
            held[42:48] = struct.pack("<3h", 30000, 30000, 30000)
            held = bytearray(gzip.compress(held, mtime=0)) if kind == ".nii.gz" else held
        elif kind == ".png":
            held[16:24] = struct.pack(">2I", 30000, 30000)
            held[29:33] = struct.pack(">I", zlib.crc32(held[12:29]))
        elif kind == ".bmp":
            held[18:26] = struct.pack("<2i", 30000, 30000)
        elif kind == ".jpg":
            start = next(held.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in held)
            held[start + 5 : start + 9] = struct.pack(">2H", 30000, 30000)
        elif kind == ".tif":
            held = with_tiff_sizes(held, 30000)
        elif kind == ".dcm":
            made = dcmread(path)
            made.Rows = made.Columns = 65535
            made.save_as(path)
            return
        else:
            held = held.replace(b"36 32 10", b"30000 30000 30000")
        path.write_bytes(held)

    return damage


def with_tiff_sizes(held: bytearray, size: int) -> bytearray:
    """Return a little-endian TIFF with another width and height."""
    (directory,) = struct.unpack("<I", held[4:8])
    (count,) = struct.unpack("<H", held[directory : directory + 2])
    changed = held.copy()
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack("<2H", held[entry : entry + 4])
        if tag in (256, 257):
            changed[entry + 8 : entry + 12] = struct.pack("<H2x" if kind == 3 else "<I", size)
    return changed


# --- faults of the image -------------------------------------------------------------------------


def one_value(number: float) -> Change:
    """Return how to put one value that is not finite into a corner of an image."""

    def change(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
        changed = grey.astype(np.float32)
        changed[(1,) * grey.ndim] = number
        return changed

    return change


def level(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Give every pixel the same value."""
    return np.full_like(grey, 77)


def saturated(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Cut the brightest fifth of the lesion off."""
    return np.minimum(grey, np.quantile(grey[inside], 0.8).astype(grey.dtype))


def faint(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Leave four neighbouring grey values in the lesion."""
    return np.where(inside, 118 + grey % 4, grey).astype(grey.dtype)


def stretched(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Leave a wide range of grey values unnormalised."""
    return (10 * grey.astype(np.int16)).astype(np.int16)


def black_beside(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Make all from the middle of the lesion on black, as beside the body."""
    columns = np.arange(grey.shape[-1])
    return np.where(columns < grey.shape[-1] // 2, grey, 0).astype(grey.dtype)


def with_callipers(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Draw a cross on the left and the right edge of the lesion."""
    picture = Image.fromarray(grey)
    pen = ImageDraw.Draw(picture)
    for x, y in ((34, 40), (62, 40)):
        pen.line((x - 5, y, x + 5, y), fill=255)
        pen.line((x, y - 5, x, y + 5), fill=255)
    return np.asarray(picture)


def with_caption(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Write what might be a name above the lesion."""
    picture = Image.fromarray(grey)
    ImageDraw.Draw(picture).text((6, 4), "ERIKA 1956", fill=255, font=ImageFont.load_default(12))
    return np.asarray(picture)


# --- faults of the mask --------------------------------------------------------------------------


def empty(inside: np.ndarray) -> np.ndarray:
    """Take everything away."""
    return np.zeros_like(inside)


def cube(inside: np.ndarray, side: int) -> np.ndarray:
    """Return a cube or square of so many pixels in the middle."""
    found = np.zeros_like(inside)
    found[tuple(slice(n // 2 - side // 2, n // 2 - side // 2 + side) for n in inside.shape)] = True
    return found


def in_parts(inside: np.ndarray) -> np.ndarray:
    """Add a second part above on the left."""
    found = inside.copy()
    corner = slice(10, 15) if inside.ndim == 2 else slice(5, 8)
    found[(*[slice(4, 6)] * (inside.ndim - 2), corner, corner)] = True
    return found


def hollow(inside: np.ndarray) -> np.ndarray:
    """Take 3 pixels along every axis out of the middle."""
    return inside & ~cube(inside, 3)


def ragged(inside: np.ndarray) -> np.ndarray:
    """Take a few pixels off both ends of every second row."""
    width = 11 if inside.ndim == 2 else 7
    trimmed = ndimage.binary_erosion(inside, np.ones((*[1] * (inside.ndim - 1), width)))
    rows = (np.arange(inside.shape[-2]) % 2 == 1)[:, None]
    return np.where(rows, trimmed, inside)


def in_one_slice(inside: np.ndarray) -> np.ndarray:
    """Leave the middle slice."""
    found = np.zeros_like(inside)
    found[5] = inside[5]
    return found


def moved(gap: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return how to move a lesion to so many pixels from the left edge."""

    def change(inside: np.ndarray) -> np.ndarray:
        first = int(np.flatnonzero(inside.any(axis=tuple(range(inside.ndim - 1))))[0])
        return np.roll(inside, gap - first, axis=-1)

    return change


def in_labels(inside: np.ndarray) -> np.ndarray:
    """Give the right half the label 2."""
    right = np.arange(inside.shape[-1]) >= inside.shape[-1] // 2
    return (inside * np.where(right, 2, 1)).astype(np.uint8)


def of_probability(inside: np.ndarray) -> np.ndarray:
    """Make the mask a map of probability, as a network gives it."""
    blurred = ndimage.gaussian_filter(inside.astype(np.float32), (*[0.0] * (inside.ndim - 2), 1.5, 1.5))
    return np.where(blurred > 0.2, np.round(blurred, 2), 0)


def not_a_number(inside: np.ndarray) -> np.ndarray:
    """Make the background NaN."""
    return np.where(inside, 1, np.nan).astype(np.float32)


def on_grid(change: Callable[[sitk.Image], sitk.Image]) -> Callable[[Row], None]:
    """Return how to save the mask again on another grid."""

    def damage(row: Row) -> None:
        sitk.WriteImage(change(sitk.ReadImage(row["mask_path"])), row["mask_path"])

    return damage


def elsewhere(origin: Sequence[float]) -> Callable[[sitk.Image], sitk.Image]:
    """Return how to move a mask so that it begins at ``origin``."""

    def change(mask: sitk.Image) -> sitk.Image:
        mask.SetOrigin(origin)
        return mask

    return change


def turned(mask: sitk.Image) -> sitk.Image:
    """Turn a mask by a quarter about its corner."""
    mask.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return mask


def coarser(mask: sitk.Image) -> sitk.Image:
    """Draw the mask anew with pixels twice as long, over the same place."""
    size = [n // 2 for n in mask.GetSize()]
    spacing = [2 * length for length in mask.GetSpacing()]
    origin = [start + length / 2 for start, length in zip(mask.GetOrigin(), mask.GetSpacing(), strict=True)]
    return sitk.Resample(mask, size, sitk.Transform(), sitk.sitkNearestNeighbor, origin, spacing)


# --- patients of one kind alone ------------------------------------------------------------------


def image_by(write_image: Callable[[Path, np.ndarray], Path], dimensions: int = 3, **more: str) -> Plant:
    """Return how to write a patient whose image is written in a way of its own, with a healthy mask."""

    def plant(folder: Path, patient: str) -> list[Row]:
        image = write_image(folder / patient, grey_of(patient, dimensions))
        kind, mask = ("nrrd", 1) if dimensions == 3 else ("png", 255)
        path = save(folder / patient / f"mask.{kind}", (mask * lesion(dimensions)).astype(np.uint8))
        return [row_of(patient, image, path, **more)]

    return plant


def in_one_folder(folder: Path, parts: Iterable[tuple[np.ndarray, dict[str, Any]]]) -> Path:
    """Write several series, each a volume and its header elements, into one folder."""
    (folder / "series").mkdir(parents=True)
    for index, (volume, elements) in enumerate(parts):
        for file in sorted(save_series(folder / f"part{index}", volume, **elements).iterdir()):
            file.rename(folder / "series" / f"{index}{file.name}")
        (folder / f"part{index}").rmdir()
    return folder / "series"


def two_series(folder: Path, volume: np.ndarray) -> Path:
    """Write a series and the start of another."""
    uids = [{"SeriesInstanceUID": f"1.9.{number}", "SeriesNumber": number} for number in (1, 2)]
    return in_one_folder(folder, zip((volume, volume[:3] + 1), uids, strict=True))


def two_phases(folder: Path, volume: np.ndarray) -> Path:
    """Write two phases of one series."""
    numbers = [{"AcquisitionNumber": number} for number in (1, 2)]
    return in_one_folder(folder, zip((volume, volume + 100), numbers, strict=True))


def with_slice(**change: Any) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write a series with one slice more, which differs."""

    def write_image(folder: Path, volume: np.ndarray) -> Path:
        series = save_series(folder / "series", volume)
        elements = placed((-20, 10, 25), spacing=(1.0, 1.0)) | change
        pixels = elements.pop("pixels", volume[0])
        write(series / "slice999.dcm", dataset(pixels, **elements))
        return series

    return write_image


def without_slice(folder: Path, volume: np.ndarray) -> Path:
    """Write a series without its sixth slice."""
    series = save_series(folder / "series", volume)
    (series / "slice005.dcm").unlink()
    return series


def with_copy(folder: Path, volume: np.ndarray) -> Path:
    """Write a series with one file twice."""
    series = save_series(folder / "series", volume)
    (series / "slice005 copy.dcm").write_bytes((series / "slice005.dcm").read_bytes())
    return series


def frames_at(positions: Sequence[Sequence[float]]) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write a multi-frame file with its frames at ``positions``."""

    def write_image(folder: Path, volume: np.ndarray) -> Path:
        frames = volume[: len(positions)]
        return write(folder / "image.dcm", enhanced(frames, positions, spacing=(1.0, 1.0)))

    return write_image


def cine(folder: Path, grey: np.ndarray) -> Path:
    """Write a loop of five frames."""
    made = dataset(grey, uid.UltrasoundMultiFrameImageStorage, "US", NumberOfFrames=5, FrameTime="40")
    made.PixelData = np.repeat(grey[None], 5, axis=0).tobytes()
    return write(folder / "loop.dcm", made)


def segments_as_image(folder: Path, volume: np.ndarray) -> Path:
    """Write a segmentation where the image should be."""
    return save_segments(folder / "seg.dcm", save_series(folder / "series", volume), {"Tumour": lesion(3)})


def contours_as_image(folder: Path, volume: np.ndarray) -> Path:
    """Write contours where the image should be."""
    return write_contours(folder / "rtstruct.dcm", [("Tumour", contours_of(lesion(3)))])


def report_as_image(folder: Path, volume: np.ndarray) -> Path:
    """Write a folder with a structured report alone."""
    made = dataset(volume[0], uid.ComprehensiveSRStorage, "SR")
    del made.PixelData, made.Rows, made.Columns
    write(folder / "series" / "report.dcm", made)
    return folder / "series"


def two_views(folder: Path, grey: np.ndarray) -> Path:
    """Write two mammograms of one series."""
    for view in ("CC", "MLO"):
        made = dataset(grey, uid.DigitalMammographyXRayImageStorageForPresentation, "MG", ViewPosition=view)
        write(folder / "views" / f"{view}.dcm", made)
    return folder / "views"


def with_note(folder: Path, volume: np.ndarray) -> Path:
    """Write a folder that holds a note."""
    (folder / "series").mkdir(parents=True)
    (folder / "series" / "note.txt").write_text("The images follow by post.")
    return folder / "series"


def series_with(**elements: Any) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write a series with header elements."""
    return lambda folder, volume: save_series(folder / "series", volume, **elements)


def one_with(**elements: Any) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write one DICOM image with header elements."""
    return lambda folder, grey: save_one(folder / "image.dcm", grey, **elements)


def enhanced_with(**elements: Any) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write a multi-frame file with header elements."""
    return lambda folder, volume: save_enhanced(folder / "image.dcm", volume, **elements)


def saved_with(kind: str, **metadata: str) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write an image with free metadata."""
    return lambda folder, volume: save(folder / f"image.{kind}", volume, **metadata)


def nifti_with_name(folder: Path, volume: np.ndarray) -> Path:
    """Write a NIfTI file whose ``db_name`` is a name."""
    path = save(folder / "image.nii", volume)
    held = bytearray(path.read_bytes())
    held[14:32] = NAME.encode().ljust(18, b"\0")
    path.write_bytes(held)
    return path


def four_dimensional(kind: str) -> Callable[[Path, np.ndarray], Path]:
    """Return how to write two phases in one file."""

    def write_image(folder: Path, volume: np.ndarray) -> Path:
        folder.mkdir(parents=True)
        image = sitk.JoinSeries([sitk.GetImageFromArray(volume), sitk.GetImageFromArray(volume + 9)])
        sitk.WriteImage(image, str(folder / f"image.{kind}"))
        return folder / f"image.{kind}"

    return write_image


def undecodable(folder: Path, grey: np.ndarray) -> Path:
    """Write a file that says it is JPEG 2000 and is not."""
    path = save_one(folder / "image.dcm", grey)
    made = dcmread(path)
    made.PixelData = encapsulate([b"\xff\xd8 no picture \xff\xd9" * 9])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    made.save_as(path, enforce_file_format=True)
    return path


def mask_by(write_mask: Callable[[Path, str], str | Path], form: str = "series", **more: str) -> Plant:
    """Return how to write a healthy patient but for a mask written in a way of its own.

    ``write_mask`` is given the patient's folder and the image's path.
    """

    def plant(folder: Path, patient: str) -> list[Row]:
        (row,) = made(form)(folder, patient)
        return [row | {"mask_path": str(write_mask(folder / patient, row["image_path"]))} | more]

    return plant


LEFT, RIGHT = np.arange(36) < 18, np.arange(36) >= 18


def two_segments(folder: Path, image: str) -> Path:
    """Write a SEG of two segments."""
    masks = {"Tumour": lesion(3) & LEFT, "Oedema": lesion(3) & RIGHT}
    return save_segments(folder / "two.dcm", Path(image), masks)


def empty_segment(folder: Path, image: str) -> Path:
    """Write a SEG of two segments, the second without a frame."""
    path = two_segments(folder, image)
    made = dcmread(path)
    for group in made.PerFrameFunctionalGroupsSequence:
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
    made.save_as(path)
    return path


def foreign_segment(folder: Path, image: str) -> Path:
    """Write a SEG that was drawn on a series 300 mm away."""
    series = folder / "other"
    write_series(series, grey_of("other", 3), VOXEL_MM, (280, 10, 5), SliceThickness="2")
    return save_segments(folder / "other.dcm", series, {"Tumour": lesion(3)})


def two_contours(folder: Path, image: str) -> Path:
    """Write contours of two regions."""
    regions = [("Tumour", contours_of(lesion(3) & LEFT)), ("Node", contours_of(lesion(3) & RIGHT))]
    return write_contours(folder / "two.dcm", regions)


def points_only(folder: Path, image: str) -> Path:
    """Write a region that is a point."""
    return write_contours(folder / "point.dcm", [("Tumour", [("POINT", [(0, 30, 19)])])])


def between_slices(folder: Path, image: str) -> Path:
    """Write contours halfway between slices."""
    contours = [points + np.array([0, 0, 1]) for points in contours_of(lesion(3))]
    return write_contours(folder / "between.dcm", [("Tumour", contours)])


def of_another_picture(folder: Path, image: str) -> Path:
    """Write polygons drawn on another picture."""
    return save_polygons(folder / "other.csv", "other.png", lesion(2))


def of_two_sizes(folder: Path, image: str) -> str:
    """Write two masks to unite that differ in size."""
    whole, cut = lesion(2).astype(np.uint8) * 255, lesion(2)[:, :90].astype(np.uint8) * 255
    return f"{save(folder / 'a.png', whole)};{save(folder / 'b.png', cut)}"


def one_is_missing(folder: Path, image: str) -> str:
    """Write one of two masks to unite."""
    return f"{save(folder / 'a.png', lesion(2).astype(np.uint8) * 255)};{folder / 'b.png'}"


def flat_for_volume(folder: Path, image: str) -> Path:
    """Write one slice of a mask for a volume."""
    return save(folder / "flat.png", lesion(3)[5].astype(np.uint8) * 255)


def without_columns(folder: Path, image: str) -> Path:
    """Write a table that is none of the annotator's."""
    (folder / "table.csv").write_text("name,shape\nimage.png,round\n")
    return folder / "table.csv"


def raters(form: str, other: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """Return how to write a patient whom two raters outlined."""

    def plant(folder: Path, patient: str) -> list[Row]:
        (first,) = made(form)(folder, patient)
        (second,) = made(form, mask=other)(folder / "second", patient)
        return [first, first | {"rater": "2", "mask_path": second["mask_path"]}]

    return plant


def twins(form: str, other: str) -> Plant:
    """Return how to write an image under two patients, in two formats."""

    def plant(folder: Path, patient: str) -> list[Row]:
        (first,) = made(form)(folder, patient)
        (second,) = made(other)(folder / "twin", patient)
        return [first, second | {"patient_id": f"{patient}-twin", "image_id": f"{patient}-twin_1"}]

    return plant


# --- the table -----------------------------------------------------------------------------------


def across(
    fault: str, formats: Iterable[str], codes: str, decision: str, *says: str, names: str = "", **change: Any
) -> list[Defect]:
    """Return the same fault in several formats; ``change`` is that of ``made``."""
    return [
        Defect(fault, form, tuple(codes.split()), decision, says, made(form, **change), names)
        for form in formats
    ]


def one(fault: str, form: str, codes: str, decision: str, *says: str, plant: Plant, **more: Any) -> Defect:
    """Return one fault in one format."""
    return Defect(fault, form, tuple(codes.split()), decision, says, plant, **more)


def missing_files() -> list[Defect]:
    """Return files that are not there."""
    image, mask = {"names": "image_path"}, {"names": "mask_path"}
    return [
        *across("image is missing", ("nii", "png", "dicom", "series"), "missing_image", "excluded", **image,
                files=removed("image_path")),
        *across("mask is missing", ("nrrd", "png", "seg", "rtstruct", "vgg"), "missing_mask", "excluded",
                **mask, files=removed("mask_path")),
        one("pixels beside the header are missing", "mhd", "unreadable_image", "excluded", **image,
            plant=made("mhd", files=lambda row: pixels_of(Path(row["image_path"])).unlink())),
        one("one of two masks is missing", "png", "missing_mask", "excluded", "b.png",
            plant=mask_by(one_is_missing, "png")),
        one("no mask in the manifest", "png", "missing_mask", "excluded", "manifest",
            plant=made("png", mask_path="")),
        one("folder without DICOM", "series", "no_images", "excluded", "series", plant=image_by(with_note)),
    ]  # fmt: skip


def damaged_files() -> list[Defect]:
    """Return files that were cut short, overwritten, or claim what they cannot hold."""
    out = "excluded"
    found = []
    for kind, forms in (("image", ("dicom",)), ("mask", ("seg", "rtstruct", "vgg"))):
        key, code = f"{kind}_path", f"unreadable_{kind}"
        every = (*VOLUMES, *PICTURES, *forms)
        note = b"This is a note and no image.\n" * 20
        found += across(f"{kind} is text", every, code, out, names=key, files=overwritten(key, note))
        found += across(
            f"{kind} of zero bytes", every, code, out, "empty", names=key, files=overwritten(key, b"")
        )
        found += across(f"{kind} cut short", every, code, out, names=key, files=cut_short(key))
        claiming = (*VOLUMES, *PICTURES, *forms[:1])
        found += across(
            f"{kind} claims absurd size", claiming, "too_large", out, names=key, files=swollen(key)
        )
    return [
        # Of a DICOM image cut short the header can be read.
        *(defect for defect in found if (defect.fault, defect.format) != ("image cut short", "dicom")),
        *across("image cut short", ("dicom", "series", "enhanced"), "undecodable_pixels", out, "cut short",
                files=cut_short("image_path")),
        one("slice of zero bytes", "series", "unreadable_image", out, "slice005.dcm",
            plant=made("series", files=overwritten("image_path", b""))),
        one("image claims absurd size", "series", "too_large", out, "5.6 GiB",
            plant=image_by(series_with(Rows=20000, Columns=15000))),
    ]  # fmt: skip


def faulty_dicom() -> list[Defect]:
    """Return DICOM images that are whole but cannot be used, or say who the patient is."""
    turned_slice = with_slice(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    small_slice = with_slice(pixels=np.zeros((20, 20), np.int16))
    heights = [np.add(ORIGIN_MM, (0, 0, 2 * index)) for index in range(5)]
    out = "excluded"
    return [
        one("several series", "series", "several_series", out, "1.9.1", "1.9.2", plant=image_by(two_series)),
        one("series not in the folder", "series", "no_such_series", out, "1.9.7",
            plant=image_by(two_series, series_uid="1.9.7")),
        one("missing slice", "series", "uneven_slices", out, "4 mm", plant=image_by(without_slice)),
        one("several phases", "series", "several_phases", out, "2 at each", plant=image_by(two_phases)),
        one("several phases", "enhanced", "several_phases", out, "2 at each",
            plant=image_by(frames_at(heights * 2))),
        one("copy of a slice", "series", "several_phases", out, "copies", plant=image_by(with_copy)),
        one("localizer among the slices", "series", "mixed_orientation", out, "90.0 degrees",
            plant=image_by(turned_slice)),
        one("slice of another size", "series", "mixed_orientation", out, "20 x 20",
            plant=image_by(small_slice)),
        one("slice of another pixel size", "series", "mixed_orientation", out, "2 x 2 mm",
            plant=image_by(with_slice(PixelSpacing=[2, 2]))),
        one("cine loop", "dicom", "cine_loop", out, "5 frames", plant=image_by(cine, 2)),
        one("cine loop", "enhanced", "cine_loop", out, "5 frames",
            plant=image_by(frames_at(heights[:1] * 5))),
        one("segmentation as image", "seg", "not_an_image", out, "seg.dcm",
            plant=image_by(segments_as_image)),
        one("contours as image", "rtstruct", "not_an_image", out, "rtstruct.dcm",
            plant=image_by(contours_as_image)),
        one("report as image", "series", "not_an_image", out, "series", plant=image_by(report_as_image)),
        one("two mammograms in a folder", "series", "several_images", out, "2 images",
            plant=image_by(two_views, 2)),
        one("pixels that cannot be decoded", "dicom", "undecodable_pixels", out, "JPEG 2000",
            plant=image_by(undecodable, 2)),
        one("rescaled by nought", "dicom", "unreadable_image", out, "RescaleSlope",
            plant=image_by(one_with(RescaleSlope="0"), 2)),
        one("name in the header", "dicom", "identifying_header", "pass", "PatientName (0010,0010)",
            plant=image_by(one_with(PatientName=NAME), 2)),
        one("birth date in the header", "series", "identifying_header", "pass", "(0010,0030)",
            plant=image_by(series_with(PatientBirthDate=BIRTH_DATE))),
        one("physician in the header", "enhanced", "identifying_header", "pass", "ReferringPhysicianName",
            plant=image_by(enhanced_with(ReferringPhysicianName=NAME))),
        one("header tells of burned-in text", "dicom", "identifying_header", "pass", "BurnedInAnnotation",
            plant=image_by(one_with(BurnedInAnnotation="YES"), 2)),
    ]  # fmt: skip


def faulty_images() -> list[Defect]:
    """Return images of any format that are whole but faulty."""
    no_mm = {"pixel_spacing_x_mm": "", "pixel_spacing_y_mm": ""}
    marked = (*PICTURES, "dicom")
    spacing = "pixel_spacing_x_mm"
    return [
        *across("NaN", (*VOLUMES, "tif"), "not_finite", "excluded", "not finite", image=one_value(np.nan)),
        *across("Inf", ("nii", "nrrd", "mha", "tif"), "not_finite", "excluded", "not finite",
                image=one_value(np.inf)),
        *across("constant image", ("nii", "nrrd", *PICTURES, "dicom", "series", "enhanced"), "constant_image",
                "excluded", "77", image=level),
        *across("unknown pixel size", (*PICTURES, "vgg"), "unknown_spacing", "excluded", spacing, **no_mm),
        one("unknown pixel size", "dicom", "unknown_spacing", "excluded", spacing,
            plant=image_by(one_with(PixelSpacing=None), 2)),
        one("unknown pixel size", "series", "unknown_spacing", "excluded", spacing, "slice_thickness_mm",
            plant=image_by(series_with(PixelSpacing=None))),
        *(one("four dimensions", kind, "unreadable_image", "excluded", "4 dimensions",
              plant=image_by(four_dimensional(kind))) for kind in ("nii", "nrrd")),
        *(one("name in the header", kind, "identifying_header", "pass", "patient_name",
              plant=image_by(saved_with(kind, patient_name=NAME))) for kind in ("nrrd", "mha")),
        one("birth date in the header", "mhd", "identifying_header", "pass", "PatientBirthDate",
            plant=image_by(saved_with("mhd", PatientBirthDate=BIRTH_DATE))),
        one("name in the header", "nii", "identifying_header", "pass", "db_name",
            plant=image_by(nifti_with_name)),
        *across("callipers across the lesion", marked, "burned_in_marks", "pass", "3 pixels",
                image=with_callipers),
        *across("caption", marked, "burned_in_text", "pass", "name or date of birth", image=with_caption),
        *across("saturated", ("nii", "tif", "dicom", "series"), "saturated_region", "pass", "5% allowed",
                image=saturated),
        *across("too few grey levels", ("nii", "bmp", "dicom"), "grey_levels", "pass", "2 grey levels",
                image=faint),
        *across("too many grey levels", ("nii", "series", "enhanced"), "grey_levels", "pass", "8 to 256",
                image=stretched),
        *across("mask half on black", ("nii", "png", "dicom", "series"), "outside_body", "pass", "80% needed",
                image=black_beside),
    ]  # fmt: skip


def faulty_masks() -> list[Defect]:
    """Return masks that are whole but faulty."""
    out = "excluded"
    return [
        *across("empty mask", ("nii", "nrrd", "png", "jpg"), "empty_mask", out, "no voxel", mask=empty),
        *across("empty mask", ("rtstruct", "vgg"), "empty_mask", out, names="mask_path", mask=empty),
        one("empty segment", "seg", "empty_mask", out, "Oedema",
            plant=mask_by(empty_segment, label="Oedema")),
        one("a point alone", "rtstruct", "empty_mask", out, "no closed contour", plant=mask_by(points_only)),
        one("drawn on another picture", "vgg", "empty_mask", out, "image.png",
            plant=mask_by(of_another_picture, "png")),
        one("table without the columns", "vgg", "unreadable_mask", out, "region_shape_attributes",
            plant=mask_by(without_columns, "png")),
        one("polygons for a volume", "vgg", "unreadable_mask", out, "10 slices",
            plant=mask_by(of_another_picture, "nrrd")),
        one("NaN in the mask", "nrrd", "not_finite", out, "not finite",
            plant=made("nrrd", mask=not_a_number)),
        *across("label not there", ("nii", "png"), "wrong_label", out, "'3'", label="3"),
        *across("label by name", ("nrrd",), "wrong_label", out, "'tumour'", label="tumour"),
        one("segment not there", "seg", "wrong_label", out, "'9'", plant=mask_by(two_segments, label="9")),
        one("unknown segment name", "seg", "wrong_label", out, "'Cyst'", "Oedema",
            plant=mask_by(two_segments, label="Cyst")),
        one("unknown region name", "rtstruct", "wrong_label", out, "'GTV'", "Node",
            plant=mask_by(two_contours, label="GTV")),
        one("several segments", "seg", "several_segments", out, "Oedema", plant=mask_by(two_segments)),
        one("several contours", "rtstruct", "several_segments", out, "Node", plant=mask_by(two_contours)),
        *across("several labels", ("nii", "nii.gz", "mha", "tif", "bmp"), "several_labels", out, "2 values",
                mask=in_labels),
        *across("map of probability", ("nii", "nrrd", "tif"), "several_labels", out, "0 and 1",
                mask=of_probability),
        one("image as its own mask", "nrrd", "several_labels touches_border filter_reach", out, "0 and 1",
            plant=mask_by(lambda folder, image: image, "nrrd")),
        one("grid of another size", "png", "grid_mismatch", out, "90 x 80",
            plant=made("png", files=on_grid(lambda mask: mask[:90]))),
        one("grid of another size", "nrrd", "grid_mismatch", "repaired", "30 x 32 x 10",
            plant=made("nrrd", files=on_grid(lambda mask: mask[:30]))),
        *across("grid of another spacing", ("nii", "mha"), "grid_mismatch", "repaired", "2 x 2 x 4 mm",
                files=on_grid(coarser)),
        one("grid of another origin", "nrrd", "grid_mismatch", "repaired", "(-19.3, 10, 5)",
            plant=made("nrrd", files=on_grid(elsewhere((-19.3, 10, 5))))),
        one("grid beside the image", "nii", "grid_mismatch", out, "0%",
            plant=made("nii", files=on_grid(elsewhere((40, 10, 5))))),
        one("grid flipped", "nrrd", "grid_mismatch", "repaired", "turned",
            plant=made("nrrd", files=on_grid(lambda mask: mask[:, ::-1]))),
        one("grid turned by a quarter", "mha", "grid_mismatch", out, "turned",
            plant=made("mha", files=on_grid(turned))),
        one("segments of another scan", "seg", "grid_mismatch", out, "(280, 10, 9)",
            plant=mask_by(foreign_segment)),
        one("contours between slices", "rtstruct", "grid_mismatch", out, "1 mm off",
            plant=mask_by(between_slices)),
        one("one slice for a volume", "nrrd", "grid_mismatch", out, "36 x 32 pixels",
            plant=mask_by(flat_for_volume, "nrrd")),
        one("two masks of different size", "png", "grid_mismatch", out, "90 x 80",
            plant=mask_by(of_two_sizes, "png")),
    ]  # fmt: skip


def faulty_lesions() -> list[Defect]:
    """Return outlines that are faulty, and what only a patient's other masks show."""
    bottom = np.arange(80)[:, None] >= 40
    return [
        *across("two parts", ("nii", "nrrd", "png", "dicom", "seg", "rtstruct", "vgg"), "extra_components",
                "repaired", "2 separate parts", mask=in_parts),
        *across("hole", ("nii.gz", "mha", "tif", "jpg", "seg", "rtstruct"), "holes", "repaired", "hole",
                mask=hollow),
        *across("ragged outline", ("nii", "mhd", "bmp", "series", "seg"), "jagged_mask", "pass",
                "15% allowed", mask=ragged),
        *across("mask in one slice", ("nii", "series", "seg", "rtstruct"), "single_slice", "pass",
                "one slice", mask=in_one_slice),
        *across("mask at the edge", ("nrrd", "jpg", "enhanced", "rtstruct", "vgg"),
                "touches_border filter_reach", "pass", "edge of the image", "4 mm", mask=moved(0)),
        *across("edge within the filter's reach", ("nrrd", "jpg", "seg"), "filter_reach", "pass", "4 mm",
                mask=moved(2)),
        *across("few voxels", ("nii.gz", "mha", "seg"), "too_few_voxels", "excluded", "27 voxels", "50",
                mask=partial(cube, side=3)),
        *across("few voxels", ("tif", "vgg"), "too_few_voxels", "excluded", "25 voxels", "50",
                mask=partial(cube, side=5)),
        *across("few voxels once resampled", ("png", "bmp", "dicom", "vgg"), "too_few_after_resampling",
                "excluded", "100 voxels become 25", mask=partial(cube, side=10)),
        one("mask beyond the breast mask", "png", "outside_body", "pass", "the breast mask",
            plant=with_breast("png", bottom)),
        one("breast mask is empty", "png", "", "pass", plant=with_breast("png", np.zeros((80, 1), bool)),
            breast_codes=("empty_mask",)),
        *(one("raters disagree", form, "rater_disagreement", "pass", "Dice", plant=raters(form, moved(gap)))
          for form, gap in (("nii", 15), ("png", 50))),
        *(one("image of another patient", form, "duplicate_image", "excluded", "the same as",
              plant=twins(form, other))
          for form, other in (("png", "tif"), ("nii", "nrrd"), ("dicom", "png"))),
        *(one("image of another patient saved lossily", form, "near_duplicate_image", "pass",
              "almost the same as", plant=twins(form, "jpg")) for form in ("png", "dicom")),
        one("diameter recorded in cm", "png", "diameter_mismatch", "pass", "10.0 times", plant=made("png"),
            diameter_mm=1.4),
        one("another diameter recorded", "nii", "diameter_mismatch", "pass", "50 mm", plant=made("nii"),
            diameter_mm=50.0),
    ]  # fmt: skip


DEFECTS = [
    *missing_files(),
    *damaged_files(),
    *faulty_dicom(),
    *faulty_images(),
    *faulty_masks(),
    *faulty_lesions(),
]


def in_colour(folder: Path, image: str) -> Path:
    """Write a mask in red."""
    return save(folder / "red.png", lesion(2)[..., None] * np.array([255, 0, 0], np.uint8))


# Patients whom no defect of another may change: whole ones of every format, and one that is repaired.
BYSTANDERS: dict[str, Plant] = {
    **{f"whole {form}": made(form) for form in FORMATS},
    "colour mask": mask_by(in_colour, "png"),
    "float mask": made("nrrd", mask=lambda inside: inside.astype(np.float32)),
    "label chosen": made("nii", mask=in_labels, label="2"),
    "segment chosen": mask_by(two_segments, label="Tumour"),
    "series chosen": image_by(two_series, series_uid="1.9.1"),
    "two raters": raters("nii", moved(11)),
    "breast mask": with_breast("png", np.ones((80, 1), bool)),
    "repaired": made("nrrd", mask=in_parts),
}


# --- quality control -----------------------------------------------------------------------------


def default_qc() -> dict[str, Any]:
    """Return the ``qc`` part of a study that sets nothing."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/study.schema.yaml").read_text(encoding="utf-8"))
    qc: dict[str, Any] = {}
    assert problems(qc, schema["properties"]["qc"]) == []
    return qc


def plant_all(folder: Path) -> tuple[list[Row], list[Row]]:
    """Write bystanders and defects into a folder; returns the bystanders' rows, and all rows mixed."""
    calm = [plant(folder / "bystanders", name) for name, plant in BYSTANDERS.items()]
    groups = [defect.plant(folder, defect.patient) for defect in DEFECTS]
    step = len(groups) // len(calm)
    for index, rows in enumerate(calm):
        groups.insert(index * (step + 1), rows)
    return list(chain.from_iterable(calm)), list(chain.from_iterable(groups))


def control_quality(rows: list[Row], folder: Path) -> None:
    """Run the scripts of quality control, as the workflow does, upon manifest rows in one chunk."""
    patients = sorted({row["patient_id"] for row in rows})
    recorded = {defect.patient: defect.diameter_mm for defect in DEFECTS}
    people = [{"patient_id": name, "tumor_diameter_mm": recorded.get(name)} for name in patients]
    write_csv(folder / "participants.csv", people)
    common = {"qc": default_qc(), "unit": "mm"}
    tables = ("masks", "images", "findings", "agreement", "frames")
    chunk = {name: str(folder / "chunk" / f"{name}.csv") for name in tables}
    joined = {name: str(folder / f"{name}.csv") for name in (*tables, "duplicates", "lost")}
    run_script(
        "check_masks.py",
        log=[str(folder / "check_masks.log")],
        params=SimpleNamespace(rows=rows, settings={"us": SETTINGS}, lesions={"us": "tumour"}, **common),
        output=SimpleNamespace(**chunk, folder=str(folder / "kept")),
    )
    run_script(
        "join_masks.py",
        log=[str(folder / "join_masks.log")],
        params=SimpleNamespace(images={"us": True}, **common),
        input=SimpleNamespace(
            participants=folder / "participants.csv", **{name: [chunk[name]] for name in tables}
        ),
        output=SimpleNamespace(**joined),
    )


def run_script(name: str, **job: Any) -> None:
    """Run a script of the workflow in a process of its own, its output in its log."""

    def run() -> None:
        with Path(job["log"][0]).with_suffix(".out").open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            runpy.run_path(str(ROOT / "scripts" / name), {"snakemake": SimpleNamespace(**job)})

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 0, Path(job["log"][0]).with_suffix(".out").read_text()[-4000:]


def page(masks: pd.DataFrame, folder: Path) -> str:
    """Return docs/defects.md: every defect with what quality control said in ``qc/masks.csv``."""
    kinds = len({defect.fault for defect in DEFECTS})
    lines = [
        "# Planted defects\n",
        "Generated; do not edit by hand (`uv run python tests/defects.py` writes it, tests/test_defects.py",
        "checks it). Each row is a SYNTHETIC patient who is healthy but for one fault. The tests check of",
        "every one the codes, the decision and the message, and that all results of the patients beside it",
        f"are the same byte for byte as without it. There are {len(DEFECTS)}, of {kinds} kinds, in "
        f"{len(FORMATS)} formats.",
        "What a code means is in [quality_control.md](quality_control.md).\n",
        "| fault | format | codes | decision | message |",
        "|---|---|---|---|---|",
    ]
    # A patient's first mask of which there is something to say.
    said_of = masks[masks["message"].notna()].drop_duplicates("patient_id").set_index("patient_id")
    for defect in DEFECTS:
        said = said_of.loc[defect.patient]
        codes = ", ".join(f"`{code}`" for code in str(said["reasons"]).split(";"))
        message = str(said["message"]).replace(f"{folder}/", "").replace("|", "\\|")
        lines.append(
            f"| {defect.fault} | {FORMATS[defect.format]} | {codes} | {said['decision']} | {message} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write docs/defects.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        control_quality(plant_all(folder)[1], folder / "results")
        PAGE.write_text(page(read_csv(folder / "results" / "masks.csv"), folder), encoding="utf-8")


if __name__ == "__main__":
    main()
