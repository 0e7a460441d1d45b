"""Recalibration against statsmodels, planted miscalibration and closed forms; sizes against pmvalsampsize."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit, logit

from annulus.evaluation.calibration import calibration_slope
from annulus.evaluation.sample_size import (
    cox_snell_r2_of_auc,
    development_size,
    size_for_calibration_slope,
    size_for_observed_expected,
)
from annulus.evaluation.updating import (
    closed_test,
    cross_validated_brier,
    fit_update,
    parameters_of,
    recalibration_table,
    updating_table,
)
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.logistic import NotEstimable


def planted(n, intercept, slope, seed=1):
    """Outcomes whose true log-odds are a line on those that a model predicts."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-0.5, 1.2, n)
    return (rng.random(n) < expit(intercept + slope * log_odds)).astype(float), expit(log_odds)


def table(y, p, model="clinical", cohort="external_b"):
    return pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(len(y))], "cohort": cohort, "model": model, "y": y,
            "linear_predictor": logit(p), "probability": p, "probability_out_of_fold": np.nan,
        }
    )  # fmt: skip


def test_updates_are_the_logistic_regressions_of_statsmodels():
    y, p = planted(400, 0.7, 0.6)
    free = sm.Logit(y, sm.add_constant(logit(p))).fit(disp=0, tol=1e-12)
    found = fit_update(y, p, "intercept and slope")
    assert [found.intercept.estimate, found.slope.estimate] == pytest.approx(free.params, rel=1e-8)
    ends = [[part.lower, part.upper] for part in (found.intercept, found.slope)]
    assert np.array(ends) == pytest.approx(free.conf_int(), rel=1e-6)
    held = sm.GLM(y, np.ones(len(y)), sm.families.Binomial(), offset=logit(p)).fit(tol=1e-12)
    moved = fit_update(y, p, "intercept")
    assert moved.intercept.estimate == pytest.approx(held.params[0], rel=1e-6)
    assert [moved.intercept.lower, moved.intercept.upper] == pytest.approx(held.conf_int()[0], rel=1e-6)
    assert moved.slope.estimate == 1.0


def test_planted_miscalibration_is_found_again():
    y, p = planted(40_000, 0.8, 0.5)
    found = fit_update(y, p, "intercept and slope")
    assert found.intercept.lower < 0.8 < found.intercept.upper
    assert found.slope.lower < 0.5 < found.slope.upper
    assert found.slope.upper - found.slope.lower < 0.1


def test_rows_after_an_update_are_calibrated_and_say_that_this_is_apparent():
    y, p = planted(300, 0.7, 0.6)
    found = recalibration_table(table(y, p), 1, False).set_index("update")
    assert found.index.tolist() == ["as frozen", "intercept", "intercept and slope"]
    frozen, moved, both = (found.loc[name] for name in found.index)
    assert [frozen["intercept"], frozen["slope"], frozen["note"]] == [0.0, 1.0, ""]
    assert frozen["brier"] == pytest.approx(np.mean((y - p) ** 2))
    assert frozen["brier_cross_validated"] == pytest.approx(frozen["brier"])
    assert frozen["observed_expected"] == pytest.approx(y.sum() / p.sum())
    assert moved["calibration_in_the_large"] == pytest.approx(0.0, abs=1e-8)
    assert moved["observed_expected"] == pytest.approx(1.0)
    # A shift does not change the slope.
    assert moved["calibration_slope"] == pytest.approx(calibration_slope(y, p).estimate)
    assert [both["calibration_slope"], both["observed_expected"]] == pytest.approx([1.0, 1.0])
    assert found["note"].str.startswith("apparent").tolist() == [False, True, True]


def test_cross_validation_takes_back_what_updating_gains_where_nothing_is_wrong():
    gains, honest = [], []
    for seed in range(30):
        y, p = planted(60, 0.0, 1.0, seed)
        found = recalibration_table(table(y, p), seed, False).set_index("update")
        gains.append(found.loc["as frozen", "brier"] - found.loc["intercept and slope", "brier"])
        honest.append(
            found.loc["as frozen", "brier"] - found.loc["intercept and slope", "brier_cross_validated"]
        )
    assert np.mean(gains) > 0.002
    assert np.mean(honest) < 0.0


def test_cross_validated_brier_of_an_intercept_is_that_of_leaving_tenths_out():
    y, p = np.tile([1.0, 0.0], 50), np.full(100, 0.2)
    # Every fold has as many events, so each rest moves 0.2 to one half.
    assert cross_validated_brier(y, p, "intercept", 1).estimate == pytest.approx(0.25)


def test_few_events_have_no_cross_validation_and_one_outcome_has_no_update():
    y, p = planted(30, 0.0, 1.0)
    y[:] = 0.0
    y[:9] = 1.0
    found = recalibration_table(table(y, p), 1, False)
    assert found["brier_cross_validated"].isna().all()
    assert found["note"].str.contains("fewer than 10 of one outcome").all()
    none = recalibration_table(table(np.zeros(30), p), 1, False).set_index("update")
    assert "same outcome" in none.loc["intercept", "note"]
    assert none.loc["intercept and slope", "slope"] != none.loc["intercept and slope", "slope"]
    with pytest.raises(NotEstimable):
        closed_test(np.zeros(30), p)


@pytest.mark.parametrize(
    ("intercept", "slope", "proposed"),
    [(0.0, 1.0, "as frozen"), (1.0, 1.0, "intercept"), (0.6, 0.4, "intercept and slope")],
)
def test_closed_test_proposes_what_was_planted(intercept, slope, proposed):
    assert closed_test(*planted(2000, intercept, slope, seed=4)).proposed == proposed


def test_closed_test_compares_likelihoods_of_statsmodels():
    y, p = planted(500, 1.0, 0.8)
    x = logit(p)
    free = sm.Logit(y, sm.add_constant(x)).fit(disp=0).llf
    held = sm.GLM(y, np.ones(len(y)), sm.families.Binomial(), offset=x).fit().llf
    frozen = float(np.log(np.where(y == 1.0, p, 1.0 - p)).sum())
    found = closed_test(y, p)
    assert found.p_both == pytest.approx(stats.chi2.sf(2 * (free - frozen), 2), rel=1e-6)
    assert found.p_slope == pytest.approx(stats.chi2.sf(2 * (free - held), 1), rel=1e-6)


def test_a_calibrated_model_is_left_alone_in_95_of_100_cohorts():
    left = sum(closed_test(*planted(200, 0.0, 1.0, seed)).proposed == "as frozen" for seed in range(400))
    low, high = stats.binom.ppf([0.001, 0.999], 400, 0.95)
    assert low <= left <= high


@pytest.mark.parametrize("prevalence", [0.018, 0.25, 0.5])
def test_size_for_observed_expected_is_that_of_pmvalsampsizes_search(prevalence):
    # pmvalsampsize raises the standard error in steps of 0.0001 until the interval is wide enough.
    error = 0.0
    while np.exp(1.96 * error) - np.exp(-1.96 * error) < 0.2:
        error += 0.0001
    theirs = np.ceil((1 - prevalence) / (prevalence * error**2))
    assert size_for_observed_expected(prevalence, 0.2) == pytest.approx(theirs, rel=0.005)


def test_size_for_the_slope_gives_the_width_that_it_promises():
    y, p = planted(500_000, 0.0, 1.0)
    n = size_for_calibration_slope(logit(p), 0.2)
    found = calibration_slope(y[:n], p[:n])
    assert found.upper - found.lower == pytest.approx(0.2, abs=0.01)


def test_sizes_that_updates_need():
    y, p = planted(400, 0.7, 0.6)
    found = updating_table(table(y, p), {"clinical": 7}, False).set_index("action")
    assert found["parameters"].tolist() == [0, 1, 2, 7]
    prevalence = y.mean()
    ranks = stats.rankdata(p)
    events = y.sum()
    auc = (ranks[y == 1].sum() - events * (events + 1) / 2) / (events * (400 - events))
    r2 = cox_snell_r2_of_auc(auc, prevalence)
    needed = found["patients_needed"]
    assert pd.isna(needed["as frozen"])
    assert needed["intercept"] == size_for_observed_expected(prevalence, 0.2)
    assert needed["intercept and slope"] == size_for_calibration_slope(logit(p), 0.2)
    assert needed["refit"] == development_size(7, prevalence, r2).patients
    assert found["patients_here_enough"].tolist()[1:] == [int(size <= 400) for size in needed[1:]]
    assert found.loc["intercept and slope", "advice"].startswith("proposed")
    assert found.loc["as frozen", "advice"].startswith("not proposed")
    assert found.loc["refit", "advice"].startswith("not tested")


def test_what_has_no_size_says_why():
    y, p = planted(100, 0.0, 1.0)
    trees = updating_table(table(y, p), {}, False).set_index("action")
    assert pd.isna(trees.loc["refit", "patients_needed"])
    assert "not a regression" in trees.loc["refit", "note"]
    worse = updating_table(table(y, 1 - p), {"clinical": 3}, False).set_index("action")
    assert "AUC" in worse.loc["refit", "note"]
    one = updating_table(table(np.zeros(100), p), {"clinical": 3}, False)
    assert one["patients_needed"].isna().all()
    assert one["advice"].iloc[0].startswith("not tested")


def test_only_regressions_have_parameters():
    fitted = FrozenModel(
        "clinical", "clinical", Linear(0.1, ("a", "b"), (1.0, 2.0), (0.0, 0.0), (0.0, 0.0), (1.0, 1.0))
    )
    assert parameters_of([fitted, FrozenModel("combined", "combined", None, "no term")]) == {"clinical": 2}
