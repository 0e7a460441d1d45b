"""Regions of interest against analytic areas, volumes and an independent distance transform."""

import hashlib
from math import pi

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from annulus.errors import StudyError
from annulus.imaging.regions import (
    Plan,
    Region,
    build_regions,
    build_rows,
    equivalent_diameter,
    status_of,
)


def ball(radius, shape, spacing, centre=None):
    """Voxels whose centre lies within ``radius`` (mm) of the image's centre; spacing is x, y, z."""
    steps = spacing[::-1]
    middle = centre or [(n - 1) / 2 for n in shape]
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = (((g - m) * s) ** 2 for g, m, s in zip(grids, middle, steps, strict=True))
    return sum(squares) <= radius**2


def ring(outer, inner=0.0, name="ring", kind="ring"):
    return Region(name, kind, inner, outer)


def plan(*regions, unit="mm", minimum=1, lost=0.2):
    return Plan(unit, regions, minimum, lost)


def built(tumour, spacing, *regions, unit="mm", tissue=None, known=True):
    return build_regions(tumour, tissue, spacing, known, plan(*regions, unit=unit))


def gauss_circle(radius):
    """Number of integer points within ``radius`` of the origin."""
    return sum(2 * int((radius**2 - x * x) ** 0.5) + 1 for x in range(-radius, radius + 1))


@st.composite
def tumours(draw, dimensions=(2, 3)):
    """A non-empty mask, often ragged, in several pieces and at the image's edge."""
    dimension = draw(st.sampled_from(dimensions))
    shape = tuple(draw(st.integers(3, 9)) for _ in range(dimension))
    seed = draw(st.integers(0, 2**32 - 1))
    share = draw(st.sampled_from([0.02, 0.2, 0.6]))
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask[tuple(rng.integers(0, shape))] = True
    return mask


spacings = st.tuples(*[st.floats(0.21, 3.03)] * 3)


# --- analytic areas and volumes --------------------------------------------------------------


@given(
    st.floats(4, 14),
    st.floats(1.5, 9),
    st.floats(0.4, 1.5),
    st.floats(0.4, 1.5),
)
@settings(max_examples=40, deadline=None)
def test_area_of_a_ring_around_a_disc_is_analytic_to_one_pixel_layer(radius, width, dx, dy):
    reach = 2 * (radius + width) + 6
    shape = (int(reach / dy) | 1, int(reach / dx) | 1)
    tumour = ball(radius, shape, (dx, dy))
    (found,) = built(tumour, (dx, dy), ring(width))
    far = radius + width
    bound = 2 * pi * (radius + far) * max(dx, dy)
    assert abs(found.mask.sum() * dx * dy - pi * (far**2 - radius**2)) <= bound
    assert found.lost_fraction == 0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 0.7), (0.8, 0.8, 2.0), (0.5, 1.0, 1.5)])
@pytest.mark.parametrize(("radius", "width"), [(8.0, 5.0), (5.3, 9.1)])
def test_volume_of_a_shell_around_a_ball_is_analytic_to_one_voxel_layer(radius, width, spacing):
    reach = 2 * (radius + width) + 8
    shape = tuple(int(reach / step) | 1 for step in spacing[::-1])
    tumour = ball(radius, shape, spacing)
    (found,) = built(tumour, spacing, ring(width))
    far = radius + width
    bound = 4 * pi * (radius**2 + far**2) * max(spacing)
    measured = found.mask.sum() * np.prod(spacing)
    assert abs(measured - 4 / 3 * pi * (far**3 - radius**3)) <= bound
    assert found.lost_fraction == 0


def test_area_converges_to_the_analytic_one_as_pixels_shrink():
    errors = []
    for step in (1.0, 0.5, 0.1):
        shape = (int(40 / step) | 1,) * 2
        tumour = ball(8, shape, (step, step))
        (found,) = built(tumour, (step, step), ring(4.03))
        truth = pi * (12.03**2 - 8**2)
        errors.append(abs(found.mask.sum() * step**2 - truth) / truth)
    assert errors[-1] < 0.03
    assert errors[-1] < errors[0]


def test_a_ring_with_an_inner_distance_has_the_area_of_its_annulus():
    tumour = ball(10, (121, 121), (0.5, 0.5))
    (found,) = built(tumour, (0.5, 0.5), ring(8, inner=3))
    assert abs(found.mask.sum() * 0.25 - pi * (18**2 - 13**2)) <= 2 * pi * (18 + 13) * 0.5


# --- rings against brute force ---------------------------------------------------------------


@given(tumours(), spacings, st.floats(0.35, 6.1), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_ring_is_every_tissue_voxel_within_reach_and_none_of_the_tumour(tumour, spacing, outer, seed):
    spacing = spacing[: tumour.ndim]
    tissue = np.random.default_rng(seed).random(tumour.shape) < 0.7
    truth = ndimage.distance_transform_edt(~tumour, sampling=spacing[::-1])
    assume(np.abs(truth - outer).min() > 1e-4)
    (found,) = built(tumour, spacing, ring(outer), tissue=tissue)
    assert np.array_equal(found.mask, ~tumour & (truth <= outer) & tissue)


@given(tumours(), st.floats(1.05, 4.1))
@settings(max_examples=60, deadline=None)
def test_the_lost_fraction_counts_what_lies_beyond_the_image(tumour, outer):
    truth = ndimage.distance_transform_edt(~np.pad(tumour, 8))
    assume(np.abs(truth - outer).min() > 1e-4)
    (found,) = built(tumour, (1.0,) * tumour.ndim, ring(outer), unit="px")
    nominal = ((truth > 0) & (truth <= outer)).sum()
    assert found.lost_fraction == pytest.approx(1 - found.mask.sum() / nominal)


@given(tumours(), st.lists(st.floats(0.3, 6), min_size=3, max_size=3, unique=True))
@settings(max_examples=60, deadline=None)
def test_wider_rings_contain_narrower_ones_and_none_touches_the_tumour(tumour, widths):
    low, middle, high = sorted(widths)
    narrow, wide, outer, union = built(
        tumour,
        (1.0,) * tumour.ndim,
        ring(middle, name="a"),
        ring(high, name="b"),
        ring(high, inner=middle, name="c"),
        ring(low, name="d", kind="union"),
    )
    assert not (narrow.mask & ~wide.mask).any()
    assert not ((narrow.mask | wide.mask | outer.mask) & tumour).any()
    assert not (outer.mask & narrow.mask).any()
    assert np.array_equal(narrow.mask | outer.mask, wide.mask)
    assert not (tumour & ~union.mask).any()
    assert not (union.mask & ~(tumour | narrow.mask)).any()


def test_a_union_is_the_tumour_and_its_ring():
    tumour = ball(7, (51, 61), (1, 1))
    whole, around, both = built(
        tumour, (1.0, 1.0), Region("itr", "tumour"), ring(5), ring(5, name="u", kind="union")
    )
    assert np.array_equal(whole.mask, tumour)
    assert np.array_equal(both.mask, tumour | around.mask)
    assert whole.lost_fraction == 0
    assert whole.achieved is None


def test_a_union_has_no_gap_whatever_its_inner_distance():
    tumour = ball(7, (51, 61), (1, 1))
    plain, odd = built(
        tumour,
        (1.0, 1.0),
        ring(6, name="plain", kind="union"),
        ring(6, inner=3, name="odd", kind="union"),
    )
    assert np.array_equal(plain.mask, odd.mask)


# --- zero and huge widths --------------------------------------------------------------------


def test_a_ring_of_zero_width_beside_a_wider_one_is_empty():
    tumour = ball(7, (31, 31), (1, 1))
    nothing, something = built(tumour, (1.0, 1.0), ring(0), ring(3, name="b"))
    assert nothing.mask.sum() == 0
    assert status_of(nothing, plan())[0] == "empty"
    assert something.mask.sum() > 0


def test_a_ring_of_zero_width_alone_is_never_the_tumour_itself():
    tumour = ball(7, (31, 31), (1, 1))
    try:
        (nothing,) = built(tumour, (1.0, 1.0), ring(0))
    except StudyError:
        return
    assert nothing.mask.sum() == 0


def test_a_ring_wider_than_the_image_fills_it_and_reports_what_is_lost():
    tumour = np.zeros((31, 41), bool)
    tumour[12, 17] = True
    (found,) = built(tumour, (1.0, 1.0), ring(60), unit="px")
    assert np.array_equal(found.mask, ~tumour)
    kept = 31 * 41 - 1
    assert found.lost_fraction == pytest.approx(1 - kept / (gauss_circle(60) - 1), rel=1e-12)
    assert found.achieved == pytest.approx((kept / pi) ** 0.5, abs=1)


def test_a_ring_wider_than_the_tissue_fills_it_and_reports_what_is_lost():
    tumour = np.zeros((51, 51), bool)
    tumour[25, 25] = True
    tissue = ball(9, (51, 51), (1, 1))
    (found,) = built(tumour, (1.0, 1.0), ring(20), unit="px", tissue=tissue)
    assert np.array_equal(found.mask, tissue & ~tumour)
    kept = gauss_circle(9) - 1
    assert found.lost_fraction == pytest.approx(1 - kept / (gauss_circle(20) - 1), rel=1e-12)
    assert found.achieved == pytest.approx(9, abs=1)


def test_a_ring_without_any_tissue_is_empty_and_wholly_lost():
    tumour = ball(5, (41, 41), (1, 1))
    (found,) = built(tumour, (1.0, 1.0), ring(4), tissue=tumour)
    assert found.mask.sum() == 0
    assert found.lost_fraction == 1
    assert found.achieved == 0


# --- clipping --------------------------------------------------------------------------------


def test_the_achieved_width_behind_a_half_plane_is_that_of_an_annulus_of_half_the_area():
    step, radius, width = 0.25, 10.0, 8.0
    shape = (161, 161)
    tumour = ball(radius, shape, (step, step))
    tissue = np.zeros(shape, bool)
    tissue[:, 80:] = True
    (found,) = built(tumour, (step, step), ring(width), tissue=tissue)
    half = pi * ((radius + width) ** 2 - radius**2) / 2
    assert found.mask.sum() * step**2 == pytest.approx(half, rel=0.02)
    assert found.lost_fraction == pytest.approx(0.5, abs=0.01)
    assert found.achieved == pytest.approx((radius**2 + half / pi) ** 0.5 - radius, abs=step)
    assert not (found.mask & ~tissue).any()


@pytest.mark.parametrize("unit", ["mm", "px", "fraction"])
def test_an_unclipped_ring_achieves_its_width(unit):
    step = 0.5
    tumour = ball(6, (101, 101), (step, step))
    length = {"mm": 1.0, "px": step, "fraction": equivalent_diameter(tumour, (step, step))}[unit]
    (found,) = built(tumour, (step, step), ring(5 / length), unit=unit)
    assert found.lost_fraction == 0
    assert 5 - step < found.achieved * length <= 5


@pytest.mark.parametrize("where", [(0, 10), (20, 10), (10, 0), (10, 20), (0, 0), (20, 20)])
def test_a_tumour_at_the_edge_keeps_its_ring_in_the_image_and_never_wraps_around(where):
    tumour = np.zeros((21, 21), bool)
    tumour[where] = True
    (found,) = built(tumour, (1.0, 1.0), ring(4), unit="px")
    kept = sum(0 < (r - where[0]) ** 2 + (c - where[1]) ** 2 <= 16 for r in range(21) for c in range(21))
    assert found.mask.shape == (21, 21)
    assert found.mask.sum() == kept
    assert found.lost_fraction == pytest.approx(1 - kept / (gauss_circle(4) - 1))
    rows, columns = np.nonzero(found.mask)
    assert np.hypot(rows - where[0], columns - where[1]).max() <= 4


def test_a_tumour_that_fills_the_image_loses_all_of_its_ring():
    (found,) = built(np.ones((9, 9), bool), (1.0, 1.0), ring(3))
    assert found.mask.sum() == 0
    assert found.lost_fraction == 1


# --- units -----------------------------------------------------------------------------------


def test_five_mm_at_half_a_mm_is_ten_pixels():
    tumour = ball(4, (61, 71), (0.5, 0.5))
    (in_mm,) = built(tumour, (0.5, 0.5), ring(5))
    (in_px,) = built(tumour, (0.5, 0.5), ring(10), unit="px")
    assert np.array_equal(in_mm.mask, in_px.mask)
    assert in_mm.achieved == pytest.approx(in_px.achieved / 2)


@given(st.integers(4, 300), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_a_whole_number_of_pixels_is_the_same_ring_in_mm_at_any_spacing(hundredths, pixels):
    spacing = hundredths / 100
    width = hundredths * pixels / 100
    tumour = np.zeros((27, 27), bool)
    tumour[13, 13] = True
    (in_mm,) = built(tumour, (spacing, spacing), ring(width))
    (in_px,) = built(tumour, (spacing, spacing), ring(pixels), unit="px")
    assert in_mm.mask.sum() == in_px.mask.sum()


@given(tumours(), spacings, st.floats(0.05, 1.5))
@settings(max_examples=60, deadline=None)
def test_a_fraction_is_that_share_of_the_equivalent_diameter(tumour, spacing, share):
    spacing = spacing[: tumour.ndim]
    size = tumour.sum() * np.prod(spacing)
    diameter = 2 * (size / pi) ** 0.5 if tumour.ndim == 2 else 2 * (3 * size / (4 * pi)) ** (1 / 3)
    assert equivalent_diameter(tumour, spacing) == pytest.approx(diameter)
    (by_share,) = built(tumour, spacing, ring(share), unit="fraction")
    (in_mm,) = built(tumour, spacing, ring(share * diameter))
    assert np.array_equal(by_share.mask, in_mm.mask)
    assert by_share.achieved * diameter == pytest.approx(in_mm.achieved)


def test_a_fraction_does_not_depend_on_the_pixel_size():
    tumour = ball(9, (61, 61), (1, 1))
    unknown, tenth = (
        built(tumour, spacing, ring(0.25), unit="fraction", known=known)[0]
        for spacing, known in (((1.0, 1.0), False), ((0.1, 0.1), True))
    )
    assert np.array_equal(unknown.mask, tenth.mask)


def test_the_equivalent_diameter_of_a_disc_and_a_ball_is_theirs():
    disc = ball(10, (91, 91), (0.25, 0.5))
    assert equivalent_diameter(disc, (0.25, 0.5)) == pytest.approx(20, rel=0.02)
    solid = ball(6, (41, 41, 41), (0.5, 0.5, 0.5))
    assert equivalent_diameter(solid, (0.5, 0.5, 0.5)) == pytest.approx(12, rel=0.02)


def test_pixels_count_alike_along_every_axis():
    tumour = np.zeros((21, 21), bool)
    tumour[10, 10] = True
    (found,) = built(tumour, (0.2, 3.0), ring(4), unit="px")
    assert found.mask.sum() == gauss_circle(4) - 1


def test_mm_without_a_pixel_size_is_refused_with_the_way_out():
    tumour = ball(4, (21, 21), (1, 1))
    with pytest.raises(StudyError, match="px or fraction"):
        built(tumour, (1.0, 1.0), ring(5), known=False)


def test_a_tumour_alone_or_pixels_need_no_pixel_size():
    tumour = ball(4, (21, 21), (1, 1))
    (whole,) = built(tumour, (1.0, 1.0), Region("itr", "tumour"), known=False)
    (around,) = built(tumour, (1.0, 1.0), ring(2), unit="px", known=False)
    assert np.array_equal(whole.mask, tumour)
    assert around.mask.sum() > 0


# --- status and rows -------------------------------------------------------------------------


def test_a_region_below_the_least_number_of_voxels_is_too_small():
    tumour = np.zeros((11, 11), bool)
    tumour[5, 5] = True
    (found,) = built(tumour, (1.0, 1.0), ring(1))
    status, reason = status_of(found, plan(minimum=5))
    assert (status, reason) == ("too_small", "4 voxels, 5 needed")
    assert status_of(found, plan(minimum=4)) == ("ok", "")


def test_a_ring_that_lost_too_much_is_kept_and_flagged():
    tumour = np.zeros((21, 21), bool)
    tumour[0, 10] = True
    (found,) = built(tumour, (1.0, 1.0), ring(4))
    status, reason = status_of(found, plan(lost=0.2))
    assert status == "ok"
    assert f"{found.lost_fraction:.0%}" in reason
    assert status_of(found, plan(lost=0.9)) == ("ok", "")


def saved_mask(path, array, spacing):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing)
    image.SetOrigin((3.0, -4.0))
    sitk.WriteImage(image, str(path))


def tables(roles, source="header"):
    key = {"patient_id": "p1", "timepoint": "baseline", "image_id": "i1"}
    images = pd.DataFrame([{**key, "spacing_source": source}])
    masks = pd.DataFrame(
        [
            {**key, "image": "us", "decision": d, "mask_role": r, "rater": who, "mask_file": f}
            for d, r, who, f in roles
        ]
    )
    return images, masks


def test_rows_carry_voxels_volumes_widths_and_the_hash_of_a_mask_on_the_same_grid(tmp_path):
    tumour = ball(5, (61, 71), (0.5, 0.4))
    tissue = np.zeros((61, 71), bool)
    tissue[:, 30:] = True
    saved_mask(tmp_path / "t.nrrd", tumour, (0.5, 0.4))
    saved_mask(tmp_path / "b.nrrd", tissue, (0.5, 0.4))
    tables_ = tables([("pass", "tumour", "1", "t.nrrd"), ("pass", "breast", "1", "b.nrrd")])
    wanted = plan(Region("itr", "tumour"), ring(4, inner=1, name="ptr"))
    whole, around = build_rows(*tables_, wanted, tmp_path, tmp_path / "out")
    assert whole["voxels"] == tumour.sum()
    assert whole["volume_mm3"] == pytest.approx(tumour.sum() * 0.2)
    assert whole["inner_mm"] is None
    assert (around["inner_mm"], around["outer_mm"]) == (1, 4)
    assert 1 < around["achieved_mm"] < 4
    assert (whole["status"], around["status"]) == ("ok", "ok")
    file = tmp_path / "out" / around["mask_file"]
    assert around["mask_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    image = sitk.ReadImage(str(file))
    assert image.GetSpacing() == (0.5, 0.4)
    assert image.GetOrigin() == (3.0, -4.0)
    inside = sitk.GetArrayFromImage(image) > 0
    assert inside.sum() == around["voxels"]
    assert not (inside & (tumour | ~tissue)).any()


def test_of_several_raters_the_first_usable_by_name_is_taken(tmp_path):
    for name, radius in (("a", 3), ("b", 5), ("c", 7)):
        saved_mask(tmp_path / f"{name}.nrrd", ball(radius, (31, 31), (1, 1)), (1.0, 1.0))
    images, masks = tables(
        [
            ("pass", "tumour", "c", "c.nrrd"),
            ("repaired", "tumour", "b", "b.nrrd"),
            ("excluded", "tumour", "a", "a.nrrd"),
        ]
    )
    (row,) = build_rows(images, masks, plan(Region("itr", "tumour")), tmp_path, tmp_path / "out")
    assert row["voxels"] == ball(5, (31, 31), (1, 1)).sum()


def test_without_a_pixel_size_rows_have_no_mm(tmp_path):
    saved_mask(tmp_path / "t.nrrd", ball(5, (41, 41), (1, 1)), (1.0, 1.0))
    images, masks = tables([("pass", "tumour", "1", "t.nrrd")], source="unknown")
    wanted = plan(ring(0.25), unit="fraction")
    (row,) = build_rows(images, masks, wanted, tmp_path, tmp_path / "out")
    assert row["outer"] == 0.25
    assert row["outer_mm"] is None
    assert row["achieved_mm"] is None
    assert row["volume_mm3"] is None
    assert row["voxels"] > 0


def test_a_patient_whose_lesion_was_excluded_has_no_region(tmp_path):
    images, masks = tables([("excluded", "tumour", "1", "t.nrrd")])
    assert build_rows(images, masks, plan(ring(2)), tmp_path, tmp_path / "out") == []
