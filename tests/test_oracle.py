"""The lines of the table of R's numbers that no other file holds, and the whole synthetic study in one go.

tests/oracle/README.md lists every line with its test, script and tolerance; tests/oracle/numbers.json is what
run.R wrote. Patients of R's packages are read from ../shared/oracle, beside the project.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from annulus.evaluation.calibration import calibration, calibration_slope, recalibration
from annulus.evaluation.calibration_error import calibration_errors, hosmer_lemeshow
from annulus.evaluation.classification import classification, proportion
from annulus.evaluation.decision import decision_curve, net_benefit
from annulus.evaluation.discrimination import (
    auc_interval,
    compare_aucs,
    compare_unpaired_aucs,
    delong,
    logit_auc_interval,
)
from annulus.evaluation.nomogram import rulers
from annulus.evaluation.reclassification import categorical_nri, continuous_nri, idi
from annulus.evaluation.sample_size import cox_snell_r2_of_auc, development_size
from annulus.features.stability import icc
from annulus.modelling import descent, lasso
from annulus.modelling.clinical import fit_terms
from annulus.modelling.firth import fit_firth
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.harmonisation import Combat
from annulus.modelling.likelihood import likelihood_ratio_tests, variance_inflation
from annulus.modelling.logistic import fit_logistic
from annulus.modelling.optimism import optimism_rounds, optimism_table, performance
from annulus.modelling.scorers import probability
from annulus.modelling.threshold import youden

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
NUMBERS = json.loads((ORACLE / "numbers.json").read_text())
EXPECTED = json.loads((ORACLE / "expected.json").read_text())


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"NOT COMPARED WITH R: its patients are not at {path}; see tests/oracle/README.md")
    return pd.read_csv(path)


def aneurysms():
    table = shared("aSAH.csv")
    terms = pd.DataFrame(
        {"age": table["age"], "female": table["gender"] == "Female", "s100b": table["s100b"],
         "wfns": table["wfns"]}
    )  # fmt: skip
    return table, terms.astype(float), (table["outcome"] == "Poor").to_numpy(dtype=float)


def births():
    table = shared("birthwt.csv")
    terms = pd.DataFrame(
        {"age": table["age"], "lwt": table["lwt"], "raceblack": table["race"] == 2,
         "raceother": table["race"] == 3, "smoke": table["smoke"], "ptd": table["ptl"] > 0,
         "ht": table["ht"], "ui": table["ui"], "ftv1": table["ftv"] == 1, "ftv2": table["ftv"] >= 2}
    )  # fmt: skip
    return terms.astype(float), table["low"].to_numpy(dtype=float)


def cancers():
    table = shared("df_binary.csv")
    return table[["age", "famhistory", "marker"]].astype(float), table["cancer"].to_numpy(dtype=float)


def three(interval):
    return interval.lower, interval.estimate, interval.upper


# ---- 2.1 discrimination ----


@pytest.mark.parametrize("marker", ["s100b", "ndka", "wfns"])
def test_asah_auc_interval_and_variance_to_the_last_digits(marker):
    table, _, y = aneurysms()
    wanted, score = NUMBERS["discrimination"]["single"][marker], table[marker].to_numpy(dtype=float)
    np.testing.assert_allclose(three(auc_interval(y, score)), wanted["interval"], rtol=1e-13)
    np.testing.assert_allclose(delong(y, score[None, :])[1][0, 0], wanted["variance"], rtol=1e-12)


@pytest.mark.parametrize("pair", range(3))
def test_asah_covariances_and_paired_tests_to_the_last_digits(pair):
    table, _, y = aneurysms()
    wanted = NUMBERS["discrimination"]["paired"][pair]
    scores = table[[wanted["first"], wanted["second"]]].to_numpy(dtype=float).T
    np.testing.assert_allclose(delong(y, scores)[1][0, 1], wanted["covariance"], rtol=1e-12)
    found = compare_aucs(y, *scores)
    ours, theirs = (found.z, found.p, found.lower, found.upper), (wanted["z"], wanted["p"])
    np.testing.assert_allclose(ours, (*theirs, *wanted["interval"]), rtol=1e-11)


def test_printed_covariance_of_s100b_and_wfns_is_met():
    table, _, y = aneurysms()
    covariance = delong(y, table[["s100b", "wfns"]].to_numpy(dtype=float).T)[1]
    assert covariance[0, 1] == pytest.approx(0.00119615567, abs=5e-12)


def test_asah_men_and_women_to_the_last_digits():
    table, _, y = aneurysms()
    men, score = (table["gender"] == "Male").to_numpy(), table["s100b"].to_numpy()
    found, wanted = compare_unpaired_aucs(y[men], score[men], y[~men], score[~men]), NUMBERS["discrimination"]
    ours = (found.t, found.degrees_of_freedom, found.p)
    theirs = [wanted["unpaired"][name] for name in ("t", "degrees_of_freedom", "p")]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    ("marker", "middle", "observed"), [("s100b", 0.205, 0.22), ("ndka", 11.08, 11.09), ("wfns", 3.5, 4.0)]
)
def test_our_youden_cut_off_is_the_first_observed_value_above_procs_midpoint(marker, middle, observed):
    table, _, y = aneurysms()
    wanted, score = NUMBERS["discrimination"]["single"][marker]["youden"], table[marker].to_numpy(dtype=float)
    found = youden(y, score)
    assert wanted["threshold"] == pytest.approx(middle)
    assert found == observed == score[score >= middle].min()
    measures = classification(y, score, found)
    for name in ("sensitivity", "specificity", "accuracy"):
        assert measures[name].estimate == pytest.approx(wanted[name], abs=1e-13)


# ---- 2.2 logistic regression ----


@pytest.mark.parametrize("model", ["asah", "birthwt", "df_binary"])
def test_every_estimate_of_the_models_is_that_of_glm(model):
    terms, y = {"asah": lambda: aneurysms()[1:], "birthwt": births, "df_binary": cancers}[model]()
    wanted, fit = NUMBERS["regression"][model], fit_logistic(terms, y)
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], wanted["coefficients"], rtol=1e-8)
    np.testing.assert_allclose(fit.standard_errors, wanted["standard_errors"][1:], rtol=1e-8)
    np.testing.assert_allclose(fit.p_values, wanted["p"][1:], rtol=1e-8)
    np.testing.assert_allclose(fit.odds_ratios()[["lower", "upper"]], wanted["wald"][1:], rtol=1e-8)
    assert -2.0 * fit.log_likelihood == pytest.approx(wanted["deviance"], rel=1e-12)
    assert 2.0 * (len(fit.terms) + 1) - 2.0 * fit.log_likelihood == pytest.approx(wanted["aic"], rel=1e-12)


def test_printed_lines_of_the_models_are_met():
    _, terms, y = aneurysms()
    fit = fit_logistic(terms, y)
    wanted = [-3.950010446, 0.03507776113, -0.9912113737, 1.508873967, 0.6585482371]
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], wanted, rtol=1e-7)
    # R's default convergence, as printed, leaves its standard errors short in the fourth digit.
    wanted = [0.01886237334, 0.5368089339, 1.450289693, 0.2043528542]
    np.testing.assert_allclose(fit.standard_errors, wanted, rtol=1.2e-4)
    np.testing.assert_allclose(fit.p_values, [0.06293244, 0.06482135, 0.29815648, 0.00127031], rtol=7e-4)
    assert -2.0 * fit.log_likelihood == pytest.approx(104.9773178, abs=5e-8)
    prevalence = y.mean()
    null = len(y) * (prevalence * np.log(prevalence) + (1 - prevalence) * np.log(1 - prevalence))
    assert -2.0 * null == pytest.approx(148.0368164, abs=5e-8)
    # Printed as 217.4755185; R says 217.4755183.
    assert 22.0 - 2.0 * fit_logistic(*births()).log_likelihood == pytest.approx(217.4755183, abs=5e-8)


def test_likelihood_ratio_p_values_to_the_last_digits():
    _, terms, y = aneurysms()
    found = likelihood_ratio_tests(terms, y, {name: [name] for name in terms})
    wanted = NUMBERS["regression"]["asah"]["likelihood_ratio_p"]
    np.testing.assert_allclose(found["p"], [wanted[name] for name in terms], rtol=1e-11)


def test_inflation_is_that_of_rms_and_car_once_glm_has_converged():
    terms, y = births()
    fit = fit_logistic(terms[["age", "lwt", "raceblack", "raceother", "smoke", "ht"]], y)
    wanted = NUMBERS["regression"]
    single = variance_inflation(fit, {name: [name] for name in fit.terms})["gvif"]
    np.testing.assert_allclose(single, list(wanted["vif"].values()), rtol=1e-8)
    variables = {name: [name] for name in ("age", "lwt", "smoke", "ht")} | {
        "race": ["raceblack", "raceother"]
    }
    found = variance_inflation(fit, variables).set_index("variable")
    for name, row in wanted["gvif"].items():
        np.testing.assert_allclose(
            found.loc[name, ["gvif", "df", "per_df"]].tolist(), list(row.values()), rtol=1e-8
        )


# ---- 2.3 decision curves ----


def test_net_benefit_of_df_binary_to_the_last_digits():
    table, wanted = shared("df_binary.csv"), NUMBERS["decision"]
    y, grid = table["cancer"].to_numpy(dtype=float), np.round(wanted["thresholds"], 2)
    for name in ("cancerpredmarker", "famhistory"):
        np.testing.assert_allclose(
            net_benefit(y, table[name].to_numpy(float), grid), wanted[name], atol=3e-14
        )
    np.testing.assert_allclose(net_benefit(y, np.ones_like(y), grid), wanted["treat_all"], atol=3e-14)
    few, risk = np.array([0.05, 0.10, 0.20]), table["cancerpredmarker"].to_numpy()
    at_ten = net_benefit(y, risk, few, 0.10)
    np.testing.assert_allclose(at_ten, wanted["at_prevalence_10"], atol=3e-14)
    curve = decision_curve(y, {"risk": risk}, few, 20, 0).query("model == 'risk'")
    np.testing.assert_allclose(curve["interventions_avoided"], wanted["interventions_avoided"], atol=1e-12)


# ---- 2.4 glmnet ----


def interpolated(path, penalties):
    """Coefficients (intercept first) at other penalties as glmnet takes them, on a line between its own."""
    own = path.penalties[::-1]
    values = np.column_stack([path.intercepts, path.coefficients])[::-1]
    inside = np.clip(penalties, own[0], own[-1])
    return np.column_stack([np.interp(inside, own, column) for column in values.T])


@pytest.fixture(scope="module")
def binomial_folds():
    """Held-out outcomes and scores at cv.glmnet's penalties, every fold with a path of its own."""
    table = shared("glmnet_BinomialExample.csv")
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy(dtype=float)
    penalties = np.array(NUMBERS["penalised"]["penalties"])
    fold, found = np.arange(len(y)) % 10 + 1, []
    for k in range(1, 11):
        train, test = fold != k, fold == k
        mean, sd = X[train].mean(axis=0), X[train].std(axis=0)
        scores = (X[train] - mean) / sd
        path = descent.fit_path(scores, y[train], lasso.penalties_for(scores, y[train], 100, 1e-4)[:80], 1e-8)
        b = interpolated(path, penalties[:70])
        found.append((y[test], (X[test] - mean) / sd @ b[:, 1:].T + b[:, 0]))
    return penalties[:70], found


def chosen(penalties, loss):
    """Penalties by cv.glmnet's two rules from fold x penalty losses of folds of equal size."""
    found = lasso.summarise(penalties, loss, np.full(len(loss), 10))
    return penalties[found.minimum], penalties[found.one_se], found.mean.min()


def test_binomial_example_is_cross_validated_as_by_default(binomial_folds):
    penalties, folds = binomial_folds
    found = lasso.summarise(penalties, np.array([lasso.deviance(*f) for f in folds]), np.full(10, 10))
    wanted = NUMBERS["penalised"]["converged"]["deviance"]
    assert penalties[found.minimum] == pytest.approx(wanted["minimum"], rel=1e-12)
    assert penalties[found.one_se] == pytest.approx(wanted["one_se"], rel=1e-12)
    assert found.mean[found.minimum] == pytest.approx(wanted["mean"], rel=1e-6)
    assert found.standard_error[found.minimum] == pytest.approx(wanted["standard_error"], rel=1e-6)
    printed = NUMBERS["penalised"]["default"]["deviance"]
    assert (printed["mean"], printed["standard_error"]) == pytest.approx((0.83525823, 0.14255267), abs=5e-9)
    assert found.mean[found.minimum] == pytest.approx(0.83525823, rel=1e-4)
    assert found.standard_error[found.minimum] == pytest.approx(0.14255267, rel=1e-4)


# By the AUC cv.glmnet prints 0.00131354785 and 0.05427596: its default tolerance leaves near ties between
# patients on the wrong side. At 1e-12 it chooses what is here.
@pytest.mark.parametrize(
    ("measure", "minimum", "one_se"),
    [("auc", 0.00119685588, 0.04506085554), ("class", 0.00333032258, 0.00638725985)],
)
def test_binomial_example_by_other_measures_chooses_glmnets_penalties(
    binomial_folds, measure, minimum, one_se
):
    penalties, folds = binomial_folds
    loss = {
        "auc": lambda y, linear: 1.0 - delong(y, linear.T)[0],
        "class": lambda y, linear: ((linear > 0) != y[:, None]).mean(axis=0),
    }[measure]
    found = chosen(penalties, np.array([loss(*f) for f in folds]))
    wanted = NUMBERS["penalised"]["converged"][measure]
    assert found[:2] == pytest.approx((minimum, one_se), rel=1e-7)
    assert found[:2] == pytest.approx((wanted["minimum"], wanted["one_se"]), rel=1e-12)
    mean = wanted["mean"] if measure == "class" else 1.0 - wanted["mean"]
    assert found[2] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize(("rule", "selected"), [("minimum", 18), ("one_se", 12)])
def test_binomial_example_has_as_many_features_and_glmnets_coefficients(rule, selected):
    table = shared("glmnet_BinomialExample.csv")
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy(dtype=float)
    mean, sd, wanted = X.mean(axis=0), X.std(axis=0), NUMBERS["penalised"]
    path = descent.fit_path((X - mean) / sd, y, np.array([wanted["default"]["deviance"][rule]]))
    b = path.coefficients[0] / sd
    assert (b != 0).sum() == selected
    np.testing.assert_allclose(
        np.r_[path.intercepts[0] - b @ mean, b], wanted[f"coefficients_{rule}"], atol=6e-9
    )


def test_largest_penalty_to_the_last_digits():
    table = shared("glmnet_BinomialExample.csv")
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy(dtype=float)
    found = lasso.penalties_for((X - X.mean(axis=0)) / X.std(axis=0), y, 2, 0.5)[0]
    assert found == pytest.approx(NUMBERS["penalised"]["largest"], rel=1e-14)


# ---- 2.5 calibration ----


@pytest.mark.parametrize(
    ("cohort", "file"),
    [("df_binary", "valprob_dfbinary_test.csv"), ("vignette", "calibrationcurves_test.csv")],
)
def test_calibration_of_both_cohorts_to_the_last_digits(cohort, file):
    table, wanted = shared(file), NUMBERS["calibration"][cohort]
    y, p = table["y"].to_numpy(dtype=float), table["p"].to_numpy()
    found, line = calibration(y, p), recalibration(y, p)
    large, slope = found["calibration_in_the_large"], found["calibration_slope"]
    np.testing.assert_allclose(
        [large.estimate, large.lower, large.upper], wanted["in_the_large"], rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose([slope.estimate, slope.lower, slope.upper], wanted["slope"], rtol=1e-8)
    assert line.intercept == pytest.approx(wanted["intercept"], rel=1e-8)
    assert line.largest_error == pytest.approx(wanted["line_emax"], rel=1e-9)
    for ours, theirs in (("brier", "brier"), ("scaled_brier", "scaled_brier"), ("observed_expected",) * 2):
        assert found[ours].estimate == pytest.approx(wanted[theirs], rel=1e-12)
    low, smooth = (calibration_errors(y, p, smoother) for smoother in ("lowess", "loess"))
    np.testing.assert_allclose([low.ici, low.e90, low.emax], list(wanted["lowess"].values()), rtol=1e-8)
    np.testing.assert_allclose(
        [smooth.ici, smooth.eci, smooth.emax], list(wanted["loess"].values()), rtol=1e-11
    )
    assert auc_interval(y, p).estimate == pytest.approx(wanted["auc"], rel=1e-13)


def test_the_two_intercepts_of_one_cohort_differ_as_printed():
    table = shared("valprob_dfbinary_test.csv")
    y, p = table["y"].to_numpy(dtype=float), table["p"].to_numpy()
    assert recalibration(y, p).intercept == pytest.approx(0.0178667422, abs=3e-9)
    assert calibration(y, p)["calibration_in_the_large"].estimate == pytest.approx(0.1530034799, abs=5e-10)


def test_interval_on_the_log_odds_scale_to_the_last_digits():
    table = shared("calibrationcurves_test.csv")
    found = logit_auc_interval(table["y"].to_numpy(), table["p"].to_numpy())
    wanted = NUMBERS["calibration"]["vignette"]["auc_log_odds"]
    np.testing.assert_allclose([found.lower, found.upper], wanted, rtol=1e-12)


def test_hosmer_lemeshow_without_the_rounding_of_predictabel():
    table, wanted = shared("predictabel_example_risks.csv"), NUMBERS["calibration"]["hosmer_lemeshow"]
    found = hosmer_lemeshow(table["y"].to_numpy(), table["p1"].to_numpy(), on_training=True)
    np.testing.assert_allclose([found.statistic, found.p], [wanted["statistic"], wanted["p"]], rtol=1e-10)


# ---- 2.6 optimism ----


@pytest.mark.slow
def test_other_resamples_are_about_those_of_rms_validate():
    table, wanted = shared("rms_valprob_example.csv"), NUMBERS["optimism"]["validate"]
    y = table["y"].to_numpy()
    rows = np.random.default_rng(1).integers(0, 200, size=(500, 200))
    terms = table[["x1", "x2", "x3"]]

    def refit(part, outcome, number):
        _, linear, _ = fit_terms(part, outcome)
        return lambda others: {"model": probability(linear.of(others))}

    rounds = optimism_rounds(refit, terms, y, dict(enumerate(rows)))
    apparent = {"model": performance(y, refit(terms, y, -1)(terms)["model"])}
    numbers = optimism_table(apparent, rounds).set_index("measure")
    differences = rounds.assign(optimism=rounds["there"] - rounds["here"])
    by_resample = differences.pivot_table(index="resample", columns="measure", values="optimism")
    assert 2.0 * numbers.loc["auc", "apparent"] - 1.0 == pytest.approx(wanted["dxy"], abs=1e-4)
    ours = [
        2.0 * numbers.loc["auc", "corrected"] - 1.0,
        numbers.loc["calibration_slope", "corrected"],
        numbers.loc["brier", "corrected"],
    ]
    theirs = [wanted[f"{name}_corrected"] for name in ("dxy", "slope", "brier")]
    spread = by_resample[["auc", "calibration_slope", "brier"]].std() * [2.0, 1.0, 1.0]
    # Ours are 500 random resamples, those of rms 2000.
    assert (np.abs(np.subtract(ours, theirs)) < 3.0 * spread * np.sqrt(1 / 500 + 1 / 2000)).all()
    assert theirs[:2] == pytest.approx([0.2930, 0.9193], abs=5e-5)


# ---- 2.7 reclassification ----


def nets(found):
    ours = (
        found.total.estimate, found.events.estimate, found.non_events.estimate, found.events_up,
        found.events_down, found.non_events_down, found.non_events_up,
    )  # fmt: skip
    return [*ours, (found.total.upper - found.total.lower) / (2.0 * stats.norm.ppf(0.975))]


def test_reclassification_to_the_last_digits():
    table, wanted = shared("pbc_nri.csv"), NUMBERS["reclassification"]["cirrhosis"]
    y, old, new = (table[name].to_numpy() for name in ("event", "p_std", "p_new"))
    assert (len(y), y.sum()) == (wanted["n"], wanted["events"]) == (232, 88)
    found = {
        "by_two_hundredths": continuous_nri(y, old, new, 0.02),
        "categories": categorical_nri(y, old, new, [0.2, 0.4]),
        "continuous": continuous_nri(y, old, new),
    }
    for name, value in found.items():
        np.testing.assert_allclose(nets(value), list(wanted[name].values()), atol=1e-13)
    gain, theirs = idi(y, old, new), wanted["improve_prob"]
    assert gain.total.estimate == pytest.approx(theirs["idi"], rel=1e-9)
    z = found["categories"].total.estimate / nets(found["categories"])[-1]
    assert 2.0 * stats.norm.sf(abs(z)) == pytest.approx(0.32884, abs=5e-6)


def test_reclassification_of_ten_thousand_patients_to_the_last_digits():
    table, wanted = shared("predictabel_example_risks.csv"), NUMBERS["reclassification"]["predictabel"]
    y, old, new = (table[name].to_numpy() for name in ("y", "p1", "p2"))
    for name, found in (
        ("categories", categorical_nri(y, old, new, [0.1, 0.3])),
        ("continuous", continuous_nri(y, old, new)),
    ):
        np.testing.assert_allclose(nets(found), list(wanted[name].values()), rtol=1e-11)
    gain = idi(y, old, new).total
    error = (gain.upper - gain.lower) / (2.0 * stats.norm.ppf(0.975))
    theirs = wanted["improve_prob"]
    np.testing.assert_allclose([gain.estimate, error], [theirs["idi"], theirs["se.idi"]], rtol=1e-11)


# ---- 2.8 sample size ----


def test_cox_snell_r2_of_an_auc_is_rs_integral():
    wanted = NUMBERS["sample_size"]
    found = cox_snell_r2_of_auc(0.89, 0.174)
    assert found == pytest.approx(wanted["r2_of_auc"], rel=1e-9)
    size = development_size(24, 0.174, found)
    assert [size.for_shrinkage, size.for_optimism, size.for_risk] == wanted["by_auc"]["sizes"]
    for name, (parameters, prevalence, r2) in {
        "first": (24, 0.174, 0.288),
        "second": (6, 0.35, 0.15),
    }.items():
        size = development_size(parameters, prevalence, r2)
        assert [size.for_shrinkage, size.for_optimism, size.for_risk] == wanted[name]["sizes"]
        assert size.events_per_parameter == pytest.approx(wanted[name]["events_per_parameter"], rel=1e-12)


# ---- 2.9 others ----


def test_firth_of_sex2_is_that_of_its_definition_in_r():
    table, wanted = shared("logistf_sex2.csv"), NUMBERS["firth"]
    fit = fit_firth(table.drop(columns="case"), table["case"].to_numpy())
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], wanted["brglm2"], rtol=2e-6)
    for ours, theirs in ((fit.lower, "lo"), (fit.upper, "hi"), (fit.p_values, "p")):
        np.testing.assert_allclose(ours, wanted[theirs][1:], rtol=1e-6)


@pytest.mark.parametrize("case", range(3))
def test_exact_intervals_to_the_last_digits(case):
    wanted = NUMBERS["classification"]["exact"][case]
    found = proportion(wanted["k"], wanted["n"])
    np.testing.assert_allclose([found.lower, found.upper], wanted["interval"], atol=1e-13)


def test_example_of_epi_tests_to_the_last_digits():
    outcome = np.repeat([1, 0, 1, 0], [670, 202, 74, 640])
    found = classification(outcome, np.repeat([1.0, 1.0, 0.0, 0.0], [670, 202, 74, 640]), 0.5)
    for name, wanted in NUMBERS["classification"]["diagnostic"].items():
        ours = [found[name].estimate, found[name].lower, found[name].upper]
        np.testing.assert_allclose(ours, wanted, atol=1e-12)


def test_our_cut_off_of_suicide_is_that_of_cutpointr():
    table, wanted = shared("cutpointr_suicide.csv"), NUMBERS["classification"]["suicide"]
    y, score = (table["suicide"] == "yes").to_numpy(), table["dsi"].to_numpy(dtype=float)
    found = youden(y, score)
    assert found == wanted["cut_off"] == 2
    measures = classification(y, score, found)
    value = measures["sensitivity"].estimate + measures["specificity"].estimate - 1.0
    assert value == pytest.approx(wanted["youden"], abs=1e-13) == pytest.approx(0.7517921, abs=5e-8)


def test_total_points_of_birthwt_stand_over_the_risks_of_rms():
    wanted = NUMBERS["nomogram"]
    b = wanted["coefficients"]
    ranges = {"age": [10, 45], "lwt": [80, 260]} | {
        name: [0, 1] for name in ("race=black", "race=other", "smoke", "ht")
    }
    count = len(ranges)
    linear = Linear(
        b["Intercept"], tuple(ranges), tuple(b[t] for t in ranges), (0.0,) * count, (0.0,) * count,
        (1.0,) * count,
    )  # fmt: skip
    axes, total = rulers(FrozenModel("nomogram", "combined", linear, training={"ranges": ranges}))
    ends = {ruler.term: ruler.values[-1] for ruler in axes}
    widest = next(ruler for ruler in axes if ruler.term == "lwt")
    factor = np.ptp(widest.values) / 180.0
    # rms ends age at 45 and weight at 260, from where points count; ours may end elsewhere.
    moved = b["age"] * (45.0 - ends["age"]) + b["lwt"] * (260.0 - ends["lwt"])
    ours = dict(zip(total.values, total.points * factor - wanted["points_per_log_odds"] * moved, strict=True))
    found = [ours[risk] for risk in wanted["risks"]]
    np.testing.assert_allclose(found, wanted["points_of_risks"], rtol=1e-6)
    np.testing.assert_allclose(found, [55.5, 79.5, 105.5, 122.9, 150.1, 177.3], atol=0.05)


@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_intraclass_correlation_to_the_last_digits(model):
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
    )
    found = icc(ratings, model)
    wanted = NUMBERS["agreement"][f"ICC{model[0]}"]
    np.testing.assert_allclose([found.estimate, found.lower, found.upper], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "covariates", "reference"),
    [("mod", ("group",), None), ("nomod", (), None), ("mod_ref1", ("group",), "1")],
)
def test_combat_to_the_last_digits_without_any_other_file(key, covariates, reference):
    wanted = NUMBERS["harmonisation"]
    table = pd.DataFrame(np.array(wanted["features"]).T).add_prefix("f")
    table = table.assign(centre=[str(b) for b in wanted["batch"]])
    table = table.assign(group=wanted["group"]) if covariates else table
    found = Combat(covariates=covariates, reference=reference).fit_transform(table)
    np.testing.assert_allclose(found, np.array(wanted[key]).T, atol=5e-14)


# ---- 2.10 the synthetic study from end to end ----


def features_of(table):
    return table[[f"f{i:02d}" for i in range(40)]].to_numpy()


@pytest.fixture(scope="module")
def study():
    """The simulated patients, with the score and both models' probabilities, none of it read from R."""
    table = pd.read_csv(ORACLE / "cohort.csv")
    train = table[table["cohort"] == "train"]
    X, y, fold = features_of(train), train["y"].to_numpy(dtype=float), train["fold"].to_numpy()
    mean, sd = X.mean(axis=0), X.std(axis=0)
    penalties = lasso.penalties_for((X - mean) / sd, y, 100, 1e-4)[:45]
    losses = []
    for k in range(1, 11):
        own, spread = X[fold != k].mean(axis=0), X[fold != k].std(axis=0)
        path = descent.fit_path((X[fold != k] - own) / spread, y[fold != k], penalties)
        losses.append(lasso.deviance(y[fold == k], path.linear_predictors((X[fold == k] - own) / spread)))
    found = lasso.summarise(penalties, np.array(losses), np.bincount(fold)[1:])
    path = descent.fit_path((X - mean) / sd, y, penalties[[found.minimum]])
    table["rad"] = path.linear_predictors((features_of(table) - mean) / sd)[:, 0]
    train = table[table["cohort"] == "train"]
    for name, terms in (("pc", ["age", "size", "er", "ki67"]), ("pf", ["age", "size", "er", "ki67", "rad"])):
        fit = fit_logistic(train[terms], y)
        table[name] = expit(fit.intercept + table[terms].to_numpy() @ fit.coefficients)
    return table, penalties[found.minimum], int((path.coefficients[0] != 0).sum())


def test_penalty_and_features_of_the_synthetic_study(study):
    _, penalty, selected = study
    assert penalty == pytest.approx(0.0305772458, abs=5e-11)
    assert penalty == pytest.approx(EXPECTED["lasso"]["lambda_min"], rel=1e-9)
    assert selected == 11 == len(EXPECTED["lasso"]["coef_min"]) - 1


def test_external_patients_of_the_synthetic_study(study):
    table = study[0].query("cohort == 'external'")
    y, clinical, combined = (table[name].to_numpy() for name in ("y", "pc", "pf"))
    found, wanted = auc_interval(y, combined), EXPECTED["delong"]["external"]
    np.testing.assert_allclose(three(found), [0.656317, 0.754183, 0.852049], atol=5e-7)
    np.testing.assert_allclose(three(found), wanted["auc_f"], rtol=1e-9)
    assert auc_interval(y, clinical).estimate == pytest.approx(0.525097, abs=5e-7)
    assert compare_aucs(y, clinical, combined).p == pytest.approx(wanted["p"], rel=1e-6)
    assert wanted["p"] == pytest.approx(8.67e-5, abs=5e-8)
    large = calibration(y, combined)["calibration_in_the_large"]
    np.testing.assert_allclose([large.estimate, large.lower, large.upper], [0.352, -0.162, 0.866], atol=5e-4)
    assert calibration_slope(y, combined).estimate == pytest.approx(0.597, abs=5e-4)
    assert calibration_slope(y, combined).estimate == pytest.approx(
        EXPECTED["cal"]["external"]["Slope"], rel=1e-6
    )


def test_cut_off_and_operating_points_of_the_synthetic_study(study):
    table = study[0]
    train = table[table["cohort"] == "train"]
    cut = youden(train["y"].to_numpy(), train["pf"].to_numpy())
    assert cut == pytest.approx(EXPECTED["cut"]["youden_obs"], rel=1e-7)
    for cohort, part in table.groupby("cohort"):
        found = classification(part["y"].to_numpy(), part["pf"].to_numpy(), cut)
        for ours, theirs in (
            ("sensitivity", "sens"),
            ("specificity", "spec"),
            ("ppv", "ppv"),
            ("npv", "npv"),
        ):
            wanted = EXPECTED["ops"][cohort][theirs]
            assert found[ours].note == f"{wanted[0]}/{wanted[1]}"


# ---- what R says when it is asked again ----


def test_every_test_that_the_table_names_exists():
    named, file = re.findall(r"`(test_\w+)?::(test_[\w*]+)`", (ORACLE / "README.md").read_text()), ""
    assert len(named) > 50
    for where, name in named:
        file = where or file
        pattern = "def " + name.replace("*", r"\w*") + r"\("
        assert re.search(pattern, (ROOT / "tests" / f"{file}.py").read_text()), f"{file}::{name}"


def walk(found, wanted, where=""):
    """Yield the numbers of two trees of the same shape with their place."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key in wanted:
            yield from walk(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from walk(one, other, f"{where}/{i}")
    elif isinstance(wanted, int | float):
        yield where, found, wanted
    else:
        assert found == wanted, where


def assert_same(found, wanted, rel):
    off = [row for row in walk(found, wanted) if row[1] != pytest.approx(row[2], rel=rel, abs=1e-12)]
    assert not off


def run_r(script, target, folder):
    where = os.environ | {"ORACLE_DATA": str(folder), "TZ": "UTC"}
    done = subprocess.run(
        ["Rscript", str(ORACLE / script), str(target)], capture_output=True, text=True, env=where
    )
    if "there is no package" in done.stderr:
        pytest.skip(f"NOT RERUN IN R: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-3000:]


needs_r = pytest.mark.skipif(
    shutil.which("Rscript") is None, reason="NOT RERUN IN R: there is no Rscript; see tests/oracle/README.md"
)


@needs_r
@pytest.mark.slow
def test_r_writes_the_same_numbers_again(tmp_path):
    if not SHARED.is_dir():
        pytest.skip(f"NOT RERUN IN R: there is no {SHARED}")
    run_r("run.R", tmp_path / "numbers.json", SHARED)
    found = json.loads((tmp_path / "numbers.json").read_text())
    topics = [name for name in NUMBERS if name not in ("R", "versions")]
    for topic in topics:
        # Packages that Debian lacks add numbers of their own.
        own = {key: value for key, value in found[topic].items() if key in NUMBERS[topic]}
        assert_same(own, NUMBERS[topic], 1e-7)


@needs_r
@pytest.mark.slow
def test_r_writes_the_synthetic_study_again(tmp_path):
    spec = importlib.util.spec_from_file_location("make_data", ORACLE / "make_data.py")
    make_data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_data)
    make_data.cohort().to_csv(tmp_path / "cohort.csv", index=False)
    assert (tmp_path / "cohort.csv").read_bytes() == (ORACLE / "cohort.csv").read_bytes()
    pd.DataFrame(make_data.resamples()).to_csv(tmp_path / "boot_idx.csv", index=False, header=False)
    run_r("synthetic.R", tmp_path, SHARED)
    found = json.loads((tmp_path / "expected.json").read_text())
    leave = ("versions", "R")
    assert_same(*({k: v for k, v in tree.items() if k not in leave} for tree in (found, EXPECTED)), 1e-9)
    for name in ("rad", "pred"):
        one, other = (pd.read_csv(folder / f"{name}.csv") for folder in (tmp_path, ORACLE))
        pd.testing.assert_frame_equal(one, other, rtol=1e-10)
