"""Random effects against metafor's published numbers, statsmodels and closed forms."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from statsmodels.stats.meta_analysis import combine_effects

from annulus.evaluation.discrimination import auc_interval, delong, logit_auc_interval
from annulus.evaluation.pooling import (
    between_cohorts,
    centre_rows,
    cohort_rows,
    pooled,
    random_effects,
    standard_error,
    summarise,
)
from annulus.figures.cohorts import cohorts_figure

# Thirteen trials of BCG against tuberculosis (Colditz et al., JAMA 1994;271:698-702): vaccinated with and
# without the disease, then others with and without it.
BCG = np.array(
    [
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
        [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892],
        [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ],
    dtype=float,
)  # fmt: skip


def log_risk_ratios():
    a, b, c, d = BCG.T
    return np.log(a / (a + b) * (c + d) / c), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def test_bcg_trials_have_the_numbers_that_metafor_prints():
    # metafor: rma(yi, vi, data=dat.bcg), and its test="knha".
    found = random_effects(*log_risk_ratios())
    assert found.cohorts == 13
    assert found.tau2 == pytest.approx(0.3132, abs=5e-5)
    assert found.estimate == pytest.approx(-0.7145, abs=5e-5)
    assert found.i2 == pytest.approx(92.22, abs=5e-3)
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.standard_error == pytest.approx(0.1808, abs=5e-5)
    assert [found.lower, found.upper] == pytest.approx([-1.1084, -0.3206], abs=5e-5)


def test_bcg_prediction_interval_has_two_degrees_of_freedom_fewer_than_trials():
    found = random_effects(*log_risk_ratios())
    # metafor's predict(transf=exp) prints 0.14 to 1.76, with one fewer.
    spread = np.sqrt(found.tau2 + found.standard_error**2)
    theirs = np.exp(found.estimate + np.array([-1, 1]) * stats.t.ppf(0.975, 12) * spread)
    assert theirs == pytest.approx([0.14, 1.76], abs=5e-3)
    reach = stats.t.ppf(0.975, 11) * np.sqrt(0.3132 + 0.1808**2)
    assert found.prediction_lower == pytest.approx(-0.7145 - reach, abs=5e-4)
    assert found.prediction_upper == pytest.approx(-0.7145 + reach, abs=5e-4)


@pytest.mark.parametrize("seed", range(5))
def test_variance_between_cohorts_maximises_the_restricted_likelihood(seed):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.2, 6)
    y = rng.normal(0.8, np.sqrt(v + 0.1))

    def deviance(tau2):
        w = 1 / (v + tau2)
        mean = w @ y / w.sum()
        return -np.log(w).sum() + np.log(w.sum()) + w @ (y - mean) ** 2

    best = minimize_scalar(deviance, bounds=(0, 3), method="bounded", options={"xatol": 1e-10})
    assert between_cohorts(y, v) == pytest.approx(best.x, abs=1e-5)
    assert deviance(between_cohorts(y, v)) <= best.fun + 1e-9


@pytest.mark.filterwarnings("ignore:.*use_t=True.*")
def test_summary_is_that_of_statsmodels_at_the_same_variance_between_cohorts():
    y, v = log_risk_ratios()
    other = combine_effects(y, v, method_re="chi2", use_t=True, nobs=BCG.sum(axis=1))
    found = summarise(y, v, other.tau2)
    assert found.estimate == pytest.approx(other.mean_effect_re, rel=1e-10)
    assert found.q == pytest.approx(other.q, rel=1e-10)
    assert found.standard_error == pytest.approx(other.sd_eff_w_re_hksj, rel=1e-10)
    table = other.summary_frame()
    ends = table.loc["random effect wls", ["ci_low", "ci_upp"]].to_numpy(dtype=float)
    assert [found.lower, found.upper] == pytest.approx(ends, rel=1e-10)


def test_cohorts_that_agree_better_than_chance_do_not_look_certain():
    found = random_effects(np.array([1.0, 1.0, 1.0]), np.array([0.04, 0.04, 0.04]))
    assert found.tau2 == 0.0
    assert found.i2 == 0.0
    assert found.standard_error == pytest.approx(0.2 / np.sqrt(3))
    assert found.upper == pytest.approx(1.0 + stats.t.ppf(0.975, 2) * 0.2 / np.sqrt(3))
    assert found.prediction_upper == pytest.approx(1.0 + stats.t.ppf(0.975, 1) * 0.2 / np.sqrt(3))


def test_equal_variances_have_a_closed_form():
    y, v = np.array([0.0, 1.0, 2.0, 5.0]), np.full(4, 0.5)
    found = random_effects(y, v)
    assert found.tau2 == pytest.approx(np.var(y, ddof=1) - 0.5)
    assert found.estimate == pytest.approx(2.0)
    assert found.standard_error == pytest.approx(np.std(y, ddof=1) / 2)
    assert found.i2 == pytest.approx(100 * found.tau2 / (found.tau2 + 0.5))


@pytest.mark.slow
def test_intervals_of_many_cohorts_hold_what_they_promise():
    rng = np.random.default_rng(2)
    mean_held = next_held = 0
    runs = 2000
    for _ in range(runs):
        v = rng.uniform(0.02, 0.06, 30)
        y = rng.normal(0.5, np.sqrt(v + 0.09))
        found = random_effects(y, v)
        mean_held += found.lower <= 0.5 <= found.upper
        next_held += found.prediction_lower <= rng.normal(0.5, 0.3) <= found.prediction_upper
    assert mean_held / runs == pytest.approx(0.95, abs=0.02)
    assert next_held / runs == pytest.approx(0.95, abs=0.02)


def test_standard_error_of_an_auc_is_delongs_on_the_log_odds_scale():
    rng = np.random.default_rng(3)
    y = np.arange(120) < 40
    score = rng.normal(size=120) + y
    found = auc_interval(y, score)
    area, covariance = delong(y, score[None, :])
    wanted = np.sqrt(covariance[0, 0]) / (area[0] * (1 - area[0]))
    assert standard_error("auc", found.estimate, found.lower, found.upper) == pytest.approx(wanted)
    own = logit_auc_interval(y, score)
    reach = 1.959963984540054 * wanted
    assert [own.lower, own.upper] == pytest.approx(expit(logit(area[0]) + np.array([-reach, reach])))


def test_an_interval_of_an_auc_that_was_cut_at_one_keeps_its_width():
    wide = 1.959963984540054 * 0.05
    assert standard_error("auc", 0.97, 0.97 - wide, 1.0) == pytest.approx(0.05 / (0.97 * 0.03))
    assert np.isnan(standard_error("auc", 1.0, 0.8, 1.0))


def test_other_standard_errors_come_from_their_intervals():
    z = 1.959963984540054
    assert standard_error("calibration_slope", 0.9, 0.9 - 0.2 * z, 0.9 + 0.2 * z) == pytest.approx(0.2)
    ends = 1.2 * np.exp(np.array([-1, 1]) * z * 0.15)
    assert standard_error("observed_expected", 1.2, *ends) == pytest.approx(0.15)
    assert np.isnan(standard_error("observed_expected", 0.0, np.nan, np.nan))


def measured(cohort, estimate, error, metric="calibration_slope", model="clinical"):
    reach = 1.959963984540054 * error
    return {
        "model": model, "cohort": cohort, "n": 100, "events": 30, "metric": metric, "estimate": estimate,
        "lower": estimate - reach, "upper": estimate + reach, "method": "Wald", "note": "", "synthetic": 0,
    }  # fmt: skip


def pool(rows, centres=None):
    cohorts = cohort_rows("her2", pd.DataFrame(rows), False)
    if centres is not None:
        cohorts = pd.concat([cohorts, centre_rows("her2", centres, False)], ignore_index=True)
    return cohorts, pooled(cohorts, False)


def test_only_external_cohorts_are_pooled():
    elsewhere = [("external_a", 0.5, 0.1), ("external_b", 0.8, 0.2), ("external_c", 1.2, 0.15)]
    rows = [measured(*part) for part in [("train", 1.0, 0.01), ("internal_test", 2.0, 0.01), *elsewhere]]
    cohorts, found = pool(rows)
    assert cohorts["kind"].tolist() == ["training out of fold", "internal", *["external"] * 3]
    wanted = random_effects(np.array([0.5, 0.8, 1.2]), np.array([0.1, 0.2, 0.15]) ** 2)
    assert len(found) == 1
    row = found.iloc[0]
    assert row["cohorts"] == 3
    assert row["estimate"] == pytest.approx(wanted.estimate)
    assert row["prediction_upper"] == pytest.approx(wanted.prediction_upper)
    assert row["i2"] == pytest.approx(wanted.i2)


def test_aucs_are_pooled_as_log_odds():
    rows = [measured(f"external_{n}", a, 0.03, "auc") for n, a in zip("abc", (0.7, 0.8, 0.9), strict=True)]
    row = pool(rows)[1].iloc[0]
    areas = np.array([0.7, 0.8, 0.9])
    wanted = random_effects(logit(areas), (0.03 / (areas * (1 - areas))) ** 2)
    assert row["estimate"] == pytest.approx(expit(wanted.estimate))
    assert row["prediction_lower"] == pytest.approx(expit(wanted.prediction_lower))
    assert 0 < row["prediction_lower"] < row["lower"] < row["upper"] < row["prediction_upper"] < 1


def test_one_cohort_is_not_pooled_and_two_predict_nothing():
    one = pool([measured("external_a", 1.0, 0.1)])[1].iloc[0]
    assert one["cohorts"] == 1
    assert np.isnan(one["estimate"])
    assert "only one cohort" in one["note"]
    two = pool([measured("external_a", 1.0, 0.1), measured("external_b", 1.5, 0.1)])[1].iloc[0]
    assert two["estimate"] == pytest.approx(1.25)
    assert np.isnan(two["prediction_lower"])
    assert "3 cohorts" in two["note"]


def test_a_cohort_without_an_interval_is_named():
    gone = measured("external_c", np.nan, np.nan) | {"note": "only one outcome is present"}
    row = pool([measured("external_a", 1.0, 0.1), measured("external_b", 1.5, 0.1), gone])[1].iloc[0]
    assert row["cohorts"] == 2
    assert "external_c left out" in row["note"]
    assert "only one outcome is present" in row["note"]


def test_centres_left_out_are_pooled_by_themselves():
    reach = 1.959963984540054 * 0.05
    centres = pd.DataFrame(
        [
            {"cohort": cohort, "centre": centre, "n": 50, "events": 20, "model": "clinical", "auc": auc,
             "lower": auc - reach, "upper": auc + reach, "note": ""}
            for cohort, centre, auc in [("train", "x", 0.7), ("train", "y", 0.8), ("external_a", "z", 0.6)]
        ]
    )  # fmt: skip
    rows = [measured("external_a", 0.6, 0.05, "auc"), measured("external_b", 0.65, 0.05, "auc")]
    cohorts, found = pool(rows, centres)
    assert cohorts.loc[cohorts["kind"] == "centre left out", "cohort"].tolist() == ["x", "y"]
    assert found["kind"].tolist() == ["external", "centre left out"]
    assert found["cohorts"].tolist() == [2, 2]
    equal = expit((logit(0.6) * (0.24) ** 2 + logit(0.65) * (0.2275) ** 2) / (0.24**2 + 0.2275**2))
    assert found["estimate"].iloc[0] == pytest.approx(equal)


def test_the_figure_holds_every_cohort_and_what_was_pooled_of_them():
    elsewhere = [("external_a", 0.7), ("external_b", 0.75), ("external_c", 0.8)]
    rows = [measured(name, a, 0.03, "auc") for name, a in [("train", 0.9), *elsewhere]]
    rows += [measured(name, a, 0.2) for name, a in elsewhere]
    cohorts, found = pool(rows)
    figure, table = cohorts_figure(cohorts, found, "her2", ["clinical"])
    texts = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    for wanted in ("Training, out-of-fold", "External: b", "Pooled, external", "Next cohort, prediction"):
        assert wanted in texts
    auc = found[found["metric"] == "auc"].iloc[0]
    assert f"{auc['estimate']:.2f} ({auc['lower']:.2f} to {auc['upper']:.2f})" in texts
    assert f"{auc['prediction_lower']:.2f} to {auc['prediction_upper']:.2f}" in texts
    assert len(table) == 7 + 2
    plt.close(figure)
    figure, table = cohorts_figure(cohorts, found, "another task", ["clinical"])
    assert table.empty
    plt.close(figure)
