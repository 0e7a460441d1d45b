"""Read masks that are stored as DICOM segments, as contours of a treatment plan or as drawn shapes.

All pixels whose centre lies inside a contour belong to the mask. Centres lie at whole indices, and of
the centres on the contour itself those at its left and upper edge count, so that contours that share an
edge share no pixel and a rectangle of 3 x 2 pixels holds 6.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels

from annulus.imaging.dicom import (
    LABEL_MAP,
    ORIENTATION_KEY,
    PIXEL_MODULE,
    POSITION_KEY,
    SEGMENTATIONS,
    STRUCTURE_SETS,
    Plane,
    guarded,
    number_of_frames,
    pixel_spacing,
    plane_of,
    read_header,
    refuse_too_large,
)
from annulus.imaging.unreadable import UnreadableError

logger = logging.getLogger(__name__)

# A segment's plane is the image's slice when it lies within this share of a voxel of it: read_dicom
# lets the gaps between slices differ by as much.
PLANE_TOLERANCE = 0.02
# Planning systems round the coordinates of contours.
CONTOUR_TOLERANCE = 0.1
# In pixels: contours traced through pixel centres must not lose them to rounding in the 10th digit.
INDEX_DECIMALS = 6

OUTLINES = {"polygon", "polyline"}

# Along a side of a picture; what is drawn farther away is damage.
FARTHEST_PIXEL = 1e6


@dataclass(frozen=True)
class _Structure:
    """A segment or region of interest that a file holds; ``codes`` are pairs of scheme and value."""

    number: int
    label: str
    type_codes: tuple[tuple[str, str], ...] = ()
    category_codes: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        codes = ", ".join(f"{scheme}:{value}" for scheme, value in self.type_codes)
        return f'{self.number} "{self.label}"' + (f" ({codes})" if codes else "")


@dataclass(frozen=True, eq=False)
class _Grid:
    """An image's grid; columns of ``axes`` lead from a voxel to the next along x, y and z, in mm."""

    origin: np.ndarray
    axes: np.ndarray
    size: tuple[int, int, int]
    in_space: bool

    def indices(self, points: np.ndarray) -> np.ndarray:
        """Return where points (n, 3) in mm lie, in voxels along x, y and z."""
        found: np.ndarray = np.linalg.solve(self.axes, (points - self.origin).T).T
        return found


def is_segmentation(path: Path) -> bool:
    """Say whether a file is a DICOM segmentation or structure set."""
    try:
        with path.open("rb") as stream:
            marked = stream.read(132)[128:] == b"DICM"
        if not marked and path.suffix.lower() != ".dcm":
            return False
        with guarded(path):
            header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True, force=True)
            return header.get("SOPClassUID") in SEGMENTATIONS | STRUCTURE_SETS
    except (OSError, UnreadableError):
        return False


def read_segmentation(path: Path, label: str, image: sitk.Image) -> sitk.Image:
    """Read one structure of a DICOM SEG or RTSTRUCT as a mask of 0 and 1 (uint8).

    ``label`` is a segment's or region's number, else its name (case aside), else for SEG the code of its
    property type, else of its category, as ``value`` or ``scheme:value``; the first of these rules under
    which something fits decides. It may be empty where the file holds one structure. A fractional segment
    holds where it reaches half of its maximum.

    The mask is on the grid of ``image`` where every plane of the segment coincides with a slice of the
    image, to 2 % of a voxel; slices without a plane are empty. Otherwise a SEG comes on its own grid, a
    volume, for the caller to resample or refuse. A SEG without positions must have one frame, of the size
    of a 2-D image. Contours always come on the image's grid; contours of one slice are combined by
    exclusive or, so that one within another is a hole. A 2-D image has its place in the patient from the
    metadata keys that ``read_dicom`` sets.

    Raises UnreadableError with a code: ``several_segments``, ``wrong_label``, ``empty_mask`` (the
    structure has no planes), ``grid_mismatch``, ``too_large``, ``undecodable_pixels``; without one for
    other or damaged files.
    """
    header = read_header(path)
    with guarded(path):
        if header.get("SOPClassUID") in STRUCTURE_SETS:
            return _from_contours(path, header, label, image)
        if header.get("SOPClassUID") in SEGMENTATIONS:
            return _from_frames(path, header, label, image)
    raise UnreadableError(f"{path} is neither a DICOM segmentation nor a structure set")


def read_polygons(path: Path, image_name: str, image: sitk.Image) -> sitk.Image:
    """Read the shapes that VGG Image Annotator drew on one 2-D image, as a mask of 0 and 1 (uint8).

    ``path`` is its table (CSV), whose rows count where the file name is ``image_name``, case and suffix
    aside. The mask is the union of polygons, polylines (closed), rectangles, circles and ellipses; points
    are passed over. An ellipse's ``theta`` is in radians from the x axis towards y, as the annotator
    writes it. Raises UnreadableError: with the code ``empty_mask`` where no shape was drawn on the image,
    without a code where the table is damaged.
    """
    size = image.GetSize()
    if len(size) == 3 and size[2] > 1:
        raise UnreadableError(f"{path} holds shapes drawn on pictures, but {image_name} has {size[2]} slices")
    shapes = [shape for shape in _shapes(path, image_name) if shape]
    masks = [mask for shape in shapes if (mask := _drawn(shape, (size[1], size[0]), path)) is not None]
    if not masks:
        found = f"{len(shapes)} points and no area" if shapes else "no row with a shape"
        raise UnreadableError(
            f"{path} has {found} for the image {image_name}; draw the outline, or mend the file name in the "
            "table",
            "empty_mask",
        )
    return _on_image(np.any(masks, axis=0), image)


def inside(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Say which pixels (row, column) have their centre inside an odd number of closed polygons.

    A polygon is an array (n, 2) of x and y in pixels. A ray from each centre along its row crosses the
    edges; edges hold their upper end and not their lower one, so that none is counted twice (even-odd rule:
    Shimrat, Commun ACM 1962;5:434).
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.int32)
    for polygon in polygons:
        start, end = polygon, np.roll(polygon, -1, axis=0)
        falls = (start[:, 1] > end[:, 1])[:, None]
        (x, y), (to_x, to_y) = np.where(falls, end, start).T, np.where(falls, start, end).T
        first = np.clip(np.ceil(y), 0, rows).astype(int)
        count = np.clip(np.ceil(to_y), 0, rows).astype(int) - first
        edge = np.repeat(np.arange(len(polygon)), count)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        crossing = x[edge] + (row - y[edge]) * (to_x - x)[edge] / (to_y - y)[edge]
        column = np.clip(np.ceil(np.round(crossing, INDEX_DECIMALS)), 0, columns).astype(int)
        np.add.at(crossings, (row, column), 1)
    return np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1


def _from_frames(path: Path, header: Dataset, label: str, image: sitk.Image) -> sitk.Image:
    _refuse_lost_frames(path, header)
    segments = [_segment(item) for item in header.get("SegmentSequence") or []]
    labels_map = header.SOPClassUID == LABEL_MAP
    # In a label map 0 is the background, which may be listed.
    segment = _picked([one for one in segments if one.number or not labels_map], label, path, "segment")
    frames = [
        frame for frame in range(number_of_frames(header)) if labels_map or _is_of(header, frame, segment)
    ]
    if not frames:
        raise UnreadableError(
            f"{path}: segment {segment} has no frames, so nothing was drawn. Draw it, or choose another "
            "segment by label in the image manifest",
            "empty_mask",
        )
    refuse_too_large(len(frames) * int(header.Rows) * int(header.Columns), path)
    grid = _grid_of(image)
    slots = _slots(header, frames, grid)
    if slots is None:
        return _own_volume(path, header, segment, image)
    mask = np.zeros(grid.size[::-1], dtype=bool)
    try:
        for slot, values in zip(slots, _stored(path, header, frames), strict=True):
            mask[slot] |= _held(values, header, segment)
    except Exception:
        raise UnreadableError(
            f"the pixels of {path} are cut short or cannot be decoded; copy it again, or export it "
            "uncompressed",
            "undecodable_pixels",
        ) from None
    return _on_image(mask, image)


def _refuse_lost_frames(path: Path, header: Dataset) -> None:
    """Refuse a file that does not describe all of its frames: where a header ends, pydicom stops quietly."""
    described, frames = len(header.get("PerFrameFunctionalGroupsSequence") or []), number_of_frames(header)
    if described != frames and (described or frames > 1):
        raise UnreadableError(
            f"{path} is cut short or damaged: it describes {described} of its {frames} frames. Copy or "
            "export it again"
        )


def _stored(path: Path, header: Dataset, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames as they are stored, indexed (row, column)."""
    dataset = pydicom.dcmread(path, force=True, specific_tags=list(PIXEL_MODULE))
    if int(header.BitsAllocated) > 1 or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset, indices=frames)
        return
    # pydicom cuts bits of a frame that begins or ends within a byte.
    rows, columns = int(header.Rows), int(header.Columns)
    size, packed = rows * columns, np.frombuffer(dataset.PixelData, dtype=np.uint8)
    if len(packed) * 8 < number_of_frames(header) * size:
        raise ValueError("the pixels are cut short")
    for frame in frames:
        first, skipped = divmod(frame * size, 8)
        bits = np.unpackbits(packed[first : first + (skipped + size + 7) // 8], bitorder="little")
        yield bits[skipped : skipped + size].reshape(rows, columns)


def _segment(item: Dataset) -> _Structure:
    def codes(name: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            (
                str(code.get("CodingSchemeDesignator", "")),
                str(code.get("CodeValue") or code.get("LongCodeValue")),
            )
            for code in item.get(name) or []
        )

    return _Structure(
        int(item.SegmentNumber),
        str(item.get("SegmentLabel", "")).strip(),
        codes("SegmentedPropertyTypeCodeSequence"),
        codes("SegmentedPropertyCategoryCodeSequence"),
    )


def _picked(structures: Sequence[_Structure], label: str, path: Path, kind: str) -> _Structure:
    """Return the structure that a label names, or the only one where there is no label."""
    there = "; ".join(map(str, structures)) or "none"
    wanted = label.strip().casefold()
    rules = [
        [one for one in structures if not wanted or str(one.number) == wanted],
        [one for one in structures if one.label.casefold() == wanted],
        [one for one in structures if _is_coded(one.type_codes, wanted)],
        [one for one in structures if _is_coded(one.category_codes, wanted)],
    ]
    found = next(filter(None, rules), [])
    if len(found) == 1:
        return found[0]
    if found:
        which = f"{label!r} fits {len(found)} {kind}s" if wanted else f"no label says which {kind} is meant"
        raise UnreadableError(
            f"{path}: {which}: {'; '.join(map(str, found))}. Give the number of one as label in the image "
            "manifest",
            "several_segments",
        )
    raise UnreadableError(
        f"{path} has no {kind} {label!r}. There are: {there}. Give one of these as label in the image "
        "manifest",
        "wrong_label",
    )


def _is_coded(codes: Iterable[tuple[str, str]], wanted: str) -> bool:
    return any(wanted in (value.casefold(), f"{scheme}:{value}".casefold()) for scheme, value in codes)


def _is_of(header: Dataset, frame: int, segment: _Structure) -> bool:
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        groups = header.get(name) or []
        # The shared group stands for every frame.
        group = groups[min(frame, len(groups) - 1)] if groups else Dataset()
        for item in group.get("SegmentIdentificationSequence") or []:
            return bool(item.ReferencedSegmentNumber == segment.number)
    return False


def _held(values: np.ndarray, header: Dataset, segment: _Structure) -> np.ndarray:
    if header.SOPClassUID == LABEL_MAP:
        return values == segment.number
    if header.get("SegmentationType") == "FRACTIONAL":
        return 2.0 * values >= float(header.get("MaximumFractionalValue") or 255)
    return values != 0


def _grid_of(image: sitk.Image) -> _Grid:
    if image.GetDimension() == 3:
        axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        return _Grid(np.array(image.GetOrigin()), axes, image.GetSize(), True)
    size = (*image.GetSize(), 1)
    if not (image.HasMetaDataKey(POSITION_KEY) and image.HasMetaDataKey(ORIENTATION_KEY)):
        return _Grid(np.zeros(3), np.eye(3), size, False)
    position, turn = (
        np.array(image.GetMetaData(key).split("\\"), dtype=float) for key in (POSITION_KEY, ORIENTATION_KEY)
    )
    plane = Plane(position, turn[:3], turn[3:])
    axes = np.column_stack([plane.along_row, plane.down_column, plane.normal]) * (*image.GetSpacing(), 1.0)
    return _Grid(position, axes, size, True)


def _slots(header: Dataset, frames: Sequence[int], grid: _Grid) -> list[int] | None:
    """Return the slice of the image on which each frame lies, or None where one lies on none."""
    if (int(header.Columns), int(header.Rows)) != grid.size[:2]:
        return None
    planes = [plane_of(header, frame) for frame in frames]
    known = [plane for plane in planes if plane is not None]
    if not grid.in_space or not known:
        positions = {tuple(np.round(plane.position, 3)) for plane in known}
        apart = len(positions) > 1 or (not known and len(frames) > 1)
        return [0] * len(frames) if grid.size[2] == 1 and not apart else None
    if len(known) < len(planes):
        return None
    lengths = np.linalg.norm(grid.axes, axis=0)
    units = grid.axes / lengths
    turns = [np.column_stack([plane.along_row, plane.down_column]) for plane in known]
    spacing = pixel_spacing(header, frames[0])
    if spacing is None or not np.allclose(spacing[::-1], lengths[:2], rtol=1e-3):
        return None
    if not all(np.allclose(turn, units[:, :2], atol=1e-3) for turn in turns):
        return None
    places = grid.indices(np.array([plane.position for plane in known]))
    slots = np.round(places[:, 2]).astype(int)
    off = np.abs(places - np.column_stack([np.zeros((len(slots), 2)), slots])).max()
    if off > PLANE_TOLERANCE or slots.min() < 0 or slots.max() >= grid.size[2]:
        return None
    return [int(slot) for slot in slots]


def _own_volume(path: Path, header: Dataset, segment: _Structure, image: sitk.Image) -> sitk.Image:
    """Return a segment as the volume its own planes make up."""
    # It takes a second to import, and few masks need it.
    import highdicom

    refuse_too_large(number_of_frames(header) * int(header.Rows) * int(header.Columns), path)
    try:
        volume = highdicom.seg.segread(path).get_volume(
            segment_numbers=[segment.number], rescale_fractional=False, rtol=PLANE_TOLERANCE
        )
    except Exception:
        raise UnreadableError(
            f"the planes of segment {segment} of {path} ({int(header.Columns)} x {int(header.Rows)} pixels) "
            f"lie on no slices of the image ({' x '.join(map(str, image.GetSize()))}) and are no evenly "
            f"spaced volume of their own. Export the segmentation on the image's slices",
            "grid_mismatch",
        ) from None
    values = volume.array[..., 0]
    # highdicom gives 0 and 1 for every type but a fractional one.
    held = _held(values, header, segment) if header.get("SegmentationType") == "FRACTIONAL" else values != 0
    # highdicom's axes are slice, row and column, and its slices may run against their normal.
    axes, origin = volume.affine[:3, 2::-1], volume.affine[:3, 3]
    if np.linalg.det(axes) < 0:
        held, origin = held[::-1], origin + (len(held) - 1) * axes[:, 2]
        axes = axes * (1, 1, -1)
    lengths = np.linalg.norm(axes, axis=0)
    mask = sitk.GetImageFromArray(held.astype(np.uint8))
    mask.SetSpacing(lengths.tolist())
    mask.SetDirection((axes / lengths).ravel().tolist())
    mask.SetOrigin(origin.tolist())
    return mask


def _from_contours(path: Path, header: Dataset, label: str, image: sitk.Image) -> sitk.Image:
    regions = [
        _Structure(int(item.ROINumber), str(item.get("ROIName", "")).strip())
        for item in header.get("StructureSetROISequence") or []
    ]
    region = _picked(regions, label, path, "region")
    contours = _contours(header, region)
    if not contours:
        raise UnreadableError(
            f"{path}: region {region} has no closed contour, and points and open lines enclose nothing. Draw "
            "its outline, or choose another region by label in the image manifest",
            "empty_mask",
        )
    grid = _grid_of(image)
    if not grid.in_space:
        raise UnreadableError(
            f"the contours of {path} are given in the patient's space, in which the image has no position. "
            "Give the mask as a picture of the image's size",
            "grid_mismatch",
        )
    by_slice: dict[int, list[np.ndarray]] = {}
    for points in contours:
        places = grid.indices(points)
        slot = _slot(places[:, 2], grid, region, path)
        by_slice.setdefault(slot, []).append(np.round(places[:, :2], INDEX_DECIMALS))
    _log_skipped(sorted(by_slice), region, path)
    mask = np.zeros(grid.size[::-1], dtype=bool)
    for slot, polygons in by_slice.items():
        mask[slot] = inside(polygons, mask.shape[1:])
    return _on_image(mask, image)


def _contours(header: Dataset, region: _Structure) -> list[np.ndarray]:
    """Return the closed contours of a region, each an array (n, 3) in mm."""
    contours = [
        np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        for item in header.get("ROIContourSequence") or []
        if int(item.ReferencedROINumber) == region.number
        for contour in item.get("ContourSequence") or []
        if str(contour.get("ContourGeometricType", "")).startswith("CLOSED") and contour.get("ContourData")
    ]
    return [points for points in contours if len(points) > 2]


def _slot(depths: np.ndarray, grid: _Grid, region: _Structure, path: Path) -> int:
    """Return the slice on which a contour lies, of its points' places in slices."""
    slot = int(np.clip(np.round(np.median(depths)), 0, grid.size[2] - 1))
    off = float(np.abs(depths - slot).max())
    if off <= CONTOUR_TOLERANCE:
        return slot
    distance = off * float(np.linalg.norm(grid.axes[:, 2]))
    raise UnreadableError(
        f"{path}: a contour of region {region} lies {distance:.3g} mm off the nearest slice of the image "
        f"(slice {slot + 1} of {grid.size[2]}). Give the series on which the contours were drawn",
        "grid_mismatch",
    )


def _log_skipped(slots: Sequence[int], region: _Structure, path: Path) -> None:
    skipped = sorted(set(range(slots[0], slots[-1])) - set(slots))
    if skipped:
        shown = ", ".join(str(slot + 1) for slot in skipped[:10])
        logger.warning("%s: region %s has no contour on %d slices: %s", path, region, len(skipped), shown)


def _shapes(path: Path, image_name: str) -> list[Mapping[str, Any]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError):
        raise UnreadableError(f"{path} cannot be read as a table: it is damaged or cut short") from None
    names = next((name for name in ("#filename", "filename") if name in table), "")
    if not names or "region_shape_attributes" not in table:
        raise UnreadableError(
            f"{path} is no table of VGG Image Annotator: it needs the columns filename and "
            "region_shape_attributes. Export the annotations as CSV"
        )
    rows = table[table[names].fillna("").map(_stem) == _stem(image_name)]
    try:
        shapes = [json.loads(text or "{}") for text in rows["region_shape_attributes"].fillna("")]
    except (ValueError, RecursionError):
        raise UnreadableError(
            f"{path}: region_shape_attributes of the image {image_name} is not valid JSON; export it again"
        ) from None
    if not all(isinstance(shape, dict) for shape in shapes):
        raise UnreadableError(
            f"{path}: region_shape_attributes of the image {image_name} is no shape with a name and its "
            "numbers; export it again"
        )
    return shapes


def _stem(name: str) -> str:
    return PurePath(name.strip()).stem.casefold()


def _drawn(shape: Mapping[str, Any], size: tuple[int, int], path: Path) -> np.ndarray | None:
    """Return the pixels (row, column) of one shape, or None for a shape without area such as a point."""
    name = shape.get("name")
    try:
        if name in OUTLINES:
            points = _places([shape["all_points_x"], shape["all_points_y"]]).T
            if points.ndim != 2:
                raise ValueError("a point has more than two numbers, or the points are none")
            return inside([points], size)
        if name == "rect":
            x, y, width, height = _places([shape[key] for key in ("x", "y", "width", "height")])
            right, lower = x + width, y + height
            return inside([np.array([(x, y), (right, y), (right, lower), (x, lower)])], size)
        if name == "circle":
            return _ellipse(shape, ("r", "r"), size)
        if name == "ellipse":
            return _ellipse(shape, ("rx", "ry"), size)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnreadableError(
            f"{path}: a {name} lacks its numbers, or they are no places on a picture; export it again"
        ) from None
    return None


def _places(numbers: Sequence[Any]) -> np.ndarray:
    """Return numbers as an array; raises ValueError for those that no picture is large enough for."""
    places = np.array(numbers, dtype=float)
    if not (np.abs(places) <= FARTHEST_PIXEL).all():
        raise ValueError("a number is not finite, or beyond every picture")
    return places


def _ellipse(shape: Mapping[str, Any], radii: tuple[str, str], size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    numbers = [shape["cx"], shape["cy"], shape.get("theta") or 0, *(shape[key] for key in radii)]
    cx, cy, turn, rx, ry = _places(numbers)
    x, y = columns - cx, rows - cy
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    held: np.ndarray = (along * ry) ** 2 + (across * rx) ** 2 <= (rx * ry) ** 2
    return held & (rx * ry > 0)


def _on_image(mask: np.ndarray, image: sitk.Image) -> sitk.Image:
    """Make a mask of 0 and 1 with the image's geometry."""
    shape = image.GetSize()[::-1]
    found = sitk.GetImageFromArray(mask.reshape(shape).astype(np.uint8))
    found.CopyInformation(image)
    return found
