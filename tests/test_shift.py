"""Differences between training and new patients against closed forms and planted shifts."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import mahalanobis as scipy_mahalanobis

from annulus.evaluation.shift import (
    ModelTraining,
    acquisition_mix,
    case_mix,
    centre_mix,
    extrapolating,
    fitted,
    mahalanobis,
    membership,
)

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def numbers(values):
    known = values.dropna()
    found = {"n": len(known), "missing": int(values.isna().sum()), "mean": known.mean(), "sd": known.std()}
    found |= {"minimum": known.min(), "maximum": known.max()}
    return found | {name: known.quantile(share) for name, share in QUANTILES.items()}


def sealed(table, levels=(), clinical=(), units=None, name="combined", score=None, correlated=None):
    """Content of a sealed model whose training patients are ``table``."""
    summary = {
        column: {
            "n": int(table[column].notna().sum()), "missing": int(table[column].isna().sum()),
            "levels": {str(k): int(v) for k, v in table[column].value_counts().items()},
        } if column in levels else numbers(table[column])
        for column in table if column != "patient_id"
    }  # fmt: skip
    names = [c for c in summary if c not in levels] if correlated is None else list(correlated)
    matrix = np.atleast_2d(np.corrcoef(table[names].to_numpy().T)).tolist() if names else []
    scores = pd.Series(np.linspace(-1, 1, len(table)) if score is None else score)
    return {
        "task": "her2", "name": name,
        "variables": {c: {"type": "number", "unit": (units or {}).get(c, "")} for c in clinical},
        "training": {
            "summary": summary | {"linear_predictor": numbers(scores)},
            "correlation": {"names": names, "matrix": matrix},
        },
    }  # fmt: skip


def patients(n, shift=0.0, seed=1, columns=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {name: rng.normal(shift if i == 0 else 0.0, 1.0, n) for i, name in enumerate(columns)}
    )
    return table.assign(patient_id=[f"P{seed}_{i}" for i in range(n)])


def no_scores(*values):
    return pd.DataFrame({"task": "her2", "model": "combined", "linear_predictor": list(values) or [0.0, 1.0]})


def mix(training, here, scores=None, **settings):
    model = ModelTraining.of(sealed(training, **settings))
    return case_mix([model], here, no_scores() if scores is None else scores, False).set_index("column")


def test_difference_of_numbers_is_austins_with_a_sign():
    training = pd.DataFrame({"a": [1.0, 2.0, 3.0, np.nan]})
    row = mix(training, pd.DataFrame({"a": [0.0, 2.0, 4.0, 10.0, np.nan, np.nan]})).loc["a"]
    variance = np.var([0.0, 2.0, 4.0, 10.0], ddof=1)
    assert row["standardised_difference"] == pytest.approx((4.0 - 2.0) / np.sqrt((1.0 + variance) / 2))
    assert [row["n_training"], row["n_here"]] == [4, 6]
    assert [row["missing_share_training"], row["missing_share_here"]] == pytest.approx([0.25, 1 / 3])
    assert row["out_of_range_share"] == 0.75


def test_difference_of_two_levels_is_that_of_proportions():
    training = pd.DataFrame({"menopause": ["pre"] * 60 + ["post"] * 40})
    here = pd.DataFrame({"menopause": ["pre"] * 20 + ["post"] * 30})
    row = mix(training, here, levels=["menopause"], clinical=["menopause"], correlated=[]).loc["menopause"]
    wanted = abs(0.4 - 0.6) / np.sqrt((0.4 * 0.6 + 0.6 * 0.4) / 2)
    assert row["standardised_difference"] == pytest.approx(wanted)
    assert row["kind"] == "clinical"
    assert row["unseen_levels"] == ""


def test_levels_that_training_did_not_have_are_named():
    training = pd.DataFrame({"grade": ["1"] * 5 + ["2"] * 5})
    model = ModelTraining.of(sealed(training, levels=["grade"], clinical=["grade"], correlated=[]))
    here = pd.DataFrame({"patient_id": list("vwxyz"), "grade": ["1", "2", "3", "3", None]})
    row = case_mix([model], here, no_scores(), False).set_index("column").loc["grade"]
    assert row["unseen_levels"] == "3"
    assert row["out_of_range_share"] == 0.5
    flagged = extrapolating([model], here, False)
    assert flagged["extrapolates"].tolist() == [0, 0, 1, 1, 0]
    assert flagged["columns"].tolist() == ["", "", "grade", "grade", ""]


def test_columns_that_the_cohort_lacks_or_that_do_not_vary_say_so():
    found = mix(
        pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 2.0]}), pd.DataFrame({"a": [1.0, 1.0]}), correlated=["b"]
    )
    assert "varies neither" in found.loc["a", "note"]
    assert found.loc["b", "note"] == "this cohort has no such column"
    assert found.loc["b", "missing_share_here"] == 1.0


def test_models_with_the_same_training_patients_share_a_row():
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "log2_lesion_volume": [1.0, 5.0, 9.0]})
    models = fitted([sealed(table, name=name) for name in ("combined", "volume")])
    found = case_mix(models, table, no_scores(), False)
    shared = found[found["column"] == "a"]
    assert shared["task_models"].tolist() == ["her2/combined; her2/volume"]
    assert found["kind"].tolist() == ["feature", "size", "linear_predictor", "linear_predictor"]


def test_linear_predictor_tells_whether_patients_are_more_alike():
    scores = np.array([-2.0, 0.0, 2.0])
    row = mix(
        pd.DataFrame({"a": [1.0, 2.0, 3.0]}),
        pd.DataFrame({"a": [1.0]}),
        no_scores(0.0, 1.0, 2.0),
        score=scores,
    )
    row = row.loc["linear_predictor"]
    assert [row["mean_training"], row["sd_training"], row["mean_here"], row["sd_here"]] == [
        0.0,
        2.0,
        1.0,
        1.0,
    ]
    assert row["standardised_difference"] == pytest.approx(1.0 / np.sqrt(2.5))
    assert "0.50 times" in row["note"]
    assert "harder" in row["note"]


def test_models_that_were_not_fitted_have_nothing_to_compare():
    assert fitted([{"task": "her2", "name": "clinical", "training": {}}]) == []


def test_membership_of_the_same_population_is_a_half():
    training, here = patients(600, seed=1), patients(600, seed=2)
    row = membership([ModelTraining.of(sealed(training))], training, here, 1, False).iloc[0]
    assert row["auc"] == pytest.approx(0.5, abs=0.04)
    assert row["lower"] < 0.5 < row["upper"] + 0.02
    assert [row["predictors"], row["n_training"], row["n_here"]] == [3, 600, 600]


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_membership_under_a_shift_of_the_mean_is_that_of_two_normals(shift):
    training, here = patients(1500, seed=1), patients(1500, shift, seed=2)
    row = membership([ModelTraining.of(sealed(training))], training, here, 1, False).iloc[0]
    assert row["auc"] == pytest.approx(stats.norm.cdf(shift / np.sqrt(2.0)), abs=0.015)
    assert row["lower"] < row["auc"] < row["upper"]
    assert "DeLong" in row["method"]


def test_membership_sees_levels_and_not_the_outcome():
    rng = np.random.default_rng(1)
    training = pd.DataFrame({"site": rng.permutation(["x"] * 300 + ["y"] * 100)})
    here = pd.DataFrame({"site": rng.permutation(["x"] * 100 + ["y"] * 300)})
    model = ModelTraining.of(sealed(training, levels=["site"], clinical=["site"], correlated=[]))
    row = membership([model], training, here, 1, False).iloc[0]
    # Of a binary score: (sensitivity + specificity) / 2.
    assert row["auc"] == pytest.approx(0.75, abs=1e-9)


def test_membership_of_few_like_patients_is_a_half_on_average():
    found = []
    for seed in range(16):
        training, here = patients(20, seed=2 * seed), patients(20, seed=2 * seed + 1)
        found.append(
            membership([ModelTraining.of(sealed(training))], training, here, 1, False)["auc"].iloc[0]
        )
    assert np.mean(found) == pytest.approx(0.5, abs=3 * np.std(found, ddof=1) / 4)


def test_patients_that_are_told_apart_completely_have_an_interval():
    training, here = patients(20, seed=1), patients(20, 50.0, seed=2)
    row = membership([ModelTraining.of(sealed(training))], training, here, 1, False).iloc[0]
    assert row["auc"] == row["upper"] == 1.0
    assert row["lower"] == pytest.approx(stats.beta.ppf(0.025, 20, 1))


def test_why_there_is_no_membership_model():
    training, here = patients(50), patients(9, seed=2)
    model = ModelTraining.of(sealed(training))
    assert "fewer than 10" in membership([model], training, here, 1, False)["note"].iloc[0]
    assert "not at hand" in membership([model], None, here, 1, False)["note"].iloc[0]
    lacking = membership([model], training, patients(20).drop(columns="b"), 1, False).iloc[0]
    assert lacking["note"] == "this cohort has no b"
    assert np.isnan(lacking["auc"])


def test_distance_is_that_of_scipy():
    rng = np.random.default_rng(1)
    covariance = np.array([[4.0, 1.5, 0.0], [1.5, 1.0, 0.3], [0.0, 0.3, 2.0]])
    training = pd.DataFrame(rng.multivariate_normal([1.0, 2.0, 3.0], covariance, 300), columns=list("abc"))
    here = pd.DataFrame(rng.multivariate_normal([2.0, 2.0, 3.0], covariance, 5), columns=list("abc"))
    model = ModelTraining.of(sealed(training))
    found = extrapolating([model], here.assign(patient_id=list("vwxyz")), False)
    inverse = np.linalg.inv(np.cov(training.to_numpy().T))
    wanted = [scipy_mahalanobis(row, training.mean(), inverse) for row in here.to_numpy()]
    assert found["distance"].to_numpy() == pytest.approx(wanted)
    assert found["distance_limit"].to_numpy() == pytest.approx(np.sqrt(9.348404), abs=1e-5)
    without = here.assign(patient_id=list("vwxyz"), b=np.nan)
    inverse = np.linalg.inv(np.cov(training[["a", "c"]].to_numpy().T))
    wanted = [
        scipy_mahalanobis(row, training[["a", "c"]].mean(), inverse) for row in here[["a", "c"]].to_numpy()
    ]
    partly = extrapolating([model], without, False)
    assert partly["distance"].to_numpy() == pytest.approx(wanted)
    assert partly["note"].unique().tolist() == ["distance by the 2 of 3 numbers that are known"]


def test_one_in_forty_of_the_training_population_is_beyond_the_limit():
    training, here = patients(5000, seed=1), patients(8000, seed=2)
    found = extrapolating([ModelTraining.of(sealed(training))], here, False)
    beyond = int((found["distance"] > found["distance_limit"]).sum())
    low, high = stats.binom.ppf([0.001, 0.999], 8000, 0.025)
    assert low <= beyond <= high


def test_a_combination_that_training_did_not_have_extrapolates_within_all_ranges():
    rng = np.random.default_rng(1)
    a = rng.normal(size=200)
    training = pd.DataFrame({"a": a, "b": a + 0.1 * rng.normal(size=200)})
    here = pd.DataFrame({"patient_id": ["alike", "other"], "a": [1.5, 1.5], "b": [1.5, -1.5]})
    found = extrapolating([ModelTraining.of(sealed(training))], here, False)
    assert found["out_of_range"].tolist() == [0, 0]
    assert found["extrapolates"].tolist() == [0, 1]


def test_a_singular_correlation_is_inverted_where_it_varies_and_says_so():
    a = np.linspace(-1.0, 1.0, 21)
    training = pd.DataFrame({"a": a, "double": 2.0 * a})
    here = pd.DataFrame({"patient_id": ["p"], "a": [0.5], "double": [1.0]})
    row = extrapolating([ModelTraining.of(sealed(training))], here, False).iloc[0]
    assert row["distance"] == pytest.approx(0.5 / np.std(a, ddof=1))
    assert row["distance_limit"] == pytest.approx(stats.norm.ppf(0.9875))
    assert "rank 1 of 2" in row["note"]


def test_uncorrelated_distance_is_euclids():
    distance, rank = mahalanobis(np.array([[3.0, 4.0]]), np.eye(2))
    assert distance[0] == pytest.approx(5.0)
    assert rank == 2


def test_a_model_without_a_correlation_judges_by_range_alone():
    content = sealed(pd.DataFrame({"a": [0.0, 1.0, 2.0]}))
    content["training"]["correlation"] = None
    here = pd.DataFrame({"patient_id": ["in", "out"], "a": [1.0, 3.0]})
    found = extrapolating([ModelTraining.of(content)], here, False)
    assert found["extrapolates"].tolist() == [0, 1]
    assert found["distance"].isna().all()
    assert found["note"].str.startswith("no distance").all()


def test_patients_without_any_number_have_no_distance():
    model = ModelTraining.of(sealed(pd.DataFrame({"a": [0.0, 1.0, 2.0]})))
    found = extrapolating([model], pd.DataFrame({"patient_id": ["p"], "a": [np.nan]}), False)
    assert np.isnan(found["distance"].iloc[0])
    assert found["extrapolates"].iloc[0] == 0
    assert "none of the numbers" in found["note"].iloc[0]


def test_images_taken_otherwise_are_told_per_image():
    training = pd.DataFrame(
        {
            "image_id": ["i", "i", "j", "k"],
            "manufacturer": ["A", "A", "A", "B"],
            "spacing_x_mm": [0.1, 0.1, 0.1, 0.2],
        }
    )
    here = pd.DataFrame({"image_id": ["x", "y"], "manufacturer": ["C", "C"], "spacing_x_mm": [0.1, 0.5]})
    found = acquisition_mix(training, here, False).set_index("column")
    assert found.index.tolist() == ["manufacturer", "spacing_x_mm"]
    assert found.loc["manufacturer", "unseen_levels"] == "C"
    assert found["n_training"].tolist() == [3, 3]
    assert found.loc["spacing_x_mm", "out_of_range_share"] == 0.5
    assert (found["kind"] == "acquisition").all()
    assert acquisition_mix(training.iloc[:0, :0].assign(image_id=[]), here, False).empty


def test_centres_that_training_never_had_are_named():
    training = pd.DataFrame({"center": ["A"] * 30 + ["B"] * 10})
    here = pd.DataFrame({"center": ["B"] * 5 + ["C"] * 15})
    row = centre_mix(training, here, "center", False).iloc[0]
    assert (row["kind"], row["n_training"], row["n_here"], row["unseen_levels"]) == (
        "acquisition",
        40,
        20,
        "C",
    )
    assert row["out_of_range_share"] == 0.75
    assert centre_mix(training, here, "device", False).empty
