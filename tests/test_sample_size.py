"""Riley's criteria against pmsampsize, and expected interval widths against pmvalsampsize and simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from annulus.evaluation.discrimination import auc_interval
from annulus.evaluation.sample_size import (
    cox_snell_r2_of_auc,
    development_size,
    events_per_predictor,
    expected_shrinkage,
    expected_widths,
    largest_cox_snell_r2,
)


@pytest.mark.parametrize(
    ("parameters", "prevalence", "r2", "wanted"),
    [(24, 0.174, 0.288, (623, 662, 221, 662)), (6, 0.35, 0.15, (330, 150, 350, 350))],
)
def test_development_sizes_are_those_of_pmsampsize(parameters, prevalence, r2, wanted):
    found = development_size(parameters, prevalence, r2)
    assert (found.for_shrinkage, found.for_optimism, found.for_risk, found.patients) == wanted


def test_events_of_the_first_example_are_those_of_pmsampsize():
    found = development_size(24, 0.174, 0.288)
    assert found.events == pytest.approx(115.188)
    assert round(found.events_per_parameter, 2) == 4.80


def test_an_auc_gives_the_size_of_pmsampsize_but_for_its_simulation():
    # pmsampsize draws a million patients, and with its default seed finds an R2 of 0.2902 and 661.
    r2 = cox_snell_r2_of_auc(0.89, 0.174)
    assert r2 == pytest.approx(0.2902, abs=1e-3)
    found = development_size(24, 0.174, r2)
    assert found.patients == pytest.approx(661, abs=1)
    assert found.for_risk == 221


def test_r2_of_an_auc_is_that_of_a_simulated_model():
    rng = np.random.default_rng(1)
    y = rng.random(200_000) < 0.3
    marker = rng.normal(size=len(y)) + np.sqrt(2.0) * 0.8416212 * y
    assert auc_interval(y, marker).estimate == pytest.approx(0.8, abs=3e-3)
    fit = sm.Logit(y.astype(float), sm.add_constant(marker)).fit(disp=0)
    r2 = 1.0 - np.exp(2.0 * (fit.llnull - fit.llf) / len(y))
    assert cox_snell_r2_of_auc(0.8, 0.3) == pytest.approx(r2, abs=4e-3)


def test_largest_r2_at_even_odds_is_three_quarters():
    assert largest_cox_snell_r2(0.5) == pytest.approx(0.75)
    # Printed by pmsampsize.
    assert round(largest_cox_snell_r2(0.174), 3) == 0.603
    assert round(largest_cox_snell_r2(0.35), 3) == 0.726


def test_shrinkage_to_expect_is_that_of_pmsampsize():
    # It prints that of the size before rounding up to a whole patient.
    assert expected_shrinkage(662, 24, 0.288, 0.174) == pytest.approx(0.905, abs=5e-4)
    assert expected_shrinkage(150, 6, 0.15, 0.35) == pytest.approx(0.805, abs=1e-3)


def test_there_is_no_shrinkage_to_expect_where_the_apparent_r2_would_be_above_its_largest():
    # At the largest apparent R2, S is R2 / largest; fewer patients than that S needs have no solution.
    largest = largest_cox_snell_r2(0.174)
    least = 24 / ((0.288 / largest - 1) * np.log(1 - largest))
    assert expected_shrinkage(int(least) - 1, 24, 0.288, 0.174) == 0.0
    assert expected_shrinkage(int(least) + 2, 24, 0.288, 0.174) == pytest.approx(0.288 / largest, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0.05, 0.95), st.floats(0.05, 0.9))
def test_more_parameters_never_need_fewer_patients(parameters, prevalence, share):
    r2 = share * largest_cox_snell_r2(prevalence)
    one, more = (development_size(k, prevalence, r2) for k in (parameters, parameters + 1))
    assert more.patients >= one.patients
    assert more.for_shrinkage > one.for_shrinkage - 1
    mirrored = development_size(parameters, 1.0 - prevalence, r2)
    assert mirrored.patients == pytest.approx(one.patients, abs=1)


def normal_log_odds(mean, sd):
    return stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, mean, sd)


def test_widths_at_the_sizes_of_pmvalsampsize_are_its_targets():
    # Its own test asks for widths of 1 (O:E), 0.1 (C) and 0.2 (slope) at a prevalence of 0.018, a C of 0.8
    # and log-odds of mean -5 and SD 2.5; it finds 905 and 4252, and 4501 by simulating 1000 patients.
    log_odds = normal_log_odds(-5.0, 2.5)
    by_ratio, by_auc, by_slope = (expected_widths(n, 0.018 * n, 0.8, log_odds) for n in (905, 4252, 4501))
    assert by_ratio.observed_expected == pytest.approx(1.0, rel=1e-3)
    assert by_slope.calibration_slope == pytest.approx(0.2, rel=1e-2)
    assert by_auc.auc <= 0.1 < expected_widths(4251, 0.018 * 4251, 0.8, log_odds).auc


def test_widths_are_those_that_fresh_cohorts_show():
    rng = np.random.default_rng(3)
    found, log_odds = [], []
    for _ in range(300):
        linear = rng.normal(-0.5, 1.2, 250)
        y = (rng.random(250) < expit(linear)).astype(float)
        slope = sm.Logit(y, sm.add_constant(linear)).fit(disp=0).params[1]
        area = auc_interval(y, linear)
        found.append((area.estimate, slope, np.log(y.sum() / expit(linear).sum()), y.sum()))
        log_odds.append(linear)
    area, slope, ratio, events = np.array(found).T
    wanted = expected_widths(250, round(events.mean()), area.mean(), np.concatenate(log_odds))
    assert wanted.auc == pytest.approx(2 * 1.96 * area.std(), rel=0.12)
    assert wanted.calibration_slope == pytest.approx(2 * 1.96 * slope.std(), rel=0.15)
    # The predictions explain part of the variance of O:E, which the formula does not know.
    assert wanted.observed_expected == pytest.approx(2 * 1.96 * ratio.std(), rel=0.35)
    assert wanted.observed_expected > 2 * 1.96 * ratio.std()


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 400), st.floats(0.55, 0.95))
def test_four_times_the_patients_halve_the_widths(n, auc):
    log_odds = normal_log_odds(0.0, 1.0)
    small, large = (expected_widths(k * n, k * (n // 2), auc, log_odds) for k in (1, 4))
    assert large.calibration_slope == pytest.approx(small.calibration_slope / 2.0)
    assert large.auc == pytest.approx(small.auc / 2.0, rel=0.05)
    assert large.observed_expected < small.observed_expected / 1.9


def test_events_per_predictor_counts_the_rarer_outcome():
    assert events_per_predictor(34, 74, 4) == 8.5
    assert events_per_predictor(74, 34, 4) == 8.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: development_size(0, 0.3, 0.1), "at least one parameter"),
        (lambda: development_size(5, 0.0, 0.1), "prevalence"),
        (lambda: development_size(5, 0.174, 0.61), "the largest"),
        (lambda: development_size(5, 0.3, 0.0), "not above 0"),
        (lambda: cox_snell_r2_of_auc(0.5, 0.3), "AUC"),
        (lambda: cox_snell_r2_of_auc(0.8, 1.0), "prevalence"),
        (lambda: events_per_predictor(10, 10, 0), "at least one parameter"),
        (lambda: expected_widths(50, 0, 0.8, np.arange(5.0)), "both outcomes"),
        (lambda: expected_widths(50, 20, 1.0, np.arange(5.0)), "AUC"),
        (lambda: expected_widths(50, 20, 0.8, np.zeros(5)), "do not vary"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
