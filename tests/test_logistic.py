"""Logistic regression against R's glm, and its refusal of what has no finite estimate."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.modelling.logistic import NotEstimable, fit_logistic

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
TERMS = ["age", "size", "er", "ki67", "rad"]


def training():
    table = pd.read_csv(ORACLE / "cohort.csv")
    table["rad"] = pd.read_csv(ORACLE / "rad.csv")["rad"]
    return table[table["cohort"] == "train"]


def columns(fit):
    return fit.odds_ratios()[["odds_ratio", "lower", "upper", "p"]].to_numpy()


@pytest.mark.parametrize(("key", "terms"), [("multi", TERMS), ("clin", TERMS[:4])])
def test_multivariable_model_is_that_of_glm(key, terms):
    table, wanted = training(), EXPECTED[key]
    fit = fit_logistic(table[terms], table["y"].to_numpy())
    np.testing.assert_allclose(fit.coefficients, wanted["coef"][1:], rtol=1e-7)
    np.testing.assert_allclose(fit.intercept, wanted["coef"][0], rtol=1e-7)
    np.testing.assert_allclose(fit.standard_errors, wanted["se"][1:], rtol=1e-7)
    np.testing.assert_allclose(fit.p_values, wanted["p"][1:], rtol=1e-6)
    assert -2.0 * fit.log_likelihood == pytest.approx(wanted["deviance"], rel=1e-10)


def test_odds_ratios_have_the_wald_intervals_of_glm():
    table, wanted = training(), EXPECTED["multi"]
    found = fit_logistic(table[TERMS], table["y"].to_numpy()).odds_ratios()
    np.testing.assert_allclose(found["odds_ratio"], wanted["or"][1:], rtol=1e-7)
    np.testing.assert_allclose(found[["lower", "upper"]], wanted["wald"][1:], rtol=1e-6)
    assert set(found["ci_method"]) == {"wald"}
    assert (found["n"].iloc[0], found["events"].iloc[0]) == (240, 82)


@pytest.mark.parametrize("term", TERMS)
def test_univariable_model_is_that_of_glm(term):
    table, wanted = training(), EXPECTED["uni"][term]
    found = fit_logistic(table[[term]], table["y"].to_numpy())
    np.testing.assert_allclose(columns(found)[0], [wanted["or"], *wanted["wald"], wanted["p"]], rtol=1e-6)


def test_asah_has_the_deviance_and_the_wide_interval_of_r():
    # age + gender + s100b + wfns.
    path = SHARED / "aSAH.csv"
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    table = pd.read_csv(path)
    terms = table[["age", "s100b", "wfns"]].assign(female=(table["gender"] == "Female"))
    y = (table["outcome"] == "Poor").to_numpy()
    fit = fit_logistic(terms.astype(float), y)
    assert -2.0 * fit.log_likelihood == pytest.approx(104.9773178, rel=1e-8)
    found = fit.odds_ratios().set_index("term").loc["s100b"]
    # R's default convergence leaves its standard error a little short.
    wanted = [4.52163641, 0.26351589, 77.58619659, 0.29815648]
    assert found["odds_ratio"] == pytest.approx(wanted[0], rel=1e-6)
    assert found[["lower", "upper", "p"]].tolist() == pytest.approx(wanted[1:], rel=5e-4)


def test_df_binary_has_the_coefficients_of_glm():
    path = SHARED / "df_binary.csv"
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    table = pd.read_csv(path)
    fit = fit_logistic(table[["age", "famhistory", "marker"]], table["cancer"].to_numpy())
    found = [fit.intercept, *fit.coefficients, -2 * fit.log_likelihood]
    wanted = [-22.0702948, 0.281993331, 0.865180629, 0.978330772, 427.78725]
    assert found == pytest.approx(wanted, rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1000, 1000), st.floats(0.001, 1000))
def test_another_unit_changes_the_coefficient_and_nothing_else(shift, scale):
    table = training()
    y = table["y"].to_numpy()
    plain = fit_logistic(table[["age"]], y)
    moved = fit_logistic(table[["age"]] * scale + shift, y)
    assert moved.coefficients[0] * scale == pytest.approx(plain.coefficients[0], rel=1e-6)
    assert moved.p_values[0] == pytest.approx(plain.p_values[0], rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_a_two_by_two_table_has_its_closed_form(a, b, c, d):
    exposed = np.repeat([1.0, 1.0, 0.0, 0.0], [a, b, c, d])
    y = np.repeat([1, 0, 1, 0], [a, b, c, d])
    fit = fit_logistic(pd.DataFrame({"exposed": exposed}), y)
    assert fit.coefficients[0] == pytest.approx(np.log(a * d / (b * c)), abs=1e-7)
    assert fit.standard_errors[0] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=1e-6)


def test_complete_separation_is_refused():
    with pytest.raises(NotEstimable, match="separated"):
        fit_logistic(pd.DataFrame({"x": np.arange(20.0)}), np.arange(20) >= 10)


def test_quasi_separation_by_a_number_is_refused():
    x = np.r_[np.arange(10.0), 9.0, np.arange(10.0, 19.0)]
    with pytest.raises(NotEstimable, match="separated"):
        fit_logistic(pd.DataFrame({"x": x}), np.repeat([0, 1], 10))


@pytest.mark.parametrize("n", [20, 60, 500])
def test_quasi_separation_by_an_empty_cell_is_refused(n):
    y = np.arange(n) % 2
    x = ((y == 1) & (np.arange(n) % 4 == 1)).astype(float)
    with pytest.raises(NotEstimable, match="separated"):
        fit_logistic(pd.DataFrame({"x": x}), y)


def test_separation_by_two_terms_together_is_refused():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 2))
    with pytest.raises(NotEstimable, match="separated"):
        fit_logistic(pd.DataFrame(x, columns=["a", "b"]), x @ [1.0, -1.0] > 0.1)


def test_collinear_terms_are_refused():
    x = np.random.default_rng(0).normal(size=40)
    terms = pd.DataFrame({"a": x, "b": 3.0 - 2.0 * x})
    with pytest.raises(NotEstimable, match="collinear"):
        fit_logistic(terms, np.arange(40) % 2)


def test_indicators_of_every_level_are_refused():
    level = np.arange(60) % 3
    terms = pd.DataFrame({str(k): (level == k).astype(float) for k in range(3)})
    with pytest.raises(NotEstimable, match="collinear"):
        fit_logistic(terms, np.random.default_rng(0).integers(0, 2, 60))


def test_a_constant_term_is_refused():
    terms = pd.DataFrame({"same": np.ones(20), "x": np.random.default_rng(0).normal(size=20)})
    with pytest.raises(NotEstimable, match="same does not vary"):
        fit_logistic(terms, np.arange(20) % 2)


@pytest.mark.parametrize("y", [np.zeros(9), np.ones(9)])
def test_one_outcome_alone_is_refused(y):
    with pytest.raises(NotEstimable, match="same outcome"):
        fit_logistic(pd.DataFrame({"x": np.arange(9.0)}), y)


def test_strong_effects_that_are_estimable_are_not_refused():
    rng = np.random.default_rng(4)
    x = rng.normal(size=400)
    y = (rng.random(400) < 1 / (1 + np.exp(-4.0 * x))).astype(int)
    assert fit_logistic(pd.DataFrame({"x": x}), y).coefficients[0] == pytest.approx(4.0, abs=1.0)
