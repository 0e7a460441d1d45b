"""Perturbations of images and outlines against closed forms, SimpleITK and planted numbers."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from annulus.errors import StudyError
from annulus.imaging import perturbation
from annulus.imaging.agreement import agreement_of, dice
from annulus.imaging.perturbation import (
    LIMITS,
    CannotPerturb,
    Perturbation,
    move_along,
    noise_level,
    perturb,
)
from annulus.imaging.seeds import seed_of

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data" / "pyradiomics"
KINDS = sorted(LIMITS)
AMOUNTS = {"noise": 1.0, "translation": 0.25, "rotation": 8.0, "volume": 0.15, "contour": 0.15}


def on_grid(values, spacing=None, like=None):
    image = sitk.GetImageFromArray(values)
    if like is not None:
        image.CopyInformation(like)
        return image
    # Neither origin nor direction is trivial; the direction is a turn and a flip.
    image.SetSpacing(spacing or (1.0,) * values.ndim)
    image.SetOrigin((-31.5, 12.25, 100.0)[: values.ndim])
    image.SetDirection([0, 1, 1, 0] if values.ndim == 2 else [0, 1, 0, 1, 0, 0, 0, 0, -1])
    return image


def array(image):
    return sitk.GetArrayFromImage(image)


def ellipsoid(shape, spacing, axes, centre=None):
    """Voxels within an ellipsoid with semi-``axes`` in mm (array order), about ``centre`` in voxels."""
    middle = centre or [(n - 1) / 2 for n in shape]
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    steps = spacing[::-1]
    return sum(((g - m) * s / a) ** 2 for g, m, s, a in zip(grids, middle, steps, axes, strict=True)) <= 1


def lesion(dimension=2, spacing=None, seed=0):
    """An image with texture and a bright lesion, and its outline."""
    shape, axes = ((90, 100), (14, 22)) if dimension == 2 else ((16, 36, 40), (7, 8, 11))
    spacing = spacing or ((1.0, 1.0) if dimension == 2 else (1.0, 1.0, 2.0))
    inside = ellipsoid(shape, spacing, axes)
    rng = np.random.default_rng(seed)
    values = 500 + 100 * ndimage.gaussian_filter(rng.normal(size=shape), 3) + 20 * rng.normal(size=shape)
    values += 200 * ndimage.gaussian_filter(inside.astype(float), 1.0)
    return on_grid(values.astype(np.int16), spacing), on_grid(inside.astype(np.uint8), spacing)


def centroid(weights):
    grids = np.indices(weights.shape)
    return np.array([(grid * weights).sum() for grid in grids]) / weights.sum()


def changed_mask(mask, amount, kind="volume", seed=1, spacing=None):
    image = on_grid(np.arange(mask.size, dtype=float).reshape(mask.shape), spacing)
    found = perturb(image, on_grid(mask.astype(np.uint8), like=image), Perturbation(kind, amount), seed)
    return array(found[1]).astype(bool)


def pieces(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))[1]


@st.composite
def blobs(draw):
    """A ragged outline of 30 voxels at least, in one piece or several, with holes, and a spacing."""
    dimension = draw(st.sampled_from([2, 3]))
    shape = (26, 23) if dimension == 2 else (11, 13, 12)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), draw(st.sampled_from([0.8, 1.5, 2.5])))
    share = draw(st.sampled_from([0.5, 0.8, 0.9]))
    spacing = tuple(draw(st.floats(0.3, 2.5)) for _ in shape)
    return smooth > np.quantile(smooth, share), spacing


# --- what holds of all -----------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_an_amount_of_0_changes_nothing(kind, dimension):
    image, mask = lesion(dimension)
    for step in (Perturbation(kind, 0.0), [Perturbation(k, 0) for k in KINDS], []):
        found_image, found_mask = perturb(image, mask, step, 7)
        assert np.array_equal(array(found_image), array(image))
        assert np.array_equal(array(found_mask), array(mask))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_stays_and_the_originals_are_left_alone(kind, dimension):
    image, mask = lesion(dimension)
    before = array(image), array(mask)
    found = perturb(image, mask, Perturbation(kind, AMOUNTS[kind]), 7)
    for result, pixels in zip(found, (sitk.sitkFloat64, sitk.sitkUInt8), strict=True):
        assert result.GetPixelID() == pixels
        for read in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(result, read)() == getattr(image, read)()
    assert set(np.unique(array(found[1]))) == {0, 1}
    assert np.array_equal(array(image), before[0]) and np.array_equal(array(mask), before[1])
    only_image, only_mask = kind == "noise", kind in ("volume", "contour")
    assert np.array_equal(array(found[0]), array(image)) == only_mask
    assert np.array_equal(array(found[1]), array(mask)) == (
        only_image or (kind == "translation" and dimension == 2)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind):
    image, mask = lesion()
    step = Perturbation(kind, AMOUNTS[kind])
    first, again, other = (perturb(image, mask, step, seed) for seed in (5, 5, 6))
    assert all(array(a).tobytes() == array(b).tobytes() for a, b in zip(first, again, strict=True))
    same = all(np.array_equal(array(a), array(b)) for a, b in zip(first, other, strict=True))
    assert same == (kind in ("rotation", "translation"))


def test_seeds_depend_on_every_part_and_on_nothing_else():
    parts = (1, "P1", "rc", "noise_1")
    others = [
        (2, "P1", "rc", "noise_1"),
        (1, "P2", "rc", "noise_1"),
        (1, "P1", "le", "noise_1"),
        (1, "P1", "rc", "x"),
    ]
    seeds = {
        seed_of(*each) for each in [parts, *others, (1, "P1r", "c", "noise_1"), (11, "P", "rc", "noise_1")]
    }
    assert len(seeds) == 7
    assert seed_of(np.int64(1), "P1", "rc", "noise_1") == seed_of(*parts)
    # The number as it was first released: a change would move every published perturbation.
    assert seed_of(*parts) == 8335117240370652955


def test_a_chain_does_not_depend_on_the_order_it_is_given_in():
    image, mask = lesion()
    chain = [Perturbation(kind, amount) for kind, amount in AMOUNTS.items()]
    forwards, backwards = perturb(image, mask, chain, 3), perturb(image, mask, chain[::-1], 3)
    for a, b in zip(forwards, backwards, strict=True):
        assert np.array_equal(array(a), array(b))


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_chain_is_its_steps_one_after_another(dimension):
    image, mask = lesion(dimension)
    chain = [Perturbation(kind, AMOUNTS[kind]) for kind in ("contour", "volume", "rotation", "noise")]
    at_once = perturb(image, mask, chain, 3)
    one_by_one = image, mask
    for step in chain[::-1]:
        one_by_one = perturb(*one_by_one, step, 3)
    for a, b in zip(at_once, one_by_one, strict=True):
        assert np.array_equal(array(a), array(b))


def test_translation_and_rotation_of_a_chain_are_one_movement():
    y, x = np.mgrid[:80, :80].astype(float)
    blob = np.exp(-((x - 44) ** 2 + (y - 40) ** 2) / 18)
    disc = (x - 39) ** 2 + (y - 40) ** 2 <= 100
    image = on_grid(blob)
    chain = [Perturbation("translation", 0.5), Perturbation("rotation", 90)]
    moved = array(perturb(image, on_grid(disc.astype(np.uint8), like=image), chain, 0)[0])
    # 5 pixels from the centroid along x become 5 along y, and then half a pixel both ways.
    assert centroid(moved.clip(0)) == pytest.approx([45.5, 39.5], abs=1e-3)


# --- volume ----------------------------------------------------------------------------------


@given(blobs(), st.floats(-0.6, 0.9))
@settings(max_examples=40, deadline=None)
def test_volume_changes_by_the_fraction_to_one_voxel_and_breaks_nothing_apart(case, amount):
    mask, spacing = case
    found = changed_mask(mask, amount, spacing=spacing)
    assert abs(found.sum() - mask.sum() * (1 + amount)) <= 0.5 + 1e-9
    assert not (mask & ~found).any() if amount > 0 else not (found & ~mask).any()
    assert pieces(found) <= pieces(mask)


@given(blobs(), st.floats(0.01, 0.9))
@settings(max_examples=25, deadline=None)
def test_growth_takes_the_nearest_voxels(case, amount):
    mask, spacing = case
    found = changed_mask(mask, amount, spacing=spacing)
    image = on_grid(mask.astype(np.uint8), spacing)
    distance = array(sitk.SignedMaurerDistanceMap(image, False, False, True))
    nearest_left = distance[~found].min()
    assert distance[found].max() <= nearest_left * (1 + 1e-5)


def test_shrinkage_takes_the_rim_first():
    mask = ellipsoid((60, 60), (1.0, 1.0), (20, 20))
    found = changed_mask(mask, -0.4)
    depth = ndimage.distance_transform_edt(mask)
    assert depth[found].min() >= depth[mask & ~found].max()
    radius = np.sqrt(found.sum() / np.pi)
    assert dice(found, ellipsoid((60, 60), (1.0, 1.0), (radius, radius))) > 0.98


@pytest.mark.parametrize(("axes", "shape"), [((12.0, 12.0), (50, 50)), ((8.0, 8.0, 8.0), (30, 30, 30))])
def test_a_grown_ball_is_a_ball_and_favours_no_side(axes, shape):
    spacing = (1.0,) * len(shape)
    found = changed_mask(ellipsoid(shape, spacing, axes), 0.5)
    radius = axes[0] * 1.5 ** (1 / len(shape))
    assert dice(found, ellipsoid(shape, spacing, (radius,) * len(shape))) > 0.96
    assert centroid(found) == pytest.approx([(n - 1) / 2 for n in shape], abs=0.1)


def test_growth_is_in_mm_not_voxels():
    spacing = (0.5, 0.5, 3.0)
    mask = ellipsoid((11, 60, 60), spacing, (7, 7, 7))
    found = changed_mask(mask, 0.3, spacing=spacing)
    # 9 % of the radius is 0.6 mm: more than a pixel, far less than a slice.
    assert np.array_equal(found.any(axis=(1, 2)), mask.any(axis=(1, 2)))
    assert found.any(axis=(0, 1)).sum() >= mask.any(axis=(0, 1)).sum() + 2


def test_a_neck_does_not_break():
    mask = np.zeros((30, 60), bool)
    mask[5:25, 5:25] = mask[8:22, 36:50] = True
    mask[14:16, 25:36] = True
    plain = ndimage.distance_transform_edt(mask)
    assert pieces(plain >= np.quantile(plain[mask], 0.3)) == 2
    for amount in (-0.05, -0.15, -0.3, -0.5, -0.9):
        found = changed_mask(mask, amount)
        assert pieces(found) == 1
        assert found.sum() == round(mask.sum() * (1 + amount))


def test_growth_along_fine_pixels_is_not_cut_short():
    spacing = (0.3, 3.0)
    mask = np.zeros((30, 80), bool)
    mask[10:20, 30:50] = True
    found = changed_mask(mask, 0.6, spacing=spacing)
    # 6 pixels to either side are 1.8 mm; the next row is 3 mm away.
    assert np.array_equal(found[10:20, 24:56], np.ones((10, 32), bool))
    assert found.sum() == 320


def test_growth_reaches_beyond_the_first_margin_and_stops_at_the_image():
    mask = np.zeros((40, 300), bool)
    mask[:, :60] = True
    found = changed_mask(mask, 1.0)
    assert np.array_equal(found, np.arange(300) < 120 * np.ones((40, 1)))


# --- translation -----------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75, -0.3, 1.0])
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_image_moves_by_the_translation_along_every_axis(dimension, amount):
    shape = (41, 45, 43)[:dimension]
    grids = np.indices(shape).astype(float)
    blob = np.exp(-sum((g - n / 2.3) ** 2 for g, n in zip(grids, shape, strict=True)) / 20)
    image = on_grid(blob, (0.4, 0.9, 3.0)[:dimension])
    moved = array(
        perturb(
            image, on_grid((blob > 0.5).astype(np.uint8), like=image), Perturbation("translation", amount), 0
        )[0]
    )
    assert centroid(moved) - centroid(blob) == pytest.approx([amount] * dimension, abs=1e-4)


@given(blobs(), st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_the_outline_moves_with_the_image_to_half_a_voxel(case, amount):
    mask, spacing = case
    mask = np.pad(ndimage.binary_opening(mask), 3)
    if not mask.any():
        return
    found = changed_mask(mask, amount, "translation", spacing=spacing)
    # No voxel is farther off than rounding: shifted a whole voxel either way, the masks bracket it.
    around = ndimage.binary_dilation(mask, np.ones((3,) * mask.ndim))
    core = ndimage.binary_erosion(mask, np.ones((3,) * mask.ndim))
    assert not (found & ~around).any()
    assert not (core & ~found).any()


@pytest.mark.parametrize("amount", [0.49, 0.5, 0.51, -0.5])
def test_half_a_voxel_neither_swells_nor_shrinks_the_outline(amount):
    mask = np.zeros((30, 30), bool)
    mask[10:20, 8:20] = True
    found = changed_mask(mask, amount, "translation")
    assert abs(found.sum() - mask.sum()) <= 2
    assert np.abs(centroid(found) - centroid(mask) - amount).max() <= 0.52


@pytest.mark.parametrize("amount", [1.0, -1.0])
def test_a_whole_voxel_moves_both_exactly(amount):
    image, mask = lesion(3)
    moved = perturb(image, mask, Perturbation("translation", amount), 0)
    cut = (slice(2, -2),) * 3
    for before, after in zip((image, mask), moved, strict=True):
        rolled = np.roll(array(before), int(amount), axis=(0, 1, 2))
        assert array(after)[cut] == pytest.approx(rolled[cut], abs=1e-9)


# --- rotation --------------------------------------------------------------------------------


@given(
    st.floats(20, 25), st.floats(20, 25), st.floats(-180, 180), st.floats(0.7, 1.3), st.sampled_from([2, 3])
)
@settings(max_examples=20, deadline=None)
def test_rotation_keeps_volume_and_centroid(first, second, angle, dx, dimension):
    spacing = (dx, 1.0, 2.0)[:dimension]
    axes = (first, second) if dimension == 2 else (8.0, first, second)
    mask = ellipsoid((12, 66, 90)[-dimension:], spacing, axes)
    found = changed_mask(mask, angle, "rotation", spacing=spacing)
    assert found.sum() == pytest.approx(mask.sum(), rel=0.02)
    assert centroid(found) == pytest.approx(centroid(mask), abs=0.25)


@pytest.mark.parametrize("shape", [(31, 31), (5, 31, 31)])
def test_a_quarter_turn_takes_x_to_y(shape):
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape)
    mask = np.zeros(shape, bool)
    mask[..., 10:21, 10:21] = True
    mask[..., 14:17, 21:26] = mask[..., 14:17, 5:10] = True
    image = on_grid(values)
    found = perturb(image, on_grid(mask.astype(np.uint8), like=image), Perturbation("rotation", 90), 0)
    assert array(found[0]) == pytest.approx(np.rot90(values, -1, axes=(-2, -1)), abs=1e-9)
    assert np.array_equal(array(found[1]), np.rot90(mask, -1, axes=(-2, -1)))


def test_a_rotated_ellipse_keeps_its_axes_in_mm():
    spacing = (0.5, 1.25)
    mask = ellipsoid((50, 125), spacing, (8, 20))
    found = changed_mask(mask, 35, "rotation", spacing=spacing)
    points = np.argwhere(found) * spacing[::-1]
    variances, directions = np.linalg.eigh(np.cov(points.T))
    assert 2 * np.sqrt(variances) == pytest.approx([8, 20], rel=0.03)
    y, x = directions[:, 1]
    assert np.degrees(np.arctan(y / x)) == pytest.approx(35, abs=1.5)


@pytest.mark.parametrize("dimension", [2, 3])
def test_image_and_outline_move_as_simpleitk_moves_them(dimension):
    image, mask = lesion(dimension, spacing=(0.8, 1.1, 2.0)[:dimension])
    image, mask = sitk.Cast(image, sitk.sitkFloat64), sitk.Cast(mask, sitk.sitkFloat64)
    for each in (image, mask):
        each.SetDirection(np.eye(dimension).ravel())
    middle = centroid(array(mask))[::-1]
    turn = sitk.Euler2DTransform() if dimension == 2 else sitk.Euler3DTransform()
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint(middle.tolist()))
    angle = [-np.radians(11)] if dimension == 2 else [0, 0, -np.radians(11)]
    turn.SetAngle(*angle) if dimension == 2 else turn.SetRotation(*angle)
    truth = array(sitk.Resample(image, image, turn, sitk.sitkBSpline, 0.0))
    share = array(sitk.Resample(mask, image, turn, sitk.sitkLinear, 0.0))
    found = perturb(image, mask, Perturbation("rotation", 11), 0)
    cut = (slice(None),) * (dimension - 2) + (slice(12, -12), slice(12, -12))
    assert array(found[0])[cut] == pytest.approx(truth[cut], abs=0.05)
    clear = np.abs(share - 0.5) > 1e-4
    assert np.array_equal(array(found[1])[clear], share[clear] > 0.5)


def test_nothing_from_beyond_the_image_enters_the_outline():
    values = np.full((60, 60), 100.0)
    mask = np.zeros((60, 60), bool)
    mask[20:40, :25] = True
    image = on_grid(values)
    found = perturb(image, on_grid(mask.astype(np.uint8), like=image), Perturbation("rotation", 30), 0)
    assert array(found[0]) == pytest.approx(values)
    assert array(found[1]).sum() < mask.sum()


def test_the_breast_moves_along():
    image, mask = lesion()
    breast = np.zeros(array(mask).shape, np.uint8)
    breast[10:80, 5:70] = 3
    breast = on_grid(breast, like=image)
    chain = [Perturbation("rotation", 20), Perturbation("translation", 0.5), Perturbation("volume", 0.3)]
    shown = perturb(sitk.Cast(breast, sitk.sitkFloat64) * 1.0, mask, chain, 0)[0]
    clear = np.abs(array(shown) - 1.5) > 0.6
    moved = move_along(breast, mask, chain)
    assert np.array_equal(array(moved)[clear], array(shown)[clear] > 1.5)
    assert clear.mean() > 0.95
    assert moved.GetPixelID() == sitk.sitkUInt8
    kept = move_along(breast, mask, [Perturbation("volume", 0.3), Perturbation("noise", 1)])
    assert np.array_equal(array(kept), array(breast) > 0)
    assert np.array_equal(
        array(move_along(mask, mask, chain[:2])), array(perturb(image, mask, chain[:2], 0)[1])
    )


# --- noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.7, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("kind", [np.float64, np.uint8])
def test_the_noise_of_an_image_is_measured_below_its_structures(sigma, kind):
    rng = np.random.default_rng(1)
    smooth = 128 + 40 * np.sin(np.linspace(0, 9, 300))[:, None] * np.cos(np.linspace(0, 7, 280))
    smooth[100:160, 90:200] += 40
    values = smooth + rng.normal(0, sigma, smooth.shape)
    if kind is np.uint8:
        values = values.round().clip(0, 255).astype(np.uint8)
    # Rounding to whole grey values is itself noise, of variance 1/12.
    truth = np.hypot(sigma, np.sqrt(1 / 12)) if kind is np.uint8 else sigma
    assert noise_level(values) == pytest.approx(truth, rel=0.06)


def test_padding_and_saturation_do_not_count_as_quiet():
    rng = np.random.default_rng(2)
    values = rng.normal(1000, 25, (200, 200))
    values[:130] = 0
    values[150:, :60] = 4095
    assert noise_level(values) == pytest.approx(25, rel=0.06)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("amount", [0.5, 2.0])
def test_noise_is_added_in_proportion_to_the_images_own(dimension, amount):
    rng = np.random.default_rng(3)
    shape = (220, 200) if dimension == 2 else (20, 50, 50)
    image = on_grid(rng.normal(300, 10, shape))
    mask = on_grid(ellipsoid(shape, (1.0,) * dimension, (8.0,) * dimension).astype(np.uint8), like=image)
    added = array(perturb(image, mask, Perturbation("noise", amount), 4)[0]) - array(image)
    assert added.std() == pytest.approx(10 * amount, rel=0.04)
    assert added.mean() == pytest.approx(0, abs=0.3 * amount)
    beside = np.corrcoef(added[..., 1:].ravel(), added[..., :-1].ravel())[0, 1]
    assert abs(beside) < 0.02


def test_noise_that_cannot_be_measured_is_not_added():
    values = np.zeros((40, 40))
    values[10:30, 10:30] = 9.0
    image = on_grid(values)
    with pytest.raises(CannotPerturb, match="No noise can be measured"):
        perturb(image, on_grid((values > 0).astype(np.uint8), like=image), Perturbation("noise", 1), 0)


# --- random contour --------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [2, 3])
def test_random_contours_differ_and_are_the_original_on_average(dimension):
    image, mask = lesion(dimension)
    original = array(mask).astype(bool)
    draws = 25 if dimension == 2 else 10
    step = Perturbation("contour", 0.15)
    drawn = [array(perturb(image, mask, step, seed)[1]).astype(bool) for seed in range(draws)]
    overlaps = [dice(original, each) for each in drawn]
    assert min(overlaps) > 0.8
    assert 0.85 < np.mean(overlaps) < 0.97
    assert len({each.tobytes() for each in drawn}) > draws / 2
    assert np.mean([each.sum() for each in drawn]) == pytest.approx(original.sum(), rel=0.05)
    assert dice(original, np.mean(drawn, axis=0) > 0.5) > np.mean(overlaps)
    assert all(pieces(each) == 1 for each in drawn)


def test_larger_superpixels_change_the_contour_more():
    image, mask = lesion()
    mean = []
    for amount in (0.07, 0.14, 0.3):
        drawn = [perturb(image, mask, Perturbation("contour", amount), seed)[1] for seed in range(8)]
        mean.append(np.mean([dice(array(mask), array(each)) for each in drawn]))
    assert mean[0] > mean[1] > mean[2] > 0.7


def test_a_superpixel_is_in_as_often_as_its_share(monkeypatch):
    mask = np.zeros((90, 90), bool)
    mask[20:70, 20:70] = True
    # Of five blocks at the upper edge, the lesion holds these shares; below them, the whole.
    shares = np.array([0.1, 0.2, 0.4, 0.6, 0.9])
    mask[10:20, 20:70] = np.arange(10)[:, None] >= 10 - np.repeat(10 * shares, 10)[None]
    blocks = np.kron(np.arange(81).reshape(9, 9), np.ones((10, 10), int))
    # The part of the image that is divided: 2 pixels and one and a half sides of a block around the lesion.
    cut = (slice(0, 87), slice(3, 87))
    assert mask.any(axis=1).nonzero()[0][[0, -1]].tolist() == [11, 69]

    def superpixels(values: np.ndarray, *_: object) -> np.ndarray:
        assert values.shape == blocks[cut].shape
        return blocks[cut]

    monkeypatch.setattr(perturbation, "_superpixels", superpixels)
    image = on_grid(np.random.default_rng(0).normal(size=mask.shape))
    outline = on_grid(mask.astype(np.uint8), like=image)
    step = Perturbation("contour", 10 / np.sqrt(mask.sum()))
    often = np.mean([array(perturb(image, outline, step, seed)[1]) for seed in range(200)], axis=0)
    assert often[15, 25] == 0
    assert often[15, [35, 45, 55]] == pytest.approx([0.2, 0.4, 0.6], abs=0.1)
    assert often[15, 65] == 1
    assert (often[25:65, 25:65] == 1).all()
    assert (often[:, :20] == 0).all() and (often[72:] == 0).all()


def redrawn_along(monkeypatch, mask, labels, seeds=20):
    """Random contours of ``mask`` along superpixels that are given."""
    monkeypatch.setattr(perturbation, "_box", lambda inside, margins: (slice(None),) * inside.ndim)
    monkeypatch.setattr(perturbation, "_superpixels", lambda *_: labels)
    return [changed_mask(mask, 0.1, "contour", seed) for seed in range(seeds)]


def test_narrow_bays_of_the_lesion_stay_open(monkeypatch):
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:8] = mask[5:25:2, 5:25] = True
    (found,) = redrawn_along(monkeypatch, mask, np.arange(mask.size).reshape(mask.shape), seeds=1)
    assert np.array_equal(found, mask)


def test_a_lost_bridge_leaves_the_larger_part(monkeypatch):
    mask = np.zeros((30, 40), bool)
    mask[5:25, 2:18] = mask[10:20, 24:36] = mask[14:16, 18:24] = True
    labels = mask.astype(int)
    labels[12:16, 18:24] = 2
    found = redrawn_along(monkeypatch, mask, labels)
    sizes = {int(each.sum()) for each in found}
    assert sizes == {320, 320 + 120 + 24}
    assert all(pieces(each) == 1 for each in found)


def test_the_superpixel_that_holds_the_largest_share_is_in_however_small_that_is(monkeypatch):
    mask = np.zeros((20, 40), bool)
    mask[8:12, 16:23] = True
    labels = np.repeat(np.arange(2), 20)[None] * np.ones((20, 1), int)
    for found in redrawn_along(monkeypatch, mask, labels, seeds=3):
        assert np.array_equal(found, labels == 0)


def test_a_superpixel_narrower_than_a_slice_stays_in_it():
    rng = np.random.default_rng(5)
    values = 100 + rng.normal(size=(8, 30, 30))
    labels = perturbation._superpixels(values, np.ones(values.shape, bool), (3.0, 1.0, 1.0), 8)
    slices = [where[0].stop - where[0].start for where in ndimage.find_objects(labels) if where]
    assert np.mean(np.array(slices) == 1) > 0.95
    assert values.size / len(slices) == pytest.approx(8, rel=0.3)


# --- what cannot be done ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount", "said"),
    [
        ("blur", 1.0, "no perturbation blur"),
        ("noise", -1.0, "noise lies between 0 and 100, not at -1"),
        ("volume", -1.0, "between -0.95 and 5"),
        ("translation", 1.5, "between -1 and 1"),
        ("rotation", float("nan"), "not at nan"),
        ("contour", 0.9, "between 0 and 0.5"),
    ],
)
def test_amounts_without_sense_are_refused(kind, amount, said):
    with pytest.raises(StudyError, match=said):
        Perturbation(kind, amount)


def test_a_chain_with_one_kind_twice_is_refused():
    with pytest.raises(StudyError, match="volume twice"):
        perturb(*lesion(), [Perturbation("volume", 0.1), Perturbation("volume", -0.1)], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_outline_that_is_empty_or_of_another_size_is_a_finding(kind):
    image, mask = lesion()
    step = Perturbation(kind, AMOUNTS[kind])
    with pytest.raises(CannotPerturb, match="no voxel that is set"):
        perturb(image, mask * 0, step, 0)
    with pytest.raises(CannotPerturb, match="on the image's grid"):
        perturb(image, mask[1:, :], step, 0)


def test_an_image_with_gaps_is_a_finding():
    image, mask = lesion()
    values = array(image).astype(float)
    values[3, 4] = np.nan
    with pytest.raises(CannotPerturb, match="not finite"):
        perturb(on_grid(values, like=image), mask, Perturbation("contour", 0.15), 0)


def test_no_empty_outline_is_ever_returned():
    lone = np.zeros((9, 9), bool)
    lone[0, 8] = True
    with pytest.raises(CannotPerturb, match="moves out of the image"):
        changed_mask(lone, 1.0, "translation")
    image = on_grid(np.zeros((9, 9)))
    chain = [Perturbation("translation", 1.0), Perturbation("volume", 0.5), Perturbation("contour", 0.2)]
    with pytest.raises(CannotPerturb, match="moves out of the image"):
        perturb(image, on_grid(lone.astype(np.uint8), like=image), chain, 0)
    with pytest.raises(CannotPerturb, match="shrunk by 60%, none is left"):
        changed_mask(lone, -0.6)
    with pytest.raises(CannotPerturb, match="fills so much of the image"):
        changed_mask(np.ones((9, 9), bool), -0.1)
    with pytest.raises(CannotPerturb, match="fills so much of the image"):
        changed_mask(np.arange(81).reshape(9, 9) < 60, 0.5)


@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.sampled_from([2, 3]))
@settings(max_examples=40, deadline=None)
def test_the_smallest_outlines_anywhere_do_not_break_it(seed, kind, dimension):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 9, dimension))
    mask = rng.random(shape) < 0.3
    mask[tuple(rng.integers(0, shape))] = True
    image = on_grid(rng.normal(size=shape), tuple(rng.uniform(0.3, 5, dimension)))
    try:
        found = perturb(
            image, on_grid(mask.astype(np.uint8), like=image), Perturbation(kind, AMOUNTS[kind]), seed
        )
    except CannotPerturb as error:
        assert str(error).endswith(".")
        return
    assert array(found[1]).any()
    assert np.isfinite(array(found[0])).all()


# --- a real patient --------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"NOT TESTED ON REAL PATIENTS: there is no {SHARED}")
@pytest.mark.parametrize(
    ("kind", "amount", "least", "most"),
    [
        ("noise", 1.0, 1.0, 1.0),
        ("translation", 0.25, 0.95, 1.0),
        ("rotation", 10.0, 0.85, 1.0),
        ("volume", 0.15, 0.92, 0.94),
        ("volume", -0.15, 0.91, 0.93),
        ("contour", 0.15, 0.8, 0.95),
    ],
)
def test_a_small_breast_lesion_survives_every_perturbation(kind, amount, least, most):
    image, mask = (sitk.ReadImage(str(SHARED / f"breast1_{name}.nrrd")) for name in ("image", "label"))
    seed = seed_of(1, "breast1", "dce", kind)
    found = perturb(image, mask, Perturbation(kind, amount), seed)[1]
    agreement = agreement_of(array(mask), array(found), image.GetSpacing())
    assert least <= agreement.dice <= most
    assert agreement.hd95_mm <= 2.2
