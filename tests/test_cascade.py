"""Cascades of two levels: who is sorted where, by hand, and what carries over from one level to the next."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from annulus.evaluation.cascade import (
    Level,
    absent_levels,
    cascade_table,
    confusion_table,
    sort_patients,
)
from annulus.figures.confusion import confusion_figure
from annulus.tables import read_csv, write_csv

CLASSES = ["N0", "1-2 nodes", "3 or more"]


def predictions(y, risk, out_of_fold=None, cohort="internal_test", model="m"):
    n = len(y)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(n)],
            "cohort": cohort,
            "model": model,
            "y": y,
            "probability": risk,
            "probability_out_of_fold": np.nan if out_of_fold is None else out_of_fold,
        }
    )


def by_hand():
    first = predictions([0, 0, 1, 1, 1, 1], [0.1, 0.6, 0.4, 0.8, 0.9, 0.5])
    second = predictions([np.nan, np.nan, 0, 0, 1, 1], [0.9, 0.2, 0.9, 0.3, 0.7, 0.1])
    return [Level(first, "m", 0.5), Level(second, "m", 0.4)]


def test_patients_go_as_far_as_they_are_called_positive():
    found = sort_patients(by_hand(), CLASSES)
    assert found["observed"].tolist() == [0, 0, 1, 1, 2, 2]
    # P2 is stopped at the first level, so the second, which would call it, is never asked.
    assert found["predicted"].tolist() == [0, 1, 0, 1, 2, 1]
    np.testing.assert_allclose(found[["p_0", "p_1", "p_2"]].sum(axis=1), 1.0)
    assert found.loc[3, ["p_0", "p_1", "p_2"]].tolist() == pytest.approx([0.2, 0.8 * 0.7, 0.8 * 0.3])


def test_the_confusion_matrix_counts_them():
    table = confusion_table(sort_patients(by_hand(), CLASSES), CLASSES, True)
    assert table["n"].tolist() == [1, 1, 0, 1, 1, 0, 0, 1, 1]
    assert table["share_of_observed"].tolist() == [0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0.5, 0.5]
    assert (table["synthetic"] == 1).all()


def test_performance_has_its_closed_forms():
    patients = sort_patients(by_hand(), CLASSES)
    found = cascade_table(patients, CLASSES, [], 1, False).set_index(["class", "metric"])
    accuracy = found.loc[("all", "accuracy")]
    assert accuracy["estimate"] == 0.5
    exact = stats.binomtest(3, 6).proportion_ci()
    assert (accuracy["lower"], accuracy["upper"]) == pytest.approx((exact.low, exact.high))
    kappa = cohen_kappa_score(patients["observed"], patients["predicted"], weights="linear")
    assert found.loc[("all", "weighted_kappa"), "estimate"] == pytest.approx(kappa)
    assert found.loc[("1-2 nodes", "ppv"), "estimate"] == pytest.approx(1 / 3)
    own, others = patients.loc[4:, "p_2"], patients.loc[:3, "p_2"]
    area = stats.mannwhitneyu(own, others).statistic / 8
    assert found.loc[("3 or more", "auc"), "estimate"] == pytest.approx(area)


def test_training_is_out_of_fold_and_the_frozen_model_scores_those_it_was_not_trained_on():
    first = predictions([0, 1], [0.9, 0.9], [0.2, 0.7], cohort="train")
    second = predictions([np.nan, 1], [0.6, 0.9], [np.nan, 0.3], cohort="train")
    found = sort_patients([Level(first, "m", 0.1), Level(second, "m", 0.5)], CLASSES)
    assert found["p_2"].tolist() == pytest.approx([0.2 * 0.6, 0.7 * 0.3])
    assert found["predicted"].tolist() == [2, 1]


def test_an_outcome_that_is_not_known_leaves_its_patient_out_and_says_so():
    levels = by_hand()
    levels[1].predictions.loc[3, "y"] = np.nan
    patients = sort_patients(levels, CLASSES)
    assert np.isnan(patients.loc[3, "observed"])
    found = cascade_table(patients, CLASSES, [], 1, False)
    row = found[found["metric"] == "accuracy"].iloc[0]
    assert row["n"] == 5 and "1 patients of unknown class left out" in row["note"]
    assert confusion_table(patients, CLASSES, False)["n"].sum() == 5


def test_without_a_model_nobody_is_sorted_and_the_table_says_why():
    first, second = by_hand()
    levels = [first, Level(second.predictions, "clinical", float("inf"))]
    patients = sort_patients(levels, CLASSES)
    assert patients.empty and absent_levels(levels) == ["clinical"]
    assert confusion_table(patients, CLASSES, False).empty
    found = cascade_table(patients, CLASSES, absent_levels(levels), 1, False)
    assert found["note"].tolist() == ["no model: clinical"] and found["estimate"].isna().all()
    texts = [
        t.get_text()
        for t in confusion_figure(confusion_table(patients, CLASSES, False), CLASSES).axes[0].texts
    ]
    assert "no patient is sorted" in texts[0]


def test_the_figure_shows_every_cell():
    figure = confusion_figure(confusion_table(sort_patients(by_hand(), CLASSES), CLASSES, False), CLASSES)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 9 and texts[:3] == ["1\n50%", "1\n50%", "0\n0%"]


def test_classes_may_be_called_by_numbers(tmp_path):
    classes = ["0", "1", "2"]
    table = confusion_table(sort_patients(by_hand(), classes), classes, False)
    write_csv(tmp_path / "confusion.csv", table)
    figure = confusion_figure(read_csv(tmp_path / "confusion.csv"), classes)
    assert len(figure.axes[0].texts) == 9
