"""Reading images and masks in every format, grey or colour, with and without a pixel size."""

import gc
import gzip
import hashlib
import logging
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from test_dicom import write_series

from annulus.imaging.reading import (
    KEPT_SPACING,
    UnreadableError,
    on_grid_of,
    read_again,
    read_image,
    read_mask,
    read_written,
    same_grid,
    write_mask,
)

GREY = np.arange(12 * 17, dtype=np.uint8).reshape(12, 17)


def write(path, array, spacing=None, origin=None, vector=False):
    image = sitk.GetImageFromArray(array, isVector=vector)
    if spacing:
        image.SetSpacing(spacing)
    if origin:
        image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def colour(seed=0, channels=3):
    values = np.random.default_rng(seed).integers(0, 256, (9, 11, channels))
    return values.astype(np.uint8)


def test_colour_becomes_luminance_and_the_log_says_so(tmp_path, caplog):
    rgb = colour()
    path = write(tmp_path / "a.png", rgb, vector=True)
    with caplog.at_level(logging.INFO, logger="annulus"):
        image = read_image(path)
    assert np.allclose(image.array, rgb @ [0.299, 0.587, 0.114], atol=1e-3)
    assert str(path) in caplog.text
    assert "0.299 R + 0.587 G + 0.114 B" in caplog.text


def test_opacity_does_not_count_in_luminance(tmp_path):
    rgba = colour(channels=4)
    image = read_image(write(tmp_path / "a.png", rgba, vector=True))
    assert np.allclose(image.array, rgba[..., :3] @ [0.299, 0.587, 0.114], atol=1e-3)


def test_grey_saved_as_colour_keeps_its_values(tmp_path):
    path = write(tmp_path / "a.png", np.repeat(GREY[..., None], 3, axis=-1), vector=True)
    assert np.allclose(read_image(path).array, GREY, atol=1e-3)


def test_a_grey_image_is_left_alone_and_nothing_is_logged(tmp_path, caplog):
    path = write(tmp_path / "a.png", GREY)
    with caplog.at_level(logging.INFO, logger="annulus"):
        assert np.array_equal(read_image(path).array, GREY)
    assert caplog.text == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_picture_has_no_pixel_size_whatever_its_header_says(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", GREY, spacing=(0.3, 0.4))
    image = read_image(path)
    assert image.spacing_source == "unknown"
    assert image.spacing == (1.0, 1.0)


def test_a_picture_takes_its_pixel_size_from_the_manifest(tmp_path):
    path = write(tmp_path / "a.PNG", GREY)
    image = read_image(path, {"pixel_spacing_x_mm": "0.2", "pixel_spacing_y_mm": "0.3"})
    assert image.spacing_source == "config"
    assert image.spacing == (0.2, 0.3)


@pytest.mark.parametrize(
    "given", [{}, {"pixel_spacing_x_mm": "0.2"}, {"pixel_spacing_x_mm": "0.2",
                                                  "pixel_spacing_y_mm": ""}]
)  # fmt: skip
def test_half_a_pixel_size_is_none(tmp_path, given):
    image = read_image(write(tmp_path / "a.png", GREY), given)
    assert (image.spacing_source, image.spacing) == ("unknown", (1.0, 1.0))


def test_the_header_of_a_medical_file_wins_over_the_manifest(tmp_path):
    path = write(tmp_path / "a.nrrd", GREY, spacing=(0.7, 0.6))
    image = read_image(path, {"pixel_spacing_x_mm": "9", "pixel_spacing_y_mm": "9"})
    assert (image.spacing_source, image.spacing) == ("header", (0.7, 0.6))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_values_and_geometry_survive_every_medical_format(tmp_path, suffix, shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    spacing, origin = (0.5, 0.75, 2.0)[: len(shape)], (10.0, -20.0, 5.0)[: len(shape)]
    path = write(tmp_path / f"a{suffix}", values, spacing, origin)
    image = read_image(path)
    assert np.array_equal(image.array, values)
    assert image.spacing == pytest.approx(spacing)
    assert image.pixels.GetOrigin() == pytest.approx(origin)
    assert image.spacing_source == "header"
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def nifti_without_length(path, offset, form="<f"):
    """Make one of a NIfTI file's pixel sizes nought, as no scanner does and some converters do."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as stream:
        held = bytearray(stream.read())
    struct.pack_into(form, held, offset, 0.0)
    with opened(path, "wb") as stream:
        stream.write(held)


def text_without(path, *keys):
    """Take lines out of a header of text."""
    head, mark, pixels = path.read_bytes().partition(b"ElementDataFile")
    if not mark:
        head, mark, pixels = head.partition(b"\n\n")
    kept = [line for line in head.split(b"\n") if not line.startswith(keys)]
    path.write_bytes(b"\n".join(kept) + mark + pixels)


MEDICAL = [".nii", ".nii.gz", ".hdr", ".nrrd", ".mha", ".mhd"]


def without_length(folder, suffix, array):
    """Write an image whose header does not say how large a pixel is."""
    path = write(folder / f"a{suffix}", array, (0.5, 0.75, 2.0)[: array.ndim])
    if suffix in (".nii", ".nii.gz", ".hdr"):
        nifti_without_length(path, 80)
    elif suffix == ".nrrd":
        text_without(path, b"space", b"spacings")
    else:
        text_without(path, b"ElementSpacing")
    return path


@pytest.mark.parametrize("suffix", MEDICAL)
@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_a_header_without_a_pixel_size_has_an_unknown_one_and_not_1_mm(tmp_path, suffix, shape):
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    path = without_length(tmp_path, suffix, values)
    image = read_image(path)
    assert np.array_equal(image.array, values)
    assert (image.spacing_source, set(image.spacing)) == ("unknown", {1.0})
    assert read_mask(path).spacing_source == "unknown"
    given = dict(zip(("pixel_spacing_x_mm", "pixel_spacing_y_mm", "slice_thickness_mm"), "234", strict=True))
    image = read_image(path, given)
    assert (image.spacing_source, image.spacing) == ("config", (2.0, 3.0, 4.0)[: len(shape)])


@pytest.mark.parametrize("suffix", MEDICAL)
@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7), (5, 6, 7)])
def test_a_header_with_pixels_of_1_mm_is_believed(tmp_path, suffix, shape):
    path = write(tmp_path / f"a{suffix}", np.ones(shape, np.float32), (1.0,) * len(shape))
    assert read_image(path).spacing_source == "header"


@pytest.mark.parametrize(
    ("line", "source"),
    [(b"spacings: 0.5 0.5", "header"), (b"spacings: 0.5 nan", "unknown"), (b"spacings: NaN NaN", "unknown")],
)
def test_nrrd_spacings_count_where_they_are_numbers(tmp_path, line, source):
    head = b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 3 2\nencoding: raw\n"
    (tmp_path / "a.nrrd").write_bytes(head + line + b"\n\n" + bytes(range(6)))
    assert read_image(tmp_path / "a.nrrd").spacing_source == source


def test_the_size_of_an_element_is_its_spacing_in_metaimage(tmp_path):
    path = write(tmp_path / "a.mha", GREY, (0.5, 0.75))
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing", b"ElementSize"))
    image = read_image(path)
    assert (image.spacing_source, image.spacing) == ("header", (0.5, 0.75))


def test_an_image_is_read_again_from_the_series_that_the_manifest_chose(tmp_path):
    volume = np.arange(4 * 6 * 7, dtype=np.int16).reshape(4, 6, 7)
    for number in (1, 2):
        files = write_series(tmp_path / f"{number}", volume * number, SeriesInstanceUID=f"1.9.{number}")
        for file in files:
            (tmp_path / "all").mkdir(exist_ok=True)
            file.rename(tmp_path / "all" / f"{number}{file.name}")
    facts = {"image_path": str(tmp_path / "all"), "series_uid": "1.9.2", **dict.fromkeys(KEPT_SPACING, "")}
    assert np.array_equal(read_again(facts).array, 2 * volume)


def test_values_survive_a_png_of_8_and_16_bits(tmp_path):
    deep = (GREY.astype(np.uint16) + 1) * 200
    assert np.array_equal(read_image(write(tmp_path / "a.png", GREY)).array, GREY)
    assert np.array_equal(read_image(write(tmp_path / "b.png", deep)).array, deep)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_one_slice_of_a_volume_becomes_an_image(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", GREY[None], (0.5, 0.75, 3.0), (1.0, 2.0, 3.0))
    image, mask = read_image(path), read_mask(path)
    assert image.array.shape == GREY.shape
    assert np.array_equal(image.array, GREY)
    assert image.spacing == pytest.approx((0.5, 0.75))
    assert image.pixels.GetOrigin() == pytest.approx((1.0, 2.0))
    assert mask.array.shape == GREY.shape


def test_four_dimensions_are_refused_with_advice(tmp_path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkFloat32), str(path))
    with pytest.raises(UnreadableError, match="give each phase a file"):
        read_image(path)


def test_a_file_that_is_not_there_or_no_image_is_named(tmp_path):
    with pytest.raises(UnreadableError, match=r"there is no file .*nothing\.nrrd"):
        read_image(tmp_path / "nothing.nrrd")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UnreadableError, match=r"text\.png cannot be read as an image"):
        read_image(tmp_path / "text.png")


def test_the_array_outlives_its_image(tmp_path):
    values = np.random.default_rng(2).normal(size=(300, 300)).astype(np.float32)
    path = write(tmp_path / "a.nrrd", values)
    array = read_image(path).array
    gc.collect()
    # Memory of a dangling view would be taken by these.
    others = [np.full((300, 300), 7, np.float32) for _ in range(50)]
    assert np.array_equal(array, values)
    assert len(others) == 50


def test_the_array_is_read_once_and_writing_into_it_leaves_the_image(tmp_path):
    image = read_image(write(tmp_path / "a.nrrd", GREY))
    assert image.array is image.array
    image.array[0, 0] = 99
    assert image.pixels[0, 0] == GREY[0, 0]


def test_a_colour_mask_is_its_largest_channel_without_opacity(tmp_path):
    rgba = np.zeros((6, 8, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[2:4, 3:6, 1] = 200
    mask = read_mask(write(tmp_path / "a.png", rgba, vector=True))
    assert mask.array.shape == (6, 8)
    assert mask.array.max() == 200
    assert (mask.array > 0).sum() == 6


def test_a_mask_keeps_its_labels(tmp_path):
    labels = np.array([[0, 1, 2], [0, 0, 7]], np.uint8)
    assert np.array_equal(read_mask(write(tmp_path / "a.nrrd", labels)).array, labels)


@pytest.mark.parametrize(
    ("spacing", "origin", "same"),
    [
        ((0.5, 0.5), (1.0, 1.0), True),
        ((0.5 + 1e-5, 0.5), (1.0, 1.0), True),
        ((0.5, 0.5), (1.0001, 1.0), True),
        ((0.5, 0.51), (1.0, 1.0), False),
        ((0.5, 0.5), (1.1, 1.0), False),
    ],
)
def test_grids_are_the_same_to_a_thousandth_of_a_pixel(tmp_path, spacing, origin, same):
    image = read_image(write(tmp_path / "i.nrrd", GREY, (0.5, 0.5), (1.0, 1.0)))
    mask = read_mask(write(tmp_path / "m.nrrd", GREY, spacing, origin))
    assert same_grid(mask, image) is same


def test_a_turned_mask_is_not_on_the_images_grid(tmp_path):
    square = GREY[:10, :10]
    image = read_image(write(tmp_path / "i.mha", square))
    turned = sitk.GetImageFromArray(square)
    turned.SetDirection((0.0, 1.0, 1.0, 0.0))
    sitk.WriteImage(turned, str(tmp_path / "m.mha"))
    assert not same_grid(read_mask(tmp_path / "m.mha"), image)


def test_a_picture_of_a_mask_is_held_to_its_size_alone(tmp_path):
    image = read_image(write(tmp_path / "i.nrrd", GREY, (0.5, 0.5), (1.0, 1.0)))
    assert same_grid(read_mask(write(tmp_path / "m.png", GREY)), image)
    assert not same_grid(read_mask(write(tmp_path / "n.png", GREY[:, :-1])), image)


def test_masks_on_one_grid_are_united_and_a_picture_lies_where_the_others_geometry_says(tmp_path):
    upper, lower = np.zeros((2, 12, 17), np.uint8)
    upper[2:4, 3:6], lower[8:10, 7:9] = 255, 1
    files = write(tmp_path / "a.png", upper), write(tmp_path / "b.nrrd", lower, (0.5, 0.4), (9.0, 8.0))
    mask = read_mask(f"{files[0]};{files[1]}")
    assert np.array_equal(mask.array > 0, (upper > 0) | (lower > 0))
    assert (mask.spacing_source, mask.spacing) == ("header", (0.5, 0.4))
    assert mask.pixels.GetOrigin() == (9.0, 8.0)


@pytest.mark.parametrize(
    ("spacing", "origin", "cut"),
    [((0.5, 0.5), (5.0, 1.0), 17), ((0.5, 0.7), (1.0, 1.0), 17), ((0.5, 0.5), (1.0, 1.0), 16)],
)
def test_masks_on_different_grids_are_not_united(tmp_path, spacing, origin, cut):
    first = write(tmp_path / "a.nrrd", GREY, (0.5, 0.5), (1.0, 1.0))
    second = write(tmp_path / "b.nrrd", GREY[:, :cut], spacing, origin)
    picture = write(tmp_path / "c.png", GREY)
    for files in (f"{first};{second}", f"{picture};{first};{second}"):
        with pytest.raises(UnreadableError, match=r"do not lie on one grid .*b\.nrrd") as caught:
            read_mask(files, read_image(first))
        assert caught.value.code == "grid_mismatch"


@pytest.mark.parametrize("shape", [(17, 12), (5, 17, 12)])
def test_a_written_mask_is_cut_to_what_is_set_and_lies_where_it_belongs(tmp_path, shape):
    inside = np.zeros(shape, bool)
    inside[..., 3:9, 4:7] = True
    turned = sitk.GetImageFromArray(np.arange(inside.size, dtype=np.int16).reshape(shape))
    turned.SetSpacing((0.3, 0.7, 2.1)[: len(shape)])
    turned.SetOrigin((0.1, -7.3, 55.5)[: len(shape)])
    angle = np.cos(0.3), np.sin(0.3)
    plane = (angle[0], -angle[1], angle[1], angle[0])
    turned.SetDirection(plane if len(shape) == 2 else (*plane[:2], 0, *plane[2:], 0, 0, 0, 1))
    sitk.WriteImage(turned, str(tmp_path / "i.mha"))
    image = read_image(tmp_path / "i.mha")
    write_mask(tmp_path / "m.nrrd", on_grid_of(inside, image))
    cut = sitk.ReadImage(str(tmp_path / "m.nrrd"))
    assert cut.GetSize() == (3, 6, 5)[: len(shape)]
    again = read_written(tmp_path / "m.nrrd")
    assert np.array_equal(again.array > 0, inside)
    assert same_grid(again, image)
    # A viewer lays the file where it belongs.
    placed = sitk.Resample(cut, image.pixels, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert np.array_equal(sitk.GetArrayFromImage(placed) > 0, inside)


def test_a_mask_is_written_whole_with_the_images_geometry_and_the_same_bytes(tmp_path):
    image = read_image(write(tmp_path / "i.nrrd", GREY, (0.5, 0.4), (1.0, 2.0)))
    for name in ("a", "b"):
        write_mask(tmp_path / "deep" / f"{name}.nrrd", on_grid_of(GREY > 100, image))
    again = read_written(tmp_path / "deep" / "a.nrrd")
    assert np.array_equal(again.array, GREY > 100)
    assert same_grid(again, image)
    files = sorted((tmp_path / "deep").iterdir())
    assert [f.name for f in files] == ["a.nrrd", "b.nrrd"]
    assert files[0].read_bytes() == files[1].read_bytes()
