"""Kinds of signatures: tuned inside their own patients, frozen exactly, and chosen between."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from annulus.errors import StudyError
from annulus.modelling.folds import patient_folds
from annulus.modelling.frozen import Linear, scorer_from_json
from annulus.modelling.learners import Boosting, Choose, Forest, SupportVectors, platt_scaling
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import build_pipeline, choice_table, selection_table
from annulus.modelling.signature import cross_fit, cross_fitted_scores, reseeded

PLAIN = ["impute", "variance", "scale"]
WHOLE = [
    {"impute": {"method": "iterative", "neighbours": 4}},
    {"harmonise": {"centre": "centre", "covariates": ["group"], "unseen": "leave"}},
    "scale",
    "variance",
    {"correlation": {"most": 0.8}},
]
LASSO = {"lasso": {"folds": 3, "count": 8, "smallest_ratio": 0.1}}
FOREST = {"random_forest": {"trees": 20}}
BOOSTING = {"gradient_boosting": {"trees": 30, "folds": 3}}
MACHINE = {"svm": {"cost": [1.0, 10.0], "gamma": [0.5], "folds": 3}}
ALL = [LASSO, {"elastic_net": LASSO["lasso"]}, MACHINE, FOREST, BOOSTING]
QUICK = [*ALL[:1], *ALL[2:]]
CHOICE = {"choose": {"among": [LASSO, MACHINE, FOREST], "folds": 3}}


def slow(model):
    return pytest.param(model, marks=pytest.mark.slow)


def name_of(model):
    return next(iter(model))


def cohort(seed=0, n=72, p=8, missing=0.05):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=[f"P{i}" for i in range(n)]).add_prefix("f")
    y = (1.5 * X["f0"] - X["f1"] + 0.7 * rng.normal(size=n) > 0).astype(float).to_numpy()
    X["copy"], X["same"] = X["f0"] * 0.9 + 0.05 * rng.normal(size=n), 2.0
    X["f2"] = 1e4 + 30.0 * X["f2"]
    X = X.mask(rng.uniform(size=X.shape) < missing)
    return X.assign(centre=np.resize(["a", "b", "c"], n), group=rng.integers(0, 2, n) * 1.0), y


def features_of(X):
    return X.drop(columns=["centre", "group"])


def fitted(steps, model, seed=0):
    X, y = cohort(seed)
    X = X if steps is WHOLE else features_of(X)
    return build_pipeline({"steps": steps, "model": model}, 1).fit(X, y), X, y


# ---- frozen ----


@pytest.mark.parametrize("steps", [PLAIN, WHOLE], ids=["plain", "whole"])
@pytest.mark.parametrize("model", [*QUICK, *(slow(model) for model in (ALL[1], CHOICE))], ids=name_of)
def test_a_frozen_signature_scores_new_patients_as_its_estimator(steps, model):
    found, X, _ = fitted(steps, model)
    new, _ = cohort(9, n=40, missing=0.2)
    new.loc["P0", [name for name in new if name.startswith("f")]] = np.nan
    new.loc["P1", "same"] = -3.0
    frozen = found.freeze()
    again = scorer_from_json(json.loads(json.dumps(frozen.to_json(), allow_nan=False)))
    assert again == frozen
    wanted = found.decision_function(new[list(X)])
    assert wanted.std() > 0.1
    np.testing.assert_allclose(again.of(new[list(again.columns)]), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(again.of(new.iloc[[0]]), wanted[:1], rtol=0, atol=1e-12)
    assert again.intercept == found.intercept_
    assert set(again.terms) == set(found.selected_) and "same" not in again.terms


def test_a_plain_lasso_is_frozen_as_constants_alone():
    found, X, _ = fitted(PLAIN, LASSO)
    frozen = found.freeze()
    assert isinstance(frozen, Linear) and frozen.before == () and frozen.columns == frozen.terms
    own = X[list(frozen.terms)]
    np.testing.assert_allclose(frozen.fill, own.median())
    filled = own.fillna(own.median())
    np.testing.assert_allclose(frozen.mean, filled.mean(), rtol=1e-12)
    np.testing.assert_allclose(frozen.sd, filled.std(ddof=0), rtol=1e-12)


def test_an_unseen_centre_that_is_estimated_is_so_from_all_features():
    steps = ["impute", {"harmonise": {"centre": "centre", "reference": "a", "unseen": "reference"}}]
    X, y = cohort()
    model = build_pipeline({"steps": steps, "model": LASSO}, 1).fit(X.drop(columns="group"), y)
    new, _ = cohort(4, n=20)
    new = new.drop(columns="group").assign(centre="d")
    frozen = scorer_from_json(json.loads(json.dumps(model.freeze().to_json())))
    assert len(frozen.terms) < 10 == len(frozen.columns) - 1
    np.testing.assert_allclose(frozen.of(new), model.decision_function(new), rtol=0, atol=1e-12)


def test_of_chained_regressions_those_are_kept_that_a_signature_needs():
    X, y = cohort(n=60, p=30, missing=0.0)
    X = features_of(X)
    X.iloc[:5, 0] = X.iloc[9:12, 20] = np.nan
    steps = [{"impute": {"method": "iterative", "neighbours": 2}}]
    model = build_pipeline({"steps": steps, "model": {"lasso": LASSO["lasso"] | {"penalty": "one_se"}}}, 1)
    frozen = model.fit(X, y).freeze()
    (chain,) = frozen.before
    regressed = {chain.features[part.feature] for part in chain.regressions}
    assert regressed <= {"f0", "f20"} and "f0" in regressed
    assert set(frozen.terms) <= set(frozen.columns) < set(X)


def test_without_imputation_a_signature_is_not_frozen():
    X, y = cohort(missing=0.0)
    model = build_pipeline({"steps": ["scale"], "model": LASSO}, 0).fit(features_of(X), y)
    with pytest.raises(StudyError, match="without impute"):
        model.freeze()


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_without_a_feature_left_every_kind_is_the_prevalence(model):
    X, y = cohort()
    steps = ["impute", {"univariable": {"p": 1e-12}}]
    found = build_pipeline({"steps": steps, "model": model}, 0).fit(features_of(X), y)
    assert found.selected_ == () and found.freeze() == Linear(found.intercept_)
    np.testing.assert_allclose(found.predict_proba(features_of(X))[:, 1], y.mean())


# ---- each kind ----


def complete(seed=0, n=72):
    X, y = cohort(seed, n, missing=0.0)
    return features_of(X).drop(columns="same"), y


def test_platt_scaling_of_cross_validated_decisions_is_that_of_scikit_learn():
    X, y = complete()
    model = SupportVectors(cost=(2.0,), gamma=(0.5,), folds=4, seed=3).fit(X, y)
    machine = make_pipeline(StandardScaler(), SVC(C=2.0, gamma=0.5 / X.shape[1]))
    folds = patient_folds(X.index, y, 4, 3)
    other = CalibratedClassifierCV(machine, method="sigmoid", ensemble=False, cv=folds).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-4)


def test_a_machine_takes_the_cost_of_least_cross_validated_deviance():
    X, y = complete()
    grid = SupportVectors(cost=(0.01, 0.5, 100.0), gamma=(0.5,), folds=4, seed=3).fit(X, y)
    alone = {
        cost: SupportVectors(cost=(cost,), gamma=(0.5,), folds=4, seed=3).fit(X, y).deviance_[0]
        for cost in (0.01, 0.5, 100.0)
    }
    assert grid.cost_ == min(alone, key=alone.get)
    assert grid.deviance_[0] == pytest.approx(min(alone.values()))


def test_decisions_that_go_against_the_event_leave_the_prevalence():
    y = np.arange(40) % 4 == 0
    slope, offset = platt_scaling(-1.0 * y + 0.1 * np.arange(40), y.astype(float))
    assert (slope, offset) == (0.0, pytest.approx(np.log(1 / 3)))
    assert platt_scaling(1.0 * y, y.astype(float))[0] > 1.0


def test_a_forest_is_that_of_scikit_learn_kept_off_0_and_1():
    X, y = complete()
    model = Forest(trees=30, seed=7).fit(X, y)
    other = RandomForestClassifier(30, min_samples_leaf=5, random_state=7).fit(X.to_numpy(), y)
    p = other.predict_proba(X.to_numpy())[:, 1]
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], (72 * p + 0.5) / 73, atol=1e-12)
    separate = pd.DataFrame({"a": np.repeat([0.0, 1.0], 30)})
    sure = Forest(trees=20).fit(separate, separate["a"].to_numpy())
    assert sure.decision_function(separate.iloc[[0]])[0] == pytest.approx(np.log(0.5 / 60.5))


def test_boosting_takes_as_many_trees_as_have_the_least_deviance():
    X, y = complete()
    model = Boosting(trees=40, folds=4, seed=2).fit(X, y)
    staged = np.zeros((4, 40))
    folds = patient_folds(X.index, y, 4, 2)
    for k, (train, test) in enumerate(folds):
        part = GradientBoostingClassifier(n_estimators=40, max_depth=2, learning_rate=0.05, random_state=2)
        part.fit(X.iloc[train].to_numpy(), y[train])
        probabilities = part.staged_predict_proba(X.iloc[test].to_numpy())
        staged[k] = [2 * log_loss(y[test], p[:, 1], labels=[0, 1]) for p in probabilities]
    mean = np.average(staged, axis=0, weights=[len(test) for _, test in folds])
    np.testing.assert_allclose(model.cross_validation_.mean, mean, atol=1e-10)
    assert len(model.model_.estimators_) == mean.argmin() + 1
    assert model.deviance_[0] == pytest.approx(mean.min())


def test_a_choice_is_by_deviance_with_all_tuning_inside_the_folds():
    X, y = cohort()
    X = features_of(X)
    model = build_pipeline({"steps": PLAIN, "model": CHOICE}, 5).fit(X, y)
    table = choice_table(model)
    assert table["learner"].tolist() == ["lasso", "svm", "random_forest"]
    folds = patient_folds(X.index, y, 3, 5)
    for row, kind in zip(table.itertuples(), (LASSO, MACHINE, FOREST), strict=True):
        losses = []
        for train, test in folds:
            own = build_pipeline({"steps": PLAIN, "model": kind}, 5).fit(X.iloc[train], y[train])
            losses.append(2 * log_loss(y[test], own.predict_proba(X.iloc[test])[:, 1], labels=[0, 1]))
        assert row.deviance == pytest.approx(np.average(losses, weights=[len(t) for _, t in folds]), abs=1e-9)
    assert table.loc[table["chosen"] == 1, "deviance"].item() == table["deviance"].min()
    kind = {"lasso": LASSO, "svm": MACHINE, "random_forest": FOREST}[model.kind_]
    best = build_pipeline({"steps": PLAIN, "model": kind}, 5)
    np.testing.assert_allclose(best.fit(X, y).decision_function(X), model.decision_function(X), rtol=1e-12)


def test_a_model_without_alternatives_is_its_own_choice():
    found, _, _ = fitted(PLAIN, LASSO)
    row = choice_table(found).iloc[0]
    assert (row["learner"], row["chosen"]) == ("lasso", 1)
    assert row["deviance"] == found.cross_validation_.mean[found.chosen_]
    forest = choice_table(fitted(PLAIN, FOREST)[0]).iloc[0]
    assert forest["learner"] == "random_forest" and np.isnan(forest["deviance"])


def test_the_table_of_selection_says_what_trees_used():
    found, X, _ = fitted(PLAIN, BOOSTING)
    table = selection_table(found).set_index("column")
    assert list(table.index) == list(X) and table["coefficient"].isna().all()
    assert table.loc["same", "step_removed"] == "variance"
    used = table["step_removed"] == ""
    assert set(table.index[used]) == set(found.selected_)
    assert (table.loc[used, "statistic"] > 0).all()
    assert table.loc[table["step_removed"] == "gradient_boosting", "statistic"].eq(0).all()
    assert table["statistic"].idxmax() in ("f0", "copy", "f1", "same")


# ---- nothing of who is held out ----


@pytest.mark.parametrize("model", [*QUICK, *(slow(model) for model in (ALL[1], CHOICE))], ids=name_of)
def test_scores_do_not_depend_on_features_or_outcomes_of_others_held_out(model):
    X, y = cohort()
    folds = patient_folds(X.index, y, 3, 1)
    signature = build_pipeline({"steps": [*WHOLE[:2], "scale"], "model": model}, 1)
    signature.set_params(prepare__impute__method="median")
    before, origin = cross_fitted_scores(signature, X, y, folds)
    _, test = folds[1]
    spoilt, flipped = X.copy(), y.copy()
    spoilt.iloc[test[1:], :8] = 1e3
    flipped[test] = 1.0 - flipped[test]
    after, same = cross_fitted_scores(signature, spoilt, flipped, folds)
    assert before[test[0]] == after[test[0]] and origin[test[0]] == same[test[0]]
    assert not np.array_equal(before[folds[0][1]], after[folds[0][1]])
    assert np.isfinite(before).all()


def test_of_a_resample_no_patient_is_scored_by_a_signature_that_saw_them():
    X, y = cohort()
    X = features_of(X)
    rows = np.random.default_rng(3).integers(0, len(X), len(X))
    again, outcome = X.iloc[rows], y[rows]
    folds = patient_folds(again.index, outcome, 4, 2)
    signature = build_pipeline({"steps": PLAIN, "model": LASSO}, 1)
    scores, _ = cross_fitted_scores(signature, again, outcome, folds)
    assert np.isfinite(scores).all() and len(scores) == len(X)
    twice = next(name for name in again.index if (again.index == name).sum() > 1)
    own = np.flatnonzero(again.index == twice)
    assert len(set(scores[own])) == 1
    moved = again.copy()
    moved.iloc[own[0]] = 50.0
    after, _ = cross_fitted_scores(signature, moved, outcome, folds)
    assert after[own[1]] == scores[own[1]] and after[own[0]] != scores[own[0]]
    k = next(k for k, (_, test) in enumerate(folds) if own[0] in test)
    part = reseeded(signature, k + 1).fit(again.iloc[folds[k][0]], outcome[folds[k][0]])
    wanted = part.decision_function(again.iloc[own]) - part.intercept_
    np.testing.assert_allclose(scores[own], wanted, rtol=1e-12)


def test_outer_folds_may_be_centres():
    X, y = cohort()
    centre = X["centre"].to_numpy()
    outer = [(np.flatnonzero(centre != name), np.flatnonzero(centre == name)) for name in "abc"]
    signature = build_pipeline({"steps": PLAIN, "model": LASSO}, 1)
    scores = cross_fit(signature, features_of(X), y, outer, 3, 1, nested=True).scores
    held_out = scores[scores["held_out"] == 1]
    for k, name in enumerate("abc"):
        part = held_out[held_out["outer_set"] == str(k)]
        assert set(part["patient_id"]) == set(X.index[centre == name])
        fold = reseeded(signature, k + 1).fit(features_of(X)[centre != name], y[centre != name])
        wanted = fold.decision_function(features_of(X)[centre == name]) - fold.intercept_
        np.testing.assert_allclose(part["score"], wanted, rtol=1e-12)
    assert scores.groupby("outer_set")["patient_id"].nunique().eq(len(X)).all()


def test_every_refit_has_a_seed_of_its_own_and_of_its_steps():
    model = build_pipeline({"steps": WHOLE, "model": CHOICE}, 4)
    copy = reseeded(model, 3)
    assert (copy.seed, copy.get_params()["prepare__impute__seed"], model.seed) == (7, 7, 4)
    assert isinstance(copy, Choose) and not hasattr(copy, "best_")


def test_the_same_seed_gives_the_same_bits():
    for model in (FOREST, BOOSTING, MACHINE):
        one, X, _ = fitted(PLAIN, model)
        other, _, _ = fitted(PLAIN, model)
        np.testing.assert_array_equal(one.decision_function(X), other.decision_function(X))


def test_a_penalised_model_names_its_kind():
    assert PenalisedLogistic().kind_ == "lasso"
    assert PenalisedLogistic(l1_ratio=(0.2, 1.0)).kind_ == "elastic_net"
