"""DICOM segments, contours and drawn shapes against published masks, highdicom and closed forms."""

import json
from pathlib import Path

import highdicom
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation
from test_dicom import AXIAL, GREY, VOLUME, dataset, placed, write, write_series

from annulus.imaging.dicom import read_dicom
from annulus.imaging.segmentation import inside, is_segmentation, read_polygons, read_segmentation
from annulus.imaging.unreadable import UnreadableError

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SEG = SHARED / "dicom" / "seg"
PHANTOM = SHARED / "ibsi" / "ct_phantom"
TURN = (0.6, 0.8, 0, 0, 0, -1)
NONE = f"NOT TESTED ON REAL DICOM: no data at {SHARED}"

on_real_data = pytest.mark.skipif(not SHARED.is_dir(), reason=NONE)


def array(image):
    return sitk.GetArrayFromImage(image)


def refusal(code, *words, path, label="", image):
    with pytest.raises(UnreadableError) as caught:
        read_segmentation(path, label, image)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)


# Published masks


@pytest.fixture(scope="module")
def liver_ct():
    return read_dicom(SEG / "ct-3slice").pixels


@on_real_data
@pytest.mark.parametrize("label", ["", "1", "Liver", "LIVER ", "T-62000", "srt:t-62000", "T-D0050"])
def test_the_liver_segment_is_its_published_mask(liver_ct, label):
    mask = read_segmentation(SEG / "liver.dcm", label, liver_ct)
    assert np.array_equal(array(mask), array(sitk.ReadImage(str(SEG / "liver_seg.nrrd"))))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert mask.GetOrigin() == liver_ct.GetOrigin()


@on_real_data
@pytest.mark.parametrize(("number", "truth"), [(1, 1), (2, 2), (3, 3), (4, 1), (5, 1)])
@pytest.mark.parametrize("whole", [True, False])
def test_overlapping_segments_without_their_empty_frames_are_the_published_masks(
    liver_ct, number, truth, whole
):
    expected = array(sitk.ReadImage(str(SEG / f"partial_overlaps-{truth}.nrrd"))) == number
    image = liver_ct if whole else liver_ct[:500]
    mask = read_segmentation(SEG / "partial_overlaps.dcm", str(number), image)
    assert np.array_equal(array(mask), expected)
    assert mask.GetOrigin() == pytest.approx(liver_ct.GetOrigin(), abs=1e-4)
    assert mask.GetSpacing() == pytest.approx(liver_ct.GetSpacing(), abs=1e-6)
    assert mask.GetDirection() == pytest.approx(liver_ct.GetDirection(), abs=1e-6)


@on_real_data
def test_the_ibsi_phantoms_contours_are_its_published_mask():
    image = read_dicom(PHANTOM / "dicom" / "image").pixels
    truth = array(sitk.ReadImage(str(PHANTOM / "nifti" / "mask" / "mask.nii.gz"))) > 0
    for label in ("", "1", "gtv-1"):
        mask = array(read_segmentation(PHANTOM / "dicom" / "mask" / "DCM_RS_00060.dcm", label, image)) > 0
        dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        assert dice >= 0.999
        assert np.array_equal(mask, truth)


@on_real_data
def test_contours_of_another_scan_are_refused_with_their_distance(liver_ct):
    path = PHANTOM / "dicom" / "mask" / "DCM_RS_00060.dcm"
    # The contour at z = 25.6 mm; the uppermost of the three slices is at z = -126.69 mm.
    refusal("grid_mismatch", "152 mm off the nearest slice", path=path, image=liver_ct)


@on_real_data
def test_what_is_a_segmentation():
    assert is_segmentation(SEG / "liver.dcm")
    assert is_segmentation(PHANTOM / "dicom" / "mask" / "DCM_RS_00060.dcm")
    for other in (SEG / "ct-3slice" / "01.dcm", SEG / "liver_seg.nrrd", SEG, SEG / "nothing.dcm"):
        assert not is_segmentation(other)


# Segments

MASKS = np.zeros((3, 6, 9, 11), np.uint8)
MASKS[0, 1:3, 2:5, 3:9] = 1
MASKS[1, 2:4, 3:8, 5:10] = 1
MASKS[2, 4, 6:8, 1:4] = 1
TYPES = [("Tumor", codes.SCT.Neoplasm), ("Cyst", codes.SCT.Cyst), ("Second cyst", codes.SCT.Cyst)]


def write_seg(path, files, masks, kind="BINARY", types=TYPES, **elements):
    """Write masks (segment, slice, row, column) of a series as SEG, without the empty frames."""
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=index + 1,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=code,
            algorithm_type="MANUAL",
        )
        for index, (name, code) in enumerate(types[: len(masks)])
    ]
    made = highdicom.seg.Segmentation(
        source_images=[dcmread(file) for file in files],
        pixel_array=np.moveaxis(masks, 0, -1),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid.generate_uid(),
        series_number=9,
        sop_instance_uid=uid.generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        **elements,
    )
    made.save_as(path)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Write an oblique series and its image."""
    folder = tmp_path_factory.mktemp("oblique")
    files = write_series(folder / "ct", VOLUME, (0.5, 0.75, 2.0), (-10, 20, 30), TURN, SliceThickness="2")
    return folder, files, read_dicom(folder / "ct").pixels


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segments_that_overlap_are_read_one_by_one(study, kind):
    folder, files, image = study
    given_masks = MASKS if kind == "BINARY" else MASKS.astype(float)
    path = write_seg(folder / f"{kind}.dcm", files, given_masks, kind)
    assert (MASKS[0] & MASKS[1]).any()
    for index, label in enumerate(("1", "cyst", "Second Cyst")):
        mask = read_segmentation(path, label, image)
        assert np.array_equal(array(mask), MASKS[index])
        assert mask.GetDirection() == image.GetDirection()


def test_a_fractional_segment_holds_from_half_of_its_maximum(study):
    folder, files, image = study
    parts = np.zeros((1, 6, 9, 11))
    parts[0, 2, 3, 3:8] = [0.1, 0.49, 0.5, 0.75, 1]
    path = write_seg(folder / "parts.dcm", files, parts, "FRACTIONAL", max_fractional_value=200)
    expected = parts[0] >= 0.5
    assert np.array_equal(array(read_segmentation(path, "", image)) > 0, expected)
    # On its own grid, the one slice that holds something.
    own = read_segmentation(path, "", image[1:])
    assert np.array_equal(array(own) > 0, expected[2:3])


@pytest.mark.parametrize("crop", [False, True])
def test_a_label_map_is_read_by_its_values(study, crop):
    folder, files, image = study
    apart = MASKS * (np.cumsum(MASKS, axis=0) == 1)
    path = write_seg(folder / "map.dcm", files, apart, "LABELMAP", omit_empty_frames=False)
    assert dcmread(path).SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    for index in range(3):
        mask = read_segmentation(path, str(index + 1), image[1:] if crop else image)
        assert np.array_equal(array(mask), apart[index])
    refusal("wrong_label", "'0'", path=path, label="0", image=image)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("", ["no label says which segment", '1 "Tumor" (SCT:', '2 "Cyst" (SCT:', '3 "Second cyst" (SCT:']),
        (codes.SCT.Cyst.value, ["fits 2 segments", '2 "Cyst"', '3 "Second cyst"']),
        (codes.SCT.MorphologicallyAbnormalStructure.value, ["fits 3 segments"]),
    ],
)
def test_a_label_that_fits_several_segments_names_them(study, label, words):
    folder, files, image = study
    path = write_seg(folder / "several.dcm", files, MASKS)
    refusal("several_segments", *words, path=path, label=label, image=image)
    neoplasm = codes.SCT.Neoplasm
    for one in (neoplasm.value, f"sct:{neoplasm.value}", "TUMOR"):
        assert np.array_equal(array(read_segmentation(path, one, image)), MASKS[0])
    refusal("wrong_label", "'9'", '1 "Tumor"', '3 "Second cyst"', path=path, label="9", image=image)


def test_a_number_goes_before_a_label_of_the_same_text(study):
    folder, files, image = study
    types = [("2", codes.SCT.Cyst), ("1", codes.SCT.Cyst)]
    path = write_seg(folder / "numbers.dcm", files, MASKS[:2], types=types)
    assert np.array_equal(array(read_segmentation(path, "1", image)), MASKS[0])


def test_a_segment_without_frames_is_empty(study):
    folder, files, image = study
    path = write_seg(folder / "none.dcm", files, MASKS * np.array([1, 0, 1], np.uint8)[:, None, None, None])
    refusal("empty_mask", '2 "Cyst"', path=path, label="2", image=image)


def test_a_segment_of_another_grid_comes_on_its_own(study):
    folder, files, image = study
    path = write_seg(folder / "own.dcm", files, MASKS)
    finer = sitk.Resample(image, [22, 18, 12], sitk.Transform(), sitk.sitkNearestNeighbor, image.GetOrigin(),
                          [0.25, 0.375, 1.0], image.GetDirection())  # fmt: skip
    own = read_segmentation(path, "1", finer)
    assert own.GetSpacing() == pytest.approx(image.GetSpacing())
    # The grid is that of all frames of the file, slices 1 to 4.
    assert own.GetOrigin() == pytest.approx(image.TransformIndexToPhysicalPoint((0, 0, 1)))
    assert own.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)
    assert np.array_equal(array(own), MASKS[0, 1:5])
    on_image = sitk.Resample(own, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert np.array_equal(array(on_image), MASKS[0])


def test_a_segment_between_the_slices_is_not_moved_to_them(study):
    folder, files, image = study
    path = write_seg(folder / "moved.dcm", files, MASKS)
    moved = sitk.Image(image)
    normal = np.reshape(image.GetDirection(), (3, 3))[:, 2]
    moved.SetOrigin((np.array(image.GetOrigin()) + 0.06 * normal).tolist())
    own = read_segmentation(path, "1", moved)
    assert own.GetSize() == (11, 9, 4)
    moved.SetOrigin((np.array(image.GetOrigin()) + 0.03 * normal).tolist())
    assert np.array_equal(array(read_segmentation(path, "1", moved)), MASKS[0])


def test_planes_that_are_neither_the_images_slices_nor_a_volume_are_refused(study):
    folder, files, image = study
    path = write_seg(folder / "uneven.dcm", files, MASKS[:1])
    made = dcmread(path)
    place = made.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    place.ImagePositionPatient = [number + 0.7 for number in place.ImagePositionPatient]
    made.save_as(path)
    refusal("grid_mismatch", '1 "Tumor"', "11 x 9 pixels", "11 x 9 x 6", path=path, image=image)


def test_a_plane_between_the_others_is_refused(study):
    folder, files, image = study
    masks = np.ones((1, 6, 9, 11), np.uint8)
    path = write_seg(folder / "between.dcm", files, masks)
    made = dcmread(path)
    place = made.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
    normal = np.reshape(image.GetDirection(), (3, 3))[:, 2]
    place.ImagePositionPatient = (np.array(place.ImagePositionPatient) + 0.4 * normal).round(6).tolist()
    made.save_as(path)
    refusal("grid_mismatch", path=path, image=image)


def test_one_slice_has_the_segment_of_its_own_plane(study):
    folder, files, _ = study
    path = write_seg(folder / "slice.dcm", files[2:3], MASKS[:2, 2:3])
    mask = read_segmentation(path, "2", read_dicom(files[2]).pixels)
    assert np.array_equal(array(mask), MASKS[1, 2])
    # On the slice above it lies on its own plane, not on the image.
    assert read_segmentation(path, "2", read_dicom(files[3]).pixels).GetDimension() == 3


@pytest.mark.parametrize("keep", ["image", "segment", "neither"])
def test_a_segment_of_a_picture_without_position_is_held_to_its_size(study, keep):
    folder, files, _ = study
    path = write_seg(folder / "flat.dcm", files[2:3], MASKS[:2, 2:3])
    made = dcmread(path)
    if keep != "segment":
        for group in made.PerFrameFunctionalGroupsSequence:
            del group.PlanePositionSequence
        made.save_as(path)
    image = read_dicom(files[2]).pixels
    if keep != "image":
        image = sitk.GetImageFromArray(VOLUME[2])
    assert np.array_equal(array(read_segmentation(path, "1", image)), MASKS[0, 2])
    if keep == "neither":
        refusal("grid_mismatch", path=path, label="1", image=image[1:])


def test_segments_that_cannot_be_used_are_refused(study, tmp_path):
    _, files, image = study
    made = dcmread(write_seg(tmp_path / "a.dcm", files, MASKS))
    made.Rows, made.Columns = 60000, 60000
    made.save_as(tmp_path / "b.dcm")
    refusal("too_large", "GiB", path=tmp_path / "b.dcm", label="1", image=image)
    for kind, masks in (("BINARY", MASKS), ("FRACTIONAL", MASKS.astype(float))):
        made = dcmread(write_seg(tmp_path / "a.dcm", files, masks, kind))
        made.PixelData = made.PixelData[: len(made.PixelData) // 2]
        made.save_as(tmp_path / "c.dcm")
        refusal("undecodable_pixels", "c.dcm", path=tmp_path / "c.dcm", label="3", image=image)
    del made.SegmentSequence[0].SegmentNumber
    made.save_as(tmp_path / "d.dcm")
    refusal("", "d.dcm is damaged", path=tmp_path / "d.dcm", label="1", image=image)
    refusal("", "neither a DICOM segmentation", path=files[0], image=image)
    refusal("", "there is no file", path=tmp_path / "nothing.dcm", image=image)


# Contours


def write_contours(path, regions):
    """Write a structure set; ``regions`` are pairs of a name and contours, each points or (type, points)."""
    made = dataset(GREY, uid.RTStructureSetStorage, "RTSTRUCT")
    del made.PixelData, made.Rows, made.Columns
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions, 1):
        region, item = Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        item.ReferencedROINumber, item.ContourSequence = number, []
        for contour in contours:
            kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
            drawn = Dataset()
            drawn.ContourGeometricType, drawn.NumberOfContourPoints = kind, len(points)
            drawn.ContourData = [f"{number:.10g}" for number in np.ravel(points)]
            item.ContourSequence.append(drawn)
        made.StructureSetROISequence.append(region)
        made.ROIContourSequence.append(item)
    return write(path, made)


def in_space(image, corners, z):
    """Return points given in pixels of slice ``z`` as points in mm."""
    return np.array([image.TransformContinuousIndexToPhysicalPoint((x, y, z)) for x, y in corners])


def square(low, high):
    return [(low, low), (high, low), (high, high), (low, high)]


def test_contours_on_oblique_slices_hold_the_pixels_within(study):
    folder, _, image = study
    contours = [in_space(image, square(1.5, 6.5), 2), in_space(image, [(2, 1.5), (9.9, 1.5), (2, 7.7)], 4)]
    mask = array(
        read_segmentation(write_contours(folder / "rs.dcm", [("Lesion", contours)]), "lesion", image)
    )
    expected = np.zeros(mask.shape, bool)
    expected[2, 2:7, 2:7] = True
    y, x = np.mgrid[:9, :11]
    # The pixels right of x = 2 and below y = 1.5, on the near side of the slanted edge.
    expected[4] = (x >= 2) & (y >= 1.5) & ((x - 2) / 7.9 + (y - 1.5) / 6.2 < 1)
    assert np.array_equal(mask, expected)


def test_a_contour_within_another_is_a_hole_and_one_beside_it_is_not(study):
    folder, _, image = study
    drawn = [
        square(0.5, 7.5),
        square(2.5, 5.5),
        square(3.5, 4.5),
        [(8.5, 0.5), (9.5, 0.5), (9.5, 1.5), (8.5, 1.5)],
    ]
    path = write_contours(folder / "hole.dcm", [("Rim", [in_space(image, corners, 1) for corners in drawn])])
    mask = array(read_segmentation(path, "", image))[1]
    expected = np.zeros((9, 11), bool)
    expected[1:8, 1:8] = True
    expected[3:6, 3:6] = False
    expected[4, 4] = expected[1, 9] = True
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("y", [4, 4.3])
def test_a_keyhole_leaves_a_hole_and_no_slit(study, y):
    folder, _, image = study
    keyhole = [(0.5, y), *[(0.5, 0.5), (7.5, 0.5), (7.5, 7.5), (0.5, 7.5)], (0.5, y), (2.5, y)]
    keyhole += [(2.5, 5.5), (5.5, 5.5), (5.5, 2.5), (2.5, 2.5), (2.5, y)]
    path = write_contours(folder / f"key{y}.dcm", [("Rim", [in_space(image, keyhole, 1)])])
    mask = array(read_segmentation(path, "", image))[1]
    expected = np.zeros((9, 11), bool)
    expected[1:8, 1:8] = True
    expected[3:6, 3:6] = False
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(("shift", "off"), [(0.08, None), (0.3, "0.6 mm"), (7, "4 mm")])
def test_contours_off_every_slice_are_refused(study, shift, off):
    folder, _, image = study
    # Slices are 2 mm apart, and the last of six is the fifth from the first.
    path = write_contours(folder / "off.dcm", [("A", [in_space(image, square(2.5, 5.5), shift)])])
    if off:
        refusal("grid_mismatch", f"{off} off the nearest slice", '1 "A"', path=path, image=image)
    else:
        assert array(read_segmentation(path, "", image)).sum() == 9


def test_a_contour_that_is_not_parallel_to_the_slices_is_refused(study):
    folder, _, image = study
    tilted = np.concatenate([in_space(image, square(1, 6)[:2], 1), in_space(image, square(1, 6)[2:], 2)])
    refusal("grid_mismatch", path=write_contours(folder / "t.dcm", [("A", [tilted])]), image=image)


def test_regions_are_chosen_by_number_or_name(study):
    folder, _, image = study
    boxes = [
        (name, [in_space(image, square(1.5, 1.5 + side), 3)]) for name, side in (("Left", 2), ("Right", 4))
    ]
    path = write_contours(folder / "two.dcm", [*boxes, ("Mark", [("POINT", [(0, 0, 0)])]), ("Nothing", [])])
    for label, voxels in (("1", 4), ("2", 16), ("LEFT", 4), ("right", 16)):
        assert array(read_segmentation(path, label, image)).sum() == voxels
    words = ["which region", '1 "Left"', '2 "Right"']
    refusal("several_segments", *words, path=path, image=image)
    refusal("wrong_label", "'middle'", '2 "Right"', path=path, label="middle", image=image)
    for label in ("mark", "4"):
        refusal("empty_mask", "no closed contour", path=path, label=label, image=image)


def test_contours_lie_on_one_slice_of_a_series_read_alone(study):
    folder, files, image = study
    path = write_contours(folder / "one.dcm", [("A", [in_space(image, square(1.5, 5.5), 3)])])
    mask = read_segmentation(path, "", read_dicom(files[3]).pixels)
    assert mask.GetDimension() == 2
    assert array(mask).sum() == 16
    refusal("grid_mismatch", "2 mm off", path=path, image=read_dicom(files[2]).pixels)
    picture = sitk.GetImageFromArray(VOLUME[3])
    refusal("grid_mismatch", "no position", path=path, image=picture)


def test_slices_between_contours_are_named_in_the_log(study, caplog):
    folder, _, image = study
    contours = [in_space(image, square(1.5, 5.5), z) for z in (1, 4)]
    read_segmentation(write_contours(folder / "gap.dcm", [("A", contours)]), "", image)
    assert "no contour on 2 slices: 3, 4" in caplog.text


# Which pixels are inside

CORNER = st.tuples(st.floats(-3, 14), st.floats(-3, 12))


@settings(max_examples=60, deadline=None)
@given(st.lists(CORNER, min_size=3, max_size=3))
def test_triangles_agree_with_matplotlib(corners):
    polygon = np.array(corners)
    y, x = np.mgrid[:9, :11]
    points = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    end = np.roll(polygon, -1, axis=0)
    along = end - polygon
    lengths = np.maximum(np.linalg.norm(along, axis=1), 1e-9)
    apart = points[:, None] - polygon[None]
    across = np.abs(along[:, 0] * apart[..., 1] - along[:, 1] * apart[..., 0]) / lengths
    clear = (across.min(axis=1) > 1e-3).reshape(9, 11)
    expected = Outline(polygon).contains_points(points).reshape(9, 11)
    assert np.array_equal(inside([polygon], (9, 11))[clear], expected[clear])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 22), st.integers(1, 17)), min_size=1, max_size=6))
def test_two_contours_that_share_an_edge_share_out_the_pixels(path):
    """A rectangle is cut along a line from left to right that may cross pixel centres and itself."""
    cut = [(0.0, 4.0), *[(x / 2, y / 2) for x, y in path], (11.0, 4.0)]
    upper = np.array([*cut, (11.0, 0.0), (0.0, 0.0)])
    lower = np.array([*cut, (11.0, 9.0), (0.0, 9.0)])
    assert np.all(inside([upper], (9, 11)) ^ inside([lower], (9, 11)))


@given(st.integers(0, 8), st.integers(0, 10), st.integers(1, 9), st.integers(1, 11))
def test_a_rectangle_of_whole_pixels_holds_its_area(top, left, height, width):
    box = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    assert inside([np.array(box, float)], (20, 25)).sum() == height * width
    assert inside([np.array(box[::-1], float)], (20, 25)).sum() == height * width


@pytest.mark.parametrize("angles", [(0, 0, 0), (17, 23, 31), (-70, 11, 5)])
def test_rounding_loses_no_pixel_of_a_contour_through_pixel_centres(tmp_path, angles):
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    turn = axes[:, :2].T.ravel().round(12)
    write_series(tmp_path / "ct", VOLUME, (0.7, 0.9, 2.0), (-10.1, 20.7, 30.3), turn)
    image = read_dicom(tmp_path / "ct").pixels
    for low in range(1, 5):
        path = write_contours(tmp_path / "rs.dcm", [("A", [in_space(image, square(low, low + 4), 2)])])
        expected = np.zeros((9, 11), bool)
        expected[low : low + 4, low : low + 4] = True
        assert np.array_equal(array(read_segmentation(path, "", image))[2], expected)


@pytest.mark.parametrize("left", [0, 1])
def test_a_segmentation_that_lost_frames_is_cut_short_and_not_beside_the_image(study, tmp_path, left):
    _, files, image = study
    made = dcmread(write_seg(tmp_path / "cut.dcm", files, MASKS))
    frames = int(made.NumberOfFrames)
    made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:left]
    made.save_as(tmp_path / "cut.dcm")
    refusal("", f"describes {left} of its {frames} frames", path=tmp_path / "cut.dcm", label="1", image=image)


# Drawn shapes

BLANK = sitk.GetImageFromArray(np.zeros((40, 60), np.float32))
BLANK.SetSpacing((0.2, 0.3))


def write_table(path, rows, column="#filename"):
    table = pd.DataFrame(
        [{column: name, "region_id": 0, "region_shape_attributes": json.dumps(shape)} for name, shape in rows]
    )
    table.to_csv(path, index=False)
    return path


def drawn(tmp_path, *shapes):
    path = write_table(tmp_path / "via.csv", [("P1_L_DM_CC.jpg", shape) for shape in shapes])
    return array(read_polygons(path, "P1_L_DM_CC.jpg", BLANK))


def test_polygons_rectangles_circles_and_ellipses_hold_their_area(tmp_path):
    y, x = np.mgrid[:40, :60]
    box = {"name": "rect", "x": 4, "y": 6, "width": 10, "height": 5}
    assert np.array_equal(drawn(tmp_path, box), (x >= 4) & (x < 14) & (y >= 6) & (y < 11))
    corners = {"all_points_x": [10, 30, 30, 10], "all_points_y": [10, 10, 20, 20]}
    for name in ("polygon", "polyline"):
        expected = (x >= 10) & (x < 30) & (y >= 10) & (y < 20)
        assert np.array_equal(drawn(tmp_path, {"name": name, **corners}), expected)
    circle = {"name": "circle", "cx": 20, "cy": 15, "r": 9}
    assert np.array_equal(drawn(tmp_path, circle), np.hypot(x - 20, y - 15) <= 9)
    ellipse = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 15, "ry": 6}
    assert drawn(tmp_path, ellipse).sum() == pytest.approx(np.pi * 15 * 6, rel=0.02)
    turned = drawn(tmp_path, ellipse | {"theta": 0.5})
    assert turned.sum() == pytest.approx(np.pi * 15 * 6, rel=0.02)
    # The far end of the long axis lies at 0.5 radians below the x axis, rows counting downwards.
    assert turned[20 + round(14 * np.sin(0.5)), 30 + round(14 * np.cos(0.5))] == 1
    assert turned[20 - round(14 * np.sin(0.5)), 30 + round(14 * np.cos(0.5))] == 0


def test_shapes_of_one_image_are_united_and_points_passed_over(tmp_path):
    boxes = [{"name": "rect", "x": x, "y": 5, "width": 10, "height": 4} for x in (5, 10)]
    point = {"name": "point", "cx": 50, "cy": 30}
    mask = drawn(tmp_path, boxes[0], point, boxes[1], {})
    assert mask.sum() == 15 * 4
    assert mask.max() == 1


@pytest.mark.parametrize("column", ["#filename", "filename"])
@pytest.mark.parametrize("name", ["a.jpg", "A.JPG", "a.dcm", "a"])
def test_the_images_rows_are_found_whatever_case_and_suffix(tmp_path, column, name):
    shape = {"name": "rect", "x": 4, "y": 6, "width": 10, "height": 5}
    path = write_table(tmp_path / "v.csv", [("ab.jpg", shape), ("a.jpg", shape | {"x": 20})], column)
    mask = read_polygons(path, name, BLANK)
    assert np.array_equal(np.flatnonzero(array(mask).any(axis=0)), range(20, 30))
    assert mask.GetSpacing() == (0.2, 0.3)
    assert mask.GetPixelID() == sitk.sitkUInt8


def test_shapes_beyond_the_image_are_cut_at_its_edge(tmp_path):
    assert drawn(tmp_path, {"name": "rect", "x": -5, "y": 35, "width": 10, "height": 50}).sum() == 5 * 5


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    def refused(code, path, *words, image=BLANK):
        with pytest.raises(UnreadableError) as caught:
            read_polygons(path, "a.jpg", image)
        assert caught.value.code == code
        for word in (path.name, *words):
            assert word in str(caught.value)

    box = {"name": "rect", "x": 4, "y": 6, "width": 10, "height": 5}
    refused("empty_mask", write_table(tmp_path / "b.csv", [("b.jpg", box)]), "a.jpg", "no row")
    refused(
        "empty_mask", write_table(tmp_path / "c.csv", [("a.jpg", {"name": "point"})]), "1 points", "a.jpg"
    )
    refused("", write_table(tmp_path / "d.csv", [("a.jpg", {"name": "rect", "x": 3})]), "a rect lacks")
    refused("", write_table(tmp_path / "e.csv", [("a.jpg", box | {"x": "left"})]), "a rect lacks")
    refused("", write_table(tmp_path / "f.csv", [("a.jpg", {"name": "polygon", "all_points_x": [1]})]))
    uneven = {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}
    refused("", write_table(tmp_path / "g.csv", [("a.jpg", uneven)]))
    (tmp_path / "h.csv").write_text("name,shape\na.jpg,{}\n")
    refused("", tmp_path / "h.csv", "columns")
    (tmp_path / "i.csv").write_text('#filename,region_shape_attributes\na.jpg,"{""name"": "\n')
    refused("", tmp_path / "i.csv", "JSON")
    (tmp_path / "j.csv").write_bytes(b"")
    refused("", tmp_path / "j.csv", "table")
    refused("", tmp_path / "nothing.csv", "table")
    solid = sitk.Image([60, 40, 3], sitk.sitkUInt8)
    refused("", write_table(tmp_path / "k.csv", [("a.jpg", box)]), "3 slices", image=solid)


def test_a_slice_is_placed_by_its_header(tmp_path):
    """A contour drawn on an axial slice whose rows and columns differ in size."""
    path = write(tmp_path / "a.dcm", dataset(GREY, **placed((10, 20, 5), AXIAL, (0.5, 0.25))))
    corners = [(10.9, 20.9, 5), (11.6, 20.9, 5), (11.6, 22.1, 5), (10.9, 22.1, 5)]
    mask = array(
        read_segmentation(write_contours(tmp_path / "r", [("A", [corners])]), "", read_dicom(path).pixels)
    )
    expected = np.zeros(GREY.shape, bool)
    # x from 10.9 to 11.6 mm holds the centres 11, 11.25 and 11.5; y from 20.9 to 22.1 those of 21, 21.5, 22.
    expected[2:5, 4:7] = True
    assert np.array_equal(mask, expected)


def polygon(x, y):
    return {"name": "polygon", "all_points_x": x, "all_points_y": y}


@pytest.mark.parametrize(
    "shape",
    [
        [1, 2], "rect", 5, True, None,
        polygon([1, float("nan"), 3], [1, 2, 3]), polygon([1, float("inf"), 3], [1, 2, 3]),
        polygon([1, 1e300, 3], [1, 2, -1e300]), polygon(3, 4), polygon([[1], [2]], [[3], [4]]),
        polygon(["a"], [1]), polygon([10**400, 1, 2], [1, 2, 3]), polygon(None, None),
        {"name": "rect", "x": float("nan"), "y": 1, "width": 5, "height": 5},
        {"name": "rect", "x": [1, 2], "y": [1, 2], "width": [5, 5], "height": [5, 5]},
        {"name": "rect", "x": 1, "y": 1, "width": float("inf"), "height": 5},
        {"name": "circle", "cx": 5, "cy": 5, "r": float("inf")},
        {"name": "ellipse", "cx": 5, "cy": 5, "rx": 4, "ry": 3, "theta": float("nan")},
        {"name": ["rect"]},
    ],
)  # fmt: skip
def test_a_damaged_shape_costs_its_own_image_alone(tmp_path, shape):
    box = {"name": "rect", "x": 4, "y": 6, "width": 10, "height": 5}
    path = write_table(tmp_path / "v.csv", [("healthy.jpg", box), ("a.jpg", shape), ("late.jpg", box)])
    with pytest.raises(UnreadableError, match=r"v\.csv") as caught:
        read_polygons(path, "a.jpg", BLANK)
    assert caught.value.code == ""
    for name in ("healthy.jpg", "late.jpg"):
        assert array(read_polygons(path, name, BLANK)).sum() == 50


def test_shapes_nested_without_end_and_rows_that_end_early_are_no_crash(tmp_path):
    text = "#filename,region_id,region_shape_attributes\na.jpg,0,{}\n\nb.jpg\n"
    (tmp_path / "v.csv").write_text(text.format("[" * 100_000))
    with pytest.raises(UnreadableError, match="JSON"):
        read_polygons(tmp_path / "v.csv", "a.jpg", BLANK)
    with pytest.raises(UnreadableError, match="no row with a shape"):
        read_polygons(tmp_path / "v.csv", "b.jpg", BLANK)
