"""The Kaiser-score study of axillary metastasis, refitted on a table that has its published numbers.

The 108 patients are made up: counts per combination of the four findings that reproduce the published
odds ratios, their intervals and the operating point.
"""

import numpy as np
import pandas as pd
import pytest

from annulus.evaluation.classification import classification
from annulus.evaluation.discrimination import auc_interval
from annulus.modelling.logistic import fit_logistic

FINDINGS = ["larger_than_20_mm", "microcalcification", "convergence", "kaiser_6_or_more"]
# Patients per combination of the findings, 0000, 0001, ... 1111.
WITHOUT = [11, 9, 2, 3, 0, 3, 0, 0, 18, 9, 11, 1, 3, 3, 0, 1]
WITH = [1, 2, 0, 0, 0, 0, 0, 1, 0, 10, 1, 7, 2, 3, 4, 3]


@pytest.fixture(scope="module")
def study():
    cells = np.array([[int(bit) for bit in f"{cell:04b}"] for cell in range(16)])
    findings = pd.DataFrame(np.repeat(np.vstack([cells, cells]), WITHOUT + WITH, axis=0), columns=FINDINGS)
    outcome = np.repeat([0, 1], [sum(WITHOUT), sum(WITH)])
    fit = fit_logistic(findings, outcome)
    linear = fit.intercept + findings.to_numpy() @ fit.coefficients
    return outcome, fit, 1.0 / (1.0 + np.exp(-linear))


def test_odds_ratios_and_intervals_are_the_published(study):
    _, fit, _ = study
    found = fit.odds_ratios()
    assert (fit.n, fit.events) == (108, 34)
    assert fit.intercept == pytest.approx(-4.1972, abs=5e-5)
    np.testing.assert_allclose(found["odds_ratio"], [6.139, 3.618, 3.357, 8.571], atol=5e-4)
    np.testing.assert_allclose(found["lower"], [1.640, 1.188, 1.168, 2.817], atol=5e-4)
    np.testing.assert_allclose(found["upper"], [22.977, 11.022, 9.644, 26.074], atol=5e-4)


def test_operating_point_is_the_published(study):
    outcome, _, probability = study
    found = classification(outcome, probability, 0.4417)
    assert found["sensitivity"].note == "28/34"
    assert found["specificity"].note == "60/74"
    assert found["ppv"].note == "28/42"


def test_auc_is_the_published(study):
    outcome, _, probability = study
    assert auc_interval(outcome, probability).estimate == pytest.approx(0.850, abs=5e-4)
