"""Nested cross-validation: nothing is found in noise, what is there is found, and jobs do not matter."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from annulus.errors import StudyError
from annulus.modelling.nested_cv import nested_cv, repeated_splits
from annulus.modelling.pipeline import build_pipeline
from annulus.modelling.signature import stratified_folds

STEPS = [
    "impute", "scale", "variance", {"univariable": {"p": 0.05, "test": "welch"}},
    {"correlation": {"method": "pearson"}}, {"mrmr": {"count": 8}},
]  # fmt: skip
LASSO = {"folds": 3, "count": 6, "smallest_ratio": 0.3}


def signature(steps=STEPS, **lasso):
    return build_pipeline({"steps": steps, "model": {"lasso": LASSO | lasso}}, 0)


def cohort(seed, n=120, p=200, effect=0.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=[f"P{i}" for i in range(n)]).add_prefix("f")
    X["f3"] += effect * y
    return X, y


def canary(seeds, steps, p, prepare=lambda X, y: X):
    aucs = []
    for seed in range(seeds):
        X, y = cohort(seed, p=p)
        aucs.append(nested_cv(signature(steps), prepare(X, y), y, 4, 1, seed).auc)
    return np.mean(aucs), np.std(aucs, ddof=1) / np.sqrt(seeds)


def test_nothing_is_found_in_noise():
    mean, error = canary(10, STEPS, 200)
    assert abs(mean - 0.5) < 3 * error
    assert error < 0.04


def test_selection_outside_the_folds_would_be_noticed():
    def select_on_all(X, y):
        return signature().prepare.fit(X, y).transform(X)

    mean, error = canary(4, [], 200, select_on_all)
    assert mean - 0.5 > 3 * error and mean > 0.65


def test_what_is_there_is_found():
    X, y = cohort(0, p=60, effect=1.5)
    found = nested_cv(signature(), X, y, 4, 2, 1)
    # Two normals 1.5 SD apart have an AUC of 0.856.
    assert found.auc == pytest.approx(0.856, abs=0.08)
    assert found.frequency.iloc[0].tolist() == ["f3", 1.0]


def test_every_patient_is_held_out_once_per_repeat():
    X, y = cohort(0, n=60, p=20)
    found = nested_cv(signature(), X, y, 5, 3, 1)
    for _, part in found.predictions.groupby("repeat"):
        assert sorted(part["patient_id"]) == sorted(X.index)
    outcomes = found.predictions.set_index("patient_id")["outcome"]
    np.testing.assert_array_equal(outcomes, pd.Series(y, X.index).loc[outcomes.index])
    assert len(found.folds) == 15
    first = found.predictions.query("repeat == 0 and fold == 2")
    area = roc_auc_score(first["outcome"], first["probability"])
    assert found.folds.query("repeat == 0 and fold == 2")["auc"].item() == area
    assert (
        len({tuple(p.sort_values("patient_id")["fold"]) for _, p in found.predictions.groupby("repeat")}) == 3
    )


def test_a_folds_predictions_are_those_of_a_model_that_never_saw_it():
    X, y = cohort(1, n=60, p=20, effect=1.0)
    found = nested_cv(signature(), X, y, 4, 1, 9).predictions
    train, test = stratified_folds(y.astype(float), 4, 9)[1]
    spoilt = X.copy()
    spoilt.iloc[test] = 1e6
    by_hand = signature().fit(spoilt.iloc[train], y[train]).predict_proba(X.iloc[test])[:, 1]
    np.testing.assert_array_equal(found[found["fold"] == 1]["probability"], by_hand)


def test_the_numbers_do_not_depend_on_the_number_of_jobs():
    X, y = cohort(2, n=60, p=20)
    with parallel_config("threading"):
        one, two = (nested_cv(signature(), X, y, 3, 1, 5, jobs) for jobs in (1, 3))
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    pd.testing.assert_frame_equal(one.frequency, two.frequency, check_exact=True)


def test_repeated_splits_scatter_about_the_truth():
    X, y = cohort(3, p=30, effect=1.5)
    found = repeated_splits(signature(), X, y, 0.3, 6, 4)
    assert len(found.aucs) == 6 and found.aucs["auc"].std() > 0.01
    assert found.aucs["auc"].median() == pytest.approx(0.856, abs=0.1)
    assert found.frequency.set_index("column").loc["f3", "selection_frequency"] == 1.0
    assert found.frequency["selection_frequency"].is_monotonic_decreasing
    again = repeated_splits(signature(), X, y, 0.3, 6, 4)
    pd.testing.assert_frame_equal(found.aucs, again.aucs, check_exact=True)


def test_any_classifier_can_be_cross_validated():
    X, y = cohort(4, n=60, p=6, effect=2.0)
    found = nested_cv(RandomForestClassifier(20, random_state=0), X, y, 3, 1, 0)
    assert found.auc > 0.75
    assert set(found.frequency["selection_frequency"]) == {1.0}


def test_a_patient_with_two_rows_is_refused():
    X, y = cohort(0, n=40, p=5)
    doubled = X.rename(index={"P1": "P0"})
    for run in (
        lambda: nested_cv(signature(), doubled, y, 3, 1, 0),
        lambda: repeated_splits(signature(), doubled, y, 0.3, 2, 0),
    ):
        with pytest.raises(StudyError, match="Patient P0 has several rows"):
            run()
