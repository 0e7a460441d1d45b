"""The one split of patients into cohorts, and the flow chart that counts them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.errors import StudyError
from annulus.modelling.split import (
    Flow,
    allocate,
    eligible,
    finish_split,
    of_cohort,
    outcomes_of,
    refuse_small_classes,
    split_patients,
)

TASK = {"outcome": "her2", "positive": ["positive"], "negative": ["negative"], "outer_folds": 3}
TASKS = {"her2_fish": TASK}
BY_COLUMN = {
    "by": "column",
    "column": "center",
    "cohorts": {"train": ["A", "B"], "external_c": ["C"]},
}
BY_DATE = {"by": "date", "cohorts": {"train": "2020-01-01", "prospective_test": "2022-07-01"}}
BY_CHANCE = {"by": "random", "cohorts": {"train": 0.7, "internal_test": 0.3}}
NO_LOSS = pd.DataFrame({"patient_id": [], "reason": []})


def participants(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "center": rng.permutation(np.resize(list("ABC"), n)),
            "her2": rng.permutation(np.resize(["positive", "negative", "negative"], n)),
            "her2_ihc": rng.permutation(np.resize(["2+", "2+", "2+", "3+"], n)),
            "exam_date": [f"20{20 + i % 4}-{1 + i % 12:02d}-15" for i in range(n)],
        }
    )


def split_of(people, plan, seed=1, lost=NO_LOSS, extracted=None, eligibility=(), tasks=TASKS):
    features = people["patient_id"] if extracted is None else extracted
    allocation, flow = allocate(people, lost, eligibility, plan, tasks, seed)
    return finish_split(allocation, flow, features, people, plan, tasks)


def cohorts(people, plan, seed=1):
    people = people.set_index("patient_id")
    return split_patients(people, plan, outcomes_of(people, TASKS)["her2_fish"], seed)


# ---- who goes where ----


def test_a_column_decides():
    people = participants()
    found = cohorts(people, BY_COLUMN)
    center = people.set_index("patient_id")["center"]
    assert (found[center.isin(["A", "B"])] == "train").all()
    assert (found[center == "C"] == "external_c").all()


@pytest.mark.parametrize("written", ["1", 1, 1.0])
def test_numbers_of_a_column_compare_however_they_are_written(written):
    people = participants().assign(center=np.resize(["1", "2"], 60))
    plan = {"by": "column", "column": "center", "cohorts": {"train": [written], "test": [2.0]}}
    assert (cohorts(people, plan) == "train").sum() == 30


def test_a_value_of_no_cohort_leaves_the_patient_out():
    people = participants()
    plan = BY_COLUMN | {"cohorts": {"train": ["A"], "external_c": ["C"]}}
    found = cohorts(people, plan)
    assert found[people.set_index("patient_id")["center"] == "B"].isna().all()


def test_an_unknown_column_is_refused():
    with pytest.raises(StudyError, match="no column 'centre'"):
        cohorts(participants(), BY_COLUMN | {"column": "centre"})


def test_an_empty_cohort_is_refused_by_name():
    plan = BY_COLUMN | {"cohorts": {"train": ["A"], "external_z": ["Z"]}}
    with pytest.raises(StudyError, match="external_z"):
        cohorts(participants(), plan)


def test_a_date_decides_and_its_first_day_counts():
    days = ["2019-12-31", "2020-01-01", "2022-06-30", "2022-07-01", None]
    people = participants(5).assign(exam_date=days)
    found = cohorts(people, BY_DATE)
    assert found.fillna("none").tolist() == ["none", "train", "train", "prospective_test", "none"]


def test_training_must_come_first_in_time():
    plan = {"by": "date", "cohorts": {"train": "2022-01-01", "internal_test": "2020-01-01"}}
    with pytest.raises(StudyError, match="train must begin first"):
        cohorts(participants(), plan)


@pytest.mark.parametrize("n", [60, 61, 83])
def test_chance_keeps_the_shares_within_either_outcome(n):
    people = participants(n)
    found = cohorts(people, BY_CHANCE)
    for _, group in found.groupby(people.set_index("patient_id")["her2"]):
        assert abs((group == "train").sum() - 0.7 * len(group)) <= 0.5


def test_chance_is_the_seeds_and_not_the_order_of_the_table():
    people = participants()
    one = cohorts(people, BY_CHANCE)
    other = cohorts(people.sample(frac=1, random_state=3), BY_CHANCE)
    pd.testing.assert_series_equal(one.sort_index(), other.sort_index())
    assert not one.equals(cohorts(people, BY_CHANCE, seed=2))


def test_chance_has_no_preference_among_patients():
    people = participants(40)
    draws = [cohorts(people, BY_CHANCE, seed) == "train" for seed in range(400)]
    drawn = sum(draw.to_numpy(float) for draw in draws)
    # Every patient is in training 0.7 of the time, within five standard errors.
    assert np.abs(drawn / 400 - 0.7).max() < 5 * np.sqrt(0.21 / 400)


def test_shares_must_add_up_to_one():
    plan = {"by": "random", "cohorts": {"train": 0.7, "internal_test": 0.2}}
    with pytest.raises(StudyError, match=r"add up to 0\.9"):
        cohorts(participants(), plan)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 90))
def test_everybody_is_in_exactly_one_cohort(seed, n):
    found = cohorts(participants(n), BY_CHANCE, seed)
    assert len(found) == n and found.index.is_unique
    assert found.isin(["train", "internal_test"]).all()


@pytest.mark.parametrize("plan", [BY_COLUMN, BY_DATE, BY_CHANCE])
def test_images_of_one_patient_cannot_part(plan):
    people = participants()
    images = people["patient_id"].repeat(3)
    split, _ = split_of(people, plan, extracted=images)
    assert split["patient_id"].is_unique
    joined = images.to_frame().merge(split, on="patient_id")
    assert (joined.groupby("patient_id")["cohort"].nunique() == 1).all()


def test_an_outcome_does_not_move_a_patient_who_is_placed_by_column():
    people = participants()
    other = people.assign(her2=people["her2"].to_numpy()[::-1])
    pd.testing.assert_frame_equal(split_of(people, BY_COLUMN)[0], split_of(other, BY_COLUMN)[0])


# ---- too few patients ----


@pytest.mark.parametrize(("events", "enough"), [(5, False), (6, True)])
def test_training_needs_two_patients_of_either_class_per_fold(events, enough):
    y = pd.DataFrame({"task": np.r_[np.ones(events), np.zeros(30)]})
    for outcomes in (y, 1 - y):
        place = pd.Series("train", index=outcomes.index)
        if enough:
            assert refuse_small_classes(outcomes, place, 3) is None
        else:
            with pytest.raises(StudyError, match=r"tasks\.task: .* 6 of each are needed"):
                refuse_small_classes(outcomes, place, 3)


def test_events_outside_training_do_not_count():
    outcomes = pd.DataFrame({"task": np.r_[np.ones(10), np.zeros(10)]})
    place = pd.Series(["internal_test"] * 10 + ["train"] * 10)
    with pytest.raises(StudyError, match="0 patients with and 10 without"):
        refuse_small_classes(outcomes, place, 3)


# ---- outcomes ----


@pytest.mark.parametrize("positive", [1, "1", 1.0, True])
@pytest.mark.parametrize("values", [["1", "0"], [1, 0], [1.0, 0.0], [True, False]])
def test_one_is_one_however_it_is_written(positive, values):
    people = pd.DataFrame({"y": values})
    found = outcomes_of(people, {"t": {"outcome": "y", "positive": [positive], "negative": [0]}})
    assert found["t"].tolist() == [1.0, 0.0]


def test_a_value_that_is_neither_is_missing():
    people = pd.DataFrame({"y": ["positive", "negative", "not_done", None]})
    plan = {"outcome": "y", "positive": ["positive"], "negative": ["negative"]}
    found = outcomes_of(people, {"t": plan})["t"]
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan, np.nan])


def test_a_value_that_is_both_positive_and_negative_is_refused():
    people = pd.DataFrame({"y": ["a", "b"]})
    with pytest.raises(StudyError):
        outcomes_of(people, {"t": {"outcome": "y", "positive": ["a"], "negative": ["a", "b"]}})


# ---- the flow chart ----


def flow_example():
    people = participants()
    people.loc[:2, "her2"] = "not_done"
    people.loc[people["center"] == "B", "center"] = "D"
    eligibility = [{"column": "her2_ihc", "values": ["2+"], "reason": "not 2+"}]
    kept = people[people["her2_ihc"] == "2+"]["patient_id"]
    lost = pd.DataFrame({"patient_id": [*kept[:2], "stranger"], "reason": ["no mask", "x", "y"]})
    extracted = people["patient_id"][people["patient_id"] != kept.iloc[5]]
    tasks = {"her2_fish": TASK | {"outer_folds": 2}}
    return people, *split_of(people, BY_COLUMN, 1, lost, extracted, eligibility, tasks)


def test_flow_counts_add_up():
    people, split, flow = flow_example()
    steps = flow[flow["step"] != "allocation"]
    assert steps["n_in"].iloc[0] == len(people)
    assert (steps["n_in"].to_numpy()[1:] == steps["n_out"].to_numpy()[:-1]).all()
    allocated = flow[flow["step"] == "allocation"]
    assert allocated["n_out"].sum() == steps["n_out"].iloc[-1] == len(split)


def test_flow_counts_every_loss_at_its_step():
    people, _, flow = flow_example()
    steps = flow[flow["step"] != "allocation"].set_index("step")
    left_out = (steps["n_in"] - steps["n_out"]).to_dict()
    assert left_out["eligibility"] == (people["her2_ihc"] != "2+").sum()
    assert left_out["images and masks usable"] == 2
    assert left_out["features extracted"] == 1
    assert steps.loc["images and masks usable", "reason"] == "no mask (1); x (1)"


def test_allocation_gives_the_events_of_every_cohort():
    people, split, flow = flow_example()
    for row in flow[flow["step"] == "allocation"].itertuples():
        members = people["patient_id"].isin(split.loc[split["cohort"] == row.cohort, "patient_id"])
        events = (people.loc[members, "her2"] == "positive").sum()
        assert row.reason == f"her2_fish: {events} events of {members.sum()}"


def test_nobody_without_outcome_image_or_eligibility_is_in_the_split():
    people, split, _ = flow_example()
    chosen = people[people["patient_id"].isin(split["patient_id"])]
    assert set(chosen["her2"]) == {"positive", "negative"}
    assert set(chosen["her2_ihc"]) == {"2+"}
    assert set(chosen["center"]) == {"A", "C"}


def test_eligibility_is_applied_in_order():
    people = pd.DataFrame({"a": [1, 1, 2, 2], "b": ["x", "y", "x", "y"]})
    conditions = [
        {"column": "a", "values": ["1"], "reason": "a"},
        {"column": "b", "values": ["x"], "reason": "b"},
    ]
    kept, flow = eligible(people, conditions, Flow())
    assert kept.index.tolist() == [0]
    assert [(r["n_in"], r["n_out"]) for r in flow.rows] == [(4, 2), (2, 1)]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"below": 40}, [0, 1]),
        ({"minimum": 40}, [2, 3]),
        ({"minimum": 39.5, "below": 41}, [1, 2]),
        ({"values": [40, 39.5], "below": 40}, [1]),
    ],
)
@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_eligibility_by_a_number_leaves_out_whose_is_missing(condition, kept, kind):
    ages = pd.Series([22.0, 39.5, 40.0, 41.0, np.nan])
    if kind == "text":
        ages = pd.Series(["22", "39.5", "40", "41", None], dtype="str")
    found, flow = eligible(
        pd.DataFrame({"age_years": ages}), [{"column": "age_years", "reason": "age", **condition}], Flow()
    )
    assert found.index.tolist() == kept
    assert (flow.rows[0]["n_in"], flow.rows[0]["n_out"]) == (5, len(kept))


def test_eligibility_by_a_number_refuses_words():
    people = pd.DataFrame({"grade": ["2", "high"]})
    with pytest.raises(StudyError, match="grade is not a number"):
        eligible(people, [{"column": "grade", "below": 3, "reason": "x"}], Flow())


def test_a_cohorts_participants_are_its_members_by_id():
    people = participants()
    split, _ = split_of(people.sample(frac=1, random_state=1), BY_COLUMN)
    parts = [of_cohort(people, split, name)["patient_id"] for name in BY_COLUMN["cohorts"]]
    assert all(part.is_monotonic_increasing for part in parts)
    assert sorted(pd.concat(parts)) == people["patient_id"].tolist()


# ---- a centre left out at a time ----

LEAVE_ONE_OUT = {"by": "leave_one_out", "column": "center", "cohorts": {"train": []}}


def test_everybody_trains_and_is_held_out_with_the_own_centre():
    people = participants()
    people.loc[4, "center"] = None
    split, flow = split_of(people, LEAVE_ONE_OUT)
    known = people.dropna(subset="center").set_index("patient_id")["center"]
    assert (split["cohort"] == "train").all()
    assert split.set_index("patient_id")["left_out_together"].to_dict() == known.to_dict()
    assert flow[flow["step"] == "in a cohort"].iloc[0][["n_in", "n_out"]].tolist() == [60, 59]


def test_other_splits_hold_nobody_out_together():
    split, _ = split_of(participants(), BY_COLUMN)
    assert (split["left_out_together"] == "").all()


def test_one_centre_alone_cannot_be_left_out():
    with pytest.raises(StudyError, match="all patients have the value A; leaving one out needs two"):
        split_of(participants().assign(center="A"), LEAVE_ONE_OUT)


def test_a_centre_whose_absence_leaves_too_few_is_named():
    people = participants()
    positive = people["her2"] == "positive"
    people["center"] = np.where(positive, "A", "B")
    people.loc[people.index[positive][:3], "center"] = "B"
    with pytest.raises(StudyError, match="without A task her2_fish has 3 patients with and 40 without"):
        split_of(people, LEAVE_ONE_OUT)
