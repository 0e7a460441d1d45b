"""Regions of interest against analytic areas, volumes and lost shares, and the tables and files of them."""

import hashlib
from math import pi

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from annulus.errors import StudyError
from annulus.imaging.reading import read_written, write_mask
from annulus.imaging.regions import (
    Plan,
    Region,
    build_regions,
    build_rows,
    equivalent_diameter,
    status_of,
)
from annulus.tables import read_csv, write_csv

# Shells and rims as studies ask for them, and a ring from a rim inside to beyond the edge.
RINGS = {"near": (0, 5), "shell": (3, 5), "rim": (-2, 0), "both": (-2, 3), "wide": (0, 10)}

# What is left where a voxel is worth several per cent of a ring.
ROUGHLY = 0.04


def ball(radius, shape, spacing, centre=None):
    """Voxels whose centre lies within ``radius`` (mm) of ``centre`` (voxels); spacing is x, y, z."""
    steps = spacing[::-1]
    middle = [(n - 1) / 2 for n in shape] if centre is None else centre
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = (((g - m) * s) ** 2 for g, m, s in zip(grids, middle, steps, strict=True))
    return sum(squares) <= radius**2


def ring(outer, inner=0.0, name="ring", kind="ring", of="tumour"):
    return Region(name, kind, inner, outer, of)


def whole(kind="tumour", of="tumour", name="itr"):
    return Region(name, kind, of=of)


def plan(*regions, unit="mm", minimum=1, lost=0.2, **more):
    return Plan(unit, regions, minimum, lost, **more)


def built(tumour, spacing, *regions, unit="mm", tissue=None, known=True):
    return build_regions(tumour, tissue, spacing, known, plan(*regions, unit=unit))


def size_of(radius, inner, outer, dimension):
    """Area of the annulus, or volume of the shell, between two distances from a disc's or ball's edge."""
    low, high = radius + inner, radius + outer
    return pi * (high**2 - low**2) if dimension == 2 else 4 / 3 * pi * (high**3 - low**3)


def relative_errors(radius, spacing, positions=3):
    """Errors of the size of all RINGS around discs or balls whose centre lies anywhere in a voxel."""
    rng = np.random.default_rng(0)
    shape = tuple(int(2 * (radius + 11) / step) for step in spacing[::-1])
    errors = {name: [] for name in RINGS}
    for _ in range(positions):
        centre = np.array(shape) / 2 - rng.random(len(shape))
        tumour = ball(radius, shape, spacing, centre)
        for found in built(tumour, spacing, *(ring(o, i, name) for name, (i, o) in RINGS.items())):
            truth = size_of(radius, *RINGS[found.region.name], len(shape))
            errors[found.region.name].append(found.voxels * np.prod(spacing) / truth - 1)
            assert found.lost_fraction == 0
    return {name: np.array(values) for name, values in errors.items()}


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


@pytest.mark.parametrize("spacing", [(0.25, 0.25), (0.2, 0.3)])
@pytest.mark.parametrize("radius", [8.0, 12.3])
def test_areas_of_rings_shells_and_rims_are_analytic(radius, spacing):
    for name, errors in relative_errors(radius, spacing).items():
        assert np.abs(errors).max() < 0.02, name


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.4, 0.8)])
def test_areas_are_analytic_on_coarse_pixels_too(spacing):
    errors = relative_errors(10.0, spacing, positions=8)
    for name in ("near", "wide"):
        assert np.abs(errors[name]).max() < 0.02
    for name in ("shell", "rim", "both"):
        assert abs(errors[name].mean()) < ROUGHLY


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5)])
def test_volumes_of_rings_shells_and_rims_are_analytic(spacing):
    for name, errors in relative_errors(8.0, spacing).items():
        assert abs(errors.mean()) < 0.02, name
        assert np.abs(errors).max() < ROUGHLY, name


def test_volumes_are_analytic_in_slices_three_times_as_thick_as_pixels():
    errors = relative_errors(10.0, (1.0, 1.0, 3.0))
    for name in ("near", "wide"):
        assert np.abs(errors[name]).max() < 0.02
    for name in ("shell", "both"):
        assert abs(errors[name].mean()) < ROUGHLY
    # Of 700 voxels, and thinner than a slice.
    assert np.abs(errors["rim"]).max() < 0.10


def test_an_inner_rim_of_a_ball_is_the_ball_without_a_smaller_one():
    radius, step = 8.0, 0.6
    tumour = ball(radius, (35, 35, 35), (step,) * 3)
    (rim,) = built(tumour, (step,) * 3, ring(0, inner=-2))
    assert not (rim.mask & ~tumour).any()
    truth = 4 / 3 * pi * (radius**3 - (radius - 2) ** 3)
    assert rim.voxels * step**3 == pytest.approx(truth, rel=0.02)
    assert rim.lost_fraction == 0


def test_area_converges_to_the_analytic_one_as_pixels_shrink():
    errors = []
    for step in (1.0, 0.5, 0.15):
        shape = (int(40 / step) | 1,) * 2
        (found,) = built(ball(8, shape, (step, step)), (step, step), ring(1.7))
        errors.append(abs(found.voxels * step**2 / size_of(8, 0, 1.7, 2) - 1))
    assert errors[-1] < 0.01
    assert errors[-1] < min(errors[:-1])


@pytest.mark.parametrize("spacing", [(0.5, 0.7), (1.0, 1.0, 3.0)])
def test_shells_of_a_millimetre_are_disjoint_and_add_up_to_the_wide_ring(spacing):
    shape = tuple(int(36 / step) for step in spacing[::-1])
    tumour = ball(6, shape, spacing)
    shells = [ring(width, inner=width - 1, name=f"s{width}") for width in range(1, 11)]
    rings = [ring(width, name=f"r{width}") for width in range(1, 11)]
    found = {b.region.name: b.mask for b in built(tumour, spacing, *shells, *rings)}
    together = np.zeros(shape, int)
    for width in range(1, 11):
        assert found[f"s{width}"].any()
        together += found[f"s{width}"]
        assert np.array_equal(together, found[f"r{width}"].astype(int))


def test_a_ring_from_inside_to_outside_joins_rim_and_ring():
    tumour = ball(7, (17, 40, 44), (0.8, 0.8, 2.4))
    rim, outside, both = built(
        tumour, (0.8, 0.8, 2.4), ring(0, inner=-2, name="a"), ring(3, name="b"), ring(3, inner=-2, name="c")
    )
    assert rim.voxels
    assert not (rim.mask & ~tumour).any()
    assert np.array_equal(both.mask, rim.mask | outside.mask)


@pytest.mark.parametrize(("inner", "outer"), [(-7, -5), (-10, -7)])
def test_a_shell_wholly_inside_the_lesion_has_the_area_of_its_annulus(inner, outer):
    tumour = ball(12, (101, 101), (0.5, 0.5))
    (found,) = built(tumour, (0.5, 0.5), ring(outer, inner=inner))
    assert found.voxels * 0.25 == pytest.approx(size_of(12, inner, outer, 2), rel=ROUGHLY)


# --- rings and lesions of any form -----------------------------------------------------------


@given(tumours(), spacings, st.floats(0.35, 6.1))
@settings(max_examples=30, deadline=None)
def test_a_ring_begins_between_voxels_and_so_reaches_less_than_one_beyond_centres(tumour, spacing, outer):
    spacing = spacing[: tumour.ndim]
    from_centres = ndimage.distance_transform_edt(~tumour, sampling=spacing[::-1])
    assume(np.abs(from_centres - outer).min() > 1e-4)
    (found,) = built(tumour, spacing, ring(outer))
    assert not (~tumour & (from_centres <= outer) & ~found.mask).any()
    assert not (found.mask & (from_centres > outer + np.linalg.norm(spacing))).any()


@given(tumours(), spacings, st.floats(0.35, 6.1), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_clipping_takes_from_a_ring_what_is_no_tissue_and_no_more(tumour, spacing, outer, seed):
    spacing = spacing[: tumour.ndim]
    tissue = np.random.default_rng(seed).random(tumour.shape) < 0.7
    wanted = (ring(outer, name="a"), ring(outer, inner=-1, name="b"), ring(outer, name="c", kind="union"))
    for free, cut in zip(
        built(tumour, spacing, *wanted), built(tumour, spacing, *wanted, tissue=tissue), strict=True
    ):
        assert np.array_equal(cut.mask, free.mask & (tissue | tumour))


@given(tumours(), st.floats(1.05, 4.1))
@settings(max_examples=25, deadline=None)
def test_the_lost_fraction_counts_what_lies_beyond_the_image(tumour, outer):
    spacing = (1.0,) * tumour.ndim
    (found,) = built(tumour, spacing, ring(outer))
    (roomy,) = built(np.pad(tumour, 8), spacing, ring(outer))
    assert np.array_equal(found.mask, roomy.mask[(slice(8, -8),) * tumour.ndim])
    assert roomy.lost_fraction == 0
    assert found.lost_fraction == pytest.approx(1 - found.voxels / roomy.voxels)


@given(tumours(), st.lists(st.floats(0.3, 6), min_size=3, max_size=3, unique=True))
@settings(max_examples=30, deadline=None)
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
    lesion, around, both = built(tumour, (1.0, 1.0), whole(), ring(5), ring(5, name="u", kind="union"))
    assert np.array_equal(lesion.mask, tumour)
    assert np.array_equal(both.mask, tumour | around.mask)
    assert lesion.lost_fraction == 0
    assert lesion.achieved is None


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
    (nothing,) = built(ball(7, (31, 31), (1, 1)), (1.0, 1.0), ring(0))
    assert nothing.mask.sum() == 0


def test_a_ring_wider_than_the_image_fills_it_and_reports_what_is_lost():
    tumour = np.zeros((31, 41), bool)
    tumour[12, 17] = True
    (found,) = built(tumour, (1.0, 1.0), ring(60), unit="px")
    assert np.array_equal(found.mask, ~tumour)
    kept, edge = 31 * 41 - 1, pi**-0.5
    assert found.lost_fraction == pytest.approx(1 - kept / (pi * (60 + edge) ** 2 - 1), abs=1e-3)
    assert found.achieved == pytest.approx(((kept + 1) / pi) ** 0.5 - edge, abs=0.2)


def test_a_ring_wider_than_the_tissue_fills_it_and_reports_what_is_lost():
    tumour = ball(3, (61, 61), (1, 1))
    tissue = ball(12, (61, 61), (1, 1))
    (found,) = built(tumour, (1.0, 1.0), ring(20), unit="px", tissue=tissue)
    assert np.array_equal(found.mask, tissue & ~tumour)
    assert found.lost_fraction == pytest.approx(1 - found.voxels / (pi * (23**2 - 3**2)), abs=0.005)
    assert found.achieved == pytest.approx(12 - 3, abs=0.3)


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
    tissue = np.zeros(shape, bool)
    tissue[:, 80:] = True
    (found,) = built(ball(radius, shape, (step, step)), (step, step), ring(width), tissue=tissue)
    half = size_of(radius, 0, width, 2) / 2
    assert found.voxels * step**2 == pytest.approx(half, rel=0.02)
    assert found.lost_fraction == pytest.approx(0.5, abs=0.01)
    assert found.achieved == pytest.approx((radius**2 + half / pi) ** 0.5 - radius, abs=step)
    assert not (found.mask & ~tissue).any()


def test_a_quarter_of_the_tissue_keeps_a_quarter_of_the_shell():
    spacing = (0.8, 0.8, 1.6)
    shape = (24, 48, 48)
    tissue = np.zeros(shape, bool)
    tissue[12:, 24:] = True
    (found,) = built(ball(8, shape, spacing), spacing, ring(5, inner=3), tissue=tissue)
    assert found.lost_fraction == pytest.approx(0.75, abs=0.002)
    assert found.voxels * np.prod(spacing) == pytest.approx(size_of(8, 3, 5, 3) / 4, rel=0.02)


@pytest.mark.parametrize("unit", ["mm", "px", "fraction"])
def test_an_unclipped_ring_achieves_its_width(unit):
    step = 0.5
    tumour = ball(6, (101, 101), (step, step))
    length = {"mm": 1.0, "px": step, "fraction": equivalent_diameter(tumour, (step, step))}[unit]
    (found,) = built(tumour, (step, step), ring(5 / length), unit=unit)
    assert found.lost_fraction == 0
    assert 5 - step < found.achieved * length <= 5


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("end", [0, -1])
def test_a_half_disc_at_the_border_loses_the_strip_and_corners_beyond_it(axis, end):
    step, radius, width = 0.5, 10.0, 5.0
    rows, columns = (np.indices((64, 64)) + 0.5) * step
    half = rows**2 + (columns - 16) ** 2 <= radius**2
    tumour = np.moveaxis(half[:: -1 if end else 1], 0, axis)
    (found,) = built(tumour, (step, step), ring(width))
    # Steiner: a convex figure grows by its perimeter times the width, and a disc of the width.
    nominal = (pi * radius + 2 * radius) * width + pi * width**2
    kept = size_of(radius, 0, width, 2) / 2
    assert found.voxels * step**2 == pytest.approx(kept, rel=0.02)
    assert found.lost_fraction == pytest.approx(1 - kept / nominal, abs=0.01)
    assert found.mask.shape == tumour.shape


@pytest.mark.parametrize("turns", range(4))
def test_a_quarter_disc_in_the_corner_loses_what_lies_beyond_both_borders(turns):
    step, radius, width = 0.5, 10.0, 5.0
    rows, columns = (np.indices((50, 50)) + 0.5) * step
    tumour = np.rot90(rows**2 + columns**2 <= radius**2, turns)
    (found,) = built(tumour, (step, step), ring(width))
    nominal = (pi * radius / 2 + 2 * radius) * width + pi * width**2
    kept = size_of(radius, 0, width, 2) / 4
    assert found.voxels * step**2 == pytest.approx(kept, rel=0.02)
    assert found.lost_fraction == pytest.approx(1 - kept / nominal, abs=0.01)


@pytest.mark.parametrize("where", [(0, 10), (20, 10), (10, 0), (10, 20), (0, 0), (20, 20)])
def test_a_tumour_at_the_edge_keeps_its_ring_in_the_image_and_never_wraps_around(where):
    tumour = np.zeros((21, 21), bool)
    tumour[where] = True
    (found,) = built(tumour, (1.0, 1.0), ring(4), unit="px")
    assert found.mask.shape == (21, 21)
    from_centre = np.hypot(*(np.indices((21, 21)) - np.reshape(where, (2, 1, 1))))
    assert found.mask[(from_centre > 0) & (from_centre <= 4)].all()
    assert not found.mask[from_centre > 4 + 2**0.5 / 2].any()


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
@settings(max_examples=20, deadline=None)
def test_a_whole_number_of_pixels_is_the_same_ring_in_mm_at_any_spacing(hundredths, pixels):
    spacing = hundredths / 100
    width = hundredths * pixels / 100
    tumour = np.zeros((27, 27), bool)
    tumour[13, 13] = True
    (in_mm,) = built(tumour, (spacing, spacing), ring(width))
    (in_px,) = built(tumour, (spacing, spacing), ring(pixels), unit="px")
    assert in_mm.mask.sum() == in_px.mask.sum()


@given(tumours(), spacings, st.floats(0.05, 1.0))
@settings(max_examples=15, deadline=None)
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
    tumour = ball(5, (11, 31, 31), (1, 1, 1))
    (found,) = built(tumour, (0.2, 3.0, 5.0), ring(4), unit="px")
    (cubic,) = built(tumour, (1.0, 1.0, 1.0), ring(4))
    assert np.array_equal(found.mask, cubic.mask)
    assert found.lost_fraction == cubic.lost_fraction > 0


def test_mm_without_a_pixel_size_is_refused_with_the_way_out():
    tumour = ball(4, (21, 21), (1, 1))
    with pytest.raises(StudyError, match="px or fraction"):
        built(tumour, (1.0, 1.0), ring(5), known=False)


def test_a_tumour_alone_or_pixels_need_no_pixel_size():
    tumour = ball(4, (21, 21), (1, 1))
    (lesion,) = built(tumour, (1.0, 1.0), whole(), known=False)
    (around,) = built(tumour, (1.0, 1.0), ring(2), unit="px", known=False)
    assert np.array_equal(lesion.mask, tumour)
    assert around.mask.sum() > 0


# --- status ----------------------------------------------------------------------------------


def test_a_region_below_the_least_number_of_voxels_is_too_small():
    tumour = np.zeros((11, 11), bool)
    tumour[5, 5] = True
    (found,) = built(tumour, (1.0, 1.0), ring(1))
    assert found.voxels == 8
    assert status_of(found, plan(minimum=9)) == ("too_small", "8 voxels, 9 needed")
    assert status_of(found, plan(minimum=8)) == ("ok", "")


def test_a_ring_that_lost_too_much_is_kept_and_flagged():
    tumour = np.zeros((21, 21), bool)
    tumour[0, 10] = True
    (found,) = built(tumour, (1.0, 1.0), ring(4))
    status, reason = status_of(found, plan(lost=0.2))
    assert status == "ok"
    assert f"{found.lost_fraction:.0%}" in reason
    assert status_of(found, plan(lost=0.9)) == ("ok", "")


# --- rows and files --------------------------------------------------------------------------


def grid(shape, spacing, origin=None, direction=None):
    image = sitk.Image(shape[::-1], sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetOrigin(origin or (3.0, -4.0, 7.0)[: len(shape)])
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    return image


class Patient:
    """One SYNTHETIC patient's masks and image, in files and in the tables of quality control."""

    def __init__(self, folder, shape, spacing, name="us", source="header", direction=None):
        self.folder, self.rows = folder, []
        self.grid = grid(shape, spacing, direction=direction)
        steps = zip(("spacing_x_mm", "spacing_y_mm", "spacing_z_mm"), spacing, strict=False)
        self.key = {"patient_id": "p1", "timepoint": "baseline", "image_id": "i1", "image": name}
        self.facts = {**self.key, "image_path": f"{folder}/image.nrrd", "spacing_source": source}
        self.facts |= dict(steps) if source != "unknown" else {}

    def image(self, values):
        written = sitk.GetImageFromArray(values.astype(np.float32))
        written.CopyInformation(self.grid)
        sitk.WriteImage(written, self.facts["image_path"])
        return self

    def mask(self, array, role="tumour", rater="1", lesion="1", decision="pass"):
        file = f"{role}-{rater}-{lesion}.nrrd"
        mask = sitk.GetImageFromArray(array.astype(np.uint8))
        mask.CopyInformation(self.grid)
        write_mask(self.folder / "masks" / file, mask)
        what = {"mask_role": role, "rater": rater, "lesion": lesion, "decision": decision}
        self.rows.append({**self.key, **what, "voxels": int(array.sum()), "mask_file": file})
        return self

    def regions(self, wanted):
        write_csv(
            self.folder / "images.csv", [{**self.facts, "mask_role": r["mask_role"]} for r in self.rows]
        )
        write_csv(self.folder / "masks.csv", self.rows)
        rows = build_rows(
            read_csv(self.folder / "images.csv"),
            read_csv(self.folder / "masks.csv"),
            wanted,
            self.folder / "masks",
            self.folder / "rois",
        )
        return {row["roi"]: row for row in rows}

    def written(self, row):
        return read_written(self.folder / "rois" / row["mask_file"]).array > 0


def test_rows_carry_voxels_volumes_widths_and_the_hash_of_a_mask_on_the_same_grid(tmp_path):
    tumour = ball(5, (61, 71), (0.5, 0.4))
    tissue = np.zeros((61, 71), bool)
    tissue[:, 30:] = True
    patient = Patient(tmp_path, (61, 71), (0.5, 0.4)).mask(tumour).mask(tissue, "breast")
    found = patient.regions(plan(whole(), ring(4, inner=1, name="ptr")))
    lesion, around = found["itr"], found["ptr"]
    assert lesion["voxels"] == tumour.sum()
    assert lesion["volume_mm3"] == pytest.approx(tumour.sum() * 0.2)
    assert lesion["inner_mm"] is None
    assert (around["inner_mm"], around["outer_mm"]) == (1, 4)
    assert 1 < around["achieved_mm"] < 4
    assert (lesion["status"], around["status"]) == ("ok", "ok")
    assert (around["patient_id"], around["image_id"], around["image"]) == ("p1", "i1", "us")
    file = tmp_path / "rois" / around["mask_file"]
    assert around["mask_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    inside = patient.written(around)
    assert inside.sum() == around["voxels"]
    assert not (inside & (tumour | ~tissue)).any()


@pytest.mark.parametrize("corner", [(0, 0), (40, 55), (20, 30)])
def test_a_file_opened_on_its_own_lies_where_the_region_is(tmp_path, corner):
    tumour = np.zeros((44, 60), bool)
    tumour[corner[0] : corner[0] + 4, corner[1] : corner[1] + 5] = True
    patient = Patient(tmp_path, (44, 60), (0.5, 0.4)).mask(tumour)
    (row,) = patient.regions(plan(ring(2, name="r"))).values()
    (expected,) = built(tumour, (0.5, 0.4), ring(2, name="r"))
    cut = sitk.ReadImage(str(tmp_path / "rois" / row["mask_file"]))
    assert cut.GetNumberOfPixels() < tumour.size
    opened = sitk.GetArrayFromImage(
        sitk.Resample(cut, patient.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    )
    assert np.array_equal(opened > 0, expected.mask)
    back = read_written(tmp_path / "rois" / row["mask_file"])
    assert np.array_equal(back.array > 0, expected.mask)
    assert back.pixels.IsSameImageGeometryAs(patient.grid)


def turned(first, second):
    """A direction matrix of an oblique scan: turned about two axes by angles in degrees."""
    (a, b), (c, d) = np.cos(np.radians([first, second])), np.sin(np.radians([first, second]))
    about_x = np.array([[1, 0, 0], [0, a, -c], [0, c, a]])
    return about_x @ np.array([[b, -d, 0], [d, b, 0], [0, 0, 1]])


def test_oblique_thick_slices_give_shells_in_space_about_the_lesion(tmp_path):
    radius, spacing, shape = 8.0, (1.0, 1.0, 3.0), (11, 32, 34)
    patient = Patient(tmp_path, shape, spacing, direction=turned(25, 40)).mask(ball(radius, shape, spacing))
    (row,) = patient.regions(plan(ring(5, inner=3, name="shell"))).values()
    middle = patient.grid.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in shape[::-1]])
    cut = sitk.ReadImage(str(tmp_path / "rois" / row["mask_file"]))
    voxels = np.argwhere(sitk.GetArrayFromImage(cut))[:, ::-1]
    points = np.array([cut.TransformIndexToPhysicalPoint(voxel) for voxel in voxels.tolist()])
    distance = np.linalg.norm(points - middle, axis=1) - radius
    assert (np.abs(distance - 4) < 1 + 0.75).all()
    assert np.mean(np.abs(distance - 4) < 1 + 0.25) > 0.95
    assert row["volume_mm3"] == pytest.approx(size_of(radius, 3, 5, 3), rel=ROUGHLY)


def test_of_several_raters_the_first_usable_by_name_is_taken(tmp_path):
    patient = Patient(tmp_path, (31, 31), (1.0, 1.0))
    patient.mask(ball(7, (31, 31), (1, 1)), rater="c")
    patient.mask(ball(5, (31, 31), (1, 1)), rater="b", decision="repaired")
    patient.mask(ball(3, (31, 31), (1, 1)), rater="a", decision="excluded")
    assert patient.regions(plan(whole()))["itr"]["voxels"] == ball(5, (31, 31), (1, 1)).sum()


def test_without_a_pixel_size_rows_have_no_mm(tmp_path):
    patient = Patient(tmp_path, (41, 41), (1.0, 1.0), source="unknown").mask(ball(5, (41, 41), (1, 1)))
    (row,) = patient.regions(plan(ring(0.25), unit="fraction")).values()
    assert (row["outer"], row["unit"]) == (0.25, "fraction")
    assert row["outer_mm"] is None
    assert row["achieved_mm"] is None
    assert row["volume_mm3"] is None
    assert row["voxels"] > 0


def test_a_fraction_of_a_known_pixel_size_has_mm_and_pixels_have_none(tmp_path):
    tumour = ball(5, (81, 81), (0.5, 0.5))
    patient = Patient(tmp_path, (81, 81), (0.5, 0.5)).mask(tumour)
    (share,) = patient.regions(plan(ring(0.3), unit="fraction")).values()
    assert share["outer_mm"] == pytest.approx(0.3 * 2 * (tumour.sum() * 0.25 / pi) ** 0.5)
    assert share["achieved_mm"] == pytest.approx(share["outer_mm"], abs=0.5)
    assert share["volume_mm3"] == pytest.approx(size_of(5, 0, 3, 2), rel=0.03)
    (pixels,) = patient.regions(plan(ring(6), unit="px")).values()
    assert (pixels["outer"], pixels["outer_mm"], pixels["achieved_mm"]) == (6, None, None)
    assert pixels["achieved"] == pytest.approx(6, abs=0.5)
    assert pixels["volume_mm3"] == pytest.approx(size_of(5, 0, 3, 2), rel=0.03)


def test_a_patient_whose_lesion_was_excluded_has_no_region(tmp_path):
    patient = Patient(tmp_path, (31, 31), (1.0, 1.0)).mask(ball(5, (31, 31), (1, 1)), decision="excluded")
    patient.mask(np.ones((31, 31), bool), "breast")
    assert patient.regions(plan(ring(2))) == {}


def test_an_image_that_is_to_have_no_lesion_gets_no_region(tmp_path):
    patient = Patient(tmp_path, (31, 31), (1.0, 1.0), name="late").mask(ball(5, (31, 31), (1, 1)))
    assert patient.regions(plan(whole(), ring(2), lesions={"us": "tumour"})) == {}
    assert set(patient.regions(plan(whole(), ring(2), lesions={"late": "tumour"}))) == {"itr", "ring"}


def test_rows_say_which_region_is_empty_and_which_too_small(tmp_path):
    tumour = ball(5, (41, 41), (1, 1))
    patient = Patient(tmp_path, (41, 41), (1.0, 1.0)).mask(tumour)
    patient.mask(tumour | (np.indices((41, 41))[0] < 20), "breast")
    wanted = (whole(), ring(3, name="ptr"), ring(-5.5, inner=-7, name="core"), ring(3, inner=-9, name="all"))
    found = patient.regions(plan(*wanted, minimum=100))
    assert found["core"]["status"] == "empty"
    assert found["core"]["voxels"] == 0
    assert not patient.written(found["core"]).any()
    assert (found["itr"]["status"], found["itr"]["reason"]) == (
        "too_small",
        f"{tumour.sum()} voxels, 100 needed",
    )
    assert found["ptr"]["lost_fraction"] == pytest.approx(0.5, abs=0.08)
    # What lies in the lesion is never lost: three quarters of the ring outside are not half of all.
    assert found["all"]["status"] == "ok"
    assert found["all"]["voxels"] == tumour.sum() + found["ptr"]["voxels"]


# --- several lesions -------------------------------------------------------------------------

TWO = (61, 91)


def two_lesions(folder):
    """A large lesion and a small one beside it, whose edges are 4 mm apart, at 0.5 mm."""
    large = ball(7, TWO, (0.5, 0.5), (30, 30))
    small = ball(3, TWO, (0.5, 0.5), (30, 30 + 28))
    return Patient(folder, TWO, (0.5, 0.5)), large, small


@pytest.mark.parametrize("names", [("1", "2"), ("2", "1")])
def test_the_largest_lesion_is_the_studys_and_its_rings_keep_off_the_others(tmp_path, names):
    patient, large, small = two_lesions(tmp_path)
    patient.mask(small, lesion=names[1]).mask(large, lesion=names[0])
    found = patient.regions(plan(whole(), ring(6, name="ptr"), ring(6, name="u", kind="union")))
    assert {row["lesion"] for row in found.values()} == {names[0]}
    assert np.array_equal(patient.written(found["itr"]), large)
    (free,) = built(large, (0.5, 0.5), ring(6, name="ptr"))
    assert (free.mask & small).any()
    assert np.array_equal(patient.written(found["ptr"]), free.mask & ~small)
    assert np.array_equal(patient.written(found["u"]), large | (free.mask & ~small))
    assert found["ptr"]["lost_fraction"] == pytest.approx((free.mask & small).sum() / free.voxels)


def test_an_excluded_lesion_is_neither_the_studys_nor_kept_off(tmp_path):
    patient, large, small = two_lesions(tmp_path)
    patient.mask(large, lesion="1", decision="excluded").mask(small, lesion="2")
    found = patient.regions(plan(whole(), ring(6, name="ptr")))
    assert np.array_equal(patient.written(found["itr"]), small)
    assert (patient.written(found["ptr"]) & large).any()


def test_rings_keep_off_other_lesions_within_the_breast(tmp_path):
    patient, large, small = two_lesions(tmp_path)
    breast = np.indices(TWO)[1] > 30
    patient.mask(small, lesion="b").mask(large, lesion="a").mask(breast, "breast")
    around = patient.written(patient.regions(plan(ring(6, name="ptr")))["ptr"])
    (free,) = built(large, (0.5, 0.5), ring(6, name="ptr"))
    assert np.array_equal(around, free.mask & breast & ~small)


def test_each_lesion_is_that_of_the_first_rater_by_name(tmp_path):
    patient, large, small = two_lesions(tmp_path)
    patient.mask(ndimage.binary_dilation(large), rater="b", lesion="1").mask(large, rater="a", lesion="1")
    patient.mask(ndimage.binary_dilation(small, iterations=9), rater="b", lesion="2")
    patient.mask(small, rater="a", lesion="2")
    found = patient.regions(plan(whole(), ring(6, name="ptr")))
    assert np.array_equal(patient.written(found["itr"]), large)
    (free,) = built(large, (0.5, 0.5), ring(6, name="ptr"))
    assert np.array_equal(patient.written(found["ptr"]), free.mask & ~small)


# --- nodes -----------------------------------------------------------------------------------

NODES = plan(
    whole("node", "node"),
    whole("node", "node_cortex", name="cortex"),
    ring(3, name="around", of="node"),
    ring(2, name="beside", of="node_cortex"),
    whole(name="tumour"),
    ring(3, name="ptr"),
    lesions={"us": "tumour", "axilla": "node"},
)
AXILLA = (61, 61)


def node_and_hilum():
    return ball(8, AXILLA, (0.5, 0.5)), ball(4, AXILLA, (0.5, 0.5), (30, 26))


def test_a_cortex_is_the_node_without_its_hilum_and_rings_go_around_the_node(tmp_path):
    node, hilum = node_and_hilum()
    patient = (
        Patient(tmp_path, AXILLA, (0.5, 0.5), name="axilla").mask(hilum, "node_hilum").mask(node, "node")
    )
    found = patient.regions(NODES)
    assert set(found) == {"itr", "cortex", "around", "beside"}
    assert np.array_equal(patient.written(found["itr"]), node)
    assert np.array_equal(patient.written(found["cortex"]), node & ~hilum)
    (expected,) = built(node, (0.5, 0.5), ring(3))
    assert np.array_equal(patient.written(found["around"]), expected.mask)
    assert found["around"]["volume_mm3"] == pytest.approx(size_of(8, 0, 3, 2), rel=0.02)
    # Around the cortex means towards the hilum too.
    assert (patient.written(found["beside"]) & hilum).any()


def test_a_cortex_that_was_drawn_wins_over_the_node_without_its_hilum(tmp_path):
    node, hilum = node_and_hilum()
    cortex = ndimage.binary_erosion(node, iterations=2) & ~hilum
    patient = Patient(tmp_path, AXILLA, (0.5, 0.5), name="axilla")
    patient.mask(node, "node").mask(hilum, "node_hilum").mask(cortex, "node_cortex")
    assert np.array_equal(patient.written(patient.regions(NODES)["cortex"]), cortex)


def test_a_node_without_hilum_has_no_cortex(tmp_path):
    node, _ = node_and_hilum()
    patient = Patient(tmp_path, AXILLA, (0.5, 0.5), name="axilla").mask(node, "node")
    assert set(patient.regions(NODES)) == {"itr", "around"}


def test_a_node_in_an_image_of_tumours_has_no_region_and_a_tumour_has_its_own(tmp_path):
    node, _ = node_and_hilum()
    patient = Patient(tmp_path, AXILLA, (0.5, 0.5), name="us").mask(node, "node")
    assert patient.regions(NODES) == {}
    patient.mask(node, "tumour")
    assert set(patient.regions(NODES)) == {"tumour", "ptr"}


def test_a_larger_node_beside_it_does_not_take_the_tumours_regions(tmp_path):
    patient, large, small = two_lesions(tmp_path)
    patient.mask(large, "node", lesion="n").mask(small, "tumour", lesion="t")
    assert set(patient.regions(NODES)) == {"tumour", "ptr"}


# --- tissue ----------------------------------------------------------------------------------

BREAST = (140, 120)
STEP = 0.5


def mammogram(folder, lesion_column=40):
    """A SYNTHETIC breast of 45 mm, bright on dark, whose chest wall is the image's left side."""
    breast = ball(45, BREAST, (STEP, STEP), (69.5, -0.5))
    tumour = ball(6, BREAST, (STEP, STEP), (69.5, lesion_column))
    values = np.random.default_rng(0).normal(10, 2, BREAST) + 300 * breast + 60 * tumour
    return Patient(folder, BREAST, (STEP, STEP)).image(values).mask(tumour), breast, tumour


def from_skin():
    """Distance (mm) of every pixel from the skin, by the breast's formula."""
    rows, columns = np.indices(BREAST)
    return 45 - np.hypot(rows - 69.5, columns + 0.5) * STEP


def test_without_a_mask_of_the_breast_rings_are_cut_to_the_image_alone(tmp_path):
    patient, breast, _ = mammogram(tmp_path, lesion_column=74)
    around = patient.written(patient.regions(plan(ring(8)))["ring"])
    assert (around & ~breast).any()


def test_tissue_as_found_cuts_rings_to_the_bright_breast(tmp_path):
    patient, _, tumour = mammogram(tmp_path, lesion_column=74)
    (row,) = patient.regions(plan(ring(8), tissue="found")).values()
    (free,) = built(tumour, (STEP, STEP), ring(8))
    around = patient.written(row)
    assert not (around & (from_skin() < -1.5)).any()
    assert not (free.mask & (from_skin() > 1.5) & ~around).any()
    share = (free.mask & (from_skin() < 0)).sum() / free.voxels
    assert row["lost_fraction"] == pytest.approx(share, abs=0.05)
    assert share > 0.1


def test_a_mask_of_the_breast_goes_before_the_tissue_found(tmp_path):
    patient, _, tumour = mammogram(tmp_path)
    half = np.indices(BREAST)[0] > 69
    patient.mask(half, "breast")
    around = patient.written(patient.regions(plan(ring(8), tissue="found"))["ring"])
    (free,) = built(tumour, (STEP, STEP), ring(8))
    assert np.array_equal(around, free.mask & half)


@pytest.mark.parametrize("drawn", [True, False])
def test_rings_leave_out_the_skin(tmp_path, drawn):
    patient, breast, tumour = mammogram(tmp_path, lesion_column=70)
    if drawn:
        patient.mask(breast, "breast")
    around = patient.written(patient.regions(plan(ring(9), skin_rim_mm=3))["ring"])
    (free,) = built(tumour, (STEP, STEP), ring(9))
    slack = STEP if drawn else 3 * STEP
    assert not (around & (from_skin() < 3 - slack)).any()
    assert not (free.mask & (from_skin() > 3 + slack) & ~around).any()


def test_rings_leave_out_the_chest_wall_and_not_the_skin(tmp_path):
    patient, breast, tumour = mammogram(tmp_path, lesion_column=30)
    patient.mask(breast, "breast")
    (row,) = patient.regions(plan(ring(8), chest_wall_mm=4)).values()
    (free,) = built(tumour, (STEP, STEP), ring(8))
    from_wall = (np.indices(BREAST)[1] + 0.5) * STEP
    assert np.array_equal(patient.written(row), free.mask & (from_wall > 4))
    assert row["lost_fraction"] == pytest.approx((free.mask & (from_wall <= 4)).sum() / free.voxels)
    assert row["lost_fraction"] > 0.01


def test_a_rim_of_the_lesion_is_not_lost_to_the_skin(tmp_path):
    patient, breast, _ = mammogram(tmp_path, lesion_column=78)
    patient.mask(breast, "breast")
    (row,) = patient.regions(plan(ring(0, inner=-2, name="rim"), skin_rim_mm=8)).values()
    assert row["lost_fraction"] == 0
    assert row["volume_mm3"] == pytest.approx(size_of(6, -2, 0, 2), rel=ROUGHLY)


# --- tissue that is not known ----------------------------------------------------------------


def with_excluded_breast(folder, **more):
    shape, tumour = (61, 71), ball(5, (61, 71), (1, 1))
    patient = Patient(folder, shape, (1.0, 1.0)).mask(tumour)
    patient.mask(np.ones(shape, bool), "breast", decision="excluded")
    patient.rows[-1] |= {"reasons": "grid_mismatch", "mask_file": ""}
    wanted = whole(), ring(4, name="ptr"), Region("rim", "ring", -2.0, 0.0), Region("both", "union", 0.0, 4.0)
    return tumour, patient, patient.regions(plan(*wanted, **more))


def test_rings_are_empty_where_quality_control_excluded_the_breast_mask(tmp_path):
    tumour, patient, found = with_excluded_breast(tmp_path)
    for name in ("ptr", "both"):
        assert (found[name]["status"], found[name]["voxels"]) == ("empty", 0)
        assert found[name]["lost_fraction"] is None and found[name]["achieved_mm"] is None
        assert "excluded the breast mask (grid_mismatch)" in found[name]["reason"]
        assert not patient.written(found[name]).any()
    assert np.array_equal(patient.written(found["itr"]), tumour)
    # A rim inside the lesion is its own, whatever lies about it.
    assert (found["rim"]["status"], found["rim"]["reason"]) == ("ok", "")
    assert not (patient.written(found["rim"]) & ~tumour).any()


def test_the_tissue_found_stands_in_for_an_excluded_breast_mask_where_the_study_says_so(tmp_path):
    grey = np.zeros((61, 71))
    grey[:, 25:] = 100 + np.random.default_rng(0).normal(0, 5, (61, 46))
    tumour = ball(5, (61, 71), (1, 1))
    patient = Patient(tmp_path, (61, 71), (1.0, 1.0)).image(grey).mask(tumour)
    patient.mask(np.ones(grey.shape, bool), "breast", decision="excluded")
    patient.rows[-1] |= {"reasons": "grid_mismatch", "mask_file": ""}
    found = patient.regions(plan(whole(), ring(9, name="ptr"), tissue="found"))
    around = found["ptr"]
    assert around["status"] == "ok" and around["voxels"] > 0
    assert "the tissue found in the image is used" in around["reason"]
    assert not patient.written(around)[:, :22].any()
    assert found["itr"]["reason"] == ""


def test_another_raters_breast_mask_that_passed_is_used(tmp_path):
    tissue = np.zeros((61, 71), bool)
    tissue[:, 30:] = True
    patient = Patient(tmp_path, (61, 71), (1.0, 1.0)).mask(ball(5, (61, 71), (1, 1)))
    patient.mask(~tissue, "breast", rater="1", decision="excluded").mask(tissue, "breast", rater="2")
    (around,) = patient.regions(plan(ring(9, name="ptr"))).values()
    assert around["status"] == "ok" and "breast mask" not in around["reason"]
    assert not (patient.written(around) & ~tissue).any()


def test_an_image_that_cannot_be_read_any_more_costs_its_own_rings_alone(tmp_path):
    tumour = ball(5, (61, 71), (1, 1))
    patient = Patient(tmp_path, (61, 71), (1.0, 1.0)).mask(tumour)
    found = patient.regions(plan(whole(), ring(4, name="ptr"), tissue="found"))
    assert (found["ptr"]["status"], found["itr"]["status"]) == ("empty", "ok")
    assert "there is no file" in found["ptr"]["reason"]
