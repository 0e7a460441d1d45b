"""The LASSO path, its cross-validation and the signature around it, against R's glmnet."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from annulus.modelling import descent, lasso
from annulus.modelling.folds import stratified_folds
from annulus.modelling.pipeline import build_pipeline, removed_by_step

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "oracle"
SHARED = ROOT.parent / "shared" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())


def shared(name):
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return path


def synthetic():
    table = pd.read_csv(ORACLE / "cohort.csv")
    table = table[table["cohort"] == "train"]
    names = [f"f{i:02d}" for i in range(40)]
    return table[names], table["y"].to_numpy(dtype=float), table["fold"].to_numpy()


def binomial_example():
    table = pd.read_csv(shared("glmnet_BinomialExample.csv"))
    fold = np.arange(len(table)) % 10 + 1
    return table.drop(columns="y"), table["y"].to_numpy(dtype=float), fold


def scaled(X):
    values = np.asarray(X, dtype=float)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def original_scale(path, X, index=0):
    """Intercept and coefficients of one penalty in the units of the features, as glmnet prints."""
    b = path.coefficients[index] / np.asarray(X).std(axis=0)
    return np.r_[path.intercepts[index] - b @ np.asarray(X).mean(axis=0), b]


def printed(coefficients, names):
    return np.array([coefficients.get(name, 0.0) for name in ("(Intercept)", *names)])


def cross_validated(X, y, fold, penalties):
    deviances, sizes = [], []
    for k in range(1, 11):
        train, test = fold != k, fold == k
        mean, sd = X[train].mean(axis=0), X[train].std(axis=0)
        path = descent.fit_path((X[train] - mean) / sd, y[train], penalties)
        held_out = path.linear_predictors((X[test] - mean) / sd)
        deviances.append(lasso.deviance(y[test], held_out))
        sizes.append(int(test.sum()))
    return lasso.summarise(penalties, np.array(deviances), np.array(sizes))


def small(seed=0, n=60, p=8, events=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = (X[:, 0] + rng.normal(size=n) > np.quantile(X[:, 0], 1 - events)).astype(float)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(p)]), y


def quick(**changes):
    settings = {"folds": 5, "count": 20, "smallest_ratio": 0.05} | changes
    return build_pipeline({"steps": ["impute", "variance", "scale"], "model": {"lasso": settings}}, 3)


def test_penalties_are_glmnets_sequence():
    X, y, _ = synthetic()
    wanted = np.array(EXPECTED["lasso"]["lambda"])
    # glmnet stopped early on a grid of 100 that would end at 1e-4 of the largest (n > p).
    found = lasso.penalties_for(scaled(X), y, 100, 1e-4)[: len(wanted)]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_penalties_end_at_the_smallest_ratio():
    X, y, _ = synthetic()
    found = lasso.penalties_for(scaled(X), y, 60, 0.05)
    assert (len(found), found[-1] / found[0]) == (60, pytest.approx(0.05))
    assert (np.diff(found) < 0).all()


def test_the_largest_penalty_selects_nothing_and_a_smaller_one_something():
    X, y, _ = synthetic()
    largest = lasso.penalties_for(scaled(X), y, 5, 0.5)[0]
    path = descent.fit_path(scaled(X), y, largest * np.array([1.0, 0.99]))
    assert np.abs(path.coefficients[0]).max() < 1e-7
    assert np.abs(path.coefficients[1]).max() > 1e-3


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_coefficients_on_the_original_scale_are_glmnets(rule):
    X, y, _ = synthetic()
    penalties = np.array([EXPECTED["lasso"][f"lambda_{rule}"]])
    found = original_scale(descent.fit_path(scaled(X), y, penalties), X)
    wanted = printed(EXPECTED["lasso"][f"coef_{rule}"], X.columns)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert ((found != 0) == (wanted != 0)).all()


def test_whole_path_selects_as_many_features_as_glmnet():
    X, y, _ = synthetic()
    penalties = np.array(EXPECTED["lasso"]["lambda"])
    found = (descent.fit_path(scaled(X), y, penalties).coefficients != 0).sum(axis=1)
    wanted = np.array(EXPECTED["lasso"]["nzero"])
    # At the very penalty where a feature enters, rounding decides.
    assert (found != wanted).mean() < 0.05
    assert np.abs(found - wanted).max() <= 1


def test_score_computed_by_r_is_the_linear_predictor():
    X, y, _ = synthetic()
    path = descent.fit_path(scaled(X), y, np.array([EXPECTED["lasso"]["lambda_min"]]))
    coefficients = original_scale(path, X)
    whole = pd.read_csv(ORACLE / "cohort.csv")[X.columns].to_numpy()
    wanted = pd.read_csv(ORACLE / "rad.csv")["rad"]
    np.testing.assert_allclose(coefficients[0] + whole @ coefficients[1:], wanted, atol=1e-5)


def test_cross_validation_is_cv_glmnets_with_the_path_held_fixed():
    X, y, fold = synthetic()
    wanted = EXPECTED["lasso_fixedpath"]
    penalties = np.array(wanted["lambda"][:40])
    found = cross_validated(X.to_numpy(), y, fold, penalties)
    np.testing.assert_allclose(found.mean, wanted["cvm"][:40], atol=1e-6)
    np.testing.assert_allclose(found.standard_error, wanted["cvsd"][:40], atol=1e-6)
    assert penalties[found.minimum] == pytest.approx(wanted["lambda_min"])
    assert penalties[found.one_se] == pytest.approx(wanted["lambda_1se"])


def test_binomial_example_has_glmnets_largest_penalty():
    X, y, _ = binomial_example()
    assert lasso.penalties_for(scaled(X), y, 2, 0.5)[0] == pytest.approx(0.2404762331, abs=1e-10)


def test_binomial_example_has_glmnets_exact_coefficients():
    X, y, _ = binomial_example()
    numbers = json.loads(shared("oracle1.json").read_text())["glmnet_binomial"]
    found = original_scale(descent.fit_path(scaled(X), y, np.array([0.05])), X)
    # R had no column names, so coef() calls the features V2, V3, ... in the file's order.
    theirs = numbers["coef_s0.05_exact"]
    assert len(theirs) == 14
    wanted = printed(theirs, [f"V{i}" for i in range(1, 31)])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found[0] == pytest.approx(0.206763707, abs=1e-6)


def test_binomial_example_chooses_glmnets_penalties():
    X, y, fold = binomial_example()
    theirs = pd.read_csv(shared("glmnet_binomial_cv_deviance.csv")).head(45)
    penalties = theirs["lambda"].to_numpy()
    found = cross_validated(X.to_numpy(), y, fold, penalties)
    assert penalties[found.minimum] == pytest.approx(0.02349476742, rel=1e-9)
    assert penalties[found.one_se] == pytest.approx(0.05956779912, rel=1e-9)
    # By default cv.glmnet interpolates the folds' own paths, hence its third digit.
    assert found.mean[found.minimum] == pytest.approx(0.83525823, abs=2e-3)
    assert found.standard_error[found.minimum] == pytest.approx(0.14255267, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_every_solution_meets_the_optimality_conditions(seed, wide):
    rng = np.random.default_rng(seed)
    n, p = (40, 90) if wide else (80, 12)
    X = scaled(rng.normal(size=(n, 4)) @ rng.normal(size=(4, p)) + 0.5 * rng.normal(size=(n, p)))
    y = rng.permutation(np.arange(n) % 2).astype(float)
    penalties = lasso.penalties_for(X, y, 15, 0.05)
    path = descent.fit_path(X, y, penalties)
    for penalty, b, intercept in zip(penalties, path.coefficients, path.intercepts, strict=True):
        error = 1.0 / (1.0 + np.exp(-(X @ b + intercept))) - y
        gradient = X.T @ error / n
        assert abs(error.mean()) < 1e-6
        assert np.abs(gradient).max() <= penalty + 1e-6
        np.testing.assert_allclose(gradient[b != 0], -penalty * np.sign(b[b != 0]), atol=1e-6)


def test_deviance_is_minus_two_log_likelihood_and_clipped_as_in_glmnet():
    y, predictors = np.array([1.0, 0.0]), np.array([[0.0, 100.0], [0.0, 100.0]])
    found = lasso.deviance(y, predictors)
    assert found == pytest.approx([2 * np.log(2), -np.log(1 - 1e-5) - np.log(1e-5)])


def test_folds_weigh_by_their_size():
    found = lasso.summarise(np.array([1.0]), np.array([[1.0], [2.0], [4.0]]), np.array([1, 1, 2]))
    assert found.mean[0] == pytest.approx(2.75)
    variance = (1.75**2 + 0.75**2 + 2 * 1.25**2) / 4
    assert found.standard_error[0] == pytest.approx(np.sqrt(variance / 2))


def test_one_se_is_the_largest_penalty_within_one_standard_error():
    found = lasso.CrossValidation(
        np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.5, 1.09, 1.0, 1.05]), np.full(4, 0.1)
    )
    assert (found.minimum, found.one_se) == (2, 1)


def test_cross_validation_inside_the_signature_scales_within_every_fold():
    X, y = small()
    model = quick().fit(X, y)
    penalties = lasso.penalties_for(scaled(X), y, 20, 0.05)
    deviances, sizes = [], []
    for train, test in stratified_folds(y, 5, 3):
        mean, sd = X.iloc[train].mean().to_numpy(), X.iloc[train].std(ddof=0).to_numpy()
        path = descent.fit_path((X.to_numpy()[train] - mean) / sd, y[train], penalties)
        held_out = path.linear_predictors((X.to_numpy()[test] - mean) / sd)
        deviances.append(lasso.deviance(y[test], held_out))
        sizes.append(len(test))
    wanted = lasso.summarise(penalties, np.array(deviances), np.array(sizes))
    np.testing.assert_allclose(model.cross_validation_.mean, wanted.mean, atol=1e-5)
    assert model.chosen_ == wanted.minimum


def test_the_penalty_follows_the_rule_that_was_asked_for():
    X, y = small()
    one, other = quick(penalty="minimum").fit(X, y), quick(penalty="one_se").fit(X, y)
    assert one.chosen_ == one.cross_validation_.minimum
    assert other.chosen_ == one.cross_validation_.one_se < one.chosen_


def test_constant_features_are_never_selected():
    X, y = small()
    X["same"], X["almost"] = 3.7, 1e8 + np.where(y > 0, 1e-6, 0.0)
    model = quick().fit(X, y)
    assert list(removed_by_step(model.prepare_)["column"]) == ["same", "almost"]
    moved = X.assign(same=1e6, almost=-1e6)
    np.testing.assert_array_equal(model.decision_function(X), model.decision_function(moved))


def test_missing_values_take_the_training_median():
    X, y = small()
    X.iloc[:7, 0] = np.nan
    filled = X.fillna({"x0": X["x0"].median()})
    one, other = quick().fit(X, y), quick().fit(filled, y)
    # Inside the folds the medians differ a little, so compare at one and the same penalty.
    np.testing.assert_allclose(one.path_.coefficients, other.path_.coefficients, atol=1e-9)
    new = pd.DataFrame(np.nan, index=[0], columns=X.columns)
    median = X.median().to_frame().T
    np.testing.assert_allclose(one.decision_function(new), one.decision_function(median))


def test_a_feature_that_nobody_has_is_harmless():
    X, y = small()
    model = quick().fit(X.assign(empty=np.nan), y)
    assert model.names_ == list(X)
    np.testing.assert_allclose(model.coef_, quick().fit(X, y).coef_, atol=1e-7)
    assert np.isfinite(model.decision_function(X.assign(empty=np.nan))).all()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0.001, 1000), st.floats(-100, 100))
def test_predictions_do_not_depend_on_units(seed, scale, shift):
    X, y = small(seed)
    signs = np.where(np.arange(X.shape[1]) % 2, -1.0, 1.0)
    one, other = quick().fit(X, y), quick().fit(X * scale * signs + shift, y)
    np.testing.assert_allclose(
        one.decision_function(X), other.decision_function(X * scale * signs + shift), atol=1e-5
    )


def test_a_clone_is_unfitted_and_fits_alike():
    X, y = small()
    model = quick(penalty="one_se").fit(X, y)
    copy = clone(model)
    assert not hasattr(copy, "coef_")
    assert str(copy.get_params()) == str(model.get_params())
    np.testing.assert_array_equal(copy.fit(X, y).coef_, model.coef_)


def test_probabilities_and_labels_follow_from_the_score():
    X, y = small()
    model = quick().fit(X, y)
    score, p = model.decision_function(X), model.predict_proba(X)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-score)))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.predict(X), score > 0)


@pytest.mark.parametrize("value", [2.5, np.nan])
def test_without_a_feature_that_varies_the_signature_is_the_prevalence(value):
    y = np.r_[np.ones(9), np.zeros(21)]
    X = pd.DataFrame(value, index=range(30), columns=["a", "b"])
    model = quick().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 0.3)
    assert model.freeze().terms == ()


def test_noise_that_nothing_predicts_leaves_the_prevalence():
    rng = np.random.default_rng(11)
    X, y = pd.DataFrame(rng.normal(size=(60, 6))).add_prefix("x"), np.r_[np.ones(20), np.zeros(40)]
    model = quick(penalty="one_se").fit(X, y)
    assert (model.coef_ == 0).all()
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / 3, atol=1e-6)


def test_folds_balance_the_outcome_and_share_everybody_out_once():
    y = np.r_[np.ones(23), np.zeros(41)]
    folds = stratified_folds(y, 5, 1)
    held_out = np.concatenate([test for _, test in folds])
    assert sorted(held_out) == list(range(64))
    assert {int(y[test].sum()) for _, test in folds} <= {4, 5}
    assert all(not set(train) & set(test) for train, test in folds)


@pytest.mark.parametrize(("events", "folds"), [(2, 2), (4, 4), (20, 10)])
def test_folds_are_never_more_than_the_smaller_class(events, folds):
    assert len(stratified_folds(np.r_[np.ones(events), np.zeros(30)], 10, 0)) == folds


def test_a_single_event_cannot_be_cross_validated():
    with pytest.raises(ValueError, match="2 are needed"):
        stratified_folds(np.r_[np.ones(1), np.zeros(30)], 5, 0)
