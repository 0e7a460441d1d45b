"""Calibration statistics and curves against rms, CalibrationCurves and R's loess."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.special import expit
from skmisc.loess import loess

from annulus.evaluation import smoothing
from annulus.evaluation.calibration import (
    calibration,
    calibration_curves,
    calibration_in_the_large,
    calibration_slope,
    logit,
    recalibration,
)
from annulus.evaluation.discrimination import auc_interval
from annulus.modelling.logistic import NotEstimable, fit_logistic

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
COHORTS = ("train", "internal", "external")


def predictions(cohort):
    table = pd.read_csv(ORACLE / "pred.csv")
    table = table[table["cohort"] == cohort]
    return table["y"].to_numpy(dtype=float), table["pf"].to_numpy()


def shared_predictions(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    table = pd.read_csv(path)
    return table["y"].to_numpy(dtype=float), table["p"].to_numpy()


def simulated(seed, n=200):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    return (rng.random(n) < p).astype(float), p


def three(interval):
    return interval.estimate, interval.lower, interval.upper


def smoothed(curves, smoother):
    return curves[curves["smoother"] == smoother]


@pytest.mark.parametrize("cohort", COHORTS)
def test_in_the_large_with_its_wald_interval_is_that_of_r(cohort):
    found = calibration(*predictions(cohort))["calibration_in_the_large"]
    wanted = EXPECTED["cal"][cohort]
    assert three(found) == pytest.approx((wanted["citl"], *wanted["citl_ci"]), abs=1e-6)


@pytest.mark.parametrize("cohort", COHORTS)
def test_slope_with_its_wald_interval_is_that_of_r(cohort):
    # R's glm stopped at its default of 1e-8 in the deviance, which shows in the training interval.
    found = calibration(*predictions(cohort))["calibration_slope"]
    wanted = EXPECTED["cal"][cohort]
    assert found.estimate == pytest.approx(wanted["Slope"], abs=1e-6)
    assert three(found)[1:] == pytest.approx(tuple(wanted["slope_ci"]), abs=3e-5)


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize(
    ("metric", "key"),
    [("observed_expected", "OE"), ("brier", "Brier"), ("scaled_brier", "brier_scaled")],
)
def test_brier_scores_and_observed_to_expected_are_those_of_r(cohort, metric, key):
    found = calibration(*predictions(cohort))[metric]
    assert found.estimate == pytest.approx(EXPECTED["cal"][cohort][key], rel=1e-8)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("brier", [0.0998646907]),
        ("observed_expected", [1.09424087]),
        ("calibration_slope", [0.8976944247, 0.6082167, 1.1871722]),
        ("calibration_in_the_large", [0.1530034799, -0.2485255, 0.5545325]),
    ],
)
def test_held_out_part_of_df_binary_is_calibrated_as_rms_says(metric, wanted):
    found = calibration(*shared_predictions("valprob_dfbinary_test.csv"))[metric]
    assert three(found)[: len(wanted)] == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("brier", [0.1770334]),
        ("scaled_brier", [0.2873052]),
        ("calibration_slope", [0.8227830, 0.6658240, 0.9797419]),
        ("calibration_in_the_large", [0.2240468, 0.0033920, 0.4447016]),
    ],
)
def test_vignette_of_calibration_curves_is_met(metric, wanted):
    found = calibration(*shared_predictions("calibrationcurves_test.csv"))[metric]
    assert three(found)[: len(wanted)] == pytest.approx(wanted, abs=1e-7)


def test_in_the_large_is_not_the_intercept_of_the_slopes_own_model():
    found = calibration(*predictions("external"))["calibration_in_the_large"]
    assert abs(found.estimate - EXPECTED["cal"]["external"]["Intercept"]) > 0.3


def test_the_prevalence_as_everybodys_probability_scores_zero():
    y = np.array([0, 0, 0, 1.0])
    found = calibration(y, np.full(4, 0.25))
    assert found["scaled_brier"].estimate == pytest.approx(0.0)
    assert found["observed_expected"].estimate == pytest.approx(1.0)
    assert found["calibration_in_the_large"].estimate == pytest.approx(0.0, abs=1e-9)


def test_a_constant_probability_has_no_slope():
    found = calibration(np.array([0, 1.0, 0, 1]), np.full(4, 0.5))["calibration_slope"]
    assert np.isnan(found.estimate)
    assert found.note.startswith("not estimable")


def test_separated_outcomes_have_no_slope():
    found = calibration(np.repeat([0.0, 1.0], 20), np.linspace(0.1, 0.9, 40))
    assert np.isnan(three(found["calibration_slope"])).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(0.2, 3))
def test_in_the_large_makes_observed_and_expected_equal(seed, shift, stretch):
    y, p = simulated(seed, 60)
    distorted = expit(stretch * np.log(p / (1 - p)) + shift)
    found = calibration(y, distorted)["calibration_in_the_large"].estimate
    assert expit(logit(distorted) + found).sum() == pytest.approx(y.sum(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 3))
def test_overconfident_predictions_divide_the_slope(seed, stretch):
    y, p = simulated(seed)
    linear = np.log(p / (1 - p))
    plain = calibration(y, p)["calibration_slope"].estimate
    stretched = calibration(y, expit(stretch * linear))["calibration_slope"].estimate
    assert stretched == pytest.approx(plain / stretch, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1))
def test_log_odds_are_finite_everywhere(p):
    assert np.isfinite(logit(np.array([p]))).all()


def test_certainty_of_the_event_and_of_none_are_as_far_from_even():
    impossible, certain = logit(np.array([0.0, 1.0]))
    assert impossible == pytest.approx(-certain)


@pytest.mark.parametrize("event", [0.0, 1.0])
@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_a_probability_of_exactly_zero_or_one_leaves_a_real_intercept(certain, event):
    y, p = simulated(3)
    y[0], p[0] = event, certain
    found = calibration(y, p)
    recalibrated = expit(logit(p) + found["calibration_in_the_large"].estimate)
    assert recalibrated.sum() == pytest.approx(y.sum(), abs=1e-3)
    assert np.isfinite(found["brier"].estimate)


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_curves_stand_a_probability_of_exactly_zero_or_one(certain):
    y, p = simulated(4)
    y[0], p[0] = certain, certain
    curves = calibration_curves(y, p)
    assert set(curves["smoother"]) == {"logistic", "loess"}
    heights = curves[["observed", "lower", "upper"]].to_numpy(dtype=float)
    assert ((heights >= 0.0) & (heights <= 1.0)).all()


@pytest.mark.parametrize("cohort", ["internal", "external"])
def test_loess_curve_is_that_of_r(cohort, monkeypatch):
    # R's cohorts have fewer patients of the rarer outcome than a curve is drawn for here.
    monkeypatch.setattr(smoothing, "LEAST_FOR_LOESS", 20)
    # Not the training cohort: there our curve is cut to 0-1, and R's numbers are not.
    y, p = predictions(cohort)
    curve = smoothed(calibration_curves(y, p), "loess")
    assert curve["observed"].between(0.0, 1.0, inclusive="neither").all()
    fitted = CubicSpline(curve["predicted"], curve["observed"])(p)
    wanted = EXPECTED["cal"][cohort]
    assert np.abs(fitted - p).mean() == pytest.approx(wanted["loess_Eavg"], abs=1e-5)
    assert 100 * ((fitted - p) ** 2).mean() == pytest.approx(wanted["loess_ECI"], rel=1e-3)


def test_logistic_curve_and_band_are_those_of_the_recalibration_model():
    y, p = predictions("external")
    curve = smoothed(calibration_curves(y, p), "logistic")
    model = sm.GLM(y, sm.add_constant(np.log(p / (1 - p))), family=sm.families.Binomial())
    at = sm.add_constant(np.log(curve["predicted"] / (1 - curve["predicted"])).to_numpy())
    wanted = model.fit(tol=1e-12).get_prediction(at)
    np.testing.assert_allclose(curve["observed"], wanted.predicted_mean, atol=1e-8)
    np.testing.assert_allclose(curve[["lower", "upper"]], wanted.conf_int(), atol=1e-6)


def test_curves_stay_within_the_predicted_range():
    y, p = predictions("internal")
    for _, curve in calibration_curves(y, p).groupby("smoother"):
        assert (curve["predicted"].min(), curve["predicted"].max()) == (p.min(), p.max())


@pytest.mark.parametrize(("events", "drawn"), [(49, False), (50, True)])
def test_loess_needs_fifty_patients_of_either_outcome(events, drawn):
    p = np.random.default_rng(0).uniform(0.1, 0.9, 150)
    y = np.zeros(150)
    y[np.random.default_rng(1).choice(150, events, replace=False)] = 1.0
    for outcome, probability in ((y, p), (1.0 - y, 1.0 - p)):
        found = calibration_curves(outcome, probability)
        assert ("loess" in set(found["smoother"])) == drawn


def test_a_constant_probability_has_no_curve():
    assert calibration_curves(np.arange(60) % 2, np.full(60, 0.5)).empty


def test_few_distinct_probabilities_do_not_stop_the_evaluation():
    # Out-of-fold probabilities of a model of one BI-RADS category: most patients share a value.
    rng = np.random.default_rng(5)
    p = np.r_[np.full(170, 0.3), np.linspace(0.1, 0.9, 40)]
    curves = calibration_curves((rng.random(210) < p).astype(float), p)
    assert "logistic" in set(curves["smoother"])


def test_profile_intervals_are_those_of_r():
    # R's confint interpolates its profile, which leaves it 6e-5 off the root that defines the interval.
    y, p = shared_predictions("valprob_dfbinary_test.csv")
    large = calibration_in_the_large(y, p, method="profile")
    slope = calibration_slope(y, p, method="profile")
    assert (large.lower, large.upper) == pytest.approx((-0.2603700935, 0.5442229011), rel=6e-5)
    assert (slope.lower, slope.upper) == pytest.approx((0.6297996326, 1.2125586519), rel=6e-5)
    assert large.estimate == calibration(y, p)["calibration_in_the_large"].estimate
    assert slope.estimate == calibration(y, p)["calibration_slope"].estimate


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_profile_interval_ends_where_the_likelihood_ratio_test_does(level):
    y, p = predictions("external")
    found = calibration_slope(y, p, level, "profile")
    binomial, ones = sm.families.Binomial(), np.ones((len(y), 1))
    best = sm.GLM(y, np.c_[ones, logit(p)], family=binomial).fit(tol=1e-12).llf
    for end in (found.lower, found.upper):
        fixed = sm.GLM(y, ones, family=binomial, offset=end * logit(p)).fit(tol=1e-12).llf
        assert stats.chi2.sf(2.0 * (best - fixed), 1) == pytest.approx(1.0 - level, rel=1e-6)


@pytest.mark.parametrize("method", ["Wald", "profile"])
@pytest.mark.parametrize("event", [0.0, 1.0])
def test_one_outcome_alone_has_no_calibration_in_the_large(method, event):
    found = calibration_in_the_large(np.full(9, event), np.linspace(0.1, 0.9, 9), method=method)
    assert np.isnan(three(found)).all()
    assert "same outcome" in found.note


def test_recalibration_of_df_binary_is_that_of_val_prob():
    # rms stops its fit at a gradient of 1e-7 or so, which shows in the intercept only.
    found = recalibration(*shared_predictions("valprob_dfbinary_test.csv"))
    assert found.intercept == pytest.approx(0.0178667422, abs=3e-9)
    assert found.slope == pytest.approx(0.8976944247, rel=1e-8)
    assert found.nagelkerke_r2 == pytest.approx(0.3558169204847, rel=1e-9)
    assert found.discrimination == pytest.approx(0.2318003715882, rel=1e-9)
    assert found.unreliability == pytest.approx(-0.004001733705723, rel=1e-9)
    assert found.quality == pytest.approx(0.235802105294, rel=1e-9)
    assert found.p == pytest.approx(0.6066621171659, rel=1e-9)


def refitted_example():
    """Fit the model of rms's ?val.prob to its first hundred patients and predict the others."""
    path = SHARED / "rms_valprob_example.csv"
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    table = pd.read_csv(path)
    terms = table[["x1", "x2", "x3"]]
    fit = fit_logistic(terms[:100], table["y"][:100].to_numpy())
    return table["y"][100:].to_numpy(float), expit(fit.intercept + terms[100:].to_numpy() @ fit.coefficients)


def test_recalibration_of_the_example_of_val_prob_is_met():
    # lrm stops early when it fits the model of the example, which its predictions keep.
    y, p = refitted_example()
    found = recalibration(y, p)
    assert calibration(y, p)["brier"].estimate == pytest.approx(0.2318963463, rel=1e-6)
    assert found.slope == pytest.approx(0.9565178130, rel=1e-5)
    assert found.intercept == pytest.approx(0.0522872140, rel=1e-5)
    assert found.nagelkerke_r2 == pytest.approx(0.0939147243, rel=1e-5)
    assert found.p == pytest.approx(0.9573621943, rel=1e-5)
    assert auc_interval(y, p).estimate == pytest.approx(0.6602641056, abs=1e-9)


@pytest.mark.parametrize("cohort", COHORTS)
def test_recalibration_is_that_of_r_in_every_cohort(cohort):
    found, wanted = recalibration(*predictions(cohort)), EXPECTED["cal"][cohort]
    pairs = {
        "intercept": "Intercept", "slope": "Slope", "nagelkerke_r2": "R2", "discrimination": "D",
        "unreliability": "U", "quality": "Q", "p": "U:p",
    }  # fmt: skip
    for ours, theirs in pairs.items():
        assert getattr(found, ours) == pytest.approx(wanted[theirs], rel=1e-6, abs=1e-6), ours


def test_largest_error_of_the_line_is_the_emax_of_calibration_curves():
    found = recalibration(*shared_predictions("calibrationcurves_test.csv"))
    assert found.largest_error == pytest.approx(0.0828869, abs=5e-8)


def test_a_constant_probability_cannot_be_recalibrated():
    with pytest.raises(NotEstimable, match="does not vary"):
        recalibration(np.arange(20) % 2, np.full(20, 0.3))


def test_c_of_df_binary_is_that_of_val_prob():
    # rms ranks predictions in bins of 0.002, which moves its C by half a pair of the 8569.
    y, p = shared_predictions("valprob_dfbinary_test.csv")
    pairs = y.sum() * (1.0 - y).sum()
    assert auc_interval(y, p).estimate == pytest.approx(0.8405298168, abs=0.51 / pairs)


def test_band_of_the_loess_curve_is_that_of_its_smoother_matrix(monkeypatch):
    monkeypatch.setattr(smoothing, "LEAST_FOR_LOESS", 20)
    # A local regression is linear in the outcomes: its rows, found by smoothing one patient at a time, give
    # the standard error (Cleveland & Devlin, J Am Stat Assoc 1988;83:596-610). R and we interpolate both
    # constants of its residual variance, which costs a little.
    y, p = predictions("internal")
    curve = smoothed(calibration_curves(y, p), "loess")
    rows, fits = [], []
    for unit in np.eye(len(y)):
        model = loess(p, unit, span=0.75, degree=2)
        model.fit()
        fits.append(model.outputs.fitted_values)
        rows.append(model.predict(curve["predicted"].to_numpy()).values)
    residual = np.eye(len(y)) - np.array(fits).T
    squared = residual @ residual.T
    one, two = np.trace(squared), np.trace(squared @ squared)
    spread = np.sqrt(((residual @ y) ** 2).sum() / one) * np.linalg.norm(np.array(rows).T, axis=1)
    reach = stats.t.ppf(0.975, one**2 / two) * spread
    inside = (curve["lower"] > 0.0).to_numpy() & (curve["upper"] < 1.0).to_numpy()
    assert inside.sum() > 30
    found = (curve["upper"] - curve["lower"]).to_numpy() / 2.0
    np.testing.assert_allclose(found[inside], reach[inside], rtol=0.01)
