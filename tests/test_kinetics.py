"""Kinetic maps against values by hand, the definitions of the literature and planted curves."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annulus.errors import StudyError
from annulus.imaging.kinetics import (
    CURVE_TYPES,
    KINETIC_MAPS,
    curve_types,
    delayed_change,
    early_enhancement,
    kinetic_image,
    kinetic_map,
    late_enhancement,
    signal_enhancement_ratio,
    wash_in,
    wash_out,
)

PRE = np.array([100.0, 100.0, 200.0, 100.0])
EARLY = np.array([250.0, 150.0, 300.0, 180.0])
LATE = np.array([200.0, 150.0, 400.0, 172.0])
PHASES = {"pre": PRE, "early": EARLY, "late": LATE}
TIMES = {"pre": 0.0, "early": 90.0, "late": 360.0}
ALL_MAPS = sorted(KINETIC_MAPS)


def images(**arrays):
    return {name: sitk.GetImageFromArray(array) for name, array in arrays.items()}


@pytest.mark.parametrize(
    "values, expected",
    [
        (early_enhancement(PRE, EARLY), [1.5, 0.5, 0.5, 0.8]),
        (late_enhancement(PRE, LATE), [1.0, 0.5, 1.0, 0.72]),
        (signal_enhancement_ratio(PRE, EARLY, LATE), [1.5, 1.0, 0.5, 80 / 72]),
        (wash_in(PRE, EARLY, 1.5), [1.0, 1 / 3, 1 / 3, 0.8 / 1.5]),
        (delayed_change(EARLY, LATE), [-0.2, 0.0, 1 / 3, -8 / 180]),
        (wash_out(EARLY, LATE, 4.5), [-0.2 / 4.5, 0.0, 1 / 13.5, -8 / 810]),
    ],
)
def test_maps_are_those_computed_by_hand(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-14)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("early_enhancement", [1.5, 0.5, 0.5, 0.8]),
        ("late_enhancement", [1.0, 0.5, 1.0, 0.72]),
        ("signal_enhancement_ratio", [1.5, 1.0, 0.5, 80 / 72]),
        ("wash_in", [1.0, 1 / 3, 1 / 3, 0.8 / 1.5]),
        ("delayed_change", [-0.2, 0.0, 1 / 3, -8 / 180]),
        ("wash_out", [-0.2 / 4.5, 0.0, 1 / 13.5, -8 / 810]),
    ],
)
def test_a_map_is_found_by_its_name_and_takes_its_minutes_from_the_times(name, expected):
    np.testing.assert_allclose(kinetic_map(name, PHASES, TIMES), expected, rtol=1e-14)


def test_every_map_is_tested_by_name():
    assert ALL_MAPS == [
        "delayed_change", "early_enhancement", "late_enhancement", "signal_enhancement_ratio",
        "wash_in", "wash_out",
    ]  # fmt: skip


def test_unsigned_grey_values_do_not_wrap_round():
    below = np.array([100, 100, 100], dtype=np.uint16)
    late = np.array([90, 120, 100], dtype=np.uint16)
    np.testing.assert_allclose(late_enhancement(below, late), [-0.1, 0.2, 0.0], rtol=1e-14)


def test_a_voxel_below_a_tenth_of_the_median_has_no_value_and_one_at_it_has():
    pre = np.array([100.0, 100.0, 100.0, 100.0, 9.99, 10.0, 0.0])
    values = early_enhancement(pre, np.full(7, 200.0))
    np.testing.assert_allclose(values, [1, 1, 1, 1, np.nan, 19, np.nan])


def test_the_yardstick_is_the_regions_own_median():
    pre = np.array([1.0, 1.0, 1.0, 1.0, 100.0, 100.0])
    early = 2 * pre
    in_lesion = np.array([True, True, False, False, False, False])
    assert np.isnan(early_enhancement(pre, early)).sum() == 0
    bright = ~np.array([True, True, True, True, False, False])
    assert np.isnan(early_enhancement(pre, early, bright)).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_allclose(early_enhancement(pre, early, in_lesion), 1.0)


def test_what_does_not_enhance_late_has_no_ratio():
    pre = np.full(5, 100.0)
    early = np.full(5, 150.0)
    late = np.array([105.0, 104.9, 100.0, 60.0, 200.0])
    values = signal_enhancement_ratio(pre, early, late)
    assert np.isnan(values).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(values[[0, 4]], [10.0, 0.5])


GREY = hnp.arrays(float, 12, elements=st.integers(0, 4000))


@settings(max_examples=60, deadline=None)
@given(GREY, GREY, GREY, st.sampled_from(ALL_MAPS))
def test_no_value_is_infinite_and_none_exceeds_what_the_rule_allows(pre, early, late, name):
    needed = [np.median({"pre": pre, "early": early}[p]) for p in KINETIC_MAPS[name].phases if p != "late"]
    assume(min(needed) > 0)
    values = kinetic_map(name, {"pre": pre, "early": early, "late": late}, TIMES)
    known = values[~np.isnan(values)]
    assert np.isfinite(known).all()
    yardstick = np.median(early if name in ("delayed_change", "wash_out") else pre)
    share = 0.05 if name == "signal_enhancement_ratio" else 0.1
    assert (np.abs(known) <= 4000 / (share * yardstick) * (1 + 1e-12)).all()


@settings(max_examples=40, deadline=None)
@given(GREY, GREY, GREY, st.floats(0.01, 100), st.sampled_from(ALL_MAPS))
def test_the_scanners_gain_does_not_matter(pre, early, late, gain, name):
    pre, early, late = pre + 1, early + 1, late + 1
    # Away from the thresholds themselves, where rounding decides.
    phases = {"pre": pre, "early": early, "late": late}
    scaled = {phase: gain * values for phase, values in phases.items()}
    one, other = kinetic_map(name, phases, TIMES), kinetic_map(name, scaled, TIMES)
    both = ~np.isnan(one) & ~np.isnan(other)
    np.testing.assert_allclose(other[both], one[both], rtol=1e-7, atol=1e-9)
    rise, least = late - pre, 0.05 * np.median(pre)
    decided = np.abs(rise - least) > 1e-9 * (pre + late)
    for base in (pre, early):
        decided &= np.abs(base - 0.1 * np.median(base)) > 1e-9 * base
    assert (np.isnan(one) == np.isnan(other))[decided].all()


@settings(max_examples=40, deadline=None)
@given(st.floats(1.1, 4), st.floats(1.1, 4))
def test_the_ratio_is_early_over_late_enhancement(rise_early, rise_late):
    pre = np.full(3, 120.0)
    early, late = pre * rise_early, pre * rise_late
    ratio = signal_enhancement_ratio(pre, early, late)
    np.testing.assert_allclose(ratio, early_enhancement(pre, early) / late_enhancement(pre, late), rtol=1e-9)


def test_values_that_are_not_finite_stay_without_value_and_alone():
    pre = np.array([100.0, np.nan, 100.0, np.inf, 100.0])
    early = np.array([200.0, 200.0, np.inf, 200.0, 150.0])
    values = early_enhancement(pre, early)
    np.testing.assert_allclose(values, [1.0, np.nan, np.nan, np.nan, 0.5])


def test_curves_are_typed_as_radiologists_do():
    types = curve_types(np.array([0.101, 0.1, 0.0, -0.1, -0.101, np.nan, 3.0]))
    assert types.tolist() == [1, 2, 2, 2, 3, 0, 1]
    assert [CURVE_TYPES[code] for code in (1, 2, 3)] == ["persistent", "plateau", "washout"]


def test_planted_curves_are_typed_back():
    early = np.full(3, 220.0)
    late = early * np.array([1.15, 1.0, 0.8])
    assert curve_types(delayed_change(early, late)).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "name, phases, times, message",
    [
        ("ktrans", PHASES, TIMES, "no kinetic map ktrans; there are early_enhancement"),
        ("late_enhancement", {"pre": PRE}, TIMES, "late is missing"),
        ("wash_in", PHASES, None, "acquisition time of pre and early is not known"),
        ("wash_out", PHASES, {"pre": 0.0, "early": 90.0}, "acquisition time of late is not known"),
        ("wash_in", PHASES, {"pre": 90.0, "early": 90.0}, "must rise from pre to early"),
        ("early_enhancement", PHASES, {"pre": 0.0, "early": 400.0, "late": 360.0}, "Were the phases swapped"),
        ("early_enhancement", PHASES, {"pre": 0.0, "early": float("nan")}, "must rise"),
        ("early_enhancement", PHASES, {"pre": 500.0, "late": 360.0}, "pre is at 500 s and late at 360 s"),
        ("early_enhancement", {"pre": -PRE, "early": EARLY}, None, "not normalised or subtracted"),
        ("early_enhancement", {"pre": 0 * PRE, "early": EARLY}, None, "pre phase has no signal"),
        ("wash_out", {"early": 0 * PRE, "late": LATE}, TIMES, "early phase has no signal"),
        ("early_enhancement", {"pre": PRE, "early": EARLY[:3]}, None, "differ in size"),
        ("signal_enhancement_ratio", {**PHASES, "late": LATE[:3]}, None, "differ in size"),
    ],
)
def test_a_map_that_cannot_be_had_is_refused_in_words(name, phases, times, message):
    with pytest.raises(StudyError, match=message):
        kinetic_map(name, phases, times)


def test_an_empty_region_and_one_of_another_size_are_refused():
    with pytest.raises(StudyError, match="over 0 voxels"):
        kinetic_map("early_enhancement", PHASES, region=np.zeros(4, dtype=bool))
    with pytest.raises(StudyError, match="differ in size"):
        kinetic_map("early_enhancement", PHASES, region=np.ones(5, dtype=bool))


def test_a_map_of_images_keeps_their_geometry_and_reads_the_region():
    arrays = {name: values.reshape(1, 2, 2) for name, values in PHASES.items()}
    phases = images(**arrays)
    for image in phases.values():
        image.SetSpacing((0.7, 0.8, 3.0))
        image.SetOrigin((-10.0, 5.0, 2.0))
    region = phases["pre"] > 150
    result = kinetic_image("early_enhancement", phases, TIMES, region)
    assert result.GetPixelID() == sitk.sitkFloat32
    assert result.IsSameImageGeometryAs(phases["pre"])
    np.testing.assert_allclose(sitk.GetArrayFromImage(result).ravel(), [1.5, 0.5, 0.5, 0.8], rtol=1e-6)


def test_images_on_different_grids_are_refused():
    phases = images(pre=PRE.reshape(2, 2), early=EARLY.reshape(2, 2))
    phases["early"].SetOrigin((0.5, 0.0))
    with pytest.raises(StudyError, match="early does not lie on the grid of pre"):
        kinetic_image("early_enhancement", phases)
    phases["early"].SetOrigin((0.0, 0.0))
    region = sitk.GetImageFromArray(np.ones((3, 2), dtype=np.uint8))
    with pytest.raises(StudyError, match="region does not lie on the grid of pre"):
        kinetic_image("early_enhancement", phases, region=region)
