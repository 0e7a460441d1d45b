"""Holm's and Benjamini-Hochberg's adjustments against R's p.adjust and their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from annulus.evaluation.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def named(values):
    return {f"test_{i}": p for i, p in enumerate(values)}


def adjusted(found):
    return [value.adjusted for value in found]


def test_a_worked_example_is_met():
    # By hand: Holm multiplies 0.01, 0.02, 0.03, 0.04 by 4, 3, 2, 1 and never decreases.
    values = named([0.01, 0.04, 0.03, 0.02])
    assert adjusted(holm(values)) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert adjusted(benjamini_hochberg(values)) == pytest.approx([0.04, 0.04, 0.04, 0.04])


def test_the_fifteen_tests_of_benjamini_and_hochberg_are_met():
    # Their thrombolysis example: at a rate of 0.05 their procedure rejects four, Holm's three.
    values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
        0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
    assert sum(p <= 0.05 for p in adjusted(benjamini_hochberg(named(values)))) == 4
    assert sum(p <= 0.05 for p in adjusted(holm(named(values)))) == 3


@settings(max_examples=60, deadline=None)
@given(P_VALUES)
def test_holm_is_its_definition(values):
    m, order = len(values), np.argsort(values, kind="stable")
    wanted, largest = np.empty(m), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (m - rank) * values[i]))
        wanted[i] = largest
    np.testing.assert_allclose(adjusted(holm(named(values))), wanted, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(P_VALUES)
def test_benjamini_hochberg_is_that_of_scipy(values):
    found = adjusted(benjamini_hochberg(named(values)))
    np.testing.assert_allclose(found, stats.false_discovery_control(values), atol=1e-12)


def test_a_comparison_that_could_not_be_tested_still_counts():
    found = holm({"signature against clinical": 0.02, "combined against clinical": np.nan})
    assert found[0].adjusted == pytest.approx(0.04)
    assert np.isnan(found[1].adjusted)
    assert [value.tests for value in found] == [2, 2]


def test_a_feature_without_a_p_value_does_not_count():
    found = benjamini_hochberg({"mean": 0.02, "constant": np.nan, "entropy": 0.5})
    assert found[0].adjusted == pytest.approx(0.04)
    assert np.isnan(found[1].adjusted)
    assert [value.tests for value in found] == [2, 2, 2]


def test_names_and_raw_values_are_kept_in_order():
    found = holm({"b": 0.5, "a": 0.01})
    assert [(value.name, value.p, value.method) for value in found] == [
        ("b", 0.5, "Holm"),
        ("a", 0.01, "Holm"),
    ]


def test_nothing_to_adjust_is_nothing():
    assert holm({}) == ()
    assert np.isnan(benjamini_hochberg({"constant": np.nan})[0].adjusted)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_p_value_is_refused(adjust, p):
    with pytest.raises(ValueError, match="outside 0 to 1: size"):
        adjust({"size": p})
