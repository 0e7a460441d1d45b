"""Outcomes, models and features by centre."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from annulus.evaluation.centres import centre_table, predict_centres
from annulus.evaluation.discrimination import auc_interval


def predictions(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(n)],
            "cohort": np.where(np.arange(n) < 80, "train", "external_b"),
            "model": "m",
            "y": y,
            "probability": rng.random(n),
        }
    )
    table["probability_out_of_fold"] = np.where(np.arange(n) < 80, (y + rng.random(n)) / 2, np.nan)
    return table


def test_patients_events_and_aucs_are_counted_by_cohort_and_centre():
    table = predictions()
    centre = pd.Series(np.resize(["x", "z"], 120), index=table["patient_id"])
    found = centre_table(table, centre, True)
    assert list(zip(found["cohort"], found["centre"], strict=True)) == [
        ("train", "x"), ("train", "z"), ("external_b", "x"), ("external_b", "z"),
    ]  # fmt: skip
    own = table[(table["cohort"] == "train") & (centre.to_numpy() == "z")]
    row = found.iloc[1]
    assert (row["n"], row["events"]) == (40, own["y"].sum()) and row["prevalence"] == own["y"].mean()
    wanted = auc_interval(own["y"].to_numpy(), own["probability_out_of_fold"].to_numpy())
    assert (row["auc"], row["lower"], row["upper"]) == (wanted.estimate, wanted.lower, wanted.upper)
    assert (found["synthetic"] == 1).all()


def test_a_difference_in_prevalence_is_tested_within_each_cohort():
    table = predictions()
    names = pd.Series(np.resize(["x", "z"], 120), index=table["patient_id"])
    confounded = names.where(~names.index.isin(table["patient_id"][:80]), table["y"].astype(str).to_numpy())
    found = centre_table(table, confounded, False).drop_duplicates("cohort").set_index("cohort")
    assert found.loc["train", "p_prevalence"] < 1e-12
    part = table[80:]
    counts = pd.crosstab(names.to_numpy()[80:], part["y"])
    assert found.loc["external_b", "p_prevalence"] == pytest.approx(stats.fisher_exact(counts).pvalue)
    assert set(centre_table(table, confounded, False).query("cohort == 'train'")["note"]) == {
        "only one outcome"
    }


def test_patients_of_unknown_centre_are_kept_apart():
    table = predictions()
    found = centre_table(table, pd.Series({"P0": "x"}), False)
    assert found.loc[found["cohort"] == "train", ["centre", "n"]].to_numpy().tolist() == [
        ["not known", 79],
        ["x", 1],
    ]


def test_features_that_carry_the_centre_tell_it_and_others_do_not():
    rng = np.random.default_rng(3)
    centre = pd.Series(np.resize(["a", "b", "c"], 150))
    noise = pd.DataFrame(rng.normal(size=(150, 20)))
    shifted = noise.copy()
    shifted[0] += 4.0 * (centre == "b")
    shifted.loc[::7, 3] = np.nan
    found = predict_centres({"itr": shifted, "ptr": noise}, centre, 5, 1, False).set_index(["roi", "centre"])
    assert found.loc[("itr", "b"), "auc"] > 0.95
    for name in "abc":
        row = found.loc[("ptr", name)]
        assert row["lower"] < 0.5 + 0.03 and row["upper"] > 0.5 - 0.03
    again = predict_centres({"itr": shifted}, centre, 5, 1, False).set_index(["roi", "centre"])
    assert again.loc[("itr", "b"), "auc"] == found.loc[("itr", "b"), "auc"]


def test_centres_too_small_to_cross_validate_are_named_and_left_out():
    centre = pd.Series(["a"] * 30 + ["b"] * 30 + ["c"] * 3 + [None] * 2)
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(65, 4)))
    found = predict_centres({"itr": table}, centre, 5, 1, True).set_index("centre")
    assert "fewer than 5" in found.loc["c", "note"] and np.isnan(found.loc["c", "auc"])
    assert found["n"].to_dict() == {"a": 30, "b": 30, "c": 3}
    alone = predict_centres({"itr": table}, pd.Series(["a"] * 65), 5, 1, True)
    assert alone["note"].tolist() == ["the only centre of its size: nothing to tell apart"]
