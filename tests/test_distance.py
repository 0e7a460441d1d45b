"""Signed distance from the sub-voxel surface against analytic shapes, and what must always hold."""

from itertools import pairwise, permutations
from math import pi

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from annulus.imaging.distance import signed_distance

ISOTROPIC, THICK, THIN = (1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (0.7, 0.7, 2.0)


def centre_to_centre(tumour, spacing):
    """The signed Maurer map, which starts at the outermost voxel's centre."""
    image = sitk.GetImageFromArray(tumour.astype(np.uint8))
    image.SetSpacing(spacing)
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True))


def ellipsoid(axes, reach, spacing, shift):
    """Voxels with their centre in an ellipsoid of those half-axes (x, y, z), off a centre by ``shift``."""
    steps = np.array(spacing[::-1])
    half = np.ceil((np.array(axes[::-1]) + reach) / steps).astype(int) + 2
    grid = np.ogrid[tuple(slice(-n, n + 1) for n in half)]
    return sum(((g - o) * s / a) ** 2 for g, o, s, a in zip(grid, shift, steps, axes[::-1], strict=True)) <= 1


def ring_size(distance, tumour, inner, outer, spacing):
    return ((distance > inner) & (distance <= outer) & ~tumour).sum() * np.prod(spacing)


def ball_or_disc(radius, dimension):
    return pi * radius**2 if dimension == 2 else 4 / 3 * pi * radius**3


def ring_errors(radius, rings, spacing, cases, seed, distance=signed_distance):
    """Relative errors (cases, rings) of the size of rings around balls or discs off the grid's points."""
    rng = np.random.default_rng(seed)
    dimension = len(spacing)
    truth = [ball_or_disc(radius + b, dimension) - ball_or_disc(radius + a, dimension) for a, b in rings]
    errors = []
    for _ in range(cases):
        shift = rng.uniform(-0.5, 0.5, dimension)
        tumour = ellipsoid((radius,) * dimension, max(b for _, b in rings), spacing, shift)
        found = distance(tumour, spacing)
        errors.append([ring_size(found, tumour, a, b, spacing) for a, b in rings])
    return np.array(errors) / truth - 1


# --- the size of rings -----------------------------------------------------------------------

RINGS = ((0, 3), (0, 5), (2, 5), (0, 10), (5, 10))


@pytest.mark.parametrize(
    ("radius", "spacing"),
    [(5.0, ISOTROPIC), (6.0, ISOTROPIC), (5.0, THICK), (7.0, THICK), (3.5, THIN)],
)
def test_rings_around_balls_have_the_analytic_volume(radius, spacing):
    errors = ring_errors(radius, RINGS, spacing, cases=5, seed=1)
    assert abs(errors.mean()) < 0.02
    assert np.abs(errors[:, 3]).max() < 0.04


def test_distances_between_voxel_centres_would_miss_that_volume_by_far():
    errors = ring_errors(5.0, RINGS, THICK, cases=6, seed=1, distance=centre_to_centre)
    assert errors.mean() < -0.12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("radius", "spacing"),
    [
        *((radius, ISOTROPIC) for radius in (5.0, 7.0, 10.0)),
        *((radius, THICK) for radius in (5.0, 6.0, 7.0, 8.0, 10.0, 15.0)),
        *((radius, THIN) for radius in (3.5, 5.6, 7.0)),
    ],
)
def test_every_ring_of_a_slice_and_more_has_on_average_the_analytic_volume(radius, spacing):
    rings = ((0, 3), (0, 4), (0, 5), (0, 7), (0, 10), (5, 10))
    errors = ring_errors(radius, rings, spacing, cases=30, seed=2)
    assert np.abs(errors.mean(axis=0)).max() < 0.03
    assert abs(errors.mean()) < 0.0125


@pytest.mark.parametrize(("radius", "spacing"), [(5, (1.0, 1.0)), (12, (1.0, 1.0)), (8, (0.5, 1.0))])
def test_rings_around_discs_have_the_analytic_area(radius, spacing):
    errors = ring_errors(radius, RINGS, spacing, cases=12, seed=3)
    assert abs(errors.mean()) < 0.01
    assert np.abs(errors[:, 3]).max() < 0.02


def test_rings_around_an_ellipsoid_have_the_volume_of_steiner():
    # Steiner: V(w) = V + S w + 4 pi h w^2 + 4/3 pi w^3, h being the mean of the support function.
    axes, spacing, widths = np.array([12.0, 7.0, 9.0]), (1.0, 1.0, 2.0), np.array([4.0, 6.0, 8.0])
    z, turn = np.meshgrid(np.linspace(-1, 1, 801)[1::2], np.linspace(0, 2 * pi, 361)[:-1])
    on_sphere = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=-1)
    surface = 4 * pi * np.prod(axes) * np.linalg.norm(on_sphere / axes, axis=-1).mean()
    support = np.linalg.norm(on_sphere * axes, axis=-1).mean()
    truth = surface * widths + 4 * pi * support * widths**2 + 4 / 3 * pi * widths**3
    rng = np.random.default_rng(4)
    found = []
    for _ in range(3):
        tumour = ellipsoid(axes, 8, spacing, rng.uniform(-0.5, 0.5, 3))
        distance = signed_distance(tumour, spacing)
        found.append([ring_size(distance, tumour, 0, w, spacing) for w in widths])
    assert np.mean(found, axis=0) == pytest.approx(truth, rel=0.02)


# --- distances themselves --------------------------------------------------------------------


def edge_error(turn, shift):
    rows, columns = np.mgrid[:51, :51] - 25.0
    truth = rows * np.sin(turn) + columns * np.cos(turn) - shift
    return (signed_distance(truth <= 0, (1.0, 1.0)) - truth)[np.hypot(rows, columns) < 10]


@given(st.floats(0, pi), st.floats(-0.5, 0.5))
@settings(max_examples=10, deadline=None)
def test_the_distance_from_an_edge_is_right_to_half_a_pixel(turn, shift):
    assert np.abs(edge_error(turn, shift)).max() < 0.7


def test_the_distance_from_edges_of_any_direction_is_right_on_average():
    rng = np.random.default_rng(5)
    errors = np.array([edge_error(rng.uniform(0, pi), rng.uniform(-0.5, 0.5)) for _ in range(60)])
    assert abs(errors.mean()) < 0.03
    assert errors.std() < 0.2


def test_between_slices_and_pixels_a_straight_edge_lies_halfway():
    tumour = np.zeros((16, 20, 20), bool)
    tumour[:8] = True
    along_slices = signed_distance(tumour, THICK)[6:12, 10, 10]
    assert along_slices == pytest.approx([-4.5, -1.5, 1.5, 4.5, 7.5, 10.5], abs=0.02)
    along_rows = signed_distance(tumour.transpose(1, 0, 2), THICK)[10, 6:12, 10]
    assert along_rows == pytest.approx([-1.5, -0.5, 0.5, 1.5, 2.5, 3.5], abs=0.02)


def test_inside_a_ball_the_distance_is_the_depth():
    tumour = ellipsoid((9, 9, 9), 4, THICK, (0.2, -0.3, 0.1))
    grid = np.indices(tumour.shape)
    middle = [n // 2 + o for n, o in zip(tumour.shape, (0.2, -0.3, 0.1), strict=True)]
    steps = THICK[::-1]
    away = np.sqrt(sum(((g - m) * s) ** 2 for g, m, s in zip(grid, middle, steps, strict=True)))
    error = (signed_distance(tumour, THICK) - (away - 9))[tumour]
    assert abs(error.mean()) < 0.1
    assert np.abs(error).max() < 1.0


def test_a_single_pixel_is_a_disc_of_its_area_and_its_ring_the_eight_neighbours():
    tumour = np.zeros((9, 9), bool)
    tumour[4, 4] = True
    distance = signed_distance(tumour, (1.0, 1.0))
    assert -distance[4, 4] == pytest.approx(pi**-0.5, abs=0.05)
    assert ((distance > 0) & (distance <= 1)).sum() == 8


def test_a_line_one_pixel_wide_keeps_its_width_and_a_spicule_its_ring():
    disc = ellipsoid((10, 10), 20, (1.0, 1.0), (0, 0))
    middle = disc.shape[0] // 2
    disc[middle, middle : middle + 25] = True
    distance = signed_distance(disc, (1.0, 1.0))
    beside = distance[middle - 3 : middle + 4, middle + 18]
    assert beside == pytest.approx([2.5, 1.5, 0.5, -0.5, 0.5, 1.5, 2.5], abs=0.15)


def test_a_lesion_on_one_slice_is_about_a_slice_thick():
    tumour = np.zeros((7, 41, 41), bool)
    tumour[3] = ellipsoid((12, 12), 6, (1.0, 1.0), (0.2, 0.3))[:41, :41]
    assert signed_distance(tumour, THICK)[:, 20, 20] == pytest.approx(
        [7.5, 4.5, 1.5, -1.5, 1.5, 4.5, 7.5], abs=0.3
    )


def test_each_of_several_lesions_has_its_own_surface():
    small = np.zeros((40, 60), bool)
    small[20, 45] = True
    large = np.zeros((40, 60), bool)
    large[12:29, 5:22] = True
    together = signed_distance(small | large, (1.0, 1.0))
    apart = np.minimum(signed_distance(small, (1.0, 1.0)), signed_distance(large, (1.0, 1.0)))
    outside = ~(small | large)
    assert together[outside] == pytest.approx(apart[outside], abs=0.05)


def test_without_a_tumour_everything_is_infinitely_far():
    assert np.all(signed_distance(np.zeros((4, 5), bool), (1.0, 1.0)) == np.inf)


def test_up_to_the_reach_nothing_changes():
    tumour = ellipsoid((6, 6, 6), 12, THICK, (0.1, 0.2, 0.3))
    whole = signed_distance(tumour, THICK)
    short = signed_distance(tumour, THICK, reach=4.0)
    near = np.abs(whole) <= 4.0
    assert np.array_equal(short[near], whole[near])
    assert np.all(np.isinf(short[np.abs(whole) > 4.1]))
    assert np.array_equal(short > 0, whole > 0)


# --- what must hold of any mask --------------------------------------------------------------


@st.composite
def tumours(draw):
    """A ragged mask, often in several pieces, one voxel thin or at the array's edge, and a spacing."""
    dimension = draw(st.sampled_from((2, 3)))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(dimension))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random(shape) < draw(st.sampled_from([0.02, 0.3, 0.7]))
    if draw(st.booleans()):
        mask = ndimage.binary_closing(mask)
    mask[tuple(rng.integers(0, shape))] = True
    return mask, tuple(draw(st.floats(0.2, 3.0)) for _ in range(dimension))


@given(tumours())
@settings(max_examples=50, deadline=None)
def test_exactly_the_tumour_has_no_positive_distance_and_none_is_unknown(case):
    tumour, spacing = case
    distance = signed_distance(tumour, spacing)
    assert np.array_equal(distance <= 0, tumour)
    assert np.all(np.isfinite(distance))


@given(tumours())
@settings(max_examples=50, deadline=None)
def test_the_surface_lies_between_the_last_voxel_inside_and_the_first_outside(case):
    tumour, spacing = np.pad(case[0], 1), case[1]
    distance = signed_distance(tumour, spacing)
    between = np.linalg.norm(spacing)
    for inside in (tumour, ~tumour):
        truth = ndimage.distance_transform_edt(~inside, sampling=spacing[::-1])
        found = np.abs(distance[~inside])
        assert np.all(found >= truth[~inside] - between - 1e-5)
        # The steps in which the surface is sampled are finite.
        assert np.all(found <= truth[~inside] + 0.25 * max(spacing))


@given(tumours())
@settings(max_examples=30, deadline=None)
def test_neighbours_differ_by_no_more_than_the_step_between_them(case):
    tumour, spacing = case
    distance = np.abs(signed_distance(tumour, spacing))
    for axis, step in enumerate(spacing[::-1]):
        assert np.all(np.abs(np.diff(distance, axis=axis)) <= step * (1 + 1e-6))


@given(tumours(), st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_distances_scale_with_the_spacing(case, scale):
    tumour, spacing = case
    scaled = signed_distance(tumour, tuple(scale * step for step in spacing))
    assert scaled == pytest.approx(scale * signed_distance(tumour, spacing), rel=1e-4, abs=1e-4 * scale)


@given(tumours(), st.data())
@settings(max_examples=30, deadline=None)
def test_flips_and_permutations_of_axes_change_nothing(case, data):
    tumour, spacing = case
    order = data.draw(st.sampled_from(list(permutations(range(tumour.ndim)))))
    flipped = data.draw(st.lists(st.integers(0, tumour.ndim - 1), unique=True))

    def turned(array):
        return np.flip(array.transpose(order), flipped)

    steps = np.array(spacing[::-1])[list(order)]
    found = signed_distance(turned(tumour), tuple(steps[::-1]))
    assert found == pytest.approx(turned(signed_distance(tumour, spacing)), rel=1e-4, abs=1e-4)


@given(tumours(), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_how_the_array_was_cut_changes_nothing(case, room):
    tumour, spacing = case
    roomy = signed_distance(np.pad(tumour, room), spacing)
    cut = (slice(room, -room),) * tumour.ndim
    assert roomy[cut] == pytest.approx(signed_distance(tumour, spacing), rel=1e-6, abs=1e-6)


@given(tumours(), st.lists(st.floats(0.1, 8.0), min_size=2, max_size=4, unique=True))
@settings(max_examples=30, deadline=None)
def test_adjoining_rings_are_disjoint_and_add_up_to_the_widest(case, widths):
    tumour, spacing = case
    distance = signed_distance(np.pad(tumour, 5), spacing)
    edges = [0.0, *sorted(widths)]
    rings = [(distance > a) & (distance <= b) for a, b in pairwise(edges)]
    assert np.sum(rings, axis=0).max() <= 1
    assert np.array_equal(np.any(rings, axis=0), (distance > 0) & (distance <= edges[-1]))
    assert not np.any(np.any(rings, axis=0) & np.pad(tumour, 5))


@given(tumours())
@settings(max_examples=10, deadline=None)
def test_the_result_is_the_same_every_time(case):
    tumour, spacing = case
    assert signed_distance(tumour, spacing).tobytes() == signed_distance(tumour, spacing).tobytes()
