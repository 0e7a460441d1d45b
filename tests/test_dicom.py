"""DICOM images of every kind against closed forms, ITK's reader and highdicom's, and every refusal."""

import logging
import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from scipy.spatial.transform import Rotation

from annulus.imaging.dicom import identifying_tags, is_dicom, pixel_spacing, read_dicom, read_header
from annulus.imaging.unreadable import UnreadableError

# Some headers are written wrong on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
AXIAL = (1, 0, 0, 0, 1, 0)
SECRET = "Verylongname^Erika"

RNG = np.random.default_rng(7)
VOLUME = RNG.integers(0, 4000, (6, 9, 11)).astype(np.int16)
# Smooth enough for every encoder: that of JPEG-LS writes past its buffer on small images of noise.
GREY = (np.add.outer(np.arange(10) * 270, np.arange(11) * 150) + RNG.integers(0, 20, (10, 11))).astype(
    np.uint16
)
BYTES = (GREY // 16).astype(np.uint8)


def dataset(array, storage=uid.CTImageStorage, modality="CT", **elements):
    """Make the header and pixels of one image from an array (row, column) or (row, column, 3)."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.SOPClassUID, made.SOPInstanceUID = storage, uid.generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    made.FrameOfReferenceUID = "1.2.3.5"
    made.StudyDate = made.StudyTime = made.AccessionNumber = made.StudyID = made.PatientSex = ""
    made.PatientBirthDate = made.ReferringPhysicianName = ""
    made.Modality, made.SeriesNumber, made.InstanceNumber = modality, 5, 1
    made.PatientName, made.PatientID = "P7^", "P7"
    colour = array.ndim == 3
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = array.shape[:2]
    made.BitsAllocated = made.BitsStored = array.dtype.itemsize * 8
    made.PixelRepresentation = int(array.dtype.kind == "i")
    made.update({})
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    made.HighBit = made.BitsStored - 1
    made["PixelRepresentation"].value = int(array.dtype.kind == "i")
    made.add_new("PixelData", "OW" if array.dtype.itemsize > 1 else "OB", array.tobytes())
    return made


def write(path, made, syntax=uid.ExplicitVRLittleEndian):
    """Write a data set uncompressed, or compressed with the syntax's encoder."""
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if uid.UID(syntax).is_compressed:
        made.compress(syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def placed(position=(0, 0, 0), orientation=AXIAL, spacing=(0.5, 0.5)):
    """Return the header elements of a slice; ``spacing`` is between rows and between columns."""
    return {
        "ImagePositionPatient": [float(number) for number in position],
        "ImageOrientationPatient": [float(number) for number in orientation],
        "PixelSpacing": [float(number) for number in spacing],
    }


def write_series(
    folder, volume, spacing=(0.5, 0.75, 2.0), origin=(0, 0, 0), orientation=AXIAL, depths=None, **elements
):
    """Write a volume (slice, row, column) as a series; ``spacing`` is along x, y and z.

    Slices lie at ``depths`` mm along their normal. Values of ``elements`` that are lists of one item per
    slice are given to the slices one by one. Returns the files, by slice.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    depths = np.arange(len(volume)) * spacing[2] if depths is None else depths
    files = []
    for index, (values, depth) in enumerate(zip(volume, depths, strict=True)):
        place = placed(np.add(origin, depth * normal), orientation, spacing[1::-1])
        own = {
            keyword: value[index] if isinstance(value, list) and len(value) == len(volume) else value
            for keyword, value in elements.items()
        }
        made = dataset(values, **(place | {"InstanceNumber": index + 1} | own))
        files.append(write(folder / f"slice{index:03}.dcm", made))
    return files


def enhanced(frames, positions, orientation=AXIAL, spacing=(0.5, 0.75), lines=None, **elements):
    """Make an enhanced MR image; ``lines`` are the slope and intercept of each frame."""
    made = dataset(frames[0], uid.EnhancedMRImageStorage, "MR", **elements)
    made.NumberOfFrames = len(frames)
    made.PixelData = np.asarray(frames).tobytes()
    shared, measures, turn = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 9.0
    turn.ImageOrientationPatient = [float(number) for number in orientation]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    for frame, position in enumerate(positions):
        group, place, content, line = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [float(number) for number in position]
        content.DimensionIndexValues = [frame + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        if lines is not None:
            line.RescaleSlope, line.RescaleIntercept = (str(number) for number in lines[frame])
            line.RescaleType = "US"
            group.PixelValueTransformationSequence = [line]
        made.PerFrameFunctionalGroupsSequence.append(group)
    return made


def values(image):
    return sitk.GetArrayFromImage(image.pixels)


def by_itk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def refusal(path, code, *words, **given_):
    with pytest.raises(UnreadableError) as caught:
        read_dicom(path, **given_)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)
    assert "Verylongname" not in str(caught.value)
    return str(caught.value)


# What counts as DICOM


def test_files_with_the_mark_are_dicom_whatever_their_name(tmp_path):
    made = write(tmp_path / "a.dcm", dataset(GREY))
    for name in ("IM0001", "b.ima", "c.1.2.840"):
        (tmp_path / name).write_bytes(made.read_bytes())
        assert is_dicom(tmp_path / name)
    assert is_dicom(tmp_path)


def test_an_old_file_without_the_mark_is_known_by_its_suffix_and_read(tmp_path):
    made = dataset(GREY, **placed(spacing=(0.4, 0.3)))
    made.file_meta = FileMetaDataset()
    made.save_as(tmp_path / "old.dcm", implicit_vr=True, little_endian=True)
    assert is_dicom(tmp_path / "old.dcm")
    image = read_dicom(tmp_path / "old.dcm")
    assert np.array_equal(values(image), GREY)
    assert image.pixels.GetSpacing() == (0.3, 0.4)


def test_other_files_and_folders_are_not_dicom(tmp_path):
    (tmp_path / "text.dcm").write_text("no image " * 100)
    (tmp_path / "empty").write_bytes(b"")
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(tmp_path / "a.nrrd"))
    for name in ("text.dcm", "empty", "a.nrrd", "nothing", "."):
        assert not is_dicom(tmp_path / name)
    write(tmp_path / "deep" / "a.dcm", dataset(GREY))
    assert not is_dicom(tmp_path)


# Geometry


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    order=st.permutations(range(4)),
)
def test_every_voxel_lies_where_its_slice_says(tmp_path_factory, turn, origin, spacing, order):
    folder = tmp_path_factory.mktemp("turned")
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    text = [f"{number:.10g}" for number in axes[:, :2].T.ravel()]
    orientation = np.array(text, float)
    for name, index in zip("abcd", order, strict=True):
        position = np.array(origin) + index * spacing[2] * axes[:, 2]
        made = dataset(
            np.full((3, 5), index, np.int16),
            **placed(np.round(position, 6), orientation, np.round(spacing[1::-1], 6)),
            SliceThickness="7",
            InstanceNumber=str(10 - index),
        )
        write(folder / f"{name}.dcm", made)
    image = read_dicom(folder)
    assert np.array_equal(values(image)[:, 1, 1], range(4))
    assert [file.name[0] for file in image.files] == [
        name for _, name in sorted(zip(order, "abcd", strict=True))
    ]
    where = np.array(origin) + axes @ (np.array([4, 2, 3]) * spacing)
    assert image.pixels.TransformIndexToPhysicalPoint((4, 2, 3)) == pytest.approx(where, abs=1e-4)
    assert np.linalg.det(np.reshape(image.pixels.GetDirection(), (3, 3))) == pytest.approx(1)


@pytest.mark.parametrize(
    "orientation", [AXIAL, (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (0.6, 0.8, 0, 0, 0, -1)]
)
def test_a_series_agrees_with_itks_reader(tmp_path, orientation):
    write_series(tmp_path, VOLUME, (0.5, 0.75, 2.5), (-10, 20, 30), orientation, RescaleIntercept="-1000")
    image, itk = read_dicom(tmp_path).pixels, by_itk(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(itk))
    assert image.GetSpacing() == pytest.approx(itk.GetSpacing())
    assert image.GetOrigin() == pytest.approx(itk.GetOrigin())
    assert image.GetDirection() == pytest.approx(itk.GetDirection(), abs=1e-9)


def test_rounded_directions_become_perpendicular(tmp_path):
    write_series(tmp_path, VOLUME, orientation=(0.996, 0.087, 0, -0.083, 0.997, 0))
    axes = np.reshape(read_dicom(tmp_path).pixels.GetDirection(), (3, 3))
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-12)
    assert axes[:, 0] == pytest.approx((0.996, 0.087, 0), abs=1e-3)


def test_slice_thickness_is_not_the_distance_between_slices(tmp_path):
    write_series(tmp_path, VOLUME, (0.5, 0.75, 1.25), SliceThickness="5", SpacingBetweenSlices="5")
    assert read_dicom(tmp_path).pixels.GetSpacing() == (0.5, 0.75, 1.25)


def test_one_slice_is_an_image_that_remembers_where_it_lies(tmp_path):
    path = write(tmp_path / "a", dataset(GREY, **placed((1.5, -2, 3), (0, 1, 0, 0, 0, -1), (0.4, 0.3))))
    image = read_dicom(path)
    assert (image.pixels.GetSize(), image.pixels.GetSpacing()) == ((11, 10), (0.3, 0.4))
    assert image.spacing_known
    assert image.pixels.GetMetaData("0020|0032") == "1.5\\-2.0\\3.0"
    assert image.pixels.GetMetaData("0020|0037") == "0.0\\1.0\\0.0\\0.0\\0.0\\-1.0"
    assert image.files == (path,)


def test_a_slice_and_its_mask_of_another_format_fall_on_one_grid(tmp_path):
    path = write(tmp_path / "a.dcm", dataset(GREY, **placed((1.5, -2, 3))))
    sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / "a.nrrd"))
    flat = sitk.ReadImage(str(tmp_path / "a.nrrd"))[:, :, 0]
    image = read_dicom(path).pixels
    assert image.GetOrigin() == pytest.approx(flat.GetOrigin())
    assert image.GetDirection() == pytest.approx(flat.GetDirection())


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"NOT TESTED ON REAL DICOM: no data at {SHARED}")
def test_the_ibsi_phantom_is_that_of_its_nifti_file():
    folder = SHARED / "ibsi" / "ct_phantom"
    image = read_dicom(folder / "dicom" / "image")
    nifti = sitk.ReadImage(str(folder / "nifti" / "image" / "phantom.nii.gz"))
    assert np.array_equal(values(image), sitk.GetArrayFromImage(nifti))
    assert image.pixels.GetSpacing() == pytest.approx(nifti.GetSpacing())
    assert image.pixels.GetOrigin() == pytest.approx(nifti.GetOrigin())
    assert len(image.files) == 60


# Pixel size


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (0.1, 0.2)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2)),
        (
            {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": "1.6"},
            (0.0625, 0.125),
        ),
        ({"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": "0"}, (0.1, 0.2)),
        ({"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": "0.5"}, (0.1, 0.2)),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.15, 0.05]}, (0.05, 0.15)),
        (
            {
                "ImagerPixelSpacing": [0.2, 0.1],
                "PixelSpacing": [0.2, 0.1],
                "EstimatedRadiographicMagnificationFactor": "2",
            },
            (0.05, 0.1),
        ),
        (
            {
                "ImagerPixelSpacing": [0.2, 0.1],
                "PixelSpacing": [0.2, 0.1],
                "EstimatedRadiographicMagnificationFactor": "2",
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.1, 0.2),
        ),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, (0.1, 0.2)),
        ({"NominalScannedPixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.4, 0.3]}, (0.3, 0.4)),
        ({"PixelSpacing": [0.0, 0.0]}, None),
        ({"PixelSpacing": None}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("modality", ["MG", "CR", "DX"])
def test_the_pixel_size_of_an_x_ray(tmp_path, modality, elements, expected):
    storage = {
        "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
        "CR": uid.ComputedRadiographyImageStorage,
        "DX": uid.DigitalXRayImageStorageForPresentation,
    }[modality]
    image = read_dicom(write(tmp_path / "a", dataset(GREY, storage, modality, **elements)))
    assert image.spacing_known is (expected is not None)
    assert image.pixels.GetSpacing() == pytest.approx(expected or (1, 1))


def region(x=0.01, y=0.02, space=1, units=3):
    made = Dataset()
    made.RegionSpatialFormat, made.RegionDataType = space, 1
    made.PhysicalUnitsXDirection = made.PhysicalUnitsYDirection = units
    made.PhysicalDeltaX, made.PhysicalDeltaY = x, y
    return made


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([region()], (0.1, 0.2)),
        ([region(), region(0.01005, 0.0199)], (0.1, 0.2)),
        ([region(), region(0.5, 0.5, space=2)], (0.1, 0.2)),
        ([region(0.5, 0.5, space=3), region()], (0.1, 0.2)),
        ([region(), region(4, 4, units=4)], (0.1, 0.2)),
        ([region(-0.01, -0.02)], (0.1, 0.2)),
        ([region(units=0)], None),
        ([region(0, 0)], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_the_pixel_size_of_an_ultrasound_image(tmp_path, regions, expected, colour):
    pixels = np.repeat(GREY[..., None] % 256, 3, axis=-1) if colour else GREY % 256
    made = dataset(
        pixels.astype(np.uint8), uid.UltrasoundImageStorage, "US", SequenceOfUltrasoundRegions=regions
    )
    image = read_dicom(write(tmp_path / "a", made))
    assert image.spacing_known is (expected is not None)
    assert image.pixels.GetSpacing() == pytest.approx(expected or (1, 1))
    assert image.pixels.GetNumberOfComponentsPerPixel() == (3 if colour else 1)


def test_ultrasound_regions_that_disagree_leave_the_pixel_size_unknown_and_the_log_says_why(tmp_path, caplog):
    regions = [region(), region(0.0102, 0.02)]
    made = dataset(GREY, uid.UltrasoundImageStorage, "US", SequenceOfUltrasoundRegions=regions)
    made.PixelSpacing = [0.5, 0.5]
    with caplog.at_level(logging.WARNING, logger="annulus"):
        image = read_dicom(write(tmp_path / "a", made))
    assert not image.spacing_known
    assert "disagree: 0.2 x 0.1, 0.2 x 0.102 mm" in caplog.text


def test_a_volume_without_pixel_size_has_none_along_any_axis(tmp_path):
    write_series(tmp_path, VOLUME, PixelSpacing=None)
    image = read_dicom(tmp_path)
    assert not image.spacing_known
    assert image.pixels.GetSpacing() == (1, 1, 1)


# Values


def test_every_slice_is_rescaled_by_its_own_line(tmp_path):
    slopes, intercepts = ["1", "0.5", "2", "0.25", "1", "3"], ["0", "-7", "3.5", "0", "1", "2"]
    write_series(tmp_path, VOLUME, RescaleSlope=slopes, RescaleIntercept=intercepts)
    expected = VOLUME * np.array(slopes, float)[:, None, None] + np.array(intercepts, float)[:, None, None]
    image = read_dicom(tmp_path)
    assert np.array_equal(values(image), expected)
    assert image.pixels.GetPixelID() == sitk.sitkFloat32


@pytest.mark.parametrize(
    ("kind", "bits", "slope", "intercept", "expected"),
    [
        (np.uint8, 8, "1", "0", sitk.sitkUInt8),
        (np.uint16, 12, "1", "-1024", sitk.sitkInt16),
        (np.uint16, 16, "1", "0", sitk.sitkUInt16),
        (np.int16, 16, "1", "-1024", sitk.sitkInt32),
        (np.int16, 16, "2.5", "0", sitk.sitkFloat32),
        (np.uint32, 32, "1", "0", sitk.sitkFloat64),
    ],
)
def test_values_are_kept_in_a_type_that_holds_them_all(tmp_path, kind, bits, slope, intercept, expected):
    stored = np.array([[0, 2**bits - 1], [1, 2**bits - 2]], np.uint32)
    stored = stored - 2 ** (bits - 1) if np.iinfo(kind).min else stored
    made = dataset(stored.astype(kind), BitsStored=bits, RescaleSlope=slope, RescaleIntercept=intercept)
    image = read_dicom(write(tmp_path / "a", made))
    assert image.pixels.GetPixelID() == expected
    assert np.array_equal(values(image), stored.astype(kind) * float(slope) + float(intercept))


@pytest.mark.parametrize(
    ("stored", "bits", "top"),
    [
        (GREY, 12, 4095),
        (GREY, 16, 65535),
        (BYTES, 8, 255),
        (GREY.astype(np.int16) - 2048, 12, -1),
        (GREY.astype(np.int16) - 2048, 16, -1),
    ],
)
@pytest.mark.parametrize("line", [(1, 0), (2, -5), (0.5, 3)])
def test_an_inverted_image_is_turned_before_it_is_rescaled(tmp_path, caplog, stored, bits, top, line):
    made = dataset(stored, PhotometricInterpretation="MONOCHROME1", BitsStored=bits)
    made.RescaleSlope, made.RescaleIntercept = map(str, line)
    with caplog.at_level(logging.INFO, logger="annulus"):
        image = read_dicom(write(tmp_path / "a", made))
    assert "stored inverted" in caplog.text
    assert np.array_equal(values(image), (top - stored.astype(float)) * line[0] + line[1])


def smooth_colour():
    rows, columns = np.mgrid[:16, :24]
    return np.stack([rows * 15, columns * 10, 128 + rows * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless])
@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.int16) - 2048, BYTES, smooth_colour()])
def test_values_survive_the_compressions_pydicom_writes(tmp_path, syntax, pixels):
    made = dataset(pixels)
    image = read_dicom(write(tmp_path / "a", made, syntax))
    assert np.array_equal(values(image), pixels)
    assert read_header(tmp_path / "a").file_meta.TransferSyntaxUID == syntax


def compressed_by_itk(path, pixels, compressor):
    """Write an image as JPEG 2000 or lossless JPEG, and read the file's data set."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(pixels, isVector=pixels.shape[-1] == 3))
    return pydicom.dcmread(path)


@pytest.mark.parametrize(
    ("compressor", "syntax"), [("JPEG2000", uid.JPEG2000Lossless), ("JPEG", uid.JPEGLosslessSV1)]
)
@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.int16) - 2048, BYTES, smooth_colour()])
def test_values_survive_jpeg_2000_and_lossless_jpeg(tmp_path, compressor, syntax, pixels):
    written = compressed_by_itk(tmp_path / "a.dcm", pixels, compressor)
    assert written.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(values(read_dicom(tmp_path / "a.dcm")), pixels)


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1]
)
def test_a_compressed_inverted_image_is_turned_and_rescaled_once(tmp_path, syntax):
    elements = {"BitsStored": 16, "RescaleSlope": "0.5", "RescaleIntercept": "3"}
    made = dataset(GREY, PhotometricInterpretation="MONOCHROME1", **elements)
    if syntax in (uid.RLELossless, uid.JPEGLSLossless):
        write(tmp_path / "a.dcm", made, syntax)
    else:
        name = "JPEG2000" if syntax == uid.JPEG2000Lossless else "JPEG"
        packed = compressed_by_itk(tmp_path / "b.dcm", GREY, name)
        made.PixelData = packed.PixelData
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
        made.file_meta.TransferSyntaxUID = syntax
        made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(values(read_dicom(tmp_path / "a.dcm")), (65535.0 - GREY) * 0.5 + 3)


def test_colour_of_a_jpeg_is_red_green_and_blue_whatever_its_header_says(tmp_path):
    from io import BytesIO

    from PIL import Image

    rgb, stream = smooth_colour(), BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=98, subsampling=0)
    for name in ("YBR_FULL", "YBR_FULL_422", "RGB"):
        made = dataset(rgb, uid.UltrasoundImageStorage, "US", PhotometricInterpretation=name)
        made.PixelData = encapsulate([stream.getvalue()])
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
        made.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
        made.save_as(tmp_path / name, enforce_file_format=True)
        image = read_dicom(tmp_path / name)
        assert image.pixels.GetNumberOfComponentsPerPixel() == 3
        assert np.abs(values(image).astype(int) - rgb).max() <= 4


def test_a_palette_becomes_red_green_and_blue(tmp_path):
    made = dataset(BYTES, uid.UltrasoundImageStorage, "US")
    made.PhotometricInterpretation = "PALETTE COLOR"
    tables = {"Red": np.arange(256), "Green": 255 - np.arange(256), "Blue": np.arange(256) // 2}
    for name, table in tables.items():
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(made, f"{name}PaletteColorLookupTableData", (table * 256).astype("<u2").tobytes())
    image = read_dicom(write(tmp_path / "a", made))
    expected = np.stack([table[BYTES] for table in tables.values()], axis=-1)
    assert np.array_equal(values(image), expected)


# Enhanced multi-frame

ORDER = [3, 0, 5, 1, 4, 2]
LINES = [(0.5, -3), (1, 0), (2, 1.5), (0.25, 8), (1, 7), (4, -2)]
TURN = (0.6, 0.8, 0, 0, 0, -1)


def shuffled(**elements):
    """Make an enhanced file whose frames are out of order and are each rescaled by a line of their own."""
    normal = np.cross(TURN[:3], TURN[3:])
    positions = [np.add((-10, 20, 30), index * 1.5 * normal) for index in ORDER]
    lines = [LINES[index] for index in ORDER]
    return enhanced([VOLUME[index] for index in ORDER], positions, TURN, (0.75, 0.5), lines, **elements)


def test_an_enhanced_file_has_spacing_orientation_order_and_a_line_per_frame(tmp_path):
    path = write(tmp_path / "a.dcm", shuffled())
    image = read_dicom(path)
    slope, intercept = np.array(LINES)[:, :, None, None].transpose(1, 0, 2, 3)
    assert np.array_equal(values(image), VOLUME * slope + intercept)
    assert image.pixels.GetSpacing() == pytest.approx((0.5, 0.75, 1.5))
    assert image.pixels.GetOrigin() == pytest.approx((-10, 20, 30))
    axes = np.reshape(image.pixels.GetDirection(), (3, 3))
    assert axes[:, 0] == pytest.approx(TURN[:3])
    assert axes[:, 1] == pytest.approx(TURN[3:])
    assert image.files == (path,)


def test_an_enhanced_file_agrees_with_highdicoms_volume(tmp_path):
    path = write(
        tmp_path / "a.dcm", shuffled(VolumetricProperties="VOLUME", ImageType=["ORIGINAL", "PRIMARY"])
    )
    image = read_dicom(path).pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume = highdicom.imread(path).get_volume()
    ours = sitk.GetArrayFromImage(image)
    for index in np.ndindex(volume.spatial_shape):
        point = volume.affine @ (*index, 1)
        x, y, z = image.TransformPhysicalPointToIndex(point[:3].tolist())
        assert ours[z, y, x] == volume.array[index]


def test_gdcm_would_apply_one_line_to_all_frames(tmp_path):
    """Should this fail, GDCM has learnt it, and the decoder could be simplified."""
    path = write(tmp_path / "a.dcm", shuffled())
    slope, intercept = np.array(LINES)[:, :, None, None].transpose(1, 0, 2, 3)
    truth = VOLUME * slope + intercept
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert not any(np.allclose(candidate, truth) for candidate in (found, found[np.argsort(ORDER)]))


def test_an_enhanced_file_in_lossless_jpeg(tmp_path):
    made = shuffled()
    frames = []
    for index in ORDER:
        packed = compressed_by_itk(tmp_path / "frame.dcm", VOLUME[index], "JPEG")
        frames += list(generate_frames(packed.PixelData, number_of_frames=1))
    (tmp_path / "frame.dcm").unlink()
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    slope, intercept = np.array(LINES)[:, :, None, None].transpose(1, 0, 2, 3)
    assert np.array_equal(values(read_dicom(tmp_path / "a.dcm")), VOLUME * slope + intercept)


def test_an_ultrasound_volume_is_placed_in_its_own_space(tmp_path):
    made = enhanced(VOLUME, [(0, 0, 2 * index) for index in range(6)])
    for group in made.PerFrameFunctionalGroupsSequence:
        place, turn = Dataset(), Dataset()
        place.ImagePositionVolume = group.PlanePositionSequence[0].ImagePositionPatient
        turn.ImageOrientationVolume = list(AXIAL)
        group.PlanePositionVolumeSequence, group.PlaneOrientationVolumeSequence = [place], [turn]
        del group.PlanePositionSequence
    made.SOPClassUID, made.Modality = uid.EnhancedUSVolumeStorage, "US"
    image = read_dicom(write(tmp_path / "a.dcm", made))
    assert np.array_equal(values(image), VOLUME)
    assert image.pixels.GetSpacing() == (0.75, 0.5, 2)


# Refusals


def test_several_series_are_named_by_number_modality_files_and_uid_and_one_can_be_chosen(tmp_path):
    described = {"SeriesDescription": SECRET, "ProtocolName": SECRET}
    for index, name in enumerate(("1.9.1", "1.9.2")):
        elements = {"SeriesInstanceUID": name, "SeriesNumber": 10 - index, "modality": ["MR", "CT"][index]}
        write_series(tmp_path / f"s{index}", VOLUME[: 3 + index] + index, **elements, **described)
        for file in (tmp_path / f"s{index}").iterdir():
            file.rename(tmp_path / f"{index}{file.name}")
    text = refusal(tmp_path, "several_series", "series_uid in the image manifest")
    assert "series 9 (CT, 4 files, 1.9.2); series 10 (MR, 3 files, 1.9.1)" in text
    image = read_dicom(tmp_path, "1.9.2")
    assert np.array_equal(values(image), VOLUME[:4] + 1)
    assert {file.name[0] for file in image.files} == {"1"}
    refusal(tmp_path, "no_such_series", "1.9.3", "1.9.1", "1.9.2", series_uid="1.9.3")


def test_a_series_without_uid_is_not_taken_when_there_is_another(tmp_path):
    write(tmp_path / "a.dcm", dataset(GREY, SeriesInstanceUID=""))
    write(tmp_path / "b.dcm", dataset(GREY))
    refusal(tmp_path, "several_series", "without SeriesInstanceUID")


def test_what_might_be_a_name_in_a_coded_element_is_not_repeated(tmp_path):
    write(tmp_path / "a.dcm", dataset(GREY, SeriesInstanceUID="1.9.1", modality="Verylongname"))
    write(tmp_path / "b.dcm", dataset(GREY, SeriesInstanceUID="1.9.2"))
    refusal(tmp_path, "several_series", "series 5 (?, 1 file, 1.9.1)")


def test_a_missing_slice_is_placed(tmp_path):
    files = write_series(tmp_path, VOLUME, (0.5, 0.5, 2.0), (0, 0, -20))
    files[3].unlink()
    refusal(tmp_path, "uneven_slices", "between -16.00 and -12.00 mm", "gap is 4 mm", "median gap 2 mm")


@pytest.mark.parametrize(("shift", "refused"), [(0.018, False), (0.022, True)])
def test_gaps_may_differ_by_two_percent(tmp_path, shift, refused):
    depths = np.array([0, 1, 2, 3 + shift, 4 + shift, 5 + shift]) * 2
    write_series(tmp_path, VOLUME, depths=depths)
    if refused:
        refusal(tmp_path, "uneven_slices")
    else:
        assert read_dicom(tmp_path).pixels.GetSpacing()[2] == pytest.approx(depths[-1] / 5)


def test_phases_in_one_folder_are_counted(tmp_path):
    for phase in range(3):
        write_series(tmp_path / "p", VOLUME)
        for file in (tmp_path / "p").iterdir():
            file.rename(tmp_path / f"{phase}{file.name}")
    text = refusal(tmp_path, "several_phases", "18 images at 6 positions: 3 at each", "a folder or a series")
    assert "copies" not in text
    (tmp_path / "2slice000.dcm").unlink()
    refusal(tmp_path, "several_phases", "17 images at 6 positions: 2 to 3 at each")


def test_positions_a_hundredth_of_a_gap_apart_are_one_and_a_quarter_apart_are_two(tmp_path):
    write_series(tmp_path / "same", VOLUME, depths=[0, 0.004, 2, 2.004, 4, 4.004])
    refusal(tmp_path / "same", "several_phases", "6 images at 3 positions: 2 at each")
    write_series(tmp_path / "apart", VOLUME, depths=[0, 2, 4, 4.5, 6, 8])
    refusal(tmp_path / "apart", "uneven_slices", "gap is 0.5 mm, the median gap 2 mm, and 1 further gaps")


def test_copies_of_a_slice_are_said_to_be_copies(tmp_path):
    files = write_series(tmp_path, VOLUME)
    (tmp_path / "copy of slice.dcm").write_bytes(files[2].read_bytes())
    refusal(tmp_path, "several_phases", "7 images at 6 positions", "copies of one another")


def test_phases_in_one_enhanced_file_are_counted(tmp_path):
    positions = [(0, 0, 2 * index) for index in range(3)] * 2
    refusal(
        write(tmp_path / "a", enhanced(VOLUME, positions)),
        "several_phases",
        "6 images at 3 positions: 2 at each",
    )


def test_slices_that_do_not_belong_together_are_refused(tmp_path):
    tilt = np.radians(1)
    odd = {
        "parallel": (VOLUME[0], placed((0, 0, -9), (1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), (0.75, 0.5))),
        "sizes: 10 x 9, 11 x 9": (VOLUME[0, :, :10], placed((0, 0, -2), spacing=(0.75, 0.5))),
        "pixel sizes: 0.75 x 0.5, 0.8 x 0.5": (VOLUME[0], placed((0, 0, -2), spacing=(0.8, 0.5))),
        "without a pixel size": (VOLUME[0], placed((0, 0, -2)) | {"PixelSpacing": None}),
        "partly colour": (smooth_colour()[:9, :11], placed((0, 0, -2), spacing=(0.75, 0.5))),
        "20 mm apart": (VOLUME[0], placed((20, 0, -2), spacing=(0.75, 0.5))),
    }
    for index, (words, (pixels, place)) in enumerate(odd.items()):
        write_series(tmp_path / str(index), VOLUME)
        write(tmp_path / str(index) / "odd.dcm", dataset(pixels, **place))
        refusal(tmp_path / str(index), "mixed_orientation", words)


def test_a_tilted_gantry_is_refused_and_a_drift_below_half_a_pixel_is_not(tmp_path):
    for name, drift in (("tilted", 0.06), ("straight", 0.04)):
        for index, pixels in enumerate(VOLUME):
            made = dataset(pixels, **placed((0, drift * index, 2 * index), spacing=(0.5, 0.5)))
            write(tmp_path / name / f"{index}.dcm", made)
    refusal(tmp_path / "tilted", "mixed_orientation", "0.3 mm apart", "tilted gantry")
    assert np.array_equal(values(read_dicom(tmp_path / "straight")), VOLUME)


def test_a_cine_loop_is_refused(tmp_path):
    made = dataset(GREY, uid.UltrasoundMultiFrameImageStorage, "US", NumberOfFrames=5, FrameTime="40")
    made.PixelData = np.repeat(GREY[None], 5, axis=0).tobytes()
    refusal(write(tmp_path / "a", made), "cine_loop", "5 frames")
    refusal(write(tmp_path / "b", enhanced(VOLUME, [(0, 0, 0)] * 6)), "cine_loop", "6 frames at one position")


def test_one_frame_of_an_ultrasound_loop_is_an_image(tmp_path):
    made = dataset(GREY, uid.UltrasoundMultiFrameImageStorage, "US", NumberOfFrames=1)
    assert np.array_equal(values(read_dicom(write(tmp_path / "a", made))), GREY)


def test_two_mammograms_of_one_series_are_no_volume(tmp_path):
    for view in ("CC", "MLO"):
        storage = uid.DigitalMammographyXRayImageStorageForPresentation
        write(tmp_path / f"{view}.dcm", dataset(GREY, storage, "MG", ViewPosition=view))
    refusal(tmp_path, "several_images", "2 images", "name one file")


def no_image(storage, modality):
    made = dataset(GREY, storage, modality)
    if storage != uid.SegmentationStorage:
        del made.PixelData, made.Rows, made.Columns
    return made


OTHERS = {
    "SEG": uid.SegmentationStorage,
    "RTSTRUCT": uid.RTStructureSetStorage,
    "SR": uid.ComprehensiveSRStorage,
    "PR": uid.GrayscaleSoftcopyPresentationStateStorage,
    "DICOMDIR": uid.MediaStorageDirectoryStorage,
}


@pytest.mark.parametrize("modality", OTHERS)
def test_what_is_no_image_is_refused_by_itself_and_passed_over_beside_one(tmp_path, modality):
    made = no_image(OTHERS[modality], modality)
    if modality == "DICOMDIR":
        del made.SOPClassUID, made.SOPInstanceUID
        made.file_meta.MediaStorageSOPClassUID = OTHERS[modality]
        made.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    path = write(tmp_path / "x" / modality, made)
    refusal(path, "not_an_image", OTHERS[modality].name)
    refusal(path.parent, "not_an_image", OTHERS[modality].name)
    write_series(tmp_path / "x", VOLUME, SeriesInstanceUID="1.9")
    (tmp_path / "x" / "notes.txt").write_text("a note")
    (tmp_path / "x" / "._slice000.dcm").write_bytes(b"a Mac's shadow of a file")
    image = read_dicom(tmp_path / "x")
    assert np.array_equal(values(image), VOLUME)
    assert path not in image.files


def test_folders_without_dicom_and_paths_without_file_are_named(tmp_path):
    write(tmp_path / "deep" / "a.dcm", dataset(GREY))
    refusal(tmp_path, "no_images", str(tmp_path), "sub-folders are not searched")
    refusal(tmp_path / "nothing", "", "there is no file or folder")


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless])
def test_a_file_cut_short_is_named_not_read(tmp_path, syntax):
    noisy = RNG.integers(0, 4000, (64, 64)).astype(np.uint16)
    path = write(tmp_path / "a.dcm", dataset(noisy, PatientName=SECRET), syntax)
    path.write_bytes(path.read_bytes()[:-3000])
    refusal(path, "undecodable_pixels", "a.dcm")


def test_pixels_that_cannot_be_decoded_are_refused(tmp_path):
    made = dataset(GREY)
    made.PixelData = encapsulate([b"\xff\xd8 this is no image \xff\xd9" * 9])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    for index, syntax in enumerate((uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.MPEG2MPML)):
        made.file_meta.TransferSyntaxUID = syntax
        made.save_as(tmp_path / str(index), enforce_file_format=True)
        refusal(tmp_path / str(index), "undecodable_pixels", syntax.name, "export it uncompressed")


def test_a_table_in_place_of_a_line_is_refused(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4, 0, 16], ""
    table.add_new("LUTData", "OW", np.arange(4, dtype=np.uint16).tobytes())
    refusal(
        write(tmp_path / "a", dataset(GREY, ModalityLUTSequence=[table])),
        "undecodable_pixels",
        "Modality LUT",
    )


@pytest.mark.parametrize("slope", ["0", "nan"])
def test_a_slope_that_loses_the_image_is_refused(tmp_path, slope):
    refusal(write(tmp_path / "a", dataset(GREY, RescaleSlope=slope)), "", "RescaleSlope")


@pytest.mark.parametrize(
    "sizes",
    [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2**31 - 1}, {"Rows": 40000, "Columns": 30000}],
)
def test_absurd_sizes_are_refused_before_they_are_decoded(tmp_path, sizes):
    made = dataset(GREY, **sizes)
    refusal(write(tmp_path / "a", made), "too_large", "GiB")


def test_a_series_that_is_too_large_together_is_refused(tmp_path):
    files = write_series(tmp_path, VOLUME, Rows=20000, Columns=10000)
    assert 6 * 20000 * 10000 * 2 > 2**31 > 20000 * 10000 * 2
    refusal(tmp_path, "too_large", "2.2 GiB")
    refusal(files[0], "undecodable_pixels")


def test_an_image_without_rows_is_refused(tmp_path):
    refusal(write(tmp_path / "a", dataset(GREY, Rows=0)), "", "no rows")


@pytest.mark.parametrize("directions", [(1, 0, 0, 1, 0, 0), (0, 0, 0, 0, 0, 0), (2, 0, 0, 0, 2, 0)])
def test_impossible_directions_are_no_position(tmp_path, directions):
    files = write_series(tmp_path, VOLUME, ImageOrientationPatient=list(directions))
    image = read_dicom(files[0])
    assert np.array_equal(values(image), VOLUME[0])
    assert not image.pixels.HasMetaDataKey("0020|0032")
    refusal(tmp_path, "several_images", "6 of them without a usable position")


def test_a_damaged_header_is_an_error_for_people_without_its_values(tmp_path):
    path = write(tmp_path / "a.dcm", dataset(GREY, **placed(), RescaleSlope="1.2345678"))
    path.write_bytes(path.read_bytes().replace(b"1.2345678", b"Verylongn"))
    refusal(path, "", "a.dcm is damaged", "copy or export it again")
    (tmp_path / "empty.dcm").write_bytes(b"")
    refusal(tmp_path / "empty.dcm", "", "empty.dcm")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    healthy = folder / "healthy"
    if not healthy.exists():
        write(healthy, shuffled())
    damaged = bytearray(healthy.read_bytes())
    end = damaged.index(b"\xe0\x7f\x10\x00") + 12
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(132, end - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged.dcm").write_bytes(damaged[: data.draw(st.integers(end // 2, len(damaged)))])
    try:
        image = read_dicom(folder / "damaged.dcm")
    except UnreadableError as error:
        assert str(error)
    else:
        assert np.prod(image.pixels.GetSize()) > 0


# Names


@pytest.mark.parametrize(
    ("keyword", "value", "named"),
    [
        ("PatientName", SECRET, "PatientName (0010,0010)"),
        ("PatientName", "Wang^XiaoDong=王^小东", "PatientName (0010,0010)"),
        ("OtherPatientNames", SECRET, "OtherPatientNames (0010,1001)"),
        ("PatientBirthName", SECRET, "PatientBirthName (0010,1005)"),
        ("PatientMotherBirthName", SECRET, "PatientMotherBirthName (0010,1060)"),
        ("PatientAddress", "1 Long Street", "PatientAddress (0010,1040)"),
        ("PatientTelephoneNumbers", "0123456", "PatientTelephoneNumbers (0010,2154)"),
        ("OtherPatientIDs", ["P7", "H123"], "OtherPatientIDs (0010,1000)"),
        ("ReferringPhysicianName", SECRET, "ReferringPhysicianName (0008,0090)"),
        ("PerformingPhysicianName", SECRET, "PerformingPhysicianName (0008,1050)"),
        ("OperatorsName", ["anon", SECRET], "OperatorsName (0008,1070)"),
        ("ResponsiblePerson", SECRET, "ResponsiblePerson (0010,2297)"),
        ("PatientBirthDate", "19560413", "PatientBirthDate (0010,0030)"),
        ("BurnedInAnnotation", "YES", "BurnedInAnnotation (0028,0301)"),
        ("BurnedInAnnotation", "NO", None),
        ("EthnicGroup", "any", None),
        ("PatientBirthDate", "1956", None),
        ("PatientBirthDate", "19000101", None),
        ("PatientBirthDate", "18000101", None),
        ("PatientBirthDate", "00000000", None),
        ("PatientBirthDate", "19561341", None),
        ("PatientName", "", None),
        ("PatientName", "Anonymous^^^", None),
        ("PatientName", "ANON", None),
        ("PatientName", "^anonymised^", None),
        ("PatientName", "removed", None),
        ("PatientName", "Unknown", None),
        ("PatientName", "None", None),
        ("PatientName", "N/A", None),
        ("PatientName", "XXXX^XX", None),
        ("PatientName", "0000", None),
        ("PatientName", "****", None),
        ("PatientName", "p7^", None),
        ("PatientName", "Study^001", None),
    ],
)
def test_identifying_elements_are_named_and_blanks_are_not(tmp_path, keyword, value, named):
    made = dataset(GREY, PatientIdentityRemoved="YES", **{keyword: value})
    expected = (named,) if named else ()
    assert identifying_tags(made, "study 001") == expected
    path = write(tmp_path / "a", made)
    assert identifying_tags(path, "study 001") == expected
    assert read_dicom(path, pseudonym="study 001").identifiers == expected
    del made.file_meta
    made.save_as(tmp_path / "b.dcm", implicit_vr=True, little_endian=True)
    assert identifying_tags(tmp_path / "b.dcm", "study 001") == expected


def test_names_deep_in_the_header_and_in_any_slice_are_found(tmp_path, caplog):
    person, request = Dataset(), Dataset()
    person.PersonName = SECRET
    request.RequestingPhysicianIdentificationSequence = [person]
    request.RequestingPhysician = SECRET
    blank = ["anon"] * 5
    write_series(tmp_path, VOLUME, PatientName=[*blank, SECRET], RequestAttributesSequence=[request])
    with caplog.at_level(logging.DEBUG):
        identifiers = read_dicom(tmp_path).identifiers
    assert set(identifiers) == {
        "PatientName (0010,0010)",
        "PersonName (0040,A123)",
        "RequestingPhysician (0032,1032)",
    }
    assert "Verylongname" not in caplog.text


def test_pydicoms_warnings_do_not_carry_values_into_the_log(tmp_path, caplog, capsys):
    path = write(tmp_path / "a.dcm", dataset(GREY, PatientBirthDate="19560413", StudyTime="120000"))
    path.write_bytes(path.read_bytes().replace(b"19560413", b"Verylong").replace(b"120000", b"ylongn"))
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        read_dicom(path)
    assert "ylong" not in caplog.text + "".join(capsys.readouterr())


def test_the_pixel_size_of_a_frame_is_its_own(tmp_path):
    made = enhanced(VOLUME, [(0, 0, 2 * index) for index in range(6)])
    measures = Dataset()
    measures.PixelSpacing = [0.25, 0.125]
    made.PerFrameFunctionalGroupsSequence[2].PixelMeasuresSequence = [measures]
    assert pixel_spacing(made, 2) == (0.25, 0.125)
    assert pixel_spacing(made, 1) == (0.5, 0.75)
    refusal(write(tmp_path / "a", made), "mixed_orientation", "pixel sizes")
