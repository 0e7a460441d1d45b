"""Proportions at a frozen cut-off with Clopper-Pearson intervals, against R's binom.test."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from annulus.evaluation.classification import classification, proportion
from annulus.evaluation.discrimination import auc_interval

ORACLE = Path(__file__).parents[1] / "tests" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
NAMES = {
    "sensitivity": "sens", "specificity": "spec", "accuracy": "acc", "ppv": "ppv", "npv": "npv",
}  # fmt: skip


@pytest.mark.parametrize(
    ("k", "n", "lower", "upper"),
    [(18, 20, 0.6830173, 0.9876515), (45, 60, 0.6214036, 0.8528139), (0, 12, 0.0, 0.2646485)],
)
def test_exact_intervals_are_those_of_binom_test(k, n, lower, upper):
    found = proportion(k, n)
    assert found.estimate == k / n
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-8)


@pytest.mark.parametrize("cohort", ["train", "internal", "external"])
@pytest.mark.parametrize("name", NAMES)
def test_every_proportion_at_the_frozen_cut_off_is_that_of_r(cohort, name):
    table = pd.read_csv(ORACLE / "pred.csv")
    table = table[table["cohort"] == cohort]
    # The printed cut-off and probabilities have 14 digits, so the cut goes just below it.
    threshold = EXPECTED["cut"]["youden_obs"] - 1e-12
    found = classification(table["y"].to_numpy(), table["pf"].to_numpy(), threshold)[name]
    k, n, *wanted = EXPECTED["ops"][cohort][NAMES[name]]
    assert found.note == f"{k}/{n}"
    assert [found.estimate, found.lower, found.upper] == pytest.approx(wanted, abs=1e-10)


def test_published_example_of_epi_tests_is_met():
    # epiR's epi.tests with 670 true and 202 false positives, 74 false and 640 true negatives.
    outcome = np.repeat([1, 0, 1, 0], [670, 202, 74, 640])
    called = np.repeat([0.9, 0.9, 0.1, 0.1], [670, 202, 74, 640])
    found = classification(outcome, called, 0.5)
    rounded = {
        name: [round(v, 2) for v in (value.estimate, value.lower, value.upper)]
        for name, value in found.items()
    }
    assert rounded == {
        "sensitivity": [0.90, 0.88, 0.92],
        "specificity": [0.76, 0.73, 0.79],
        "accuracy": [0.83, 0.81, 0.84],
        "ppv": [0.77, 0.74, 0.80],
        "npv": [0.90, 0.87, 0.92],
    }


@pytest.mark.parametrize(
    ("k", "n", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_that_newcombe_published(k, n, lower, upper):
    # Newcombe, Stat Med 1998;17:857-872, table I, method 3.
    found = proportion(k, n, method="Wilson")
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)
    assert found.method == "Wilson"


def test_the_wilson_option_reaches_every_proportion():
    found = classification(
        np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.1, 0.8, 0.2, 0.3]), 0.5, method="Wilson"
    )
    assert {value.method for value in found.values()} == {"Wilson"}
    # Closed form at 1/2, where z squared is 3.8415.
    z2 = stats.norm.ppf(0.975) ** 2
    half = np.sqrt(z2 / 2.0 + z2**2 / 4.0) / (2.0 + z2)
    assert found["sensitivity"].lower == pytest.approx(0.5 - half)


def test_a_probability_at_the_cut_off_is_positive():
    found = classification(np.array([1, 0]), np.array([0.5, 0.5]), 0.5)
    assert (found["sensitivity"].estimate, found["specificity"].estimate) == (1.0, 0.0)


def test_a_proportion_of_nobody_is_missing():
    found = classification(np.array([1, 1, 0]), np.array([0.1, 0.2, 0.3]), 0.9)
    assert np.isnan([found["ppv"].estimate, found["ppv"].lower, found["ppv"].upper]).all()
    assert found["ppv"].note == "no such patient"
    assert found["npv"].note == "1/3"


def test_a_cohort_without_events_has_no_sensitivity():
    found = classification(np.zeros(3), np.array([0.1, 0.2, 0.9]), 0.5)
    assert np.isnan(found["sensitivity"].estimate)
    assert found["specificity"].estimate == pytest.approx(2 / 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.data())
def test_ends_are_the_beta_quantiles_that_define_them(n, data):
    k = data.draw(st.integers(0, n))
    found = proportion(k, n, 0.9)
    lower = stats.beta.ppf(0.05, k, n - k + 1) if k else 0.0
    upper = stats.beta.ppf(0.95, k + 1, n - k) if k < n else 1.0
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_accuracy_counts_true_positives_and_true_negatives(rows, threshold):
    outcome, probability = (np.array(column) for column in zip(*rows, strict=True))
    found = classification(outcome, probability, threshold)
    right = sum((p >= threshold) == y for y, p in rows)
    assert found["accuracy"].estimate == pytest.approx(right / len(rows))


def shared(name):
    path = Path(__file__).parents[2] / "shared" / "oracle" / name
    if not path.is_file():
        pytest.skip(f"GPL oracle data are absent: {path}")
    return pd.read_csv(path)


@pytest.mark.parametrize(
    ("marker", "threshold", "notes"),
    [
        ("s100b", 0.205, ["26/41", "58/72", "84/113", "26/40", "58/73"]),
        ("ndka", 11.08, ["29/41", "37/72", "66/113", "29/64", "37/49"]),
        ("wfns", 3.5, ["26/41", "60/72", "86/113", "26/38", "60/75"]),
    ],
)
def test_operating_points_of_asah_are_those_of_proc(marker, threshold, notes):
    table = shared("aSAH.csv")
    found = classification(table["outcome"] == "Poor", table[marker].to_numpy(), threshold)
    assert [value.note for value in found.values()] == notes


def test_operating_point_of_suicide_is_that_of_cutpointr():
    table = shared("cutpointr_suicide.csv")
    outcome, score = (table["suicide"] == "yes").to_numpy(), table["dsi"].to_numpy(dtype=float)
    found = classification(outcome, score, 2)
    assert found["accuracy"].estimate == pytest.approx(0.8646616541, rel=1e-9)
    assert found["sensitivity"].estimate == pytest.approx(0.8888888889, rel=1e-9)
    assert found["specificity"].estimate == pytest.approx(0.8629032258, rel=1e-9)
    assert auc_interval(outcome, score).estimate == pytest.approx(0.9237791219, rel=1e-9)
