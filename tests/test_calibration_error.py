"""Distances of smooth calibration curves, and goodness-of-fit tests, against R's packages."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from annulus.evaluation.calibration_error import (
    calibration_errors,
    hosmer_lemeshow,
    ici_interval,
    smoothed_outcome,
    spiegelhalter,
)
from annulus.modelling.logistic import fit_logistic

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
COHORTS = ("train", "internal", "external")


def predictions(cohort):
    table = pd.read_csv(ORACLE / "pred.csv")
    table = table[table["cohort"] == cohort]
    return table["y"].to_numpy(dtype=float), table["pf"].to_numpy()


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    return pd.read_csv(path)


def simulated(seed, n=200):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    return (rng.random(n) < p).astype(float), p


@pytest.mark.parametrize("cohort", COHORTS)
def test_lowess_errors_are_those_of_val_prob(cohort):
    found, wanted = calibration_errors(*predictions(cohort), "lowess"), EXPECTED["cal"][cohort]
    assert found.ici == pytest.approx(wanted["Eavg"], rel=1e-6)
    assert found.e90 == pytest.approx(wanted["E90"], rel=1e-6)
    assert found.emax == pytest.approx(wanted["Emax"], rel=1e-6)


@pytest.mark.parametrize("cohort", COHORTS)
def test_loess_errors_are_those_of_r(cohort):
    found, wanted = calibration_errors(*predictions(cohort), "loess"), EXPECTED["cal"][cohort]
    assert found.ici == pytest.approx(wanted["loess_Eavg"], rel=1e-9)
    assert found.eci == pytest.approx(wanted["loess_ECI"], rel=1e-9)


def test_lowess_errors_of_df_binary_are_those_of_val_prob():
    table = shared("valprob_dfbinary_test.csv")
    found = calibration_errors(table["y"].to_numpy(), table["p"].to_numpy(), "lowess")
    assert found.emax == pytest.approx(0.0526167407, rel=1e-7)
    assert found.e90 == pytest.approx(0.0275968743, rel=1e-7)
    assert found.ici == pytest.approx(0.0154335874, rel=1e-7)
    assert found.smoother == "lowess"


def test_lowess_errors_of_the_example_of_val_prob_are_met():
    # lrm stops early when it fits the model of the example, which its predictions keep.
    table = shared("rms_valprob_example.csv")
    terms = table[["x1", "x2", "x3"]]
    fit = fit_logistic(terms[:100], table["y"][:100].to_numpy())
    p = expit(fit.intercept + terms[100:].to_numpy() @ fit.coefficients)
    found = calibration_errors(table["y"][100:].to_numpy(), p, "lowess")
    wanted = (0.0999208010, 0.0532408501, 0.0258383180)
    assert (found.emax, found.e90, found.ici) == pytest.approx(wanted, rel=1e-5)


def test_loess_errors_of_the_vignette_of_calibration_curves_are_met():
    table = shared("calibrationcurves_test.csv")
    found = calibration_errors(table["y"].to_numpy(), table["p"].to_numpy(), "loess")
    assert found.ici == pytest.approx(0.0474745, abs=5e-8)
    assert found.eci == pytest.approx(0.3206406, abs=5e-8)
    # The curve's own maximum; the package prints that of the logistic line (see test_calibration).
    assert found.emax == pytest.approx(0.0965983, abs=5e-8)
    lowess = calibration_errors(table["y"].to_numpy(), table["p"].to_numpy(), "lowess")
    assert lowess.ici == pytest.approx(0.0430, abs=5e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["lowess", "loess"]))
def test_errors_are_in_order(seed, smoother):
    found = calibration_errors(*simulated(seed), smoother)
    assert 0.0 <= found.e50 <= found.e90 <= found.emax
    assert 0.0 <= found.ici <= found.emax
    assert 100.0 * found.ici**2 <= found.eci + 1e-12


def test_loess_follows_a_curve_that_it_can_draw():
    # A local quadratic reproduces a quadratic exactly.
    p = np.linspace(0.05, 0.95, 80)
    np.testing.assert_allclose(smoothed_outcome(p**2, p, "loess"), p**2, atol=1e-6)
    # And the local line of lowess reproduces a line.
    np.testing.assert_allclose(smoothed_outcome(0.2 + 0.5 * p, p, "lowess"), 0.2 + 0.5 * p, atol=1e-9)


def test_a_shift_of_the_predictions_is_the_integrated_error():
    p = np.linspace(0.1, 0.6, 60)
    found = calibration_errors(p + 0.2, p, "lowess")
    assert (found.ici, found.e50, found.e90, found.emax) == pytest.approx((0.2,) * 4)


@pytest.mark.parametrize("smoother", ["lowess", "loess"])
def test_predictions_that_do_not_vary_have_no_curve(smoother):
    with pytest.raises(ValueError, match="same predicted probability"):
        calibration_errors(np.arange(30) % 2, np.full(30, 0.4), smoother)


@pytest.mark.parametrize("smoother", ["lowess", "loess"])
def test_predictions_tied_too_often_have_no_curve(smoother):
    p = np.r_[np.full(60, 0.3), 0.2, 0.4]
    with pytest.raises(ValueError):
        calibration_errors(np.arange(62) % 3 == 0, p, smoother)


@pytest.mark.parametrize("smoother", ["lowess", "loess"])
def test_bootstrap_interval_of_the_ici_names_its_smoother_and_repeats(smoother):
    y, p = predictions("external")
    found = ici_interval(y, p, smoother, 200, 5)
    assert found == ici_interval(y, p, smoother, 200, 5)
    assert found != ici_interval(y, p, smoother, 200, 6)
    assert found.lower < found.estimate < found.upper
    assert smoother in found.method


def test_spread_of_the_bootstrap_is_that_of_fresh_samples():
    # A model whose every prediction is 0.15 too high: the ICI is near 0.15 and varies as a proportion.
    rng = np.random.default_rng(4)
    p = rng.uniform(0.3, 0.9, 400)
    y = (rng.random(400) < p - 0.15).astype(float)
    fresh = [
        calibration_errors((rng.random(400) < p - 0.15).astype(float), p, "loess").ici for _ in range(300)
    ]
    found = ici_interval(y, p, "loess", 300, 1)
    width = np.diff(np.quantile(fresh, [0.025, 0.975]))[0]
    assert found.upper - found.lower == pytest.approx(width, rel=0.25)


@pytest.mark.parametrize("cohort", COHORTS)
def test_spiegelhalters_test_is_that_of_val_prob(cohort):
    found, wanted = spiegelhalter(*predictions(cohort)), EXPECTED["cal"][cohort]
    assert found.statistic == pytest.approx(wanted["S:z"], rel=1e-7, abs=1e-9)
    assert found.p == pytest.approx(wanted["S:p"], rel=1e-7)


def test_spiegelhalters_test_of_df_binary_is_that_of_val_prob():
    table = shared("valprob_dfbinary_test.csv")
    found = spiegelhalter(table["y"].to_numpy(), table["p"].to_numpy())
    assert found.statistic == pytest.approx(0.9442317497, rel=1e-9)
    assert found.p == pytest.approx(0.3450512340, rel=1e-9)


def test_spiegelhalters_test_needs_a_score_that_can_vary():
    with pytest.raises(ValueError, match="other than 0, 1/2 and 1"):
        spiegelhalter(np.array([0.0, 1.0]), np.array([0.5, 0.5]))


def test_spiegelhalters_z_is_standard_normal_when_the_predictions_are_right():
    z = [spiegelhalter(*simulated(seed)).statistic for seed in range(400)]
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_hosmer_lemeshow_is_that_of_predictabel():
    # PredictABEL rounds to thousandths what it sums.
    table = shared("predictabel_example_risks.csv")
    found = hosmer_lemeshow(table["y"].to_numpy(), table["p1"].to_numpy(), on_training=True)
    assert found.statistic == pytest.approx(3.718, abs=1e-3)
    assert found.p == pytest.approx(0.8817, abs=2e-4)
    assert (found.groups, found.degrees_of_freedom) == (10, 8)


def test_hosmer_lemeshow_has_two_more_degrees_of_freedom_on_other_patients():
    y, p = simulated(1)
    one, other = (hosmer_lemeshow(y, p, on_training) for on_training in (True, False))
    assert one.statistic == other.statistic
    assert (one.degrees_of_freedom, other.degrees_of_freedom) == (8, 10)
    assert other.p == pytest.approx(stats.chi2.sf(other.statistic, 10))


def test_hosmer_lemeshow_keeps_ties_together_whatever_their_order():
    rng = np.random.default_rng(3)
    p = rng.choice([0.1, 0.2, 0.3, 0.5, 0.7], 300)
    y = (rng.random(300) < p).astype(float)
    rows = rng.permutation(300)
    one, other = hosmer_lemeshow(y, p, False), hosmer_lemeshow(y[rows], p[rows], False)
    assert one.statistic == pytest.approx(other.statistic)
    # Five values make five groups, whose statistic is Pearson's.
    wanted = sum(
        (y[p == v].sum() - v * (p == v).sum()) ** 2 / ((p == v).sum() * v * (1 - v)) for v in np.unique(p)
    )
    assert (one.groups, one.statistic) == (5, pytest.approx(wanted))


def test_hosmer_lemeshow_needs_three_groups():
    with pytest.raises(ValueError, match="2 groups"):
        hosmer_lemeshow(np.arange(40) % 2, np.repeat([0.3, 0.6], 20), False)
