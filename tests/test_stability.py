"""Intraclass correlation against R, published numbers, closed forms and simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annulus.errors import StudyError
from annulus.features import stability
from annulus.features.stability import STABILITY_COLUMNS, icc, icc_table

ORACLE = Path(__file__).parent / "oracle"
SHARED = Path(__file__).parents[1] / ".." / "shared" / "oracle" / "oracle2.json"

# Shrout & Fleiss 1979, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def simulated(rng, n, k, subject_sd, rater_sd, error_sd):
    subjects = rng.normal(0, subject_sd, (n, 1))
    return subjects + rng.normal(0, rater_sd, (1, k)) + rng.normal(0, error_sd, (n, k))


def long_table(ratings, name="feature"):
    """One row per patient and rater, in no helpful order."""
    n, k = ratings.shape
    table = pd.DataFrame(
        {
            "patient_id": np.repeat([f"P{i:03d}" for i in range(n)], k),
            "rater": np.tile([f"R{j}" for j in range(k)], n),
            name: ratings.ravel(),
        }
    )
    return table.sample(frac=1, random_state=5)


ratings_of = st.builds(
    lambda seed, n, k, share: simulated(np.random.default_rng(seed), n, k, share, 0.5, 1.0),
    st.integers(0, 2**32 - 1),
    st.integers(5, 30),
    st.integers(2, 6),
    st.floats(0.1, 4.0),
)
models = st.sampled_from(["2,1", "3,1"])


# --- published numbers and R -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "printed", "estimate", "lower", "upper"),
    [
        ("2,1", 0.29, 0.2897637795276, 0.01878651337471, 0.761084369649),
        ("3,1", 0.71, 0.7148407148407, 0.3424647650339, 0.9458582599554),
    ],
)
def test_shrout_and_fleiss_and_r_psych(model, printed, estimate, lower, upper):
    found = icc(SHROUT_FLEISS, model)
    assert round(found.estimate, 2) == printed
    assert found.estimate == pytest.approx(estimate, abs=1e-12)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-11)
    assert (found.n, found.k, found.reason) == (6, 4, "")


@pytest.mark.skipif(not SHARED.is_file(), reason=f"NOT COMPARED WITH R'S OWN FILE: there is no {SHARED}")
@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_shrout_and_fleiss_as_r_wrote_it(model):
    rows = {row["type"]: row for row in json.loads(SHARED.read_text())["icc_sf"]}
    truth = rows[f"ICC{model[0]}"]
    found = icc(SHROUT_FLEISS, model)
    expected = [truth[name] for name in ("ICC", "lower bound", "upper bound")]
    assert [found.estimate, found.lower, found.upper] == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_synthetic_cohort_equals_r_psych(model):
    cohort = pd.read_csv(ORACLE / "cohort.csv")
    train = cohort[cohort["cohort"] == "train"].head(60)
    f0, f1, f2 = (train[name].to_numpy() for name in ("f00", "f01", "f02"))
    ratings = np.column_stack([f0, f0 + 0.4 * f1, f0 + 0.3 * f2 + 0.2])
    rows = {row["type"]: row for row in json.loads((ORACLE / "expected.json").read_text())["icc"]}
    truth = rows[f"ICC{model[0]}"]
    found = icc(ratings, model)
    expected = [truth[name] for name in ("ICC", "lower bound", "upper bound")]
    assert [found.estimate, found.lower, found.upper] == pytest.approx(expected, abs=1e-10)


# --- closed forms and another implementation -------------------------------------------------


@given(ratings_of)
@settings(max_examples=30, deadline=None)
def test_two_raters_have_closed_forms(ratings):
    ratings = ratings[:, :2]
    n = len(ratings)
    variances, covariance = ratings.var(axis=0, ddof=1), np.cov(ratings.T)[0, 1]
    offset = np.diff(ratings.mean(axis=0))[0]
    error = variances.sum() / 2 - covariance
    assert icc(ratings, "3,1").estimate == pytest.approx(2 * covariance / variances.sum())
    expected = 2 * covariance / (variances.sum() + offset**2 - 2 * error / n)
    assert icc(ratings, "2,1").estimate == pytest.approx(expected)


def residual_sum_of_squares(ratings, *factors):
    design = np.column_stack([np.ones(ratings.size), *(np.equal.outer(f, np.unique(f)) for f in factors)])
    fit = design @ np.linalg.lstsq(design, ratings.ravel(), rcond=None)[0]
    return np.sum((ratings.ravel() - fit) ** 2)


@given(ratings_of)
@settings(max_examples=30, deadline=None)
def test_mean_squares_are_those_of_a_two_way_least_squares_fit(ratings):
    n, k = ratings.shape
    subject, rater = (grid.ravel() for grid in np.mgrid[:n, :k])
    both = residual_sum_of_squares(ratings, subject, rater)
    error = both / ((n - 1) * (k - 1))
    subjects = (residual_sum_of_squares(ratings, rater) - both) / (n - 1)
    raters = (residual_sum_of_squares(ratings, subject) - both) / (k - 1)
    expected = (subjects - error) / (subjects + (k - 1) * error)
    assert icc(ratings, "3,1").estimate == pytest.approx(expected, abs=1e-9)
    expected = (subjects - error) / (subjects + (k - 1) * error + k * (raters - error) / n)
    assert icc(ratings, "2,1").estimate == pytest.approx(expected, abs=1e-9)


@given(ratings_of, models, st.floats(-1e3, 1e3), st.sampled_from([-1e150, -2.0, 1e-150, 1e-3, 1e6]))
@settings(max_examples=30, deadline=None)
def test_unit_and_order_of_the_ratings_do_not_matter(ratings, model, shift, factor):
    plain = icc(ratings, model)
    rng = np.random.default_rng(1)
    other = factor * (ratings[rng.permutation(len(ratings))][:, rng.permutation(ratings.shape[1])] + shift)
    found = icc(other, model)
    assert [found.estimate, found.lower, found.upper] == pytest.approx(
        [plain.estimate, plain.lower, plain.upper], abs=1e-8
    )


@given(ratings_of, models)
@settings(max_examples=30, deadline=None)
def test_the_interval_holds_the_estimate(ratings, model):
    found = icc(ratings, model)
    assert found.lower < found.estimate < found.upper <= 1
    # Consistency cannot be lower than with raters who cancel out; agreement's interval is approximate.
    assert model == "2,1" or found.lower > -1 / (ratings.shape[1] - 1) - 1e-9


@given(ratings_of)
@settings(max_examples=25, deadline=None)
def test_offsets_between_raters_lower_agreement_and_not_consistency(ratings):
    apart = ratings + 50.0 * np.arange(ratings.shape[1])
    assert icc(apart, "3,1").estimate == pytest.approx(icc(ratings, "3,1").estimate, abs=1e-8)
    assume(icc(ratings, "3,1").estimate > 0.05)
    assert icc(apart, "2,1").estimate < icc(ratings, "3,1").estimate


def test_the_estimate_is_the_share_of_variance_between_subjects():
    rng = np.random.default_rng(2)
    found = icc(simulated(rng, 40_000, 4, 2.0, 0.0, 1.0), "3,1")
    assert found.estimate == pytest.approx(4 / 5, abs=0.005)
    assert found.upper - found.lower < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("model", "rater_sd"), [("2,1", 0.7), ("3,1", 0.0), ("2,1", 0.0)])
def test_intervals_cover_the_truth_in_95_percent(model, rater_sd):
    rng = np.random.default_rng(3)
    truth = 2.25 / (2.25 + rater_sd**2 + 1)
    repeats = 4000
    covered = 0
    for _ in range(repeats):
        found = icc(simulated(rng, 30, 6, 1.5, rater_sd, 1.0), model)
        covered += found.lower <= truth <= found.upper
    # Exact where raters do not differ; Satterthwaite's approximation is off by a percent or two.
    tolerance = 0.012 if rater_sd == 0 else 0.025
    assert covered / repeats == pytest.approx(0.95, abs=tolerance)


# --- what cannot be estimated ----------------------------------------------------------------


@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_identical_ratings_agree_wholly(model):
    ratings = np.repeat(np.random.default_rng(0).normal(size=(12, 1)), 3, axis=1)
    found = icc(ratings, model)
    assert [found.estimate, found.lower, found.upper] == pytest.approx([1, 1, 1])
    # These numbers leave no rounding: the error is exactly 0.
    found = icc(np.repeat(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None], 2, axis=1), model)
    assert [found.estimate, found.lower, found.upper] == [1, 1, 1]


def test_a_pure_offset_between_raters_is_consistent_but_does_not_agree():
    ratings = np.arange(10.0)[:, None] + np.array([0.0, 4.0])
    assert icc(ratings, "3,1").estimate == 1
    found = icc(ratings, "2,1")
    # By hand: mean square of subjects 2 * 110 / 12, of raters 10 * 8, no error, k / n = 1 / 5.
    assert found.estimate == pytest.approx((55 / 3) / (55 / 3 + 16))
    assert 0 < found.lower < found.estimate < found.upper < 1


@pytest.mark.parametrize("model", ["2,1", "3,1"])
@pytest.mark.parametrize("values", [0.1, 0.0, 1e9 / 3])
def test_a_constant_feature_has_no_intraclass_correlation(model, values):
    found = icc(np.full((9, 3), values), model)
    assert np.isnan([found.estimate, found.lower, found.upper]).all()
    assert found.reason == "the same in every patient"


@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_a_feature_that_only_differs_between_raters_has_none_either(model):
    found = icc(np.tile([0.1, 0.3, 0.7], (11, 1)), model)
    assert np.isnan([found.estimate, found.lower, found.upper]).all()
    assert found.reason == "the same in every patient"


@pytest.mark.parametrize("model", ["2,1", "3,1"])
def test_only_subjects_with_every_rating_count(model):
    ratings = simulated(np.random.default_rng(4), 20, 3, 2.0, 0.3, 1.0)
    gaps = np.vstack([ratings, [[np.nan, 1.0, 2.0]], [[5.0, np.inf, 1.0]]])
    found, plain = icc(gaps, model), icc(ratings, model)
    expected = (plain.estimate, plain.lower, plain.upper)
    assert (found.estimate, found.lower, found.upper) == pytest.approx(expected, abs=1e-12)
    assert (found.n, found.k) == (20, 3)


def test_fewer_than_five_subjects_are_not_enough():
    few = icc(SHROUT_FLEISS[:4], "2,1")
    assert np.isnan([few.estimate, few.lower, few.upper]).all()
    assert (few.n, few.k) == (4, 4)
    assert few.reason == "fewer than 5 patients with every rating"
    assert np.isfinite(icc(SHROUT_FLEISS[:5], "2,1").estimate)
    assert icc(np.full((6, 3), np.nan), "3,1").n == 0


def test_one_rater_is_refused():
    with pytest.raises(StudyError, match="two raters or perturbations"):
        icc(SHROUT_FLEISS[:, :1], "2,1")


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="2,1 or 3,1"):
        icc(SHROUT_FLEISS, "1,1")


# --- tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["2,1", "3,1"])
@pytest.mark.parametrize("block", [1, 200, 10**6])
def test_a_table_equals_one_feature_at_a_time(model, block, monkeypatch):
    rng = np.random.default_rng(6)
    n, k = 14, 3
    features = {}
    for number, scale in enumerate([0.0, 0.3, 1.0, 5.0, 1e8, 1e-8]):
        ratings = simulated(rng, n, k, 1.5, 0.4, 1.0) * scale
        ratings[rng.random((n, k)) < 0.03 * number] = np.nan
        features[f"f{number}"] = ratings
    table = long_table(features["f0"], "f0")
    for name, ratings in list(features.items())[1:]:
        table = table.merge(long_table(ratings, name), on=["patient_id", "rater"])
    monkeypatch.setattr(stability, "BLOCK_VALUES", block)
    found = icc_table(table, "rater", model, "raters")
    assert list(found.columns) == STABILITY_COLUMNS
    assert list(found["column"]) == list(features)
    assert set(found["source"]) == {"raters"}
    for row, ratings in zip(found.itertuples(), features.values(), strict=True):
        alone = icc(ratings, model)
        assert (row.n, row.reason) == (alone.n, alone.reason)
        expected = [alone.estimate, alone.lower, alone.upper]
        assert [row.icc, row.icc_lower, row.icc_upper] == pytest.approx(expected, nan_ok=True)
    assert found["icc"].notna().sum() == 5
    assert found["n"].nunique() > 1


def test_a_patient_whom_one_rater_left_out_does_not_count():
    ratings = simulated(np.random.default_rng(8), 12, 3, 2.0, 0.0, 1.0)
    table = long_table(ratings)
    missing = table[~((table["patient_id"] == "P003") & (table["rater"] == "R1"))]
    found = icc_table(missing, "rater", "2,1", "raters").iloc[0]
    alone = icc(np.delete(ratings, 3, axis=0), "2,1")
    assert found["n"] == 11
    assert found["icc_lower"] == pytest.approx(alone.lower)


def test_a_planted_unstable_feature_is_told_from_a_stable_one():
    rng = np.random.default_rng(9)
    table = long_table(simulated(rng, 60, 10, 3.0, 0.0, 1.0), "stable")
    table["unstable"] = rng.normal(size=len(table))
    found = icc_table(table, "rater", "2,1", "perturbation").set_index("column")
    assert found.loc["stable", "icc_lower"] > 0.75
    assert found.loc["unstable", "icc_upper"] < 0.25


def test_two_rows_of_one_rater_are_refused():
    table = long_table(SHROUT_FLEISS)
    with pytest.raises(StudyError, match="Patient P002 has several rows of features from rater R1"):
        icc_table(
            pd.concat([table, table[(table["patient_id"] == "P002") & (table["rater"] == "R1")]]),
            "rater",
            "2,1",
            "raters",
        )


def test_a_row_without_a_rater_is_refused():
    table = long_table(SHROUT_FLEISS)
    table.loc[table.index[0], "rater"] = np.nan
    with pytest.raises(StudyError, match="no patient_id or no rater"):
        icc_table(table, "rater", "2,1", "raters")


def test_no_features_give_no_rows():
    found = icc_table(long_table(SHROUT_FLEISS).drop(columns="feature"), "rater", "2,1", "raters")
    assert list(found.columns) == STABILITY_COLUMNS
    assert found.empty
