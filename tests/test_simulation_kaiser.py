"""The simulated Kaiser-score study has the published prevalences, odds ratios and discrimination."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from annulus.modelling.logistic import fit_logistic
from annulus.simulation.kaiser_us_alnm import simulate_patients
from annulus.simulation.roster import enrolled

BETAS = [1.8057, 1.2859, 1.2081, 2.1473]


@pytest.fixture(scope="module")
def patients():
    return simulate_patients(enrolled("kaiser_us_alnm", {"all": 40000}), {}, False, 6)


def kaiser(row):
    """The published tree, question by question."""
    if row.mri_root_sign:
        if row.mri_curve == "persistent":
            return 6
        if row.mri_curve == "plateau":
            return 10 if row.mri_oedema else 7
        return 11 if row.mri_oedema else 9
    if row.mri_curve == "washout":
        return 8 if row.mri_internal_enh == "heterogeneous" else 4
    circumscribed = row.mri_margin == "circumscribed"
    if row.mri_curve == "persistent":
        return 1 if circumscribed else 3
    return 2 if circumscribed else 5


def findings_of(table):
    scores = np.array([kaiser(row) for row in table.itertuples()])
    return pd.DataFrame(
        {
            "large": (table["tumor_diameter_mm"] > 20).astype(int),
            "microcalcification": table["us_microcalcification"],
            "convergence": table["us_convergence_sign"],
            "kaiser": (scores >= 6).astype(int),
        }
    ), scores


@pytest.mark.slow
def test_the_regression_gives_the_published_coefficients_back(patients):
    findings, _ = findings_of(patients)
    fit = fit_logistic(findings, patients["outcome_alnm"].to_numpy())
    table = fit.odds_ratios()
    errors = np.log(table["upper"] / table["lower"]) / (2 * 1.959964)
    assert (np.abs(np.log(table["odds_ratio"]) - BETAS) < 3 * errors).all()
    assert fit.intercept == pytest.approx(-4.249, abs=0.15)
    half = fit_logistic(findings[:20000], patients["outcome_alnm"].to_numpy()[:20000]).odds_ratios()
    np.testing.assert_allclose(half["odds_ratio"], [6.084, 3.618, 3.347, 8.562], rtol=0.15)
    linear = LogisticRegression(C=1e6).fit(findings, patients["outcome_alnm"]).decision_function(findings)
    assert roc_auc_score(patients["outcome_alnm"], linear) == pytest.approx(0.820, abs=0.01)
    assert roc_auc_score(patients["outcome_alnm"], patients["latent_risk"]) == pytest.approx(0.820, abs=0.01)
    assert roc_auc_score(patients["outcome_alnm"], patients["bayes_alnm"]) > roc_auc_score(
        patients["outcome_alnm"], patients["latent_risk"]
    )


@pytest.mark.slow
def test_findings_scores_and_nodes_are_as_tabulated(patients):
    findings, scores = findings_of(patients)
    np.testing.assert_allclose(findings.mean(), [0.74, 0.23, 0.28, 0.53], atol=0.01)
    assert patients["outcome_alnm"].mean() == pytest.approx(34 / 108, abs=0.01)
    pairs = np.corrcoef(findings.to_numpy().T)[np.triu_indices(4, 1)]
    assert np.abs(pairs).max() < 4 / np.sqrt(40000)
    metastasis = patients["outcome_alnm"].to_numpy() == 1
    for event, shares in (
        (True, (0.04, 0.14, 0.22, 0.28, 0.12, 0.20)),
        (False, (0.08, 0.22, 0.26, 0.28, 0.08, 0.08)),
    ):
        of = scores[(metastasis == event) & (scores >= 6)]
        np.testing.assert_allclose([np.mean(of == score) for score in range(6, 12)], shares, atol=0.02)
    low = scores[scores < 6]
    np.testing.assert_allclose(
        [np.mean(low == score) for score in range(1, 6)], (0.08, 0.10, 0.20, 0.17, 0.45), atol=0.02
    )
    assert ((patients["n_nodes_positive"] >= 1) == metastasis).all()
    assert (patients["n_nodes_positive"] <= patients["n_nodes_examined"]).all()


@pytest.mark.slow
def test_marked_flow_goes_with_metastasis_and_adds_nothing_to_the_findings(patients):
    outcome = patients["outcome_alnm"].to_numpy()
    marked = (patients["us_adler_grade"] >= 2).to_numpy().astype(int)
    assert marked[outcome == 1].mean() == pytest.approx(0.70, abs=0.02)
    assert marked[outcome == 0].mean() == pytest.approx(0.47, abs=0.02)
    findings, _ = findings_of(patients)
    assert fit_logistic(pd.DataFrame({"flow": marked}), outcome).odds_ratios()["lower"].iloc[0] > 2
    row = fit_logistic(findings.assign(flow=marked), outcome).odds_ratios().iloc[-1]
    assert abs(np.log(row["odds_ratio"])) < 3 * np.log(row["upper"] / row["lower"]) / (2 * 1.959964)


def test_scores_and_flags_that_the_workflow_derives_are_not_written():
    table = simulate_patients(enrolled("kaiser_us_alnm", {"all": 108}), {}, False, 1)
    assert not {"kaiser_score", "kaiser_ge6", "tumor_gt_20mm", "aln_metastasis"} & set(table)
