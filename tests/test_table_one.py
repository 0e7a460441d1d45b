"""Table 1 against R 4.2.2 (its own tests of the package stats), printed examples and closed forms."""

import numpy as np
import pandas as pd
import pytest

from annulus.errors import StudyError
from annulus.evaluation.table_one import (
    compare_levels,
    compare_numbers,
    compare_ordinals,
    level_difference,
    number_difference,
    table_one,
)

NORMAL = [
    np.array([5.1, 6.3, 4.8, 7.2, 5.9, 6.6, 5.5, 6.1]),
    np.array([6.9, 7.4, 8.1, 6.2, 7.7, 8.8, 7.0, 7.9, 6.5]),
    np.array([4.2, 5.8, 6.4, 5.1, 7.3, 6.0, 4.9]),
]
TIED = [
    np.array([1, 2, 2, 3, 9, 30, 1.5]),
    np.array([4, 5, 7, 7, 12, 60, 80, 3.5]),
    np.array([2.0, 2, 50, 8, 1]),
]
UNTIED = [np.array([1, 2, 4, 8, 33, 90, 1.5]), np.array([3, 5, 7.5, 6, 12, 60, 80, 3.5, 400])]
LARGE = [
    np.round(np.exp(np.linspace(-2, 2, 60)), 6),
    np.round(np.exp(np.linspace(-1.5, 2.7, 40)) + 0.0005, 6),
]
# Job satisfaction by income (Agresti, Categorical Data Analysis, 2002): printed p 0.7827.
JOBS = np.array([[1, 3, 10, 6], [2, 3, 10, 7], [1, 6, 14, 12], [0, 1, 9, 11]])


@pytest.mark.parametrize(
    ("groups", "test", "p", "means"),
    [
        (NORMAL[:2], "Welch t", 0.00216140044526939, True),
        (NORMAL, "Welch analysis of variance", 0.00341596746318404, True),
        (TIED[:2], "Mann-Whitney U", 0.0557579176888545, False),
        (UNTIED, "Mann-Whitney U", 0.299125874125874, False),
        (LARGE, "Mann-Whitney U", 0.0250287840378091, False),
        (TIED, "Kruskal-Wallis", 0.126198365349906, False),
    ],
    ids=["means of two", "means of three", "tied", "exact", "large", "ranks of three"],
)
def test_numbers_are_compared_as_in_r(groups, test, p, means):
    found, by_means = compare_numbers(groups)
    assert (found.test, by_means) == (test, means)
    assert found.p == pytest.approx(p, rel=1e-9)


def test_one_skewed_group_is_enough_for_ranks_and_the_note_has_its_p():
    # shapiro.test of the three groups: 0.98672, 0.97711 and 0.00062.
    assert "0.977: means" in compare_numbers(NORMAL[:2])[0].note
    found, by_means = compare_numbers([NORMAL[0], TIED[0]])
    assert found.test == "Mann-Whitney U" and not by_means
    assert "below 0.001: ranks" in found.note


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([np.ones(4), np.ones(5)], "it does not vary"),
        ([np.arange(4.0), np.array([])], "only one group has a value"),
        ([np.array([]), np.array([])], "no patient has a value"),
    ],
)
def test_without_a_test_there_is_a_reason(groups, reason):
    found, by_means = compare_numbers(groups)
    assert np.isnan(found.p) and not by_means
    assert (found.test, found.note) == ("", reason)
    assert compare_ordinals(groups).note == reason


def test_two_patients_are_too_few_to_be_called_normal():
    found, by_means = compare_numbers([NORMAL[0], np.array([6.0, 7.0])])
    assert found.test == "Mann-Whitney U" and not by_means and "not judged" in found.note


def test_levels_are_compared_as_in_r():
    table = np.array([[20, 15, 10], [30, 35, 40]])
    found = compare_levels(table, seed=1)
    assert found.test == "Pearson chi-squared" and found.p == pytest.approx(0.09246247606292, rel=1e-9)
    found = compare_levels(np.array([[12, 8], [5, 15]]), seed=1)
    assert found.test == "Pearson chi-squared" and found.p == pytest.approx(0.0251607592004087, rel=1e-9)
    # Fisher's tea-tasting lady.
    found = compare_levels(np.array([[3, 1], [1, 3]]), seed=1)
    assert found.test == "Fisher exact" and found.p == pytest.approx(0.485714285714286, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "p"),
    [(JOBS, 0.782684938965639), (np.array([[1, 4, 7], [9, 3, 0]]), 0.000771405199995853)],
    ids=["jobs", "two by three"],
)
def test_larger_tables_of_few_patients_have_the_exact_p_but_for_chance(table, p):
    found = compare_levels(table, seed=1)
    assert found.test == "Fisher-Freeman-Halton"
    assert found.p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 99_999) + 1e-5)
    assert compare_levels(table, seed=1) == found
    assert compare_levels(table, seed=2).p != found.p


def test_the_smallest_expected_count_decides_between_pearson_and_fisher():
    assert compare_levels(np.array([[5, 15], [5, 15]]), seed=1).test == "Pearson chi-squared"
    assert compare_levels(np.array([[5, 14], [5, 16]]), seed=1).test == "Fisher exact"
    # A level that nobody has does not count.
    assert compare_levels(np.array([[5, 15], [0, 0], [5, 15]]), seed=1).test == "Pearson chi-squared"


def test_ordinals_are_compared_as_in_r():
    first, second = np.array([1, 1, 2, 2, 3, 3, 3, 1, 2]), np.array([2, 3, 3, 3, 3, 2, 3, 1])
    assert compare_ordinals([first, second]).p == pytest.approx(0.232845659700044, rel=1e-9)


def test_standardised_differences_are_their_formulas():
    first, second = NORMAL[:2]
    pooled = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    assert number_difference(first, second) == pytest.approx((second.mean() - first.mean()) / pooled)
    # Of two levels: Austin's formula for a proportion, 0.2 against 0.5.
    found = level_difference(np.array([4, 16]), np.array([5, 5]))
    assert found == pytest.approx(0.3 / np.sqrt((0.2 * 0.8 + 0.5 * 0.5) / 2))
    # Of three: shares (.2, .3, .5) and (.4, .4, .2), the covariance of the first two levels written out.
    covariance = np.array([[0.2, -0.11], [-0.11, 0.225]])
    apart = np.array([-0.2, -0.1])
    assert level_difference(np.array([2, 3, 5]), np.array([4, 4, 2])) == pytest.approx(
        np.sqrt(apart @ np.linalg.inv(covariance) @ apart)
    )
    assert np.isnan(level_difference(np.array([3, 0]), np.array([0, 4])))
    assert np.isnan(number_difference(np.ones(3), np.ones(3)))


@pytest.fixture
def people():
    """Eight training patients, one of unknown outcome, and four test patients."""
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in range(12)],
            "age_years": ["40", "50", "60", "70", "", "44", "54", "64", "30", "31", "32", "33"],
            "grade": ["1", "2", "3", "1", "2", "3", "3", "3", "1", "1", "2", "2"],
            "er_status": ["1", "0", "1.0", "0", "1", "1", "1", "", "0", "0", "0", "0"],
            "menopausal_status": [*["pre"] * 4, *["post"] * 4, *["peri"] * 4],
            "breast_density": [*"abcdabcd", *["a"] * 4],
            "her2_ish": [*["negative"] * 4, *["positive"] * 4, *["negative"] * 4],
        }
    ).replace("", np.nan)


COLUMNS = ["age_years", "grade", "er_status", "menopausal_status", "breast_density"]


def table_of(people, columns=COLUMNS, cohorts=("train", "internal_test")):
    split = pd.DataFrame(
        {"patient_id": people["patient_id"], "cohort": ["train"] * 8 + [cohorts[-1]] * 4}
    )  # fmt: skip
    outcome = pd.Series([0, 0, 0, 0, 1, 1, 1, np.nan], people["patient_id"][:8])
    return table_one(people, split, list(cohorts), outcome, columns, seed=1, synthetic=True)


def row(table, comparison, variable, level=""):
    found = table[
        (table["comparison"] == comparison)
        & (table["variable"] == variable)
        & (table["level"].fillna("").astype(str) == level)
    ]
    assert len(found) == 1, (comparison, variable, level)
    return found.iloc[0]


def test_texts_and_counts_are_those_of_the_patients(people):
    table = table_of(people)
    assert list(table.columns) == [
        "comparison", "variable", "level", "no_event", "event", "train", "internal_test", "missing", "p",
        "test", "smd", "note", "synthetic",
    ]  # fmt: skip
    patients = row(table, "outcome", "patients")
    assert (patients["no_event"], patients["event"]) == ("4", "3")
    age = row(table, "outcome", "age_years")
    # 40, 50, 60, 70, and 44, 54 and one missing: two values are too few for Shapiro-Wilk.
    assert age["no_event"] == "55.0 (47.5–62.5)" and age["event"] == "49.0 (46.5–51.5)"
    assert age["missing"] == 1 and row(table, "outcome", "age_years", "missing")["event"] == "1 (33.3 %)"
    assert age["test"] == "Mann-Whitney U" and "selects nothing" in age["note"]
    assert row(table, "outcome", "er_status", "yes")["no_event"] == "2 (50.0 %)"
    assert row(table, "outcome", "er_status", "yes")["event"] == "3 (100.0 %)"
    assert row(table, "outcome", "grade", "3")["event"] == "2 (66.7 %)"
    assert row(table, "outcome", "grade", "3")["test"] == "Mann-Whitney U"
    assert row(table, "outcome", "breast_density", "a")["test"] == "Mann-Whitney U"
    # Premenopausal or not is the outcome itself, which leaves no finite difference.
    apart = row(table, "outcome", "menopausal_status", "pre")
    assert apart["test"] == "Fisher exact" and np.isnan(apart["smd"])
    assert apart["p"] == pytest.approx(1 / 35)
    age = row(table, "cohorts", "age_years")
    # 40, 50, 60, 70, 44, 54, 64: mean 54.571, standard deviation 10.814.
    assert age["train"] == "54.6 (10.8)" and age["internal_test"] == "31.5 (1.3)"
    assert age["test"] == "Welch t" and pd.isna(age["event"])


def test_outcomes_of_test_cohorts_take_no_part(people):
    changed = people.copy()
    changed.loc[8:, "her2_ish"] = "positive"
    pd.testing.assert_frame_equal(table_of(changed), table_of(people))
    assert not table_of(people)["variable"].eq("her2_ish").any()


def test_test_patients_do_not_move_the_rows_of_the_outcome(people):
    changed = people.copy()
    changed.loc[8:, COLUMNS] = ["90", "3", "1", "post", "d"]
    first, second = (table[table["comparison"] == "outcome"] for table in map(table_of, (people, changed)))
    pd.testing.assert_frame_equal(first, second)


def test_one_cohort_is_not_compared(people):
    table = table_of(people, cohorts=("train",))
    assert set(table["comparison"]) == {"outcome"} and "internal_test" not in table


def test_a_cohort_without_any_value_is_left_out_and_named(people):
    people.loc[8:, "age_years"] = np.nan
    age = row(table_of(people), "cohorts", "age_years")
    assert age["internal_test"] == "" and age["missing"] == 5
    assert "no value in internal_test" in age["note"] and age["test"] == ""


def test_a_column_that_is_not_there_is_told(people):
    with pytest.raises(StudyError, match="no column ki67_pct"):
        table_of(people, [*COLUMNS, "ki67_pct"])
