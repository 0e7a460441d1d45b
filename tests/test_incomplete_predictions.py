"""What evaluation makes of missing values, one outcome alone and certainty: a reason, never a number."""

import warnings

import numpy as np
import pandas as pd
import pytest

from annulus.evaluation.calibration import calibration
from annulus.evaluation.calibration_error import calibration_errors
from annulus.evaluation.classification import classification
from annulus.evaluation.discrimination import (
    auc_interval,
    bootstrap_auc_interval,
    compare_aucs,
    compare_unpaired_aucs,
)
from annulus.evaluation.reclassification import categorical_nri, continuous_nri, idi
from annulus.evaluation.subgroups import compare_subgroups
from annulus.modelling.threshold import youden

OUTCOME = np.array([0, 0, 1, 0, 1, 1, 0, 1.0])
PROBABILITY = np.linspace(0.1, 0.9, 8)
OTHER = PROBABILITY[::-1].copy()
GROUP = pd.Series(list("aabbaabb"), name="centre")

MEASURES = {
    "auc": lambda y, p: auc_interval(y, p),
    "bootstrap auc": lambda y, p: bootstrap_auc_interval(y, p, 10, 0),
    "paired": lambda y, p: compare_aucs(y, p, OTHER),
    "unpaired": lambda y, p: compare_unpaired_aucs(OUTCOME, PROBABILITY, y, p),
    "classification": lambda y, p: classification(y, p, 0.5),
    "calibration": lambda y, p: calibration(y, p),
    "lowess": lambda y, p: calibration_errors(y, p, "lowess"),
    "loess": lambda y, p: calibration_errors(y, p, "loess"),
    "continuous": lambda y, p: continuous_nri(y, OTHER, p),
    "categorical": lambda y, p: categorical_nri(y, OTHER, p, [0.3]),
    "idi": lambda y, p: idi(y, OTHER, p),
    "subgroups": lambda y, p: compare_subgroups(y, p, GROUP),
}


def without_first(values):
    return np.r_[np.nan, values[1:]]


@pytest.mark.parametrize("measure", MEASURES)
def test_a_missing_prediction_is_not_a_low_one(measure):
    with pytest.raises(ValueError, match="1 of 8 patients have no prediction"):
        MEASURES[measure](OUTCOME, without_first(PROBABILITY))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_missing_outcome_is_not_an_event(measure):
    with pytest.raises(ValueError, match="1 of 8 patients have no outcome"):
        MEASURES[measure](without_first(OUTCOME), PROBABILITY)


@pytest.mark.parametrize("y", [OUTCOME, np.ones(8), np.zeros(8), without_first(OUTCOME)])
def test_a_cut_off_is_chosen_on_complete_patients_of_both_outcomes(y):
    probability = without_first(PROBABILITY) if y is OUTCOME else PROBABILITY
    with pytest.raises(ValueError, match="a cut-off needs"):
        youden(y, probability)


def test_no_cut_off_calls_nobody_negative():
    with pytest.raises(ValueError, match="no cut-off"):
        classification(OUTCOME, PROBABILITY, np.nan)


@pytest.mark.parametrize(("event", "ratio"), [(1.0, 2.0), (0.0, 0.0)])
def test_one_outcome_alone_is_calibrated_as_far_as_it_goes(event, ratio):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibration(np.full(8, event), PROBABILITY)
    assert found["observed_expected"].estimate == pytest.approx(ratio)
    missing = [found["observed_expected"].lower, found["observed_expected"].upper]
    missing += [found[name].estimate for name in ("scaled_brier", "calibration_slope")]
    missing.append(found["calibration_in_the_large"].estimate)
    assert np.isnan(missing).all()
    assert all("same outcome" in found[name].note for name in found if name != "brier")


@pytest.mark.parametrize("predicted", [np.zeros(8), np.ones(8), OUTCOME, 1.0 - OUTCOME])
def test_predictions_without_a_doubt_have_no_calibration_in_the_large(predicted):
    # Their log-odds are infinite: any number would be that of the step they are moved inwards by.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibration(OUTCOME, predicted)
    for name in ("calibration_in_the_large", "calibration_slope"):
        assert np.isnan([found[name].estimate, found[name].lower, found[name].upper]).all()
        assert "not estimable" in found[name].note
    assert np.isnan(found["observed_expected"].estimate) == (predicted.sum() == 0)


def test_two_models_of_one_outcome_are_not_compared():
    with pytest.raises(ValueError, match="with and without"):
        compare_aucs(np.ones(8), PROBABILITY, OTHER)


def test_patients_too_few_for_a_curve_are_told_in_words():
    with pytest.raises(ValueError, match="too few or tied"):
        calibration_errors(OUTCOME[:4], PROBABILITY[:4], "loess")
