"""AUC, DeLong's variance, interval and paired test against pROC and against their definition."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from annulus.evaluation.discrimination import (
    auc_interval,
    bootstrap_auc_interval,
    compare_aucs,
    compare_unpaired_aucs,
    delong,
    logit_auc_interval,
)

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
COHORTS = ("train", "internal", "external")
TWO_CLASSES = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=40).filter(
    lambda rows: len({event for event, _ in rows}) == 2
)


def predictions(cohort):
    table = pd.read_csv(ORACLE / "pred.csv")
    return table[table["cohort"] == cohort]


def aneurysms():
    path = SHARED / "aSAH.csv"
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    table = pd.read_csv(path)
    return (table["outcome"] == "Poor").to_numpy(), table[["s100b", "ndka", "wfns"]].astype(float)


def by_pairs(outcome, score):
    """Count the pairs in which the event scores higher, a tie as half."""
    higher = score[outcome][:, None] - score[~outcome][None, :]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean())


def delong_by_definition(outcome, score):
    """Variance of the structural components, written out pair by pair."""
    wins = score[outcome][:, None] - score[~outcome][None, :]
    kernel = (wins > 0) + 0.5 * (wins == 0)
    of_events, of_others = kernel.mean(axis=1), kernel.mean(axis=0)
    return of_events.var(ddof=1) / len(of_events) + of_others.var(ddof=1) / len(of_others)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize(("column", "key"), [("pc", "auc_c"), ("pf", "auc_f")])
def test_auc_and_interval_are_those_of_proc(cohort, column, key):
    table = predictions(cohort)
    found = auc_interval(table["y"].to_numpy(), table[column].to_numpy())
    wanted = EXPECTED["delong"][cohort][key]
    np.testing.assert_allclose([found.lower, found.estimate, found.upper], wanted, rtol=1e-9)
    assert found.method == "DeLong"


@pytest.mark.parametrize("cohort", COHORTS)
def test_delong_covariance_matrix_is_that_of_proc(cohort):
    table = predictions(cohort)
    _, covariance = delong(table["y"].to_numpy(), table[["pc", "pf"]].to_numpy().T)
    wanted = EXPECTED["delong"][cohort]
    np.testing.assert_allclose(np.diag(covariance), wanted["var"], rtol=1e-9)
    np.testing.assert_allclose(covariance[0, 1], wanted["cov"], rtol=1e-9)
    assert covariance[0, 1] == covariance[1, 0]


@pytest.mark.parametrize("cohort", COHORTS)
def test_paired_test_is_that_of_proc(cohort):
    table = predictions(cohort)
    found = compare_aucs(*(table[name].to_numpy() for name in ("y", "pc", "pf")))
    wanted = EXPECTED["delong"][cohort]
    np.testing.assert_allclose([found.z, found.p], [wanted["z"], wanted["p"]], rtol=1e-8)


@pytest.mark.parametrize(
    ("marker", "area", "lower", "upper", "variance"),
    [
        ("s100b", 0.7313685637, 0.6301182118, 0.8326189156, 0.00266868246),
        ("ndka", 0.6119579946, 0.5012449993, 0.7226709899, 0.00319081055),
        ("wfns", 0.8236788618, 0.7485348878, 0.8988228358, 0.00146991471),
    ],
)
def test_asah_markers_have_the_published_auc(marker, area, lower, upper, variance):
    outcome, markers = aneurysms()
    found = auc_interval(outcome, markers[marker].to_numpy())
    _, covariance = delong(outcome, markers[[marker]].to_numpy().T)
    assert found.estimate == pytest.approx(area, abs=1e-10)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-10)
    assert covariance[0, 0] == pytest.approx(variance, rel=1e-8)


@pytest.mark.parametrize(
    ("first", "second", "z", "p"),
    [
        ("s100b", "wfns", -2.208983591, 0.02717578223),
        ("s100b", "ndka", 1.390770026, 0.16429518),
        ("wfns", "ndka", 2.797775919, 0.00514557971),
    ],
)
def test_asah_markers_differ_as_published(first, second, z, p):
    outcome, markers = aneurysms()
    found = compare_aucs(outcome, markers[first].to_numpy(), markers[second].to_numpy())
    assert found.z == pytest.approx(z, abs=2e-9)
    assert found.p == pytest.approx(p, rel=1e-7)


def test_interval_of_the_asah_difference_is_that_of_proc():
    outcome, markers = aneurysms()
    found = compare_aucs(outcome, markers["s100b"].to_numpy(), markers["wfns"].to_numpy())
    assert (found.lower, found.upper) == pytest.approx((-0.1742144192, -0.0104061770), abs=1e-9)


def test_scores_that_all_tie_have_auc_one_half():
    found = auc_interval(np.array([0, 1, 0, 1, 1]), np.zeros(5))
    assert found.estimate == 0.5


def test_interval_never_leaves_zero_to_one():
    outcome = np.array([0] * 6 + [1] * 6)
    score = np.array([1, 2, 3, 4, 5, 7, 6, 8, 9, 10, 11, 12.0])
    found = auc_interval(outcome, score)
    assert found.estimate == pytest.approx(35 / 36)
    assert found.upper == 1.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_complete_separation_has_an_interval_with_a_width(sign):
    outcome = np.array([0] * 10 + [1] * 7)
    found = auc_interval(outcome, sign * np.arange(17.0))
    lowest = 0.025 ** (1 / 7)
    wanted = (1.0, lowest, 1.0) if sign > 0 else (0.0, 0.0, 1.0 - lowest)
    assert (found.estimate, found.lower, found.upper) == pytest.approx(wanted, abs=1e-9)
    assert "DeLong" not in found.method


def test_interval_of_complete_separation_holds_its_level_in_the_worst_case():
    # Each of m events outranks everybody with probability theta, else nobody: the AUC is theta,
    # and complete separation has probability theta ** m, the most that is possible.
    outcome = np.array([0] * 40 + [1] * 5)
    lower = auc_interval(outcome, np.arange(45.0)).lower
    assert lower**5 == pytest.approx(0.025, abs=1e-9)


@pytest.mark.parametrize("outcome", [np.zeros(4), np.ones(4)])
def test_one_outcome_alone_is_refused(outcome):
    with pytest.raises(ValueError, match="with and without"):
        auc_interval(outcome, np.arange(4.0))


def test_one_event_alone_gives_no_delong_interval():
    # Its variance cannot be estimated from one event; to call it 0 makes the interval narrow.
    outcome = np.array([1] + [0] * 30)
    found = auc_interval(outcome, np.r_[20.5, np.arange(30.0)])
    assert found.estimate == pytest.approx(21 / 30)
    assert np.isnan(found.lower) or found.upper - found.lower > 0.9


def test_identical_markers_do_not_differ():
    score = np.random.default_rng(1).normal(size=30)
    found = compare_aucs(np.arange(30) % 2, score, 2.0 * score + 1.0)
    assert (found.difference, found.z, found.p) == (0.0, 0.0, 1.0)


def test_a_difference_without_variance_claims_no_interval():
    # One marker separates completely, the other not at all: no test and no interval can be had.
    outcome = np.arange(20) >= 10
    found = compare_aucs(outcome, np.arange(20.0), np.zeros(20))
    assert found.difference == 0.5
    assert np.isnan(found.p)
    assert np.isnan(found.lower) and np.isnan(found.upper)


def test_comparison_changes_sign_when_markers_change_places():
    table = predictions("external")
    y, first, second = (table[name].to_numpy() for name in ("y", "pc", "pf"))
    one, other = compare_aucs(y, first, second), compare_aucs(y, second, first)
    assert (one.difference, one.z) == pytest.approx((-other.difference, -other.z))
    assert (one.lower, one.p) == pytest.approx((-other.upper, other.p))


@settings(max_examples=100, deadline=None)
@given(TWO_CLASSES)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    outcome, score = (np.array(column) for column in zip(*rows, strict=True))
    areas, _ = delong(outcome, score[None, :])
    assert areas[0] == pytest.approx(by_pairs(outcome, score), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(TWO_CLASSES)
def test_variance_is_that_of_the_structural_components(rows):
    outcome, score = (np.array(column) for column in zip(*rows, strict=True))
    assume(2 <= outcome.sum() <= len(outcome) - 2)
    _, covariance = delong(outcome, score[None, :])
    assert covariance[0, 0] == pytest.approx(delong_by_definition(outcome, score), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(TWO_CLASSES)
def test_a_monotone_transform_changes_nothing(rows):
    outcome, score = (np.array(column) for column in zip(*rows, strict=True))
    one, other = auc_interval(outcome, score), auc_interval(outcome, np.exp(score / 2.0))
    assert (one.estimate, one.lower, one.upper) == (other.estimate, other.lower, other.upper)


@settings(max_examples=60, deadline=None)
@given(TWO_CLASSES)
def test_the_reversed_score_has_one_minus_the_auc(rows):
    outcome, score = (np.array(column) for column in zip(*rows, strict=True))
    areas, _ = delong(outcome, np.array([score, -score]))
    assert areas.sum() == pytest.approx(1.0)


def test_delong_intervals_cover_the_true_auc_about_as_often_as_they_say():
    rng = np.random.default_rng(20)
    truth, covered = stats.norm.cdf(1.0 / np.sqrt(2.0)), 0
    outcome = np.r_[np.zeros(60), np.ones(60)]
    for _ in range(400):
        found = auc_interval(outcome, rng.normal(size=120) + outcome)
        covered += found.lower <= truth <= found.upper
    assert 0.92 <= covered / 400 <= 0.98


def test_asah_men_and_women_differ_as_proc_says():
    outcome, markers = aneurysms()
    score = markers["s100b"].to_numpy()
    men = (pd.read_csv(SHARED / "aSAH.csv")["gender"] == "Male").to_numpy()
    found = compare_unpaired_aucs(outcome[men], score[men], outcome[~men], score[~men])
    assert found.difference == pytest.approx(0.7727272727273 - 0.72, abs=1e-12)
    assert found.t == pytest.approx(0.5018807743267, rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(106.462550028932, rel=1e-9)
    assert found.p == pytest.approx(0.6167877592582, rel=1e-9)


def test_training_and_external_cohort_differ_as_proc_says():
    train, external = predictions("train"), predictions("external")
    found = compare_unpaired_aucs(train["y"], train["pf"], external["y"], external["pf"])
    wanted = EXPECTED["delong_unpaired"]
    assert found.t == pytest.approx(wanted["D"], rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(wanted["df"], rel=1e-9)
    assert found.p == pytest.approx(wanted["p"], rel=1e-8)
    # The test and its interval say the same.
    assert (found.lower > 0.0) == (found.p < 0.05)
    half = stats.t.ppf(0.975, found.degrees_of_freedom) * found.difference / found.t
    assert (found.lower, found.upper) == pytest.approx((found.difference - half, found.difference + half))


@pytest.mark.parametrize("score", [np.arange(20.0), np.zeros(20)])
def test_an_auc_without_variance_is_not_tested_against_another_cohort(score):
    outcome = np.arange(20) >= 10
    other = np.random.default_rng(0).normal(size=20)
    found = compare_unpaired_aucs(outcome, score, outcome, other)
    assert np.isfinite(found.difference)
    assert np.isnan([found.t, found.p, found.lower, found.upper]).all()


def test_interval_on_the_log_odds_scale_is_that_of_calibration_curves():
    path = SHARED / "calibrationcurves_test.csv"
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    table = pd.read_csv(path)
    found = logit_auc_interval(table["y"].to_numpy(), table["p"].to_numpy())
    assert (found.lower, found.upper) == pytest.approx((0.7743866, 0.8484778), abs=5e-8)
    # The vignette prints rms's C, which ranks predictions in bins of 0.002: one pair in 60,000 off.
    assert found.estimate == pytest.approx(0.8142834, abs=2e-5)


@settings(max_examples=60, deadline=None)
@given(TWO_CLASSES)
def test_interval_on_the_log_odds_scale_stays_inside_and_mirrors(rows):
    outcome, score = (np.array(column) for column in zip(*rows, strict=True))
    found, mirrored = logit_auc_interval(outcome, score), logit_auc_interval(outcome, -score)
    if np.isnan(found.lower):
        return
    assert 0.0 <= found.lower <= found.estimate <= found.upper <= 1.0
    assert (mirrored.lower, mirrored.upper) == pytest.approx((1.0 - found.upper, 1.0 - found.lower))


def test_bootstrap_interval_is_about_delongs():
    table = predictions("external")
    y, p = table["y"].to_numpy(), table["pf"].to_numpy()
    found, exact = bootstrap_auc_interval(y, p, 4000, 1), auc_interval(y, p)
    assert found.estimate == exact.estimate
    assert found.upper - found.lower == pytest.approx(exact.upper - exact.lower, rel=0.06)
    assert found == bootstrap_auc_interval(y, p, 4000, 1)


def test_smoothed_bootstrap_of_complete_separation_has_the_law_of_its_kernel():
    # A normal kernel about every score makes a pair concordant with probability Phi(gap / both widths):
    # the middle of the resampled AUCs is the mean of that over all pairs.
    rng = np.random.default_rng(2)
    low, high = rng.normal(0.0, 1.0, 40), rng.normal(0.0, 1.0, 30)
    high += low.max() - high.min() + 0.01
    outcome, score = np.r_[np.zeros(40), np.ones(30)], np.r_[low, high]
    width = [0.9 * min(v.std(ddof=1), stats.iqr(v) / 1.34) * len(v) ** -0.2 for v in (low, high)]
    concordant = stats.norm.cdf((high[:, None] - low[None, :]) / np.hypot(*width)).mean()
    found = bootstrap_auc_interval(outcome, score, 4000, 3, level=1e-9)
    assert found.lower == pytest.approx(concordant, abs=1e-3)
    bound = bootstrap_auc_interval(outcome, score, 4000, 3)
    assert (bound.estimate, bound.upper) == (1.0, 1.0)
    assert 0.9 < bound.lower < concordant
    assert "smoothed" in bound.method


def test_separation_by_scores_that_do_not_vary_has_no_bootstrap_interval():
    found = bootstrap_auc_interval(np.repeat([0, 1], 5), np.repeat([0.0, 1.0], 5), 50, 0)
    assert found.estimate == 1.0
    assert np.isnan(found.lower)
