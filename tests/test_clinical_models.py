"""Clinical models: backward elimination against R's step, the full model, Firth, and no model at all."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from annulus.cohort.dictionary import Column
from annulus.modelling.clinical import eliminate, fit_backward, fit_prespecified
from annulus.modelling.firth import firth_ratio_statistic
from annulus.modelling.frozen import FrozenModel
from annulus.modelling.likelihood import likelihood_ratio_tests
from annulus.modelling.logistic import fit_logistic
from annulus.modelling.odds_ratios import multivariable_rows, univariable_rows

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "oracle"
NUMBERS = ("age", "lwt", "smoke", "ptd", "ht", "ui")
LEVELS = {"race": ("white", "black", "other"), "ftv": ("0", "1", "2")}
CANDIDATES = {name: Column(name=name, type="number", description="") for name in NUMBERS} | {
    name: Column(name=name, type="category", description="", levels=levels) for name, levels in LEVELS.items()
}
ALL = ("age", "lwt", "race", "smoke", "ptd", "ht", "ui", "ftv")


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return path


def births():
    table = pd.read_csv(shared("birthwt.csv"))
    table["race"] = table["race"].map({1: "white", 2: "black", 3: "other"})
    table["ftv"] = table["ftv"].clip(upper=2).astype(str)
    table["ptd"] = (table["ptl"] > 0).astype(float)
    return table, table["low"].to_numpy(dtype=float)


def encoded(table):
    parts = {name: table[[name]].astype(float) for name in NUMBERS}
    for name, levels in LEVELS.items():
        parts[name] = pd.DataFrame({f"{name}[{k}]": (table[name] == k) * 1.0 for k in levels[1:]})
    return {name: parts[name] for name in ALL}


def cohort(n=150, seed=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float)
    return pd.DataFrame(
        {"age": rng.normal(size=n) + y, "lwt": rng.normal(size=n) + 0.8 * y, "smoke": rng.normal(size=n)}
    ), y


def candidates(*names):
    return {name: CANDIDATES[name] for name in names}


def test_elimination_by_akaike_is_that_of_stepaic():
    table, y = births()
    removed = eliminate(encoded(table), y, None)
    expected = json.loads(shared("oracle1.json").read_text())["birthwt_step"]
    assert [name for name in ALL if name not in removed] == expected["terms"]


def test_the_model_after_elimination_is_that_of_stepaic():
    table, y = births()
    found = fit_backward(table, y, {name: CANDIDATES[name] for name in ALL}, 1.1, None)
    wanted = json.loads(shared("oracle1.json").read_text())["birthwt_step"]["coef"]
    names = {"race[black]": "raceblack", "race[other]": "raceother"}
    theirs = [wanted[names.get(t, t if t == "lwt" else f"{t}TRUE")] for t in found.linear.terms]
    np.testing.assert_allclose(found.linear.coefficients, theirs, rtol=1e-5)
    assert found.linear.intercept == pytest.approx(wanted["(Intercept)"], rel=1e-5)
    terms = pd.concat([encoded(table)[name] for name in found.kept], axis=1)
    assert 2 * 8 - 2 * fit_logistic(terms, y).log_likelihood == pytest.approx(213.851569831741, rel=1e-9)


def test_the_prespecified_model_is_that_of_glm():
    table, y = births()
    found = fit_prespecified(table, y, {name: CANDIDATES[name] for name in ALL})
    wanted = list(json.loads(shared("oracle1.json").read_text())["birthwt_glm"]["coef"].values())
    np.testing.assert_allclose([found.linear.intercept, *found.linear.coefficients], wanted, rtol=2e-6)
    assert found.kept == ALL and (found.selection["step_removed"] == "").all()


def test_elimination_by_p_removes_the_weakest_first_until_all_are_below():
    table, y = births()
    parts = encoded(table)
    removed = eliminate(parts, y, 0.05)
    tests = likelihood_ratio_tests(
        pd.concat(parts.values(), axis=1), y, {name: list(part) for name, part in parts.items()}
    ).set_index("variable")["p"]
    assert next(iter(removed)) == tests.idxmax()
    assert removed[tests.idxmax()] == pytest.approx(tests.max())
    left = {name: part for name, part in parts.items() if name not in removed}
    after = likelihood_ratio_tests(
        pd.concat(left.values(), axis=1), y, {name: list(part) for name, part in left.items()}
    )
    assert (after["p"] < 0.05).all() and all(p >= 0.05 for p in removed.values())


def test_each_variable_is_told_where_it_went():
    table, y = cohort()
    table["lwt"] = table["age"] + 0.3 * np.random.default_rng(1).normal(size=len(y))
    found = fit_backward(table, y, candidates("age", "lwt", "smoke"), 0.05, 0.05)
    fate = found.selection.set_index("column")["step_removed"]
    assert fate["smoke"] == "univariable"
    assert sorted(fate[["age", "lwt"]]) == ["", "backward"]
    assert found.kept == (fate[["age", "lwt"]].idxmin(),)


def test_no_survivor_of_univariable_analysis_means_no_model_and_a_reason():
    table, y = cohort()
    found = fit_backward(table, y, candidates("smoke"), 1e-6, 0.05)
    assert found.linear is None and found.kept == ()
    assert found.reason == "no clinical variable survived univariable analysis"
    assert found.selection["step_removed"].tolist() == ["univariable"]


def test_no_survivor_of_elimination_means_no_model_and_a_reason():
    table, y = cohort()
    found = fit_backward(table, y, candidates("smoke"), 1.1, 1e-6)
    assert found.linear is None
    assert found.reason == "no clinical variable survived backward elimination"


def test_separation_leads_to_firth_and_says_so():
    table, y = cohort()
    rng = np.random.default_rng(0)
    table["ht"] = (y == 1) * (rng.random(len(y)) < 0.3) * 1.0  # an empty cell
    found = fit_backward(table, y, candidates("age", "ht", "smoke"), 0.05, 0.05)
    assert set(found.kept) == {"age", "ht"}
    single = univariable_rows(table, y, CANDIDATES["ht"]).iloc[0]
    assert "Firth: the outcome is " in single["note"] and "Firth" in single["ci_method"]
    assert single["p"] == pytest.approx(
        stats.chi2.sf(firth_ratio_statistic(table[["ht"]], y, ["ht"]), 1), rel=1e-6
    )
    p = found.selection.set_index("column").loc["ht", "statistic"]
    assert p == pytest.approx(single["p"], rel=1e-4)
    both = multivariable_rows(table[["age", "ht"]], y, "selected")
    assert np.isfinite(both[["odds_ratio", "lower", "upper"]].to_numpy()).all()
    assert both["note"].str.fullmatch("selected; Firth: .*").all()
    assert fit_prespecified(table, y, candidates("age", "ht")).linear is not None


def test_odds_ratios_have_both_intervals_and_inflation():
    table, y = births()
    terms = pd.concat([encoded(table)[name] for name in ("age", "lwt", "race", "smoke", "ht")], axis=1)
    rows = multivariable_rows(terms, y).set_index(["ci_method", "term"])
    assert rows.index.is_unique and set(rows.index.levels[0]) == {"wald", "profile likelihood"}
    # car::vif of the same model (statistics.md 1.1); two terms of race share one.
    wald = rows.loc["wald", "gvif"]
    np.testing.assert_allclose(
        wald[["age", "lwt", "smoke", "ht"]], [1.038280, 1.267363, 1.318984, 1.139194], rtol=2e-5
    )
    np.testing.assert_allclose(wald[["race[black]", "race[other]"]], [1.476294] * 2, rtol=2e-5)
    assert (rows.loc["wald", "odds_ratio"] == rows.loc["profile likelihood", "odds_ratio"]).all()
    assert (rows.loc["wald", "lower"] != rows.loc["profile likelihood", "lower"]).all()


def test_univariable_rows_count_only_patients_with_the_value():
    table, y = cohort()
    table.loc[:9, "age"] = np.nan
    rows = univariable_rows(table, y, CANDIDATES["age"])
    assert (rows["n"] == 140).all() and (rows["events"] == y[10:].sum()).all()
    assert rows["gvif"].isna().all()


def test_imputed_patients_of_the_multivariable_model_are_named():
    table, y = cohort()
    table.loc[:9, "age"] = np.nan
    rows = multivariable_rows(table[["age", "lwt"]], y)
    assert (rows["n"] == 150).all() and (rows["note"] == "10 patients imputed").all()


def test_a_level_that_no_training_patient_has_does_not_cost_the_whole_model():
    table, y = cohort()
    table["race"] = np.where(np.random.default_rng(2).random(len(y)) < 0.25 + 0.5 * y, "other", "white")
    found = fit_backward(table, y, candidates("age", "race"), 0.05, 0.05)
    assert found.linear is not None and "race[other]" in found.linear.terms, found.reason


def test_what_cannot_be_estimated_is_not_called_insignificant():
    table, y = cohort()
    found = fit_backward(table.assign(ui=1.0), y, candidates("age", "ui"), 0.05, 0.05)
    assert found.selection.set_index("column")["step_removed"].to_dict() == {"age": "", "ui": "not estimable"}
    nothing = fit_backward(table.assign(ui=1.0), y, candidates("ui"), 0.05, 0.05)
    assert "ui not estimable" in nothing.reason


def test_a_category_whose_reference_nobody_has_takes_another():
    table, y = cohort(300)
    table["race"] = np.where(np.random.default_rng(2).random(len(y)) < 0.3 + 0.4 * y, "other", "black")
    found = fit_prespecified(table, y, candidates("age", "race"))
    terms = pd.DataFrame({"age": table["age"], "other": (table["race"] == "other") * 1.0})
    wanted = fit_logistic(terms, y)
    assert found.linear.terms == ("age", "race[other]", "race[black]")
    np.testing.assert_allclose(found.linear.coefficients, [*wanted.coefficients, 0.0], rtol=1e-6)
    assert fit_backward(table, y, candidates("race"), 0.05, 0.05).kept == ("race",)
    # Who has the level that stands in for the reference is no stranger.
    frozen = FrozenModel("m", "clinical", found.linear, clinical=("age", "race"))
    scores = frozen.score(table, CANDIDATES)
    np.testing.assert_allclose(scores, wanted.intercept + terms.to_numpy() @ wanted.coefficients, rtol=1e-6)
