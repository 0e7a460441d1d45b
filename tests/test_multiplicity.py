"""Holm's adjustment against R's p.adjust and its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.evaluation.multiplicity import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def named(values):
    return {f"test_{i}": p for i, p in enumerate(values)}


def adjusted(found):
    return [value.adjusted for value in found]


def test_a_worked_example_is_met():
    # By hand: Holm multiplies 0.01, 0.02, 0.03, 0.04 by 4, 3, 2, 1 and never decreases.
    values = named([0.01, 0.04, 0.03, 0.02])
    assert adjusted(holm(values)) == pytest.approx([0.04, 0.06, 0.06, 0.06])


def test_the_fifteen_tests_of_benjamini_and_hochberg_are_met():
    # Their thrombolysis example (J R Stat Soc B 1995;57:289-300), in which Holm's procedure rejects three.
    values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
        0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
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


def test_a_comparison_that_could_not_be_tested_still_counts():
    found = holm({"signature against clinical": 0.02, "combined against clinical": np.nan})
    assert found[0].adjusted == pytest.approx(0.04)
    assert np.isnan(found[1].adjusted)
    assert [value.tests for value in found] == [2, 2]


def test_names_and_raw_values_are_kept_in_order():
    found = holm({"b": 0.5, "a": 0.01})
    assert [(value.name, value.p, value.method) for value in found] == [
        ("b", 0.5, "Holm"),
        ("a", 0.01, "Holm"),
    ]


def test_nothing_to_adjust_is_nothing():
    assert holm({}) == ()


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="outside 0 to 1: size"):
        holm({"size": p})
