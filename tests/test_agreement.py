"""Agreement of two outlines against closed forms, brute force and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, directed_hausdorff

from annulus.errors import StudyError
from annulus.imaging.agreement import agreement_of, dice, hd95_mm, volume_ratio


def ball(radius, shape, spacing, centre=None):
    """Voxels whose centre lies within ``radius`` (mm) of ``centre`` (mm, array order); spacing is x, y, z."""
    steps = spacing[::-1]
    middle = centre or [(n - 1) / 2 * s for n, s in zip(shape, steps, strict=True)]
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((g * s - m) ** 2 for g, m, s in zip(grids, middle, steps, strict=True)) <= radius**2


def brute_contour(mask):
    """Voxels with a face neighbour outside, one by one."""
    found = []
    for voxel in map(tuple, np.argwhere(mask)):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                beside = list(voxel)
                beside[axis] += step
                within = 0 <= beside[axis] < mask.shape[axis]
                if not (within and mask[tuple(beside)]):
                    found.append(voxel)
    return np.array(sorted(set(found)))


def brute_distances(a, b, spacing):
    steps = np.array(spacing[::-1])
    distances = cdist(brute_contour(a) * steps, brute_contour(b) * steps)
    return distances.min(axis=1), distances.min(axis=0)


@st.composite
def pairs(draw, count=2):
    """Ragged masks of one shape, none empty, and a spacing."""
    dimension = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(2, 7)) for _ in range(dimension))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = [rng.random(shape) < rng.choice([0.1, 0.4, 0.8]) for _ in range(count)]
    for mask in masks:
        mask[tuple(rng.integers(0, shape))] = True
    spacing = tuple(draw(st.floats(0.2, 3.0)) for _ in range(dimension))
    return *masks, spacing


def jaccard_distance(a, b):
    return 1 - dice(a, b) / (2 - dice(a, b))


# --- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.5, 0.8), (0.6, 0.6, 0.6), (0.5, 0.7, 1.0)])
def test_concentric_discs_and_balls(spacing):
    shape = tuple(int(34 / s) for s in spacing[::-1])
    small, large = ball(9, shape, spacing), ball(14, shape, spacing)
    power = len(spacing)
    layer = float(np.linalg.norm(spacing))
    assert hd95_mm(small, large, spacing) == pytest.approx(5, abs=layer)
    assert volume_ratio(small, large) == pytest.approx((14 / 9) ** power, rel=0.03)
    assert dice(small, large) == pytest.approx(2 * 9**power / (9**power + 14**power), rel=0.03)


@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.1, 0.2)])
def test_a_shifted_disc_has_the_percentile_of_the_shift_along_its_contour(spacing):
    radius, shift = 10.0, 2.0
    shape = tuple(int(26 / s) for s in spacing[::-1])
    a = ball(radius, shape, spacing, (13, 12))
    b = ball(radius, shape, spacing, (13, 12 + shift))
    angle = np.linspace(0, 2 * np.pi, 100_001)
    distance = np.abs(np.hypot(radius * np.cos(angle) - shift, radius * np.sin(angle)) - radius)
    assert hd95_mm(a, b, spacing) == pytest.approx(np.percentile(distance, 95), abs=1.5 * max(spacing))


def test_overlap_of_shifted_rectangles_is_exact():
    a, b = np.zeros((2, 12, 30), bool)
    a[2:10, 3:23] = True
    b[2:10, 8:28] = True
    assert dice(a, b) == 15 / 20
    assert volume_ratio(a, b) == 1
    b[2:6] = False
    assert volume_ratio(a, b) == 0.5
    assert volume_ratio(b, a) == 2


def test_distance_of_two_voxels_honours_the_spacing_of_each_axis():
    a, b = np.zeros((2, 5, 6, 7), bool)
    a[1, 1, 1] = b[3, 4, 6] = True
    assert hd95_mm(a, b, (0.5, 2.0, 3.0)) == pytest.approx(np.sqrt(2.5**2 + 6.0**2 + 6.0**2))


def test_the_larger_direction_counts_not_both_pooled():
    a = np.zeros((60, 100), bool)
    a[0] = True
    b = a.copy()
    b[50, :10] = True
    far = brute_distances(a, b, (1, 1))
    assert np.percentile(np.concatenate(far), 95) == 0
    assert hd95_mm(a, b, (1, 1)) == 50


def test_identical_masks_agree_wholly():
    mask = ball(6, (20, 21, 22), (1, 1, 1))
    found = agreement_of(mask, mask.astype(np.uint8) * 255, (1, 1, 1))
    assert (found.dice, found.hd95_mm, found.volume_ratio, found.reason) == (1, 0, 1, "")


# --- other implementations -------------------------------------------------------------------


@given(pairs())
@settings(max_examples=30, deadline=None)
def test_distance_equals_brute_force(case):
    a, b, spacing = case
    truth = max(np.percentile(side, 95) for side in brute_distances(a, b, spacing))
    assert hd95_mm(a, b, spacing) == pytest.approx(truth)


@given(pairs())
@settings(max_examples=30, deadline=None)
def test_overlap_equals_that_of_simpleitk(case):
    a, b, _ = case
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (a, b)))
    assert dice(a, b) == pytest.approx(measure.GetDiceCoefficient())
    # SimpleITK's volume similarity is 2 (a - b) / (a + b).
    ratio = volume_ratio(a, b)
    assert 2 * (1 - ratio) / (1 + ratio) == pytest.approx(measure.GetVolumeSimilarity())


# --- what must hold of any outlines ----------------------------------------------------------


@given(pairs(), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_distance_is_symmetric_scales_and_is_no_more_than_the_largest(case, factor):
    a, b, spacing = case
    found = hd95_mm(a, b, spacing)
    assert found == hd95_mm(b, a, spacing)
    assert hd95_mm(a, b, tuple(s * factor for s in spacing)) == pytest.approx(factor * found)
    points = [brute_contour(mask) * np.array(spacing[::-1]) for mask in (a, b)]
    assert found <= max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]) + 1e-9


@given(pairs())
@settings(max_examples=25, deadline=None)
def test_nothing_depends_on_where_in_the_image_the_lesion_lies(case):
    a, b, spacing = case
    margins = [(3, 40), (50, 2), (1, 7)][: a.ndim]
    inside = agreement_of(np.pad(a, 2), np.pad(b, 2), spacing)
    assert agreement_of(np.pad(a, margins), np.pad(b, margins), spacing) == inside


@given(pairs(count=3))
@settings(max_examples=30, deadline=None)
def test_overlap_obeys_the_triangle_inequality(case):
    a, b, c, _ = case
    assert jaccard_distance(a, c) <= jaccard_distance(a, b) + jaccard_distance(b, c) + 1e-12


@given(pairs(), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_a_shift_moves_no_contour_farther_than_itself(case, steps):
    a, _, spacing = case
    a = np.pad(a, 5)
    moved = np.roll(a, steps, axis=-1)
    assert hd95_mm(a, moved, spacing) <= steps * spacing[0] + 1e-9


# --- what is not defined ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill_a", "fill_b", "reason"),
    [(0, 1, "mask a is empty"), (1, 0, "mask b is empty"), (0, 0, "both masks are empty")],
)
def test_an_empty_mask_has_a_reason_and_no_number(fill_a, fill_b, reason):
    a, b = np.full((4, 5), fill_a), np.full((4, 5), fill_b)
    found = agreement_of(a, b, (1, 1))
    assert found.reason == reason
    measures = [found.dice, found.hd95_mm, found.volume_ratio, dice(a, b), volume_ratio(a, b)]
    assert np.isnan([*measures, hd95_mm(a, b, (1, 1))]).all()


def test_without_a_pixel_size_there_is_overlap_and_no_distance():
    mask = ball(4, (12, 12), (1, 1))
    found = agreement_of(mask, mask, None)
    assert (found.dice, found.volume_ratio) == (1, 1)
    assert np.isnan(found.hd95_mm)
    assert "pixel size" in found.reason


def test_masks_of_different_size_are_refused():
    with pytest.raises(StudyError, match="5 x 4 and 4 x 5 voxels"):
        agreement_of(np.ones((4, 5)), np.ones((5, 4)), (1, 1))
