"""Duplicate images: hashes against recompressed, resized and captioned copies, pairs against brute force."""

from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from annulus.imaging.duplicates import (
    DUPLICATE_COLUMNS,
    MAXIMUM_DISTANCE,
    duplicate_pairs,
    fingerprint,
    near_duplicates,
)

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
BUS_BRA = DATA / "bus-bra" / "Images"
BUSI = DATA / "busi" / "Dataset_BUSI_with_GT"

on_real_images = pytest.mark.skipif(
    not (BUS_BRA.is_dir() and BUSI.is_dir()), reason=f"NOT TESTED ON REAL IMAGES: no {BUS_BRA} or {BUSI}"
)

# One lesion's frames a moment apart, under different numbers of BUSI; seen by eye to be so.
FRAMES_OF_ONE_LESION = {("malignant (4)", "malignant (5)")} | set(
    combinations(("malignant (7)", "malignant (8)", "malignant (9)"), 2)
)
# The same lesions with the probe moved, or another frame.
MOVED = {("malignant (27)", "malignant (28)")} | {
    ("malignant (6)", f"malignant ({number})") for number in (7, 8, 9)
}


def bits_apart(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


def grey(path):
    return Image.open(path).convert("L")


def copies(image, tmp_path):
    """Copies as they come about: saved lossily, resized, brightened, captioned."""
    values = np.asarray(image)
    for quality in (30, 75):
        image.save(tmp_path / "copy.jpg", quality=quality)
        yield np.asarray(Image.open(tmp_path / "copy.jpg"))
    for factor in (0.5, 0.75, 1.5):
        size = round(image.width * factor), round(image.height * factor)
        yield np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    yield np.clip(values * 0.7 + 20, 0, 255).astype(np.uint8)
    yield np.clip((values - 100.0) * 1.3 + 100, 0, 255).astype(np.uint8)
    yield values.astype(np.uint16) * 16 + 7
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    pen.text((image.width // 4, image.height * 3 // 4), "LEFT BREAST 12", fill=255)
    pen.line((100, 100, 112, 100), fill=255)
    yield np.asarray(marked)


def table(*rows):
    names = ["patient_id", "image_id", "timepoint", "image", "image_sha256", "fingerprint"]
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows], columns=names)


A, A_NEAR, B = "0" * 64, "0" * 63 + "3", "f" * 64


# --- fingerprints ---------------------------------------------------------------------------------------


def test_the_fingerprint_is_imagehashs_own():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90)).astype(np.uint8)
    # Thousandths of the values at both ends, so that scaling to 8 bits changes nothing.
    pixels[:2], pixels[-2:] = 0, 255
    assert fingerprint(pixels) == str(imagehash.phash(Image.fromarray(pixels), hash_size=16))
    assert len(fingerprint(pixels)) == 64


def test_of_a_volume_the_middle_slice_counts():
    volume = np.random.default_rng(1).normal(size=(7, 64, 64))
    assert fingerprint(volume) == fingerprint(volume[3])
    assert fingerprint(volume) != fingerprint(volume[2])


def test_a_stray_hot_pixel_does_not_rule():
    pixels = np.random.default_rng(2).normal(1000, 50, (200, 200))
    hot = pixels.copy()
    hot[3, 3] = 1e6
    assert bits_apart(fingerprint(pixels), fingerprint(hot)) <= 4


@pytest.mark.parametrize("fill", [0.0, -3.5, np.nan])
def test_an_empty_picture_has_a_fingerprint(fill):
    assert len(fingerprint(np.full((10, 12), fill))) == 64


@pytest.mark.parametrize("shape", [(5,), (0, 4), (2, 2, 2, 2)])
def test_other_dimensions_are_refused(shape):
    with pytest.raises(ValueError, match="2 or 3 dimensions"):
        fingerprint(np.zeros(shape))


@on_real_images
def test_copies_stay_within_the_default_distance(tmp_path):
    for path in sorted(BUS_BRA.glob("*.png"))[::90]:
        own = fingerprint(np.asarray(grey(path)))
        for copy in copies(grey(path), tmp_path):
            assert bits_apart(own, fingerprint(copy)) <= MAXIMUM_DISTANCE
        assert bits_apart(own, fingerprint(np.asarray(grey(path))[:, ::-1])) > MAXIMUM_DISTANCE


@on_real_images
def test_frames_of_one_lesion_are_found_in_busi():
    paths = [BUSI / "malignant" / f"malignant ({number}).png" for number in range(1, 41)]
    pairs = near_duplicates([fingerprint(np.asarray(grey(path))) for path in paths])
    assert {(paths[i].stem, paths[j].stem) for i, j, _ in pairs} == FRAMES_OF_ONE_LESION


@on_real_images
@pytest.mark.slow
def test_distances_on_all_real_images(tmp_path):
    paths = sorted(BUS_BRA.glob("*.png"))
    paths += [path for path in sorted(BUSI.glob("*/*.png")) if "_mask" not in path.name]
    prints = [fingerprint(np.asarray(grey(path))) for path in paths]
    same = [
        bits_apart(own, fingerprint(copy))
        for path, own in list(zip(paths, prints, strict=True))[::10]
        for copy in copies(grey(path), tmp_path)
    ]
    below = {(paths[i].stem, paths[j].stem): distance for i, j, distance in near_duplicates(prints, 79)}
    print(f"\ncopies: 99% within {np.quantile(same, 0.99):.0f} bits, all within {max(same)}; pairs: {below}")
    assert max(same) <= MAXIMUM_DISTANCE
    assert set(below) == FRAMES_OF_ONE_LESION | MOVED
    pixels = [np.asarray(grey(path)).tobytes() for path in paths]
    assert len(set(pixels)) == len(paths), "no two of these images are identical"


# --- pairs ---------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=9, max_size=9), max_size=25), st.integers(0, 72))
def test_near_duplicates_are_all_pairs_by_brute_force(raw, maximum):
    prints = [value.hex() for value in raw]
    expected = [
        (i, j, bits_apart(prints[i], prints[j]))
        for i, j in combinations(range(len(prints)), 2)
        if bits_apart(prints[i], prints[j]) <= maximum
    ]
    assert near_duplicates(prints, maximum) == expected


def test_pairs_are_found_across_blocks():
    rng = np.random.default_rng(0)
    prints = [rng.bytes(32).hex() for _ in range(3000)]
    prints[2999] = prints[4]
    prints[1500] = f"{int(prints[7], 16) ^ (2**255 + 1):064x}"
    assert near_duplicates(prints) == [(4, 2999, 0), (7, 1500, 2)]


@pytest.mark.slow
def test_twenty_thousand_images_are_compared():
    rng = np.random.default_rng(0)
    prints = [rng.bytes(32).hex() for _ in range(20_000)]
    prints[19_999] = prints[5]
    assert near_duplicates(prints) == [(5, 19_999, 0)]


def test_fingerprints_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="of 4 and of 64 digits"):
        near_duplicates([A, "ffff"])


def test_what_is_not_hexadecimal_is_refused():
    with pytest.raises(ValueError, match="hexadecimal"):
        near_duplicates(["x" * 64, A])


def test_rows_of_one_image_with_several_masks_are_one_image():
    images = table(
        ("P1", "I1", "", "us", "s1", A),
        ("P1", "I1", "", "us", "s1", A),
        ("P2", "I2", "", "us", "s2", B),
    )
    pairs = duplicate_pairs(images)
    assert pairs.empty and list(pairs.columns) == DUPLICATE_COLUMNS


def test_identical_and_near_pairs_within_and_between_patients():
    images = table(
        ("P1", "I1", "", "us", "s1", A),
        ("P1", "I2", "", "us", "s2", A_NEAR),
        ("P2", "I3", "", "us", "s1", A),
        ("P3", "I4", "", "us", "s4", B),
    )
    assert duplicate_pairs(images).values.tolist() == [
        ["P1", "", "I1", "P1", "", "I2", "near", 2, 1],
        ["P1", "", "I1", "P2", "", "I3", "identical", 0, 0],
        ["P1", "", "I2", "P2", "", "I3", "near", 2, 0],
    ]
    assert len(duplicate_pairs(images, maximum_distance=1)) == 1


def test_one_image_at_two_timepoints_is_a_duplicate():
    images = table(("P1", "I1", "after", "mri", "s1", A), ("P1", "I1", "baseline", "mri", "s1", A))
    (pair,) = duplicate_pairs(images).to_dict("records")
    assert pair["kind"] == "identical"
    # In whatever order they come, and whatever the other timepoint is called.
    assert (pair["timepoint_a"], pair["timepoint_b"]) == ("baseline", "after")


def test_an_image_is_no_duplicate_of_itself_under_two_of_the_studys_names():
    images = table(("P1", "I1", "baseline", "us", "s1", A), ("P1", "I1", "baseline", "any", "s1", A))
    assert duplicate_pairs(images).empty


def test_missing_checksums_and_fingerprints_match_nothing():
    images = table(
        ("P1", "I1", "", "us", None, None),
        ("P2", "I2", "", "us", np.nan, ""),
        ("P3", "I3", "", "us", "", A),
        ("P4", "I4", "", "us", "s4", None),
        ("P5", "I5", "", "us", "s4", None),
    )
    assert duplicate_pairs(images)[["patient_a", "patient_b", "kind"]].values.tolist() == [
        ["P4", "P5", "identical"]
    ]


def test_the_checksum_of_the_pixels_stands_for_that_of_the_file():
    images = table(("P1", "I1", "", "us", "f1", A), ("P2", "I2", "", "us", "f2", A))
    assert duplicate_pairs(images)["kind"].tolist() == ["near"]
    assert duplicate_pairs(images.assign(content_sha256="same"))["kind"].tolist() == ["identical"]
