"""Profile intervals, likelihood-ratio tests, GVIF and Firth's regression against R."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from annulus.modelling.firth import FirthFit, firth_ratio_statistic, fit_firth, fit_or_firth
from annulus.modelling.likelihood import likelihood_ratio_tests, profile_odds_ratios, variance_inflation
from annulus.modelling.logistic import LogisticFit, NotEstimable, Separated, fit_logistic

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
TERMS = ["age", "size", "er", "ki67", "rad"]


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return path


def numbers(name):
    return json.loads(shared(name).read_text())


def training():
    table = pd.read_csv(ORACLE / "cohort.csv")
    table["rad"] = pd.read_csv(ORACLE / "rad.csv")["rad"]
    return table[table["cohort"] == "train"]


def haemorrhage():
    table = pd.read_csv(shared("aSAH.csv"))
    terms = pd.DataFrame(
        {"age": table["age"], "female": table["gender"] == "Female", "s100b": table["s100b"],
         "wfns": table["wfns"]}
    )  # fmt: skip
    return terms.astype(float), (table["outcome"] == "Poor").to_numpy(dtype=float)


def births():
    table = pd.read_csv(shared("birthwt.csv"))
    terms = pd.DataFrame(
        {"age": table["age"], "lwt": table["lwt"], "black": table["race"] == 2, "other": table["race"] == 3,
         "smoke": table["smoke"], "ptd": table["ptl"] > 0, "ht": table["ht"], "ui": table["ui"],
         "ftv1": table["ftv"] == 1, "ftv2": table["ftv"] >= 2}
    )  # fmt: skip
    return terms.astype(float), table["low"].to_numpy(dtype=float)


def cancers():
    table = pd.read_csv(shared("df_binary.csv")).dropna()
    return table[["age", "famhistory", "marker"]].astype(float), table["cancer"].to_numpy(dtype=float)


def separated():
    table = training().head(30)
    z = (table["y"] == 1) & (np.arange(30) % 2 == 1)
    return table[["size"]].assign(z=z.astype(float))[["z", "size"]], table["y"].to_numpy()


def ends(table):
    return table[["lower", "upper"]].to_numpy()


# R's confint draws a spline through a few points of the profile, hence its fourth digit: profile.R solves for
# the ends themselves, which are ours to nine digits, and shows R's own printed ends as far from them.
@pytest.mark.parametrize(("cohort", "apart"), [("asah", 3.2e-4), ("birthwt", 1.1e-4), ("df_binary", 6e-5)])
def test_profile_intervals_are_the_exact_ones_and_confints_are_near(cohort, apart):
    numbers_of = json.loads((ORACLE / "numbers.json").read_text())["profile"][cohort]
    terms, y = {"asah": haemorrhage, "birthwt": births, "df_binary": cancers}[cohort]()
    found = ends(profile_odds_ratios(terms, y))
    np.testing.assert_allclose(found, numbers_of["exact"][1:], rtol=1e-8)
    printed = np.array(numbers_of["printed"])[1:]
    off = np.abs(printed / np.array(numbers_of["exact"])[1:] - 1.0).max()
    assert 1e-6 < off < apart
    np.testing.assert_allclose(found, printed, rtol=apart)


def test_profile_intervals_of_asah_are_those_of_confint():
    terms, y = haemorrhage()
    wanted = np.array(numbers("oracle1.json")["aSAH_glm"]["profile"])[1:]
    np.testing.assert_allclose(ends(profile_odds_ratios(terms, y)), wanted, rtol=3.2e-4)


def test_profile_intervals_of_birthwt_are_those_of_confint():
    terms, y = births()
    wanted = np.array(numbers("oracle1.json")["birthwt_glm"]["profile"])[1:]
    np.testing.assert_allclose(ends(profile_odds_ratios(terms, y)), wanted, rtol=1.1e-4)


def test_profile_intervals_of_df_binary_are_those_of_confint():
    found = profile_odds_ratios(*cancers())
    wanted = np.array(numbers("oracle2.json")["dfb_glm"]["profile"])[1:]
    np.testing.assert_allclose(ends(found), wanted, rtol=6e-5)


def test_profile_intervals_of_the_synthetic_cohort_are_those_of_confint():
    table = training()
    found = profile_odds_ratios(table[TERMS], table["y"].to_numpy())
    np.testing.assert_allclose(ends(found), EXPECTED["multi"]["profile"][1:], rtol=6e-5)
    np.testing.assert_allclose(found["p"], EXPECTED["multi"]["lrt_p"], rtol=1e-10)
    assert set(found["ci_method"]) == {"profile likelihood"}


@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize("term", TERMS)
def test_the_deviance_at_the_ends_is_what_the_interval_allows(term, end):
    table, y = training(), training()["y"].to_numpy()
    at = np.log(profile_odds_ratios(table[TERMS], y).set_index("term").loc[term, end])
    rest = sm.add_constant(table[TERMS].drop(columns=term))
    held = sm.GLM(y, rest, family=sm.families.Binomial(), offset=at * table[term]).fit(tol=1e-13)
    fall = 2.0 * (fit_logistic(table[TERMS], y).log_likelihood - held.llf)
    assert fall == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=4, max_size=4))
def test_a_two_by_two_table_has_the_profile_of_its_closed_form(cells):
    a, b, c, d = cells
    exposed, y = np.repeat([1.0, 1.0, 0.0, 0.0], cells), np.repeat([1, 0, 1, 0], cells)
    row = profile_odds_ratios(pd.DataFrame({"exposed": exposed}), y).iloc[0]
    g = 2 * sum(n * np.log(n * (a + b + c + d) / (r * k)) for n, r, k in
                [(a, a + b, a + c), (b, a + b, b + d), (c, c + d, a + c), (d, c + d, b + d)])  # fmt: skip
    assert row["p"] == pytest.approx(stats.chi2.sf(max(g, 0.0), 1), rel=1e-6, abs=1e-7)
    assert row["lower"] < a * d / (b * c) < row["upper"]


def test_likelihood_ratio_tests_are_those_of_drop1():
    terms, y = haemorrhage()
    found = likelihood_ratio_tests(terms, y, {name: [name] for name in terms})
    wanted = numbers("oracle1.json")["aSAH_glm"]["lrt_p"]
    np.testing.assert_allclose(found["p"], [wanted[k] for k in ("age", "gender", "s100b", "wn")], rtol=1e-6)


def test_a_category_is_tested_with_all_its_terms():
    terms, y = births()
    found = likelihood_ratio_tests(terms, y, {"race": ["black", "other"], "ftv": ["ftv1", "ftv2"]})
    assert found["df"].tolist() == [2, 2]
    # stepAIC's first step leaves out ftv: its AIC is 217.4755185 - 4 + the statistic.
    assert found.loc[1, "aic"] == pytest.approx(217.475518277802 - 4 + found.loc[1, "statistic"], rel=1e-9)


def test_interaction_has_the_p_of_anova():
    terms, y = births()
    terms = terms[["lwt", "smoke"]].assign(product=terms["lwt"] * terms["smoke"])
    found = likelihood_ratio_tests(terms, y, {"interaction": ["product"]})["p"][0]
    assert found == pytest.approx(numbers("oracle3.json")["interaction"]["p"], rel=1e-6)


def test_variance_inflation_is_that_of_rms_and_car():
    terms, y = births()
    fit = fit_logistic(terms[["age", "lwt", "black", "other", "smoke", "ht"]], y)
    single = variance_inflation(fit, {name: [name] for name in fit.terms})["gvif"]
    # Printed by rms::vif to six decimals.
    assert single.tolist() == pytest.approx(
        [1.038280, 1.267363, 1.280178, 1.539852, 1.318984, 1.139194], abs=6e-7
    )
    variables = {name: [name] for name in ("age", "lwt", "smoke", "ht")} | {"race": ["black", "other"]}
    found = variance_inflation(fit, variables).set_index("variable")
    # car's are of glm, whose default convergence leaves the weights short in the sixth digit.
    wanted = dict(zip(["age", "lwt", "race", "smoke", "ht"], numbers("oracle3.json")["vif"], strict=True))
    for name, (gvif, df, per_df) in wanted.items():
        row = found.loc[name, ["gvif", "df", "per_df"]].tolist()
        assert row == pytest.approx([gvif, df, per_df], rel=1e-5)


def test_variance_inflation_of_the_synthetic_cohort_is_that_of_rms():
    table = training()
    found = variance_inflation(fit_logistic(table[TERMS], table["y"].to_numpy()), {k: [k] for k in TERMS})
    np.testing.assert_allclose(found["gvif"], [EXPECTED["vif"][name] for name in TERMS], rtol=1e-6)


def test_variance_inflation_of_one_variable_is_one():
    table = training()
    fit = fit_logistic(table[["age", "er"]], table["y"].to_numpy())
    assert variance_inflation(fit, {"both": ["age", "er"]})["gvif"][0] == pytest.approx(1.0)


# ---- Firth ----


def test_firth_of_sex2_is_that_of_logistf():
    table, wanted = pd.read_csv(shared("logistf_sex2.csv")), numbers("oracle2.json")["firth_sex2"]
    fit = fit_firth(table.drop(columns="case"), table["case"].to_numpy())
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], wanted["coef"], rtol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, wanted["se"][1:], rtol=1e-6)
    np.testing.assert_allclose(fit.lower, wanted["lo"][1:], rtol=1e-6)
    np.testing.assert_allclose(fit.upper, wanted["hi"][1:], rtol=1e-6)
    np.testing.assert_allclose(fit.p_values, wanted["p"][1:], rtol=1e-6)


def test_firth_of_separated_patients_is_that_of_logistf():
    terms, y = separated()
    fit, wanted = fit_or_firth(terms, y), EXPECTED["firth"]
    assert isinstance(fit, FirthFit) and "separated by z, size" in fit.reason
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], wanted["coef"], rtol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, wanted["se"][1:], rtol=1e-6)
    np.testing.assert_allclose(np.c_[fit.lower, fit.upper], np.c_[wanted["lo"], wanted["hi"]][1:], rtol=1e-6)
    np.testing.assert_allclose(fit.p_values, wanted["p"][1:], rtol=1e-6)


def test_the_penalised_ratio_of_one_term_is_that_of_logistf():
    terms, y = separated()
    for name, p in zip(terms, EXPECTED["firth"]["p"][1:], strict=True):
        assert stats.chi2.sf(firth_ratio_statistic(terms, y, [name]), 1) == pytest.approx(p, rel=1e-9)


def test_the_penalised_ratio_of_several_terms_has_their_degrees_of_freedom():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(150):
        terms = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc"))
        statistic = firth_ratio_statistic(terms, rng.permutation(np.arange(80) % 2), ["a", "b"])
        p.append(stats.chi2.sf(statistic, 2))
    # Uniform under the null; 2 degrees read as 1 or 3 would be far off.
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_without_separation_it_is_ordinary_logistic_regression():
    table = training()
    assert isinstance(fit_or_firth(table[TERMS], table["y"].to_numpy()), LogisticFit)


def test_a_large_cohort_has_nearly_the_maximum_likelihood_estimates():
    rng = np.random.default_rng(4)
    terms = pd.DataFrame(rng.normal(size=(4000, 2)), columns=["a", "b"])
    y = (terms["a"] + rng.logistic(size=4000) > 0).astype(int)
    np.testing.assert_allclose(
        fit_firth(terms, y).coefficients, fit_logistic(terms, y).coefficients, atol=0.004
    )


def test_the_unit_of_a_term_changes_nothing_but_the_unit():
    terms, y = separated()
    one, other = fit_firth(terms, y), fit_firth(terms.assign(size=terms["size"] / 10 + 3), y)
    np.testing.assert_allclose(other.coefficients, one.coefficients * [1.0, 10.0], rtol=1e-6)
    np.testing.assert_allclose(other.p_values, one.p_values, rtol=1e-8)


def test_separation_is_an_error_of_its_own():
    terms, y = separated()
    with pytest.raises(Separated):
        fit_logistic(terms, y)
    with pytest.raises(NotEstimable, match="collinear"):
        fit_or_firth(terms.assign(twice=2 * terms["size"]), y)
