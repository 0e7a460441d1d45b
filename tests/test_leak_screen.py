"""The leak screen on planted leaks and on none, and duplicates that join cohorts or outcomes."""

import numpy as np
import pandas as pd
import pytest

from annulus.evaluation.leak_screen import duplicates_across, leak_screen, screen_facts

SIZES = {"train": 160, "external_b": 90}

# No centre is held out together.
NOBODY = pd.Series(dtype=str)


@pytest.fixture(scope="module", autouse=True)
def few_trees():
    """Fewer trees than a study's, as the tests need no fine ranking."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("annulus.evaluation.leak_screen.TREES", 40)
        yield


def patients(seed=0):
    """Predictions of a model whose scores have an AUC of about 0.76 (d = 1)."""
    rng = np.random.default_rng(seed)
    rows = []
    for cohort, count in SIZES.items():
        for i in range(count):
            y = int(rng.random() < 0.4)
            score = 1 / (1 + np.exp(-(rng.normal() + y)))
            rows.append(
                {
                    "patient_id": f"{cohort}{i}", "cohort": cohort, "model": "radiomics", "y": y,
                    "probability": score, "probability_out_of_fold": score,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def frames(predictions, leak):
    """Frames of two images per patient; with a leak the width says who has the event."""
    rng = np.random.default_rng(1)
    rows = []
    for row in predictions.itertuples():
        wide = row.y if leak else int(rng.random() < 0.5)
        # Both a narrow and a very wide frame mean the event: no straight line finds it.
        width = rng.choice([300, 900]) if wide else 600
        for image in (1, 2):
            rows.append(
                {
                    "patient_id": row.patient_id, "timepoint": "baseline", "image_id": f"i{image}",
                    "image": "us", "frame_width_px": width + rng.normal(0, 5),
                    "outline_elongation": rng.random(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def screened(leak):
    predictions = patients()
    nothing = pd.DataFrame({"patient_id": [], "manufacturer": [], "field_strength_t": []})
    facts = screen_facts(frames(predictions, leak), nothing, predictions[["patient_id"]])
    table = leak_screen(facts, predictions, ["absent", "radiomics"], NOBODY, 5, 1, synthetic=True)
    return table.set_index(["screen", "cohort"])


def test_patients_of_unknown_outcome_take_no_part():
    predictions = patients()
    unknown = predictions.assign(
        y=predictions["y"].where(predictions.groupby("cohort").cumcount() >= 10), synthetic=1
    )
    nothing = pd.DataFrame({"patient_id": [], "manufacturer": [], "field_strength_t": []})
    facts = screen_facts(frames(predictions, True), nothing, predictions[["patient_id"]])
    table = leak_screen(facts, unknown, ["radiomics"], NOBODY, 5, 1, synthetic=True)
    counts = table[table["screen"] == "frame"].set_index("cohort")
    assert counts["n"].to_dict() == {cohort: n - 10 for cohort, n in SIZES.items()}
    assert counts["events"].sum() == unknown["y"].sum()


@pytest.fixture(scope="module")
def leaking():
    return screened(leak=True)


@pytest.fixture(scope="module")
def clean():
    return screened(leak=False)


def test_a_frame_that_knows_the_endpoint_rivals_the_model_in_every_cohort(leaking):
    frame = leaking.loc["frame"]
    assert (frame["auc"] > 0.95).all()
    assert (frame["rivals"] == 1).all()
    assert (frame["difference_upper"] < 0).all()
    assert set(frame["model"]) == {"radiomics"}
    assert frame["n"].to_dict() == SIZES


def test_a_frame_and_outline_of_chance_rival_nothing(leaking, clean):
    for table in (clean.loc["frame"], clean.loc["outline"], leaking.loc["outline"]):
        # One of two 95 % intervals may miss 0.5 by chance.
        assert table["rivals"].sum() <= 1
        assert ((table["lower"] <= 0.5) & (table["upper"] >= 0.5)).any()
        assert table["auc"].between(0.3, 0.7).all()


def test_training_patients_are_judged_out_of_fold(clean):
    # A forest that had seen them would know them by heart.
    assert clean.loc[("frame", "train"), "auc"] < 0.65


def test_the_device_counts_as_frame():
    predictions = patients()
    images = predictions[["patient_id"]].assign(manufacturer=np.where(predictions["y"], "A", "B"))
    images["field_strength_t"] = np.nan
    facts = screen_facts(frames(predictions, False), images, predictions[["patient_id"]])
    assert {"manufacturer_A", "manufacturer_B"} <= set(facts["frame"])
    assert not [column for column in facts["outline"] if "manufacturer" in column]
    table = leak_screen(facts, predictions, ["radiomics"], NOBODY, 5, 1, synthetic=False)
    frame = table[table["screen"] == "frame"]
    assert (frame["auc"] > 0.97).all()


def test_images_of_a_patient_are_averaged():
    predictions = patients().head(3)
    table = frames(predictions, False)
    nothing = pd.DataFrame({"patient_id": [], "manufacturer": [], "field_strength_t": []})
    facts = screen_facts(table, nothing, predictions[["patient_id"]])
    mean = table.groupby("patient_id")["frame_width_px"].mean()
    assert facts["frame"]["us_frame_width_px"].to_dict() == pytest.approx(mean.to_dict())


def test_duplicates_say_which_cohorts_and_outcomes_they_join():
    predictions = pd.DataFrame(
        {"patient_id": list("abcd"), "cohort": ["train", "train", "external_b", "train"], "y": [0, 1, 0, 0]}
    )
    pairs = pd.DataFrame(
        [("a", "b"), ("a", "c"), ("a", "d"), ("a", "lost")], columns=["patient_a", "patient_b"]
    ).assign(
        image_a="x", image_b="y", timepoint_a="baseline", timepoint_b="post_nst", kind="near", distance=3
    )
    found = duplicates_across(pairs, predictions)
    assert set(found["timepoint_a"]) == {"baseline"} and set(found["timepoint_b"]) == {"post_nst"}
    assert list(found["across_cohorts"]) == [0, 1, 0, 0]
    assert list(found["across_labels"]) == [1, 0, 0, 0]
    assert pd.isna(found["cohort_b"].iloc[-1])
