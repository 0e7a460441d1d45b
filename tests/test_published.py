"""Published numbers beside ours: where each is looked up, and what is said where there is none."""

import numpy as np
import pandas as pd
import pytest

from annulus.evaluation.cascade import CASCADE_COLUMNS
from annulus.evaluation.performance import PERFORMANCE_COLUMNS
from annulus.evaluation.published import OUT_OF_FOLD_HERE, PUBLISHED_COLUMNS, Tables, against_published
from annulus.evaluation.subgroups import SUBGROUP_COLUMNS
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS

NAN = np.nan
PERFORMANCE = pd.DataFrame(
    [
        ("nomogram", "train", 84, 29, "auc", 0.81, 0.70, 0.92, "DeLong", "out-of-fold predictions", 1),
        ("nomogram", "train", 84, 29, "auc_apparent", 0.95, 0.90, 1.00, "DeLong", NAN, 1),
        ("nomogram", "internal_test", 22, 8, "auc", 0.80, 0.60, 0.99, "DeLong", NAN, 1),
        ("nomogram", "internal_test", 22, 8, "ici", NAN, NAN, NAN, "loess", "too few patients", 1),
        ("clinical", "train", 84, 29, "auc", NAN, NAN, NAN, "none", "no model: nothing <entered>", 1),
        ("clinical", "internal_test", 22, 8, "auc", NAN, NAN, NAN, "none", "no model: nothing <entered>", 1),
    ],
    columns=PERFORMANCE_COLUMNS,
)
ODDS_RATIOS = pd.DataFrame(
    [
        ("clinical", "univariable", "age_years", 84, 29, 1.1, 0.9, 1.3, 0.4, "wald", NAN, NAN),
        ("nomogram", "multivariable", "radscore_itr", 84, 29, 2.7, 1.5, 4.9, 0.001, "wald", 1.1, NAN),
        ("nomogram", "multivariable", "radscore_itr", 84, 29, 2.7, 1.6, 5.3, 0.001, "profile", 1.1, NAN),
    ],
    columns=ODDS_RATIO_COLUMNS,
)
SUBGROUPS = pd.DataFrame(
    [
        ("grade", 2.0, "nomogram", "train", 50, 15, 0.7, 0.5, 0.9, 0.2, 2.0, 1.0, 4.0, NAN, 1),
        ("grade", 3.0, "nomogram", "train", 9, 9, NAN, NAN, NAN, NAN, NAN, NAN, NAN, "one outcome", 1),
    ],
    columns=SUBGROUP_COLUMNS,
)
CASCADE = pd.DataFrame(
    [
        ("internal_test", "all", 22, NAN, "accuracy", 0.6, 0.4, 0.8, "Clopper-Pearson", NAN, 1),
        ("internal_test", "few", 22, 7, "auc", 0.75, 0.5, 0.95, "DeLong", NAN, 1),
    ],
    columns=CASCADE_COLUMNS,
)
TABLES = Tables(
    {"her2": PERFORMANCE, "way": PERFORMANCE},
    {"her2": ODDS_RATIOS},
    {"her2": SUBGROUPS},
    {"burden": CASCADE},
)


def entry(cohort, metric, published, model="nomogram", task="her2", **more):
    facts = {"task": task, "model": model, "cohort": cohort, "metric": metric}
    return {**facts, "published": published, "source": "paper", "note": "", **more}


def compared(number, tables=TABLES):
    table = against_published([number], tables, synthetic=True)
    assert list(table.columns) == PUBLISHED_COLUMNS and len(table) == 1
    return table.iloc[0]


def numbers(row):
    return (row["here"], row["lower"], row["upper"], row["n"])


@pytest.mark.parametrize(("published", "agrees"), [(0.60, 1), (0.99, 1), (0.893, 1), (0.59, 0), (1.0, 0)])
def test_a_number_agrees_within_our_interval_ends_included(published, agrees):
    row = compared(entry("internal_test", "auc", published))
    assert numbers(row) == (0.80, 0.60, 0.99, 22) and row["agrees"] == agrees and row["note"] == ""


def test_a_training_number_is_held_against_the_out_of_fold_estimate_and_says_so():
    row = compared(entry("train", "auc", 0.97, note="n = 84"))
    assert numbers(row) == (0.81, 0.70, 0.92, 84) and row["agrees"] == 0
    assert row["note"] == f"n = 84; {OUT_OF_FOLD_HERE}"
    row = compared(entry("train", "auc_apparent", 0.97))
    assert (row["here"], row["agrees"], row["note"]) == (0.95, 1, "")


def test_an_odds_ratio_is_the_multivariable_one_with_walds_interval():
    row = compared(entry("train", "odds_ratio", 5.0, term="radscore_itr"))
    assert numbers(row) == (2.7, 1.5, 4.9, 84) and row["agrees"] == 0
    assert row["term"] == "radscore_itr" and row["note"] == "interval: Wald"


def test_a_term_that_was_not_selected_has_no_number_but_a_reason():
    row = compared(entry("train", "odds_ratio", 1.1, term="age_years"))
    assert np.isnan(row["here"]) and pd.isna(row["agrees"]) and pd.isna(row["n"])
    assert row["note"] == "age_years is not a term of the model here"


@pytest.mark.parametrize(
    "number",
    [
        entry("internal_test", "auc", 0.7, model="clinical"),
        entry("internal_test", "sensitivity", 0.7, model="clinical"),
        entry("train", "odds_ratio", 1.1, model="clinical", term="age_years"),
        entry("train", "auc", 0.7, model="clinical", subgroup={"column": "grade", "level": 2}),
    ],
    ids=["auc", "sensitivity", "odds ratio", "subgroup"],
)
def test_a_model_that_was_not_fitted_keeps_its_row_and_says_why(number):
    row = compared({**number, "note": "n = 22"})
    assert np.isnan(row["here"]) and pd.isna(row["agrees"])
    assert row["published"] == number["published"]
    assert row["note"] == "n = 22; no model: nothing <entered>"


def test_other_missing_numbers_say_why():
    assert compared(entry("internal_test", "ici", 0.1))["note"] == "too few patients"
    said = compared(entry("prospective_test", "auc", 0.8))["note"]
    assert said == "prospective_test has no patient of known outcome whom nomogram scores"


def test_a_subgroup_has_its_own_auc():
    row = compared(entry("train", "auc", 0.6, subgroup={"column": "grade", "level": 2}))
    assert numbers(row) == (0.7, 0.5, 0.9, 50) and row["agrees"] == 1
    assert row["subgroup"] == "grade: 2" and row["note"] == OUT_OF_FOLD_HERE
    row = compared(entry("train", "auc", 0.6, subgroup={"column": "grade", "level": 3}))
    assert np.isnan(row["here"]) and row["n"] == 9 and row["note"] == "one outcome"
    row = compared(entry("train", "auc", 0.6, subgroup={"column": "grade", "level": 1}))
    assert row["note"] == "no patient of train has grade: 1"


def test_cascades_and_pathways_are_looked_up_in_their_tables():
    row = compared(entry("internal_test", "accuracy", 0.7, model="cascade", task="burden"))
    assert numbers(row) == (0.6, 0.4, 0.8, 22) and row["agrees"] == 1
    few = {"column": "class", "level": "few"}
    row = compared(entry("internal_test", "auc", 0.99, model="cascade", task="burden", subgroup=few))
    assert numbers(row) == (0.75, 0.5, 0.95, 22) and row["agrees"] == 0
    assert row["subgroup"] == "class: few"
    assert compared(entry("internal_test", "auc", 0.7, task="way"))["here"] == 0.80


def test_a_cascade_without_its_models_says_so():
    absent = pd.DataFrame([{"class": "all", "metric": "accuracy", "note": "no model: clinical"}])
    tables = Tables({}, cascades={"burden": absent.reindex(columns=CASCADE_COLUMNS)})
    row = compared(entry("train", "weighted_kappa", 0.5, model="cascade", task="burden"), tables)
    assert np.isnan(row["here"]) and row["note"] == "no model: clinical"


def test_without_published_numbers_the_table_has_its_columns():
    table = against_published([], TABLES, synthetic=False)
    assert table.empty and list(table.columns) == PUBLISHED_COLUMNS
