"""Bootstrap optimism against rms, and its independence of seeds' neighbours and jobs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from annulus.modelling.clinical import fit_terms
from annulus.modelling.optimism import optimism_rounds, optimism_table, performance, resamples
from annulus.modelling.pipeline import build_pipeline, build_preparation
from annulus.modelling.scorers import probability

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
TERMS = ["age", "size", "er", "ki67", "rad"]


def logistic(table, outcome, number):
    """Refit a logistic regression on all columns."""
    _, linear, _ = fit_terms(table, outcome)
    return lambda others: {"model": probability(linear.of(others))}


def of_clone(estimator):
    """Return what refits a clone of an estimator."""

    def refit(table, outcome, number):
        fitted = clone(estimator).fit(table, outcome)
        return lambda others: {"model": fitted.predict_proba(others)[:, 1]}

    return refit


def corrected(refit, X, y, rows):
    """Performance corrected for optimism, by measure."""
    apparent = {"model": performance(y, refit(X, y, -1)(X)["model"])}
    rounds = optimism_rounds(refit, X, y, dict(enumerate(rows)))
    return optimism_table(apparent, rounds).set_index("measure")


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"oracle data are absent: {path}")
    return path


def noise(seed=0, n=80, p=40):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, p))).add_prefix("f"), rng.permutation(np.arange(n) % 2)


def signature():
    steps = ["scale", {"univariable": {"p": 0.2, "test": "welch"}}]
    model = {"lasso": {"folds": 3, "count": 6, "smallest_ratio": 0.3}}
    return build_pipeline({"steps": steps, "model": model}, 0)


def test_with_rs_resamples_the_numbers_are_those_of_rms():
    table = pd.read_csv(shared("rms_valprob_example.csv"))
    rows = pd.read_csv(shared("boot_idx_200x200.csv")).to_numpy() - 1
    wanted = json.loads(shared("oracle2.json").read_text())["boot_optimism"]
    numbers = corrected(logistic, table[["x1", "x2", "x3"]], table["y"].to_numpy(), rows)
    assert numbers.loc["auc", "apparent"] == pytest.approx(wanted["apparent_auc"], rel=1e-10)
    assert numbers.loc["auc", "optimism"] == pytest.approx(wanted["opt_auc"], rel=1e-8)
    assert numbers.loc["auc", "corrected"] == pytest.approx(wanted["corr_auc"], rel=1e-8)
    assert numbers.loc["brier", "apparent"] == pytest.approx(wanted["apparent_brier"], rel=1e-8)
    assert numbers.loc["brier", "corrected"] == pytest.approx(wanted["corr_brier"], rel=1e-8)
    assert numbers.loc["calibration_slope", "corrected"] == pytest.approx(wanted["corr_slope"], rel=1e-8)
    large = numbers.loc["calibration_in_the_large", "corrected"]
    assert large == pytest.approx(wanted["corr_citl"], rel=1e-6)
    intercept = numbers.loc["calibration_intercept", "corrected"]
    assert intercept == pytest.approx(wanted["corr_intercept"], rel=1e-6)
    assert (numbers["resamples"] == 200).all()


@pytest.mark.slow
def test_the_synthetic_cohort_has_the_numbers_of_rms():
    table = pd.read_csv(ORACLE / "cohort.csv")
    table["rad"] = pd.read_csv(ORACLE / "rad.csv")["rad"]
    table = table[table["cohort"] == "train"]
    # The resamples of tests/oracle/make_data.py.
    rows = np.random.default_rng(7).integers(0, 240, size=(100, 240))
    wanted = json.loads((ORACLE / "expected.json").read_text())["boot"]
    numbers = corrected(logistic, table[TERMS], table["y"].to_numpy(), rows)
    assert numbers.loc["auc", "apparent"] == pytest.approx(wanted["auc_app"], rel=1e-10)
    assert numbers.loc["auc", "optimism"] == pytest.approx(wanted["auc_opt"], rel=1e-8)
    assert numbers.loc["brier", "apparent"] == pytest.approx(wanted["brier_app"], rel=1e-8)
    assert numbers.loc["brier", "optimism"] == pytest.approx(wanted["brier_opt"], rel=1e-7)
    assert numbers.loc["calibration_slope", "corrected"] == pytest.approx(wanted["slope"], rel=1e-7)


def test_refitting_the_whole_pipeline_takes_back_what_selection_pretended():
    X, y = noise(p=150)
    select = build_preparation([{"mrmr": {"count": 4}}], 0)
    whole = Pipeline([("prepare", select), ("model", LogisticRegression(C=np.inf))])
    chosen, rows = clone(select).fit(X, y).transform(X), resamples(y, 40, 1)
    found = corrected(of_clone(whole), X, y, rows)["corrected"]
    last_step = corrected(logistic, chosen, y, rows)
    # The features are noise. Resampling the last step alone believes nearly all of the apparent AUC; the
    # whole pipeline takes back more than twice as much, though, as resamples share patients with the cohort,
    # not all.
    assert last_step.loc["auc", "corrected"] > 0.7
    assert found["auc"] < last_step.loc["auc", "corrected"] - 0.05
    apparent = last_step.loc["auc", "apparent"]
    assert apparent - found["auc"] > 2 * (apparent - last_step.loc["auc", "corrected"])
    assert found["calibration_slope"] < last_step.loc["calibration_slope", "corrected"] - 0.2


def test_a_resample_gives_the_same_whatever_others_are_drawn():
    X, y = noise()
    drawn = dict(enumerate(resamples(y, 6, 3)))
    refit = of_clone(signature())
    whole = optimism_rounds(refit, X, y, drawn)
    parts = [optimism_rounds(refit, X, y, {k: drawn[k] for k in keys}) for keys in ((0, 1), (2, 3, 4), (5,))]
    pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True), check_exact=True)


def test_resamples_follow_the_seed_and_hold_both_outcomes():
    y = np.r_[np.ones(2), np.zeros(38)]
    rows = resamples(y, 50, 7)
    np.testing.assert_array_equal(rows, resamples(y, 50, 7))
    assert not np.array_equal(rows, resamples(y, 50, 8))
    assert rows.shape == (50, 40)
    assert all(set(own) >= {0, 1} and (own > 1).any() for own in rows)
    with pytest.raises(ValueError, match="two patients of either outcome"):
        resamples(np.r_[1.0, np.zeros(9)], 5, 0)


def test_more_resamples_begin_with_the_same_ones():
    y = np.arange(30) % 2
    np.testing.assert_array_equal(resamples(y, 20, 4)[:5], resamples(y, 5, 4))


def test_a_resample_in_which_a_measure_is_not_defined_does_not_count_for_it():
    X, y = noise()

    def refit(table, outcome, number):
        if number == 1:
            return lambda others: {"model": np.full(len(others), outcome.mean())}
        return logistic(table[["f0"]], outcome, number)

    found = corrected(refit, X, y, resamples(y, 3, 0))
    counts = found["resamples"]
    assert (counts[["auc", "brier", "calibration_in_the_large"]] == 3).all()
    assert (counts[["calibration_slope", "calibration_intercept"]] == 2).all()
    assert found["corrected"].notna().all()


def test_measures_have_their_closed_forms():
    y, p = np.array([0.0, 0, 1, 1]), np.array([0.2, 0.6, 0.4, 0.8])
    found = performance(y, p)
    assert found["auc"] == 0.75
    assert found["brier"] == pytest.approx((0.04 + 0.36 + 0.36 + 0.04) / 4)
    assert found["calibration_in_the_large"] == pytest.approx(0.0, abs=1e-10)


def test_one_probability_for_all_has_no_slope():
    found = performance(np.array([0.0, 1, 0, 1]), np.full(4, 0.25))
    assert np.isnan(found["calibration_slope"]) and found["auc"] == 0.5
    assert found["calibration_in_the_large"] == pytest.approx(np.log(3.0))
