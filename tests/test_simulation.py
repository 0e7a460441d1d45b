"""What all simulators share: patients of their own, classes by share, second raters and planted defects."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from annulus.clinical.derived import Instruments, derive
from annulus.cohort.checks import check_participants
from annulus.cohort.dictionary import columns_of
from annulus.errors import StudyError
from annulus.simulation.drawing import BLOCK, dealt_classes
from annulus.simulation.planting import DEFECTS, planted_defect, with_defect, with_raters
from annulus.simulation.roster import ROSTERS, enrolled, image_files, manifest, scaled_counts
from annulus.simulation.simulators import (
    HIDDEN,
    SIMULATORS,
    draw_images,
    simulate_cohort,
)
from annulus.simulation.truth import truth_by_cohort

PICTURED = [name for name in SIMULATORS if ROSTERS[name].pictures]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_more_patients_change_no_other(simulator):
    few = simulate_cohort(simulator, {"train": 7, "test": 5}, None, False, 0.3, 4)
    many = simulate_cohort(simulator, {"train": 33, "test": 6}, None, False, 0.3, 4)
    for small, large in zip(few, many, strict=True):
        again = large.set_index("patient_id").loc[small["patient_id"]].reset_index()
        pd.testing.assert_frame_equal(small, again, check_dtype=False)


@pytest.mark.parametrize("simulator", PICTURED)
def test_images_depend_on_the_patient_and_the_seed_alone(simulator):
    people, truth = simulate_cohort(simulator, {"train": 3}, None, False, 0.0, 4)
    patient = people.merge(truth).iloc[2].to_dict()
    first, second = (draw_images(simulator, patient, 2, 4) for _ in range(2))
    other = draw_images(simulator, patient, 2, 5)
    names = image_files(simulator, patient["patient_id"], 2)
    assert set(names) <= set(first)
    for name in names:
        assert np.array_equal(*(sitk.GetArrayFromImage(drawn[name]) for drawn in (first, second)))
    shown = ROSTERS[simulator].pictures[0].name
    assert not np.array_equal(*(sitk.GetArrayFromImage(drawn[shown]) for drawn in (first, other)))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_truth_is_apart_from_what_the_analysis_reads(simulator):
    people, truth = simulate_cohort(simulator, {"train": 40}, None, False, 0.0, 1)
    assert not [column for column in people if column.startswith(HIDDEN)]
    assert [column for column in truth if column.startswith("outcome_")]
    best = truth_by_cohort(people, truth)
    assert best["auc"].between(0, 1).all()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_nothing_tells_the_outcome_where_there_is_no_signal(simulator):
    people, truth = simulate_cohort(simulator, {"train": 1500}, None, True, 0.0, 1)
    found = truth_by_cohort(people, truth)
    found = found[found["score"].str.startswith("latent_")]
    events = found["events"] * (found["n"] - found["events"])
    standard_error = np.sqrt((found["n"] + 1) / (12 * events))
    assert (np.abs(found["auc"] - 0.5) < 4 * standard_error).all()


@given(st.integers(1, 90), st.integers(0, 5), st.floats(0.02, 0.9))
def test_classes_are_dealt_by_share_and_stay(count, seed, share):
    shares = {"a": share, "b": (1 - share) / 3, "c": 1 - share - (1 - share) / 3}
    classes = dealt_classes(enrolled("cem", {"train": count}), shares, seed)
    more = dealt_classes(enrolled("cem", {"train": count + 7}), shares, seed)
    assert all(more[patient] == given for patient, given in classes.items())
    whole = list(classes.values())[: count // BLOCK * BLOCK]
    for name, part in shares.items():
        assert abs(whole.count(name) - part * len(whole)) <= 1


def test_shares_of_unknown_classes_are_refused():
    with pytest.raises(StudyError, match="negative, positive, not low"):
        simulate_cohort("cem", {"train": 4}, {"low": 1.0}, False, 0.0, 1)
    with pytest.raises(StudyError, match=r"add up to 0\.9"):
        simulate_cohort("cem", {"train": 4}, {"negative": 0.5, "positive": 0.4}, False, 0.0, 1)


def test_cohorts_keep_their_proportions_and_patients_their_names():
    assert scaled_counts({"train": 84, "internal_test": 22, "prospective_test": 25}, 60) == {
        "train": 39, "internal_test": 10, "prospective_test": 11,
    }  # fmt: skip
    assert list(enrolled("cem", {"train": 2, "test": 1})) == [
        "SYN-CEM-100001", "SYN-CEM-100002", "SYN-CEM-200001",
    ]  # fmt: skip


@pytest.mark.parametrize("simulator", PICTURED)
def test_the_manifest_names_the_files_that_are_drawn(simulator):
    rows = manifest(simulator, ["SYN-X-100001"], 2)
    named = {row[key] for row in rows for key in ("image_path", "mask_path") if row[key]}
    assert named == set(image_files(simulator, "SYN-X-100001", 2).values())
    rated = {(row["image_id"], row["mask_role"], row["rater"]) for row in rows if row["rater"] == "2"}
    assert rated and all(role in ("tumour", "node") for _, role, _ in rated)


def test_second_raters_agree_with_a_dice_of_about_nine_tenths():
    people, truth = simulate_cohort("cem", {"train": 25}, None, False, 0.0, 2)
    dice = []
    for patient in people.merge(truth).to_dict("records"):
        drawn = draw_images("cem", patient, 2, 2)
        first, second = (
            sitk.GetArrayFromImage(drawn[mask]).astype(bool) for mask in ("tumour", "tumour_rater_2")
        )
        dice.append(2 * (first & second).sum() / (first.sum() + second.sum()))
    assert 0.86 < np.mean(dice) < 0.97
    assert min(dice) > 0.6


def test_defects_are_planted_at_their_rate():
    found = [planted_defect(f"SYN-CEM-1{number:05d}", 0.2, 3) for number in range(1, 1501)]
    assert abs(np.mean([bool(kind) for kind in found]) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 1500)
    assert set(found) == {"", *DEFECTS}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_spoils_one_picture(defect):
    people, truth = simulate_cohort("cem", {"train": 1}, None, False, 0.0, 2)
    healthy = draw_images("cem", people.merge(truth).iloc[0].to_dict(), 1, 2)
    spoiled = with_defect(healthy, "cem", defect)
    changed = [
        name
        for name in healthy
        if healthy[name].GetOrigin() != spoiled[name].GetOrigin()
        or not np.array_equal(*(sitk.GetArrayFromImage(images[name]) for images in (healthy, spoiled)))
    ]
    assert changed == (["le"] if defect == "constant_image" else ["tumour"])


def test_raters_beyond_the_first_need_a_mask_of_a_lesion():
    people, truth = simulate_cohort("cem", {"train": 1}, None, False, 0.0, 2)
    images = draw_images("cem", people.merge(truth).iloc[0].to_dict(), 1, 2)
    assert set(with_raters(images, "cem", 3, "SYN-CEM-100001", 2)) - set(images) == {
        "tumour_rater_2", "tumour_rater_3",
    }  # fmt: skip


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_simulated_table_is_one_that_a_study_accepts(simulator):
    people, _ = simulate_cohort(simulator, {"train": 150, "external_validation": 50}, None, False, 0.0, 7)
    text = people.astype(object).where(people.notna(), "").astype(str)
    rows = [{**row, "_row": str(number)} for number, row in enumerate(text.to_dict("records"), start=2)]
    patients, problems = check_participants("people.csv", rows, columns_of("participants"), [])
    patients, wrong = derive(patients, Instruments(20.0, 3.0, 2.3), "people.csv")
    assert not [*problems, *wrong]
    assert len(patients) == 200
