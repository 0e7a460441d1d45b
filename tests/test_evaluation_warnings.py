"""Every guard speaks where it must, with the numbers that it speaks of, and is silent elsewhere."""

import inspect

import numpy as np
import pytest

from annulus.evaluation import warnings as guards
from annulus.evaluation.discrimination import Interval
from annulus.evaluation.sample_size import development_size, expected_widths

LOG_ODDS = np.linspace(-2.0, 2.0, 50)
SMALL, LARGE = (expected_widths(n, n // 2, 0.8, LOG_ODDS) for n in (60, 2000))


def slope(lower, upper):
    return Interval((lower + upper) / 2.0, lower, upper, "Wald")


SPEAKS = [
    ("few_events", ("external", 99, 300), "only 99 patients"),
    ("few_events", ("external", 300, 1), "only 1 patient of"),
    ("calibration_curve_left_out", ("external", 49, 100), "only 49 patients"),
    ("calibration_curve_left_out", ("external", 100, 49), "only 49 patients"),
    ("one_outcome_only", ("external", 0, 5), "only patients without the event"),
    ("one_outcome_only", ("external", 5, 0), "only events"),
    ("complete_separation", ("combined", "external", 1.0), "an AUC of 1 separates"),
    ("complete_separation", ("combined", "external", 0.0), "an AUC of 0 separates"),
    (
        "thresholds_beyond_largest_risk",
        ("combined", "external", np.array([0.1, 0.3, 0.5]), np.array([0.05, 0.28])),
        "above 0.28, so from a threshold of 0.30",
    ),
    ("threshold_range_too_wide", ("biopsy", 0.01, 0.99), "0.01 to 0.99"),
    ("training_is_apparent", ("Calibration curve", "train"), "Calibration curve: apparent"),
    ("no_held_out_cohort", (["train"],), "No cohort other than the training"),
    ("same_patients_chose_the_cut_off", ("train", "train"), "optimistic"),
    ("nested_models_in_training", ("a", "b", "train", True), "a against b: no DeLong test in the training"),
    ("nested_models_in_training", ("a", "b", "train", True), "the likelihood-ratio test is given"),
    ("nested_models_in_training", ("a", "b", "train", False), "compare them in other cohorts"),
    ("training_p_is_apparent", ("radscore_itr", True, False), "radscore_itr: its p-value"),
    ("training_p_is_apparent", ("radscore_itr", True, True), "more often than one time in twenty"),
    ("few_events_per_parameter", (34, 74, 4), "8.5 patients of the rarer outcome"),
    ("few_events_per_parameter", (100, 400, 24, development_size(24, 0.174, 0.288)), "ask for 662"),
    ("imprecise_validation", ("external", SMALL), "60 patients with 30 events"),
    ("nri_blocked", ("combined", "external", slope(0.3, 0.9)), "slope 0.60, interval 0.30 to 0.90"),
    ("nri_blocked", ("combined", "external", slope(1.1, 1.9)), "miscalibrated"),
    ("nri_blocked", ("combined", "external", Interval(np.nan, np.nan, np.nan, "Wald")), "not be estimated"),
    ("nri_can_mislead", (0.1, -0.05), "+0.100 in events and -0.050 in non-events"),
    ("nri_has_many_categories", ([0.1, 0.3],), "3 risk categories"),
    ("hosmer_lemeshow_says_little", (0.8817,), "p = 0.882 does not show that the model is calibrated"),
    ("hosmer_lemeshow_says_little", (0.049,), "p = 0.049 does not say how"),
    ("hosmer_lemeshow_says_little", (1e-9,), "p < 0.001 does not say how"),
    ("subgroups_were_examined", (5, 2), "5 subgroups of 2 factors"),
    ("undeclared_comparisons", (["a", "b", "c"], ["a"]), "b, c."),
    ("signature_follows_volume", ("intratumoral", -0.71), "-0.71"),
    ("single_split", (1,), "rest on one split of the patients; 1 random"),
    ("harmonised_by_own_patients", (True,), "depends on who else was sent"),
    ("single_split", (99,), "99 random splits"),
]

SILENT = [
    ("few_events", ("external", 100, 100)),
    ("calibration_curve_left_out", ("external", 50, 50)),
    ("one_outcome_only", ("external", 1, 1)),
    ("complete_separation", ("combined", "external", 0.999)),
    (
        "thresholds_beyond_largest_risk",
        ("combined", "external", np.array([0.1, 0.3]), np.array([0.05, 0.3])),
    ),
    ("threshold_range_too_wide", ("biopsy", 0.05, 0.9)),
    ("training_is_apparent", ("Calibration curve", "external")),
    ("no_held_out_cohort", (["train", "internal"],)),
    ("same_patients_chose_the_cut_off", ("external", "train")),
    ("nested_models_in_training", ("clinical", "combined", "external", True)),
    ("training_p_is_apparent", ("age_years", False, False)),
    ("harmonised_by_own_patients", (False,)),
    ("few_events_per_parameter", (40, 74, 4)),
    ("few_events_per_parameter", (30, 632, 24, development_size(24, 0.174, 0.288))),
    ("imprecise_validation", ("external", LARGE)),
    ("nri_blocked", ("combined", "external", slope(0.9, 1.0))),
    ("nri_can_mislead", (0.05, -0.05)),
    ("nri_has_many_categories", ([0.3],)),
    ("hosmer_lemeshow_says_little", (np.nan,)),
    ("subgroups_were_examined", (1, 1)),
    ("undeclared_comparisons", (["a"], ["a", "b"])),
    ("signature_follows_volume", ("intratumoral", 0.69)),
    ("signature_follows_volume", ("intratumoral", np.nan)),
    ("single_split", (100,)),
]


@pytest.mark.parametrize(("guard", "arguments", "said"), SPEAKS)
def test_guard_speaks(guard, arguments, said):
    sentence = getattr(guards, guard)(*arguments)
    assert said in sentence
    assert sentence.endswith(".") and "\n" not in sentence and "nan" not in sentence


@pytest.mark.parametrize(("guard", "arguments"), SILENT)
def test_guard_is_silent(guard, arguments):
    assert getattr(guards, guard)(*arguments) is None


def test_every_guard_is_tested_both_ways():
    public = {
        name
        for name, value in inspect.getmembers(guards, inspect.isfunction)
        if value.__module__ == guards.__name__ and not name.startswith("_")
    }
    assert public == {name for name, *_ in SPEAKS} == {name for name, *_ in SILENT}
