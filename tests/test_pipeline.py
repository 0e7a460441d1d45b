"""Pipelines from configuration, and penalised models that refit all of it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from annulus.errors import StudyError
from annulus.modelling import descent, lasso
from annulus.modelling.folds import patient_folds, stratified_folds
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import (
    build_pipeline,
    build_preparation,
    removed_by_step,
    selected_features,
    selection_table,
)

QUICK = {"folds": 3, "count": 12, "smallest_ratio": 0.1}
WHOLE = {
    "steps": [
        {"impute": {"method": "median"}},
        {"stability": {"least": 0.7}},
        {"harmonise": {"centre": "centre", "covariates": ["group"], "unseen": "leave"}},
        "scale",
        "variance",
        {"univariable": {"p": 0.3, "correction": "none"}},
        {"correlation": {"most": 0.8}},
        {"mrmr": {"count": 6}},
    ],
    "model": {"lasso": QUICK},
}


def cohort(seed=0, n=90, p=30):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=[f"P{i}" for i in range(n)]).add_prefix("f")
    y = (X["f0"] - X["f1"] + rng.normal(size=n) > 0).astype(float).to_numpy()
    X["copy"], X["same"] = X["f0"] * 0.9 + 0.05 * rng.normal(size=n), 2.0
    X.iloc[4, 7] = np.nan
    return X.assign(centre=np.resize(["a", "b", "c"], n), group=rng.integers(0, 2, n)), y


def bounds(X):
    features = [name for name in X if name not in ("centre", "group")]
    return {name: 0.5 if name in ("f3", "f4") else 0.9 for name in features}


def test_steps_run_in_the_order_of_the_configuration():
    model = build_pipeline(WHOLE, 1, {})
    assert list(dict(model.prepare.steps)) == [
        "impute", "stability", "harmonise", "scale", "variance", "univariable", "correlation", "mrmr",
    ]  # fmt: skip
    turned = build_pipeline({"steps": ["variance", "impute"]}, 1)
    assert list(dict(turned.prepare.steps)) == ["variance", "impute"]


def test_every_feature_has_its_fate():
    X, y = cohort()
    model = build_pipeline(WHOLE, 1, bounds(X)).fit(X, y)
    table = selection_table(model).set_index("column")
    assert list(table.index) == [name for name in X if name not in ("centre", "group")]
    assert set(table.index[table["step_removed"] == "stability"]) == {"f3", "f4"}
    assert table.loc["f3", "statistic"] == 0.5
    assert table.loc["same", "step_removed"] == "variance"
    assert "correlation" in set(table.loc[["f0", "copy"], "step_removed"])
    assert (table["step_removed"] == "mrmr").any()
    assert tuple(table.index[table["step_removed"] == ""]) == tuple(
        name for name in table.index if name in selected_features(model)
    )
    assert (table.loc[table["step_removed"] == "", "coefficient"] != 0).all()
    assert len(removed_by_step(model.prepare_)) + len(model.names_) == len(table)


def test_a_clone_is_unfitted_and_fits_alike():
    X, y = cohort()
    model = build_pipeline(WHOLE, 1, bounds(X)).fit(X, y)
    copy = clone(model)
    assert not hasattr(copy, "coef_") and not hasattr(copy.prepare[0], "feature_names_in_")
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), model.predict_proba(X))


def test_fitting_leaves_the_configured_steps_unfitted():
    X, y = cohort()
    model = build_pipeline(WHOLE, 1, bounds(X)).fit(X, y)
    assert all(not hasattr(step, "feature_names_in_") for _, step in model.prepare.steps)


def test_held_out_patients_take_no_part_in_training():
    X, y = cohort()
    train = np.arange(60)
    model = build_pipeline(WHOLE, 1, bounds(X)).fit(X.iloc[train], y[train])
    together = model.decision_function(X.iloc[60:])
    apart = np.concatenate([model.decision_function(X.iloc[[i]]) for i in range(60, 90)])
    np.testing.assert_allclose(together, apart, rtol=1e-12)


def test_the_penalty_is_chosen_with_selection_inside_the_folds():
    X, y = cohort()
    X = X.drop(columns=["centre", "group"])
    config = {"steps": ["impute", "variance", {"univariable": {"p": 0.1}}], "model": {"lasso": QUICK}}
    model = build_pipeline(config, 5).fit(X, y)
    deviances, sizes = [], []
    for train, test in stratified_folds(y, 3, 5):
        prepare = build_preparation(config["steps"], 5).fit(X.iloc[train], y[train])
        a, b = (prepare.transform(X.iloc[rows]).to_numpy() for rows in (train, test))
        mean, sd = a.mean(axis=0), a.std(axis=0)
        path = descent.fit_path((a - mean) / sd, y[train], model.cross_validation_.penalties)
        deviances.append(lasso.deviance(y[test], path.linear_predictors((b - mean) / sd)))
        sizes.append(len(test))
    wanted = lasso.summarise(model.cross_validation_.penalties, np.array(deviances), np.array(sizes))
    np.testing.assert_allclose(model.cross_validation_.mean, wanted.mean, atol=1e-5)


def test_a_patient_of_a_resample_is_never_on_both_sides():
    y = np.arange(40) % 2 * 1.0
    rows = np.random.default_rng(0).integers(0, 40, 40)
    folds = patient_folds(pd.Index([f"P{i}" for i in rows]), y[rows], 4, 0)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(40))
    assert all(not set(rows[train]) & set(rows[test]) for train, test in folds)
    assert all(len(train) + len(test) == 40 for train, test in folds)


def test_where_patients_have_one_row_folds_are_those_of_before():
    y = np.r_[np.ones(20), np.zeros(31)]
    found = patient_folds(pd.Index([f"P{i}" for i in range(51)][::-1]), y, 5, 3)
    for (a, b), (c, d) in zip(found, stratified_folds(y, 5, 3), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_a_resample_can_be_fitted_whole():
    X, y = cohort()
    rows = np.random.default_rng(2).integers(0, 90, 90)
    model = build_pipeline(WHOLE, 1, bounds(X)).fit(X.iloc[rows], y[rows])
    assert np.isfinite(model.predict_proba(X)).all()


def test_without_steps_the_model_stands_alone():
    X, y = cohort()
    X = X[["f0", "f1", "f2"]]
    model = build_pipeline({"model": {"lasso": QUICK}}, 1).fit(X, y)
    assert model.prepare is None and {"f0", "f1"} <= set(selected_features(model))


@pytest.mark.parametrize("ratio", [0.3, 0.8, 1.0])
def test_the_elastic_net_meets_its_optimality_conditions(ratio):
    X, y = cohort()
    Z = X.filter(regex=r"^f\d").fillna(0.0).to_numpy()
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    penalties = lasso.penalties_for(Z, y, 10, 0.05, ratio)
    path = descent.fit_path(Z, y, penalties, l1_ratio=ratio)
    assert np.abs(path.coefficients[0]).max() < 1e-7
    assert np.abs(path.coefficients[1]).max() > 1e-4
    for penalty, b, a in zip(penalties, path.coefficients, path.intercepts, strict=True):
        gradient = Z.T @ (1 / (1 + np.exp(-(Z @ b + a))) - y) / len(y) + penalty * (1 - ratio) * b
        assert np.abs(gradient[b == 0]).max(initial=0.0) <= penalty * ratio + 1e-7
        np.testing.assert_allclose(gradient[b != 0], -penalty * ratio * np.sign(b[b != 0]), atol=1e-7)


def test_the_elastic_net_is_that_of_scikit_learn():
    X, y = cohort()
    Z = X[["f0", "f1", "f2", "copy"]].to_numpy()
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    path = descent.fit_path(Z, y, np.array([0.05]), l1_ratio=0.4)
    other = LogisticRegression(
        l1_ratio=0.4, C=1 / (len(y) * 0.05), solver="saga", tol=1e-10, max_iter=100000
    ).fit(Z, y)
    np.testing.assert_allclose(path.coefficients[0], other.coef_[0], atol=1e-7)
    np.testing.assert_allclose(path.intercepts[0], other.intercept_[0], atol=1e-7)


def test_of_several_ratios_the_one_of_least_deviance_is_chosen():
    X, y = cohort()
    X = X[["f0", "f1", "f2", "copy"]]
    config = {"model": {"elastic_net": {**QUICK, "l1_ratio": [0.1, 0.5, 1.0]}}}
    model = build_pipeline(config, 2).fit(X, y)
    least = {
        ratio: PenalisedLogistic(l1_ratio=ratio, seed=2, **QUICK).fit(X, y).cross_validation_.mean.min()
        for ratio in (0.1, 0.5, 1.0)
    }
    assert model.l1_ratio_ == min(least, key=least.get)
    assert model.cross_validation_.mean.min() == pytest.approx(min(least.values()))


def test_where_nothing_is_selected_the_signature_is_the_prevalence():
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame(rng.normal(size=(60, 5))).add_prefix("f"), np.r_[np.ones(20), np.zeros(40)]
    config = {"steps": [{"univariable": {"p": 1e-9}}], "model": {"lasso": QUICK}}
    model = build_pipeline(config, 0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / 3)
    assert selected_features(model) == ()
    assert set(selection_table(model)["step_removed"]) == {"univariable"}


def test_another_model_may_end_the_pipeline():
    X, y = cohort()
    X = X.drop(columns=["centre", "group"])
    steps = ["impute", "variance", {"mrmr": {"count": 5}}]
    forest = RandomForestClassifier(10, random_state=0)
    whole = Pipeline([("prepare", build_preparation(steps, 0)), ("model", forest)]).fit(X, y)
    assert len(selected_features(whole)) == 5
    assert "f0" in selected_features(whole) or "copy" in selected_features(whole)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"steps": ["smote"]}, "steps: smote is not one of"),
        ({"steps": [{"scale": {"robust": True}}]}, "steps.scale: robust is not one of"),
        ({"steps": [{"impute": {"seed": 3}}]}, "steps.impute: seed"),
        ({"steps": ["scale", "scale"]}, "scale stands there twice"),
        ({"steps": ["stability"]}, "stability needs"),
        ({"steps": [{"scale": None, "variance": None}]}, "one name with its settings"),
        ({"model": "ridge"}, "model: ridge is not one of"),
        ({"model": {"lasso": {"l1_ratio": 0.5}}}, "name it elastic_net"),
        ({"model": {"lasso": {"alpha": 1}}}, "model.lasso: alpha"),
    ],
)
def test_what_the_configuration_cannot_mean_is_refused(config, message):
    with pytest.raises(StudyError, match=message):
        build_pipeline(config, 0)


def test_the_outcome_cannot_be_protected_from_harmonisation():
    with pytest.raises(StudyError, match=r"steps\.harmonise: outcome"):
        build_pipeline({"steps": [{"harmonise": {"outcome": "y"}}]}, 0)
