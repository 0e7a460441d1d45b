"""Net benefit and interventions avoided against R's dcurves, and their closed forms."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.errors import StudyError
from annulus.evaluation.decision import (
    decision_curve,
    declared_thresholds,
    net_benefit,
    thresholds_between,
)
from annulus.modelling.logistic import fit_logistic

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
GRID = np.array([0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35])
DF_BINARY = {
    "treat_all": [
        0.094736842, 0.044444444, -0.011764706, -0.075, -0.146666667, -0.228571429, -0.323076923,
    ],
    "cancerpredmarker": [
        0.105543860, 0.087407407, 0.079215686, 0.067333333, 0.064, 0.054666667, 0.050153846,
    ],
    "famhistory": [
        0.025614035, 0.018518519, 0.010588235, 0.001666667, -0.008444444, -0.02, -0.033333333,
    ],
}  # fmt: skip


def cancers():
    path = SHARED / "df_binary.csv"
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    return pd.read_csv(path)


def curve_of(table, columns, thresholds, bootstraps=100, seed=1):
    models = {name: table[name].to_numpy(dtype=float) for name in columns}
    outcome = table["cancer" if "cancer" in table else "y"].to_numpy(dtype=float)
    found = decision_curve(outcome, models, thresholds, bootstraps, seed)
    return {model: part.set_index("threshold") for model, part in found.groupby("model")}


def external():
    table = pd.read_csv(ORACLE / "pred.csv")
    return table[table["cohort"] == "external"]


@pytest.mark.parametrize("model", DF_BINARY)
def test_df_binary_has_the_net_benefit_of_dcurves(model):
    found = curve_of(cancers(), ["cancerpredmarker", "famhistory"], GRID)[model]
    np.testing.assert_allclose(found["net_benefit"], DF_BINARY[model], atol=6e-10)


@pytest.mark.parametrize(("name", "model"), [("pc", "pc"), ("pf", "pf"), ("all", "treat_all")])
def test_external_cohort_has_the_net_benefit_of_dcurves(name, model):
    wanted = pd.DataFrame(EXPECTED["dca"]).query("variable == @name")
    found = curve_of(external(), ["pc", "pf"], wanted["threshold"].to_numpy())[model]
    np.testing.assert_allclose(found["net_benefit"], wanted["net_benefit"], atol=1e-12)


def test_df_binary_avoids_the_interventions_of_dcurves():
    thresholds = np.array([0.05, 0.10, 0.20])
    found = curve_of(cancers(), ["cancerpredmarker"], thresholds)
    avoided = {model: part["interventions_avoided"] for model, part in found.items()}
    np.testing.assert_allclose(
        avoided["cancerpredmarker"], [0.205333333, 0.386666667, 0.569333333], atol=1e-8
    )
    np.testing.assert_allclose(avoided["treat_none"], [-1.8, -0.4, 0.3], atol=1e-12)
    np.testing.assert_allclose(avoided["treat_all"], 0.0, atol=1e-12)


def test_treating_none_is_worth_nothing():
    found = curve_of(external(), ["pf"], GRID)["treat_none"]
    assert (found[["net_benefit", "lower", "upper"]] == 0.0).all().all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_treating_all_has_its_closed_form(events, threshold):
    y = np.array(events, dtype=float)
    found = net_benefit(y, np.ones_like(y), np.array([threshold]))
    wanted = y.mean() - (1.0 - y.mean()) * threshold / (1.0 - threshold)
    assert found[0] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
)
def test_nothing_beats_knowing_the_outcome(rows, threshold):
    y, p = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = net_benefit(y, p, np.array([threshold]))
    assert found[0] <= y.mean() + 1e-12
    assert net_benefit(y, y, np.array([threshold]))[0] == pytest.approx(y.mean())


def test_a_probability_at_the_threshold_is_treated():
    found = net_benefit(np.array([1.0, 0.0]), np.array([0.2, 0.1]), np.array([0.2]))
    assert found[0] == 0.5


def test_a_threshold_below_every_probability_is_treating_all():
    table = external()
    found = curve_of(table, ["pf"], np.array([table["pf"].min() / 2.0]))
    assert found["pf"]["net_benefit"].iloc[0] == found["treat_all"]["net_benefit"].iloc[0]


def test_bands_are_the_same_for_the_same_seed_and_not_for_another():
    bands = [curve_of(external(), ["pf"], GRID, 200, seed)["pf"]["lower"] for seed in (7, 7, 8)]
    assert bands[0].equals(bands[1])
    assert not bands[0].equals(bands[2])


def test_bands_do_not_depend_on_the_other_models():
    alone = curve_of(external(), ["pf"], GRID)["pf"]
    together = curve_of(external(), ["pc", "pf"], GRID)["pf"]
    pd.testing.assert_frame_equal(alone, together)


def test_treat_all_band_is_that_of_the_resampled_prevalence():
    # Net benefit of treating all is linear in the prevalence, whose bootstrap law is binomial.
    y = np.r_[np.ones(37), np.zeros(63)]
    found = decision_curve(y, {}, np.array([0.3]), 4000, 3).set_index("model").loc["treat_all"]
    prevalences = np.random.default_rng(9).binomial(100, 0.37, 200_000) / 100
    wanted = np.quantile(prevalences - (1 - prevalences) * 3 / 7, [0.025, 0.975])
    np.testing.assert_allclose([found["lower"], found["upper"]], wanted, atol=0.02)


def test_band_of_a_model_is_as_wide_as_its_standard_error_says():
    table = external()
    y, p = table["y"].to_numpy(), table["pf"].to_numpy()
    gain = (p >= 0.3) * np.where(y == 1, 1.0, -0.3 / 0.7)
    found = curve_of(table, ["pf"], np.array([0.3]), 4000)["pf"].iloc[0]
    width = 2 * 1.96 * gain.std() / np.sqrt(len(y))
    assert found["upper"] - found["lower"] == pytest.approx(width, rel=0.06)


@pytest.mark.parametrize(("low", "high", "count"), [(0.1, 0.7, 61), (0.02, 0.5, 49), (0.05, 0.35, 31)])
def test_thresholds_include_both_ends(low, high, count):
    found = thresholds_between(low, high)
    assert (found[0], found[-1], len(found)) == (low, high, count)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_thresholds_never_leave_the_range_that_was_asked_for(low, width):
    # Thousandths: a range whose length is no multiple of the step must still end where it says.
    low, high = low / 1000, (low + width) / 1000
    found = thresholds_between(low, high)
    assert found[0] == pytest.approx(low)
    assert found[-1] == pytest.approx(high)


def test_another_prevalence_gives_the_net_benefit_of_dcurves():
    table, thresholds = cancers(), np.array([0.05, 0.10, 0.20])
    risk = {"cancerpredmarker": table["cancerpredmarker"].to_numpy()}
    found = decision_curve(table["cancer"].to_numpy(), risk, thresholds, 100, 1, prevalence=0.10)
    found = {model: part["net_benefit"].to_numpy() for model, part in found.groupby("model")}
    wanted = [0.06792795943347, 0.05293466223699, 0.03724252491694]
    np.testing.assert_allclose(found["cancerpredmarker"], wanted, rtol=1e-10)
    np.testing.assert_allclose(found["treat_all"], [0.05263157895, 0.0, -0.125], atol=1e-10)


def test_the_cohorts_own_prevalence_changes_no_net_benefit():
    table = external()
    y, p = table["y"].to_numpy(), table["pf"].to_numpy()
    np.testing.assert_allclose(net_benefit(y, p, GRID, y.mean()), net_benefit(y, p, GRID), atol=1e-12)


def test_a_given_prevalence_is_not_sampled():
    # Sensitivity and specificity of treating all are 1 and 0 in every resample.
    found = decision_curve(np.arange(40) % 4 == 0, {}, GRID, 200, 0, prevalence=0.3)
    of_all = found[found["model"] == "treat_all"]
    np.testing.assert_allclose(of_all["lower"], of_all["upper"], atol=1e-12)


def test_net_benefit_of_the_example_of_rmda_is_met():
    path = SHARED / "rmda_dcaData.csv"
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    table = pd.read_csv(path)
    terms = table[["Age", "Female", "Smokes", "Marker1", "Marker2"]].astype(float)
    y = table["Cancer"].to_numpy()
    fit = fit_logistic(terms, y)
    p = 1.0 / (1.0 + np.exp(-fit.intercept - terms.to_numpy() @ fit.coefficients))
    found = net_benefit(y, p, np.array([0.05, 0.10, 0.15, 0.20, 0.30]))
    wanted = [0.08757894736842, 0.07666666666667, 0.07247058823529, 0.0625, 0.03628571428571]
    np.testing.assert_allclose(found, wanted, rtol=1e-11)
    standardized = [0.7298245614035, 0.6388888888889, 0.6039215686275, 0.5208333333333, 0.302380952381]
    np.testing.assert_allclose(found / y.mean(), standardized, rtol=1e-11)


def test_thresholds_beyond_the_largest_risk_are_flagged():
    y, p = np.array([0, 1, 0, 1.0]), np.array([0.1, 0.3, 0.2, 0.25])
    found = decision_curve(y, {"model": p}, np.array([0.25, 0.3, 0.31, 0.5]), 20, 0)
    flags = {model: part["beyond_largest_risk"].tolist() for model, part in found.groupby("model")}
    assert flags == {"model": [0, 0, 1, 1], "treat_all": [0] * 4, "treat_none": [0] * 4}
    beyond = found[(found["model"] == "model") & (found["beyond_largest_risk"] == 1)]
    assert (beyond["net_benefit"] == 0.0).all()


def test_scores_are_no_risks():
    with pytest.raises(ValueError, match=r"rad_score.*not all between 0 and 1"):
        decision_curve(np.array([0, 1]), {"rad_score": np.array([-1.2, 0.7])}, GRID, 10, 0)


def test_a_missing_risk_is_not_a_patient_left_untreated():
    with pytest.raises(ValueError, match=r"combined.*not all between 0 and 1"):
        decision_curve(np.array([0, 1]), {"combined": np.array([0.2, np.nan])}, GRID, 10, 0)


@pytest.mark.parametrize(
    ("decision", "low", "high", "said"),
    [
        ("", 0.1, 0.5, "no decision is named"),
        ("biopsy", None, 0.5, "no threshold range is declared"),
        ("biopsy", 0.1, None, "no threshold range is declared"),
        ("biopsy", 0.0, 0.5, "not in order"),
        ("biopsy", 0.1, 1.0, "not in order"),
        ("biopsy", 0.5, 0.1, "not in order"),
    ],
)
def test_a_curve_needs_a_decision_and_its_thresholds(decision, low, high, said):
    with pytest.raises(StudyError, match=said):
        declared_thresholds(decision, low, high)


def test_declared_thresholds_are_those_between_the_ends():
    np.testing.assert_array_equal(declared_thresholds("biopsy", 0.1, 0.7), thresholds_between(0.1, 0.7))


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 30.0])
def test_a_prevalence_is_a_share(prevalence):
    with pytest.raises(ValueError, match="prevalence"):
        decision_curve(np.array([0, 1]), {}, GRID, 10, 0, prevalence=prevalence)


def test_every_resample_at_a_given_prevalence_has_both_outcomes():
    # A third of plain resamples of these twelve patients would lack the one event, and have no sensitivity.
    y, p = np.r_[1.0, np.zeros(11)], np.linspace(0.6, 0.1, 12)
    found = decision_curve(y, {"model": p}, np.array([0.2, 0.4]), 100, 0, prevalence=0.3)
    assert np.isfinite(found[["lower", "upper"]].to_numpy()).all()
