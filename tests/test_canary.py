"""Canaries: what whole pipelines make of noise, and whether printed intervals hold what they promise.

A cohort of noise has no truth to find: nested cross-validation must say 0.5, and a model frozen on noise has
an AUC of 0.5 and a calibration slope of 0 in fresh patients, whatever it selected. (A slope of 1 would mean
that its predictions are right; a noise model's are overconfident through and through.) Estimates must
scatter about these truths without leaning to either side, and 95 % intervals hold them as often as they say.

With planted effects the truth is a closed form of the frozen coefficients: features are normal with unit
variance in either outcome, so a linear score is normal, too. Its AUC is Phi(b'd / (sqrt(2) |b|)) and its
slope b'd / b'b, where d are the effects.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from nested import nested_auc
from scipy import stats

from annulus.evaluation.calibration import calibration_slope
from annulus.evaluation.discrimination import auc_interval
from annulus.modelling.pipeline import build_pipeline

PATIENTS, FEATURES, FRESH, MANY = 120, 500, 30, 4000
PLAN = {
    "steps": [
        "impute",
        "scale",
        "variance",
        {"univariable": {"p": 0.05, "test": "welch"}},
        {"correlation": {}},
    ],
    "model": {"lasso": {"folds": 3, "count": 6, "smallest_ratio": 0.3}},
}
NOTHING = np.zeros(FEATURES)
EFFECTS = np.r_[0.7, 0.5, -0.5, np.zeros(FEATURES - 3)]


@dataclass(frozen=True)
class Flight:
    """One seed: the nested AUC, and what fresh patients say of the model frozen on the whole cohort."""

    nested_auc: float
    true_auc: float
    true_slope: float
    slope: float
    z: float
    covered: tuple[bool, ...]


def patients(rng, n, effects):
    y = rng.permutation(np.arange(n) % 2)
    X = rng.normal(size=(n, len(effects))) + np.outer(y, effects)
    return pd.DataFrame(X, index=[f"P{i}" for i in range(n)]).add_prefix("f"), y


def weights(model):
    """Weight of every feature in the frozen linear score, read off its answers to unit patients."""
    names = model.feature_names_in_
    units = pd.DataFrame(np.vstack([np.zeros(len(names)), np.eye(len(names))]), columns=names)
    answers = model.decision_function(units)
    return answers[1:] - answers[0]


def fly(seed, effects, nested=True):
    """Fit on one cohort and judge on fresh ones; a model that selects nothing has only the nested AUC."""
    rng = np.random.default_rng(seed)
    X, y = patients(rng, PATIENTS, effects)
    area = nested_auc(build_pipeline(PLAN, seed), X, y, 4, seed) if nested else np.nan
    model = build_pipeline(PLAN, seed).fit(X, y)
    b = weights(model)
    if not b.any():
        return Flight(area, np.nan, np.nan, np.nan, np.nan, ())
    truth = float(stats.norm.cdf(b @ effects / (np.sqrt(2.0) * np.linalg.norm(b))))
    covered = []
    for _ in range(FRESH):
        fresh, outcome = patients(rng, PATIENTS, effects)
        found = auc_interval(outcome, model.decision_function(fresh))
        covered.append(found.lower <= truth <= found.upper)
    outcome = rng.permutation(np.arange(MANY) % 2)
    kept = np.flatnonzero(b)
    # Only what the score uses is drawn for the many patients.
    score = (rng.normal(size=(MANY, len(kept))) + np.outer(outcome, effects[kept])) @ b[kept]
    slope_truth = float(b @ effects / (b @ b))
    slope = calibration_slope(outcome, 1.0 / (1.0 + np.exp(-score)))
    error = (slope.upper - slope.lower) / (2.0 * stats.norm.ppf(0.975))
    z = (slope.estimate - slope_truth) / error
    return Flight(area, truth, slope_truth, slope.estimate, z, tuple(covered))


def mean_and_error(values):
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def coverage_holds(flights):
    """Whether 95 % intervals of fresh patients hold the truth in 92-98 %, wider where intervals are few."""
    held = [value for f in flights for value in f.covered]
    slack = 3 * np.sqrt(0.95 * 0.05 / len(held)) if len(held) < 1000 else 0.0
    return 0.92 - slack <= np.mean(held) <= 0.98 + slack


def slopes_hold(flights):
    """Whether slopes of so many patients scatter about the truth as standard normal z say."""
    z = np.array([f.z for f in flights])
    return abs(z.mean()) < 3 / np.sqrt(len(z)) and (np.abs(z) < 1.96).mean() > 0.95 - 3 * 0.22 / np.sqrt(
        len(z)
    )


def judge_noise(flights, error_at_most):
    """Assert what must hold of noise, within what that many seeds can tell; return the models that chose."""
    area, error = mean_and_error([f.nested_auc for f in flights])
    assert abs(area - 0.5) < 3 * error and error < error_at_most
    # Most pipelines select nothing, and then say the prevalence: no slope, nothing to cover.
    chosen = [f for f in flights if f.covered]
    assert len(chosen) > len(flights) / 8
    assert {f.true_auc for f in chosen} == {0.5} and {f.true_slope for f in chosen} == {0.0}
    assert coverage_holds(chosen) and slopes_hold(chosen)
    return chosen


def test_a_few_cohorts_of_noise():
    judge_noise([fly(seed, NOTHING) for seed in range(8)], 0.05)


def test_a_few_cohorts_with_planted_effects():
    flights = [fly(seed, EFFECTS, nested=False) for seed in range(1, 5)]
    assert all(0.55 < f.true_auc < 0.8 for f in flights)
    assert coverage_holds(flights) and slopes_hold(flights)


@pytest.mark.slow
def test_a_hundred_cohorts_of_noise():
    chosen = judge_noise([fly(seed, NOTHING) for seed in range(100)], 0.012)
    slope, error = mean_and_error([f.slope for f in chosen])
    assert abs(slope) < 3 * error


@pytest.mark.slow
def test_a_hundred_cohorts_with_planted_effects():
    flights = [fly(seed, EFFECTS) for seed in range(100)]
    chosen = [f for f in flights if f.covered]
    assert coverage_holds(chosen) and slopes_hold(chosen)
    # Nested models have three quarters of the patients, and none of them has more than all effects together.
    nested, error = mean_and_error([f.nested_auc for f in flights])
    most = stats.norm.cdf(np.linalg.norm(EFFECTS) / np.sqrt(2.0))
    assert 0.5 + 3 * error < nested < np.mean([f.true_auc for f in chosen]) + 3 * error < most


# ---- and a leak would be seen ----

STEPS = [
    "impute", "scale", "variance", {"univariable": {"p": 0.05, "test": "welch"}},
    {"correlation": {"method": "pearson"}}, {"mrmr": {"count": 8}},
]  # fmt: skip
LASSO = {"folds": 3, "count": 6, "smallest_ratio": 0.3}


def selecting(steps=STEPS):
    return build_pipeline({"steps": steps, "model": {"lasso": LASSO}}, 0)


def cohort(seed, n=120, p=200, effect=0.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    X = pd.DataFrame(rng.normal(size=(n, p)), index=[f"P{i}" for i in range(n)]).add_prefix("f")
    X["f3"] += effect * y
    return X, y


def test_selection_inside_the_folds_finds_nothing_in_noise_and_outside_them_it_would():
    inside, outside = [], []
    for seed in range(6):
        X, y = cohort(seed)
        inside.append(nested_auc(selecting(), X, y, 4, seed))
        chosen = selecting().prepare.fit(X, y).transform(X)
        outside.append(nested_auc(selecting(["impute"]), chosen, y, 4, seed))
    for areas, found in ((inside, False), (outside, True)):
        error = np.std(areas, ddof=1) / np.sqrt(len(areas))
        assert (np.mean(areas) - 0.5 > 3 * error) == found
    assert np.mean(outside) > 0.65


def test_what_is_there_is_found():
    X, y = cohort(0, p=60, effect=1.5)
    # Two normals 1.5 SD apart have an AUC of 0.856.
    assert nested_auc(selecting(), X, y, 4, 1) == pytest.approx(0.856, abs=0.08)
