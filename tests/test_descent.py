"""The fast path of penalties: optimal to its tolerance, and equal to glmnet and glum."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from glum import GeneralizedLinearRegressor
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from annulus.modelling import descent, lasso

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return path


def scaled(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def original_scale(path, X):
    b = path.coefficients[0] / X.std(axis=0)
    return np.r_[path.intercepts[0] - b @ X.mean(axis=0), b]


def simulated(seed, n, p):
    rng = np.random.default_rng(seed)
    X = scaled(rng.normal(size=(n, 4)) @ rng.normal(size=(4, p)) + 0.5 * rng.normal(size=(n, p)))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(float)


def gap(path, X, y, ratio, weights=None):
    """Largest departure from the optimality conditions, over penalties."""
    shares = np.full(len(y), 1 / len(y)) if weights is None else weights / weights.sum()
    largest = 0.0
    for penalty, b, a in zip(path.penalties, path.coefficients, path.intercepts, strict=True):
        residual = shares * (y - 1.0 / (1.0 + np.exp(-(X @ b + a))))
        gradient = X.T @ residual - penalty * (1 - ratio) * b
        free = np.maximum(np.abs(gradient) - penalty * ratio, 0.0)
        held = np.abs(gradient - penalty * ratio * np.sign(b))
        largest = max(largest, np.where(b != 0, held, free).max(), abs(residual.sum()))
    return largest


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(40, 90), (80, 12)]), st.sampled_from([0.2, 0.7, 1.0]))
def test_every_solution_meets_the_optimality_conditions(seed, shape, ratio):
    X, y = simulated(seed, *shape)
    penalties = lasso.penalties_for(X, y, 15, 0.05, ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        path = descent.fit_path(X, y, penalties, l1_ratio=ratio)
    # Twice the tolerance, for features that the strong rules left out.
    assert gap(path, X, y, ratio) <= 2.1 * lasso.FINAL


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_coefficients_of_the_synthetic_cohort_are_glmnets(rule):
    expected = json.loads((ORACLE / "expected.json").read_text())["lasso"]
    table = pd.read_csv(ORACLE / "cohort.csv")
    table = table[table["cohort"] == "train"]
    names = [f"f{i:02d}" for i in range(40)]
    X, y = table[names].to_numpy(), table["y"].to_numpy(dtype=float)
    found = original_scale(descent.fit_path(scaled(X), y, np.array([expected[f"lambda_{rule}"]])), X)
    wanted = np.array([expected[f"coef_{rule}"].get(name, 0.0) for name in ("(Intercept)", *names)])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert ((found != 0) == (wanted != 0)).all()


def test_binomial_example_has_glmnets_exact_coefficients():
    table = pd.read_csv(shared("glmnet_BinomialExample.csv"))
    X, y = table.drop(columns="y").to_numpy(), table["y"].to_numpy(dtype=float)
    found = original_scale(descent.fit_path(scaled(X), y, np.array([0.05])), X)
    theirs = json.loads(shared("oracle1.json").read_text())["glmnet_binomial"]["coef_s0.05_exact"]
    wanted = [theirs.get(name, 0.0) for name in ("(Intercept)", *(f"V{i}" for i in range(1, 31)))]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


def glum_path(X, y, penalties, ratio):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GeneralizedLinearRegressor(
            family="binomial",
            l1_ratio=ratio,
            alpha_search=True,
            alpha=list(penalties),
            gradient_tol=lasso.FINAL,
            max_iter=1000,
        ).fit(X, y)


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_many_features_have_the_path_of_glum(ratio):
    X, y = simulated(1, 60, 700)
    penalties = lasso.penalties_for(X, y, 20, 0.1, ratio)
    fast = descent.fit_path(X, y, penalties, l1_ratio=ratio)
    slow = glum_path(X, y, penalties, ratio)
    np.testing.assert_allclose(fast.coefficients, slow.coef_path_, atol=1e-6)
    np.testing.assert_allclose(fast.intercepts, slow.intercept_path_, atol=1e-6)


def test_penalties_above_the_largest_select_nothing():
    X, y = simulated(2, 60, 30)
    largest = lasso.penalties_for(X, y, 2, 0.5)[0]
    path = descent.fit_path(X, y, largest * np.array([3.0, 1.5]))
    assert (path.coefficients == 0).all()
    np.testing.assert_allclose(path.intercepts, np.log(y.mean() / (1 - y.mean())))


def test_copies_of_a_feature_and_constants_do_no_harm():
    X, y = simulated(3, 60, 30)
    again = np.column_stack([X, X[:, :5], np.zeros(60)])
    penalties = lasso.penalties_for(X, y, 15, 0.05)
    one, other = descent.fit_path(X, y, penalties), descent.fit_path(again, y, penalties)
    np.testing.assert_allclose(
        X @ one.coefficients.T + one.intercepts, again @ other.coefficients.T + other.intercepts, atol=1e-5
    )
    assert (other.coefficients[:, -1] == 0).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0]))
def test_weights_are_repeated_patients_to_glum(seed, ratio):
    X, y = simulated(seed, 40, 12)
    weights = np.random.default_rng(seed).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), weights)
    penalties = lasso.penalties_for(X[rows], y[rows], 6, 0.1, ratio)
    slow = glum_path(X[rows], y[rows], penalties, ratio)
    for fast in (
        descent.fit_path(X, y, penalties, l1_ratio=ratio, weights=weights),
        descent.fit_path(X[rows], y[rows], penalties, l1_ratio=ratio),
    ):
        np.testing.assert_allclose(fast.coefficients, slow.coef_path_, atol=1e-6)
        np.testing.assert_allclose(fast.intercepts, slow.intercept_path_, atol=1e-6)


def test_the_minimum_is_that_of_scikit_learns_saga():
    X, y = simulated(6, 80, 8)
    # saga penalises by the sum over patients, C being one over the penalty of the sum.
    theirs = LogisticRegression(
        l1_ratio=1.0, solver="saga", C=1 / (80 * 0.05), tol=1e-10, max_iter=100_000, random_state=0
    ).fit(X, y)
    path = descent.fit_path(X, y, np.array([0.05]))
    np.testing.assert_allclose(path.coefficients, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(path.intercepts, theirs.intercept_, atol=1e-6)


def test_real_weights_meet_the_optimality_conditions():
    X, y = simulated(7, 60, 200)
    weights = np.random.default_rng(7).uniform(0.1, 5.0, 60)
    path = descent.fit_path(X, y, 0.5 * np.geomspace(1.0, 0.02, 30), weights=weights)
    assert gap(path, X, y, 1.0, weights) <= 2.1 * lasso.FINAL
    assert gap(path, X, y, 1.0) > 1e-3


def test_only_whole_rows_that_repeat_are_merged():
    X, y = simulated(8, 40, 300)
    X, y = np.repeat(X[:20], 2, axis=0), np.repeat(y[:20], 2)
    # Between the columns that are looked at first, and one that the model needs.
    X[:, 1] = 2.0 * y + np.random.default_rng(8).normal(size=40)
    path = descent.fit_path(X, y, np.array([0.1, 0.05]))
    assert gap(path, X, y, 1.0) <= 2.1 * lasso.FINAL


def test_a_weight_below_zero_is_refused():
    X, y = simulated(9, 20, 5)
    with pytest.raises(ValueError, match="below 0"):
        descent.fit_path(X, y, np.array([0.1]), weights=-np.ones(20))


DEGENERATE = {
    "separated by one feature": lambda X, y, rng: (np.column_stack([X, y]), y),
    "separated by many": lambda X, y, rng: (X[:5], np.array([0.0, 1, 0, 1, 1])),
    "constant": lambda X, y, rng: (np.where(np.arange(X.shape[1]) % 3 == 0, 2.0, X), y),
    "copies": lambda X, y, rng: (np.column_stack([X, X[:, :40], -X[:, :20]]), y),
    "nearly copies": lambda X, y, rng: (np.column_stack([X, X + 1e-9 * rng.normal(size=X.shape)]), y),
    "few sources": lambda X, y, rng: (X[:, :3] @ rng.normal(size=(3, 100)), y),
    "two values": lambda X, y, rng: ((X > 0).astype(float), y),
    "heavy tails": lambda X, y, rng: (np.exp(3.0 * X), y),
    "two events": lambda X, y, rng: (X, (np.arange(len(y)) < 2).astype(float)),
}


@pytest.mark.parametrize("tolerance", [lasso.RANKING, lasso.FINAL])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_data_have_a_whole_path(kind, ratio, tolerance):
    X, y = DEGENERATE[kind](*simulated(10, 50, 100), np.random.default_rng(10))
    varies = X.std(axis=0) > 1e-9
    X = np.where(varies, (X - X.mean(axis=0)) / np.where(varies, X.std(axis=0), 1.0), 0.0)
    penalties = lasso.penalties_for(X, y, 100, 0.01, ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        path = descent.fit_path(X, y, penalties, tolerance, ratio)
    assert gap(path, X, y, ratio) <= 2.1 * tolerance


def test_a_penalty_alone_has_the_fit_that_a_path_leads_to():
    # Alone, most of its features are missed at first and come in as all features are checked.
    X, y = simulated(11, 60, 700)
    penalties = lasso.penalties_for(X, y, 40, 0.05)
    path, alone = descent.fit_path(X, y, penalties), descent.fit_path(X, y, penalties[[-1]])
    np.testing.assert_allclose(alone.coefficients[0], path.coefficients[-1], atol=1e-6)


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_coordinate_descent_alone_reaches_the_same_minimum(monkeypatch, ratio):
    X, y = simulated(12, 50, 120)
    weights = np.random.default_rng(12).integers(1, 4, 50)
    penalties = lasso.penalties_for(X, y, 15, 0.1, ratio)
    newton = descent.fit_path(X, y, penalties, lasso.RANKING, ratio, weights)
    monkeypatch.setattr(descent._Problem, "newton", lambda self, fit: None)
    alone = descent.fit_path(X, y, penalties, lasso.RANKING, ratio, weights)
    assert gap(alone, X, y, ratio, weights) <= 2.1 * lasso.RANKING
    np.testing.assert_allclose(alone.linear_predictors(X), newton.linear_predictors(X), atol=1e-4)


def test_what_does_not_reach_its_tolerance_is_said():
    X, y = simulated(4, 60, 30)
    with pytest.warns(ConvergenceWarning, match="not to tolerance"):
        descent.fit_path(X, y, lasso.penalties_for(X, y, 3, 0.1), 1e-30)


def test_the_same_input_gives_the_same_bits():
    X, y = simulated(5, 60, 200)
    penalties = lasso.penalties_for(X, y, 10, 0.1)
    one, other = (descent.fit_path(X, y, penalties) for _ in range(2))
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
