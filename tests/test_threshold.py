"""The cut-off: chosen by its rule on out-of-fold probabilities, with what chance would have moved it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from annulus.modelling.threshold import (
    choose_cut_off,
    reaching_sensitivity,
    reaching_specificity,
    youden,
)

Y = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
P = np.array([0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9])


def test_rules_by_hand():
    # 0.45: all five events and one of five others at or above.
    assert youden(Y, P) == 0.45 or youden(Y, P) == 0.6
    assert reaching_sensitivity(Y, P, 1.0) == 0.45
    assert reaching_sensitivity(Y, P, 0.8) == 0.6
    assert reaching_sensitivity(Y, P, 0.75) == 0.6
    assert reaching_specificity(Y, P, 1.0) == 0.6
    assert reaching_specificity(Y, P, 0.8) == 0.45
    assert reaching_specificity(Y, P, 0.6) == 0.4


def test_of_equal_indices_the_largest_cut_off_is_taken():
    # 0.45 gives 1 + 0.8, 0.6 gives 0.8 + 1.
    assert youden(Y, P) == 0.6


cases = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=40).filter(
    lambda rows: 0 < sum(y for y, _ in rows) < len(rows)
)


@given(cases, st.floats(0.05, 1.0))
def test_operating_points_are_those_of_the_roc_curve(rows, least):
    y, p = np.array([y for y, _ in rows]), np.array([p for _, p in rows]) / 10.0
    false_positive, sensitivity, thresholds = roc_curve(y, p, drop_intermediate=False)
    best = (sensitivity - false_positive)[1:].max()
    cut = youden(y, p)
    assert (p[y] >= cut).mean() - (p[~y] >= cut).mean() == pytest.approx(best)
    enough = thresholds[1:][sensitivity[1:] >= least - 1e-12]
    assert reaching_sensitivity(y, p, least) == enough.max()
    specific = thresholds[1:][1.0 - false_positive[1:] >= least - 1e-12]
    assert reaching_specificity(y, p, least) == (specific.min() if len(specific) else p.max())


def test_the_interval_is_what_resampled_patients_would_have_chosen():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400).astype(bool)
    p = 1 / (1 + np.exp(-(rng.normal(size=400) + 1.5 * y - 0.75)))
    found = choose_cut_off(y, p, "youden", None, 1)
    assert found.value == youden(y, p) and found.lower <= found.value <= found.upper
    assert 0.02 < found.upper - found.lower < 0.5
    assert found == choose_cut_off(y, p, "youden", None, 1)
    # A hundredfold of the same patients leaves little to chance.
    many = choose_cut_off(np.tile(y, 100), np.tile(p, 100), "youden", None, 1)
    assert many.upper - many.lower < 0.5 * (found.upper - found.lower)


def test_a_fixed_cut_off_is_what_was_given_and_says_so():
    found = choose_cut_off(Y, P, "fixed", 0.25, 1)
    assert found.value == 0.25 and np.isnan(found.lower) and "fixed before the study" in found.rule


def test_a_rule_says_what_it_reaches():
    found = choose_cut_off(Y, P, "sensitivity", 0.8, 1)
    assert found.value == 0.6 and found.rule.startswith("sensitivity of at least 0.8")
    with pytest.raises(ValueError, match="must be given"):
        choose_cut_off(Y, P, "specificity", None, 1)
