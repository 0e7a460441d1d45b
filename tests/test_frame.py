"""Frames, outlines and saturation, held to closed forms and to scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon
from skimage.measure import regionprops

from annulus.imaging.frame import frame_facts, mask_facts, saturated_share


def ellipse(along_mm, across_mm, angle_deg=0.0, size=160, spacing=(1.0, 1.0)):
    rows, columns = np.indices((size, size))
    y = (rows - size / 2 + 0.5) * spacing[1]
    x = (columns - size / 2 + 0.5) * spacing[0]
    angle = np.radians(angle_deg)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (u / along_mm) ** 2 + (v / across_mm) ** 2 <= 1


def ball(radius, spacing=(1.0, 1.0, 1.0), size=50):
    z, y, x = (
        (place - size / 2 + 0.5) * step
        for place, step in zip(np.indices((size,) * 3), spacing[::-1], strict=True)
    )
    return x**2 + y**2 + z**2 <= radius**2


def rectangle(height, width, shape=(120, 120), top=30, left=20):
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


# --- outlines in two dimensions -------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.5, 1.0)])
def test_a_disc(spacing):
    facts = mask_facts(ellipse(30, 30, spacing=spacing), spacing, True)
    assert facts["area"] == pytest.approx(np.pi * 900, rel=0.01)
    assert facts["perimeter"] == pytest.approx(2 * np.pi * 30, rel=0.015)
    assert facts["equivalent_diameter"] == pytest.approx(60, rel=0.005)
    assert facts["compactness"] == pytest.approx(1, abs=0.03)
    assert facts["elongation"] == pytest.approx(1, abs=0.002)
    assert facts["solidity"] == pytest.approx(1, abs=0.01)
    assert facts["extent"] == pytest.approx(np.pi / 4, rel=0.02)
    assert facts["roughness"] == pytest.approx(0, abs=0.003)
    assert (facts["components"], facts["holes"], facts["taller_than_wide"]) == (1, 0, 1)


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 120, 150])
def test_an_ellipse(angle):
    facts = mask_facts(ellipse(60, 24, angle), (1.0, 1.0), True)
    assert facts["area"] == pytest.approx(np.pi * 60 * 24, rel=0.01)
    assert facts["elongation"] == pytest.approx(24 / 60, rel=0.01)
    assert facts["orientation_deg"] == pytest.approx(min(angle, 180 - angle), abs=0.5)
    # Ramanujan's approximation of an ellipse's perimeter.
    h = ((60 - 24) / (60 + 24)) ** 2
    assert facts["perimeter"] == pytest.approx(np.pi * 84 * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))), rel=0.01)


def test_a_rectangle():
    facts = mask_facts(rectangle(60, 30), (1.0, 1.0), True)
    assert facts["area"] == 1800
    # Blurring rounds the corners.
    assert facts["perimeter"] == pytest.approx(180, rel=0.025)
    assert facts["elongation"] == pytest.approx(0.5, abs=1e-9)
    assert facts["orientation_deg"] == pytest.approx(90)
    assert (facts["extent"], facts["taller_than_wide"]) == (1, 2)
    assert facts["solidity"] == pytest.approx(1, abs=0.01)


def test_spacing_counts_along_its_own_axis():
    mask = rectangle(20, 20)
    facts = mask_facts(mask, (0.5, 2.0), True)
    assert facts["taller_than_wide"] == 4
    assert facts["elongation"] == pytest.approx(0.25, abs=1e-9)
    assert facts["area"] == 400
    assert mask_facts(mask, (0.5, 2.0), False)["taller_than_wide"] == 1


def test_rolling_a_disc_inside_a_square_takes_its_corners():
    side = 200
    facts = mask_facts(rectangle(side, side, (260, 260)), (1.0, 1.0), True)
    radius = 0.1 * side * 2 / np.sqrt(np.pi)
    assert facts["roughness"] == pytest.approx((4 - np.pi) * radius**2 / side**2, rel=0.1)
    assert np.isnan(facts["orientation_deg"])


def test_spicules_are_rough_and_not_solid():
    angle = np.linspace(0, 2 * np.pi, 400)
    radius = 60 + 15 * np.cos(12 * angle)
    spiculated = np.zeros((160, 160), dtype=bool)
    spiculated[polygon(80 + radius * np.sin(angle), 80 + radius * np.cos(angle))] = True
    facts, smooth = mask_facts(spiculated, (1.0, 1.0), True), mask_facts(ellipse(60, 60), (1.0, 1.0), True)
    assert facts["roughness"] > 0.1 > 10 * smooth["roughness"]
    assert facts["solidity"] < 0.8 and facts["compactness"] < 0.4


def test_components_and_holes():
    mask = rectangle(20, 20) | rectangle(10, 10, top=70, left=80)
    mask[35:38, 25:28] = False
    mask[42:44, 30:33] = False
    facts = mask_facts(mask, (1.0, 1.0), True)
    assert (facts["components"], facts["holes"]) == (2, 2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_axes_are_those_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4) > 0.02
    if not mask.any():
        return
    (expected,) = regionprops(mask.astype(np.uint8))
    facts = mask_facts(mask, (1.0, 1.0), True)
    # Its axes are four standard deviations of the pixels' centres; a pixel's own variance is 1/12.
    minor, major = (
        (length / 4) ** 2 + 1 / 12 for length in (expected.axis_minor_length, expected.axis_major_length)
    )
    assert facts["elongation"] == pytest.approx(np.sqrt(minor / major), rel=1e-6)
    assert facts["area"] == expected.area
    assert facts["extent"] == pytest.approx(expected.extent)
    # scikit-image measures from the rows' axis, and either way round.
    assert facts["orientation_deg"] == pytest.approx(90 - abs(np.degrees(expected.orientation)), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(down=st.integers(0, 30), right=st.integers(0, 30), angle=st.integers(0, 179))
def test_where_the_mask_lies_does_not_matter(down, right, angle):
    mask = ellipse(25, 12, angle, size=60)
    framed = np.zeros((100, 110), dtype=bool)
    framed[down : down + 60, right : right + 60] = mask
    assert mask_facts(framed, (0.7, 0.7), True) == mask_facts(mask, (0.7, 0.7), True)


# --- outlines in three ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
def test_a_ball(spacing):
    facts = mask_facts(ball(18, spacing), spacing, True)
    assert facts["volume"] == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.02)
    assert facts["surface"] == pytest.approx(4 * np.pi * 18**2, rel=0.02)
    assert facts["equivalent_diameter"] == pytest.approx(36, rel=0.01)
    assert facts["compactness"] == pytest.approx(1, abs=0.02)
    assert facts["elongation"] == pytest.approx(1, abs=0.01)
    assert facts["flatness"] == pytest.approx(1, abs=0.01)
    assert facts["solidity"] == pytest.approx(1, abs=0.02)
    assert facts["roughness"] == pytest.approx(0, abs=0.01)
    assert (facts["components"], facts["holes"]) == (1, 0)


def test_a_box():
    mask = np.zeros((30, 40, 50), dtype=bool)
    mask[5:15, 5:25, 5:45] = True
    facts = mask_facts(mask, (1.0, 1.0, 2.0), True)
    assert facts["volume"] == 10 * 20 * 40 * 2
    assert facts["extent"] == 1
    assert (facts["taller_than_wide"], facts["deeper_than_wide"]) == (0.5, 0.5)
    assert facts["elongation"] == pytest.approx(0.5) and facts["flatness"] == pytest.approx(0.5)


# --- masks of no use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [np.ones((1, 1)), np.ones((1, 7)), np.ones((2, 2)), np.eye(6), np.ones((1, 1, 1)), np.ones((1, 5, 5))],
)
def test_masks_of_a_few_pixels_have_numbers(mask):
    facts = mask_facts(mask.astype(bool), (1.0,) * mask.ndim, True)
    assert all(np.isfinite(value) for name, value in facts.items() if name != "orientation_deg")
    assert facts["elongation"] <= 1 and facts["solidity"] <= 1 and facts["components"] == 1


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_empty_mask_has_the_same_keys(dimension):
    spacing, shape = (1.0,) * dimension, (20,) * dimension
    empty = mask_facts(np.zeros(shape, dtype=bool), spacing, True)
    full = mask_facts(np.ones(shape, dtype=bool), spacing, True)
    assert list(empty) == list(full)
    assert empty.pop("components") == 0 and all(np.isnan(value) for value in empty.values())


# --- frames ---------------------------------------------------------------------------------------------


def test_a_frame_as_it_was_made():
    image = np.zeros((100, 200), dtype=np.uint8)
    image[10:95, 30:180] = 100
    image[10:95, 30:105] = 50
    facts = frame_facts(image, (0.1, 0.2), True)
    assert (facts["width_px"], facts["height_px"], facts["aspect"]) == (200, 100, 2)
    assert (facts["spacing_x_mm"], facts["spacing_y_mm"]) == (0.1, 0.2)
    assert (facts["margin_left"], facts["margin_right"]) == (0.15, 0.1)
    assert (facts["margin_top"], facts["margin_bottom"]) == (0.1, 0.05)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_grey_values_of_tissue_are_not_told(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 200, (2, 30, 40)).astype(float)
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    assert frame_facts(images[0], (1.0, 1.0), True) == frame_facts(images[1], (1.0, 1.0), True)


def test_a_volume_has_slices():
    image = np.random.default_rng(0).normal(size=(8, 20, 30))
    facts = frame_facts(image, (0.7, 0.7, 3.0), True)
    assert (facts["slices"], facts["height_px"], facts["width_px"]) == (8, 20, 30)
    assert facts["spacing_z_mm"] == 3.0


def test_unknown_spacing_is_missing_and_keys_stay():
    image = np.random.default_rng(0).normal(size=(20, 30))
    facts = frame_facts(image, (1.0, 1.0), False)
    assert np.isnan(facts["spacing_x_mm"])
    for other in (image, np.full(image.shape, np.nan), np.zeros(image.shape)):
        assert list(frame_facts(other, (1.0, 1.0), True)) == list(facts)


@pytest.mark.parametrize(
    ("image", "spacing", "why"),
    [
        (np.zeros((4, 5)), (1.0, 1.0, 1.0), "spacing has 3"),
        (np.zeros(4), (1.0,), "2 or 3 dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(image, spacing, why):
    with pytest.raises(ValueError, match=why):
        frame_facts(image, spacing, True)


# --- saturation -----------------------------------------------------------------------------------------


def test_a_clipped_image_is_saturated_by_the_share_clipped():
    values = np.random.default_rng(0).normal(180, 50, (200, 300))
    clipped = np.clip(np.round(values), 0, 255).astype(np.uint8)
    region = np.zeros(values.shape, dtype=bool)
    region[50:150, 50:250] = True
    share = saturated_share(clipped, region)
    assert share == (np.round(values)[region] >= 255).mean() > 0.05
    # The same in 16 bits, as luminance, and in Hounsfield-like numbers.
    for copy in (clipped.astype(np.uint16) * 257, clipped / 255.0, clipped.astype(np.int16) - 1024):
        assert saturated_share(copy, region) == share


@pytest.mark.parametrize("seed", range(5))
def test_smooth_images_are_not_saturated(seed):
    rng = np.random.default_rng(seed)
    everywhere = np.ones((200, 300), dtype=bool)
    for values in (
        np.round(rng.normal(100, 30, everywhere.shape)).clip(0, 255).astype(np.uint8),
        rng.integers(0, 256, everywhere.shape).astype(np.uint8),
        rng.normal(size=everywhere.shape),
        np.round(rng.normal(2000, 300, everywhere.shape)).astype(np.int16),
        rng.rayleigh(20, everywhere.shape).astype(np.uint8),
    ):
        assert saturated_share(values, everywhere) == 0


def test_a_region_away_from_the_saturation_has_none():
    image = np.random.default_rng(0).integers(0, 200, (100, 100)).astype(np.uint8)
    image[:20] = 255
    region = np.zeros(image.shape, dtype=bool)
    region[50:60, 50:60] = True
    assert saturated_share(image, region) == 0
    assert saturated_share(image, ~region) == pytest.approx(2000 / 9900)


def test_saturation_without_a_region_or_finite_values_is_missing():
    image = np.random.default_rng(0).normal(size=(10, 10))
    assert np.isnan(saturated_share(image, np.zeros(image.shape, dtype=bool)))
    assert np.isnan(saturated_share(np.full((4, 4), np.nan), np.ones((4, 4), dtype=bool)))
    assert saturated_share(np.full((4, 4), 7.0), np.ones((4, 4), dtype=bool)) == 0
    with pytest.raises(ValueError, match="shape"):
        saturated_share(image, np.zeros((3, 3), dtype=bool))
