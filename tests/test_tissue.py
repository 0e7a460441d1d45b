"""Breast and body found by grey value, on images whose tissue is known, and the rims cut off it."""

import logging
from math import pi
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from annulus.imaging.reading import read_image
from annulus.imaging.tissue import find_tissue, without_chest_wall, without_skin
from annulus.simulation import cem
from annulus.simulation.roster import enrolled

BUS_BRA = Path(__file__).parents[1] / ".." / "shared" / "data" / "bus-bra" / "Images"


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def disc(shape, row, column, radius, stretch=1.0):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - row) / stretch) ** 2 + (columns - column) ** 2 <= radius**2


# --- mammography -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0, 1, 2])
def mammogram(request):
    """Low-energy and recombined image of one SYNTHETIC patient, and where the breast is."""
    patients = cem.simulate_patients(enrolled("cem", {"train": 3}), cem.SHARES, False, 1)
    drawn = cem.simulate_images(patients.iloc[request.param].to_dict(), 1)
    return {name: sitk.GetArrayFromImage(image) for name, image in drawn.items()}


@pytest.mark.parametrize("name", ["le", "rc"])
def test_the_breast_of_a_mammogram_is_found(mammogram, name):
    assert dice(find_tissue(mammogram[name], (0.8, 0.8)), mammogram["breast"] > 0) > 0.99


def test_the_breast_is_found_in_eight_bits_on_black_and_beside_letters(mammogram):
    grey = np.clip((mammogram["le"] - 200.0) / 8, 0, 255).astype(np.uint8)
    grey[10:30, -40:-36] = grey[10:14, -40:-20] = 255
    assert dice(find_tissue(grey, (0.8, 0.8)), mammogram["breast"] > 0) > 0.99


@pytest.mark.parametrize("name", ["le", "rc"])
def test_padding_is_background(mammogram, name):
    padded = np.pad(mammogram[name], ((0, 0), (0, 50)))
    breast = np.pad(mammogram["breast"] > 0, ((0, 0), (0, 50)))
    assert dice(find_tissue(padded, (0.8, 0.8)), breast) > 0.99


# --- MRI -------------------------------------------------------------------------------------


def mri(seed, noise=15.0):
    """A chest with two breasts, fat bright and glands dark, lungs black, in Rician noise; and where it is."""
    rng = np.random.default_rng(seed)
    shape = (6, 160, 192)
    tissue, signal = np.zeros(shape, bool), np.zeros(shape)
    for place in range(shape[0]):
        size = 1 - 0.05 * abs(place - 3)
        chest = disc(shape[1:], 150, 96, 85, 0.7)
        tissue[place] = chest
        for column in (55, 137):
            tissue[place] |= disc(shape[1:], 85, column, 32 * size, 1.4)
        signal[place] = np.where(tissue[place], 300.0, 0.0)
        for column in (55, 137):
            signal[place][disc(shape[1:], 85, column, 20 * size, 1.4)] = 90.0
            signal[place][disc(shape[1:], 132, column, 22, 0.8)] = 5.0
    signal *= 1 + 0.3 * np.cos(np.arange(shape[2]) / 60)
    real, imaginary = rng.normal(0, noise, (2, *shape))
    return np.hypot(signal + real, imaginary), tissue


@pytest.mark.parametrize("noise", [2.0, 15.0, 30.0])
def test_the_body_in_an_mri_is_found_with_its_lungs(noise):
    image, tissue = mri(1, noise)
    found = find_tissue(image, (1.0, 1.0, 2.0))
    assert dice(found, tissue) > 0.98
    assert found[:, 120:140, 50:60].all()


def test_a_strip_without_measurements_beside_noise_is_background():
    image, tissue = mri(2)
    image[:, :, :15], tissue[:, :, :15] = 0, False
    assert dice(find_tissue(image, (1.0, 1.0, 2.0)), tissue) > 0.98


def test_a_body_on_black_is_not_divided_into_fat_and_gland():
    image, tissue = mri(3, noise=2.0)
    image[~tissue] = 0
    tissue = np.stack([ndimage.binary_fill_holes(one) for one in tissue])
    assert dice(find_tissue(image, (1.0, 1.0, 2.0)), tissue) > 0.98


# --- ultrasound ------------------------------------------------------------------------------


def ultrasound(seed, shadow):
    """Speckle in a fan with a lesion, black around, with captions and a grey scale; and the fan."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:240, :320]
    away, turn = np.hypot(rows + 60, columns - 150), np.arctan2(columns - 150, rows + 60)
    fan = (away > 85) & (away < 285) & (np.abs(turn) < 0.45)
    brightness = 90 * np.exp(-(away - 85) / 250)
    brightness[disc((240, 320), 100, 150, 22)] = 18
    brightness[(np.abs(turn - 0.1) < 0.06) & (away > 180)] *= shadow
    image = np.where(fan, 1 + brightness * rng.rayleigh(0.8, fan.shape), 0)
    image[10:20, 10:60:3] = 255
    image[60:180, 300:308] = np.linspace(255, 10, 120)[:, None]
    image[225:235, 5:50:2] = 200
    return np.clip(image, 0, 255).astype(np.uint8), fan


@pytest.mark.parametrize("shadow", [1.0, 0.1])
def test_the_scan_is_found_in_its_black_frame_without_captions(shadow):
    image, fan = ultrasound(1, shadow)
    found = find_tissue(image, (1.0, 1.0))
    assert dice(found, fan) > 0.98
    assert not found[:, 299:].any() and not found[224:, :51].any()


@pytest.mark.skipif(not BUS_BRA.is_dir(), reason=f"NOT TESTED ON REAL IMAGES: BUS-BRA is not at {BUS_BRA}")
def test_real_ultrasound_without_a_frame_is_tissue_but_for_what_is_black():
    files = sorted(BUS_BRA.glob("*.png"))[::20]
    assert len(files) > 30
    for file in files:
        image = read_image(file).array
        found = find_tissue(image, (1.0, 1.0))
        assert found.all() or np.percentile(image[~found], 95) < 12, file.name


# --- any image -------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [np.full((9, 8), 7.0), np.zeros((3, 9, 8)), np.full((9, 8), np.nan)])
def test_an_image_of_one_value_is_all_tissue(image):
    assert find_tissue(image, (1.0,) * image.ndim).all()


def test_values_that_are_not_finite_are_background(mammogram):
    image = mammogram["le"].astype(float)
    image[:40] = np.nan
    image[-1, -1] = np.inf
    found = find_tissue(image, (0.8, 0.8))
    assert not found[:38].any()
    assert dice(found[42:], mammogram["breast"][42:] > 0) > 0.98


@given(st.integers(0, 3), st.booleans())
@settings(max_examples=8, deadline=None)
def test_turning_the_image_turns_the_tissue(turns, flip):
    image, _ = mri(4)
    turned = np.rot90(image[2], turns)[:, :: -1 if flip else 1]
    expected = np.rot90(find_tissue(image[2], (1.0, 1.0)), turns)[:, :: -1 if flip else 1]
    assert np.array_equal(find_tissue(turned, (1.0, 1.0)), expected)


# --- skin ------------------------------------------------------------------------------------


def test_skin_is_cut_on_the_side_of_the_air_only():
    tissue = np.zeros((20, 30), bool)
    tissue[:, :18] = True
    kept = without_skin(tissue, 2.0, (0.5, 2.0))
    # Pixel centres 0.25, 0.75, 1.25 and 1.75 mm from the air go.
    assert np.array_equal(kept, np.arange(30)[None, :] < np.full((20, 1), 14))


@pytest.mark.parametrize("rim", [1.5, 4.0, 10.0])
def test_what_is_left_of_a_disc_is_a_smaller_disc(rim):
    tissue = disc((201, 201), 100, 100, 90)
    kept = without_skin(tissue, rim * 0.5, (0.5, 0.5))
    assert kept.sum() == pytest.approx(pi * (90 - rim) ** 2, rel=0.01)
    assert not (kept & ~tissue).any()


def test_slices_and_spacing_count_in_a_volume():
    tissue = np.ones((12, 20, 20), bool)
    tissue[8:] = False
    kept = without_skin(tissue, 4.0, (1.0, 1.0, 3.0))
    assert kept[:7].all() and not kept[7:].any()


@pytest.mark.parametrize("fill", [False, True])
def test_without_air_or_tissue_there_is_no_skin(fill):
    tissue = np.full((7, 8), fill)
    assert np.array_equal(without_skin(tissue, 3.0, (1.0, 1.0)), tissue)


# --- chest wall ------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("gap", [0, 3])
def test_the_strip_is_cut_on_the_side_that_the_breast_touches(turns, gap):
    breast = np.pad(disc((120, 80), 60, 0, 50), ((0, 0), (gap, 0)))
    kept = np.rot90(without_chest_wall(np.rot90(breast, turns), 5.0, (0.5, 0.5)), -turns)
    deep = np.broadcast_to(np.arange(80 + gap) >= 10 + gap, breast.shape)
    across = slice(20, 101)
    assert np.array_equal(kept[across], (breast & deep)[across])
    assert not (kept & ~breast).any()


def test_where_the_breast_leaves_the_side_its_skin_is_not_taken_for_chest_wall():
    rows, columns = np.ogrid[:200, :120]
    breast = ((rows - 100) / 90) ** 2 + ((columns - 30) / 80) ** 2 <= 1
    kept = without_chest_wall(breast, 8.0, (1.0, 1.0))
    first = breast.argmax(axis=1)
    untouched = breast.any(axis=1) & (first > 2)
    assert untouched.sum() > 5
    assert np.array_equal(kept[untouched], breast[untouched])
    touched = breast.any(axis=1) & (first <= 2)
    assert np.array_equal(kept[touched].argmax(axis=1), first[touched] + 8)


def test_the_side_is_that_of_the_slices_of_a_volume():
    tissue = np.zeros((5, 40, 30), bool)
    tissue[:, 15:, 4:26] = True
    kept = without_chest_wall(tissue, 6.0, (1.0, 2.0, 1.0))
    assert np.array_equal(kept, tissue & (np.arange(40) < 37)[None, :, None])


@pytest.mark.parametrize("tissue", [np.ones((20, 30), bool), np.pad(np.ones((9, 9), bool), 9)])
def test_where_no_side_is_the_chest_wall_nothing_is_cut_and_the_log_says_so(tissue, caplog):
    with caplog.at_level(logging.WARNING):
        kept = without_chest_wall(tissue, 5.0, (1.0, 1.0))
    assert np.array_equal(kept, tissue)
    assert "no chest wall was cut" in caplog.text
