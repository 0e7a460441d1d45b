"""Baselines beside a signature: volume alone, size with clinical variables, and correlation with volume."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone

from annulus.modelling.baselines import LogisticTerms, size_and_clinical, volume_correlations, volume_only
from annulus.modelling.logistic import NotEstimable, fit_logistic
from annulus.modelling.nested_cv import nested_cv


def cohort(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    volume = np.exp(rng.normal(size=n) + 0.8 * y)
    table = pd.DataFrame({"volume": volume, "age": rng.normal(55, 9, n), "texture": np.sqrt(volume)})
    return table.set_index(pd.Index([f"P{i}" for i in range(n)])), y


def test_the_baseline_is_the_logistic_regression_of_its_columns():
    table, y = cohort()
    found = size_and_clinical("volume", ["age"]).fit(table, y)
    wanted = fit_logistic(table[["volume", "age"]], y)
    np.testing.assert_array_equal(found.linear_.coefficients, wanted.coefficients)
    linear = wanted.intercept + table[["volume", "age"]].to_numpy() @ wanted.coefficients
    np.testing.assert_allclose(found.predict_proba(table)[:, 1], 1 / (1 + np.exp(-linear)))
    np.testing.assert_array_equal(found.predict(table), linear > 0)
    assert found.selected_ == ("volume", "age")


def test_volume_alone_uses_volume_alone():
    table, y = cohort()
    model = volume_only("volume").fit(table, y)
    np.testing.assert_array_equal(
        model.decision_function(table), model.decision_function(table.assign(age=0.0, texture=9.0))
    )


def test_missing_values_take_the_training_median():
    table, y = cohort()
    model = volume_only("volume").fit(table, y)
    missing, median = (
        table.head(1).assign(volume=np.nan),
        table.head(1).assign(volume=table["volume"].median()),
    )
    assert model.decision_function(missing) == pytest.approx(model.decision_function(median))


def test_separation_leads_to_firth():
    table, y = cohort()
    model = LogisticTerms(["volume", "perfect"]).fit(table.assign(perfect=y * 1.0), y)
    assert np.isfinite(model.linear_.coefficients).all()
    assert "separated" in model.fit_.reason


def test_what_cannot_be_estimated_is_told():
    table, y = cohort()
    with pytest.raises(NotEstimable, match="none of its terms varies"):
        volume_only("volume").fit(table.assign(volume=3.0), y)
    with pytest.raises(ValueError, match="no column diameter"):
        volume_only("diameter").fit(table, y)


def test_a_baseline_can_be_cross_validated_as_a_signature_is():
    table, y = cohort(400)
    found = nested_cv(volume_only("volume"), table, y, 5, 1, 0)
    # Log volumes 0.8 SD apart have an AUC of 0.714.
    assert found.auc == pytest.approx(stats.norm.cdf(0.8 / np.sqrt(2)), abs=0.06)
    assert found.frequency["column"].tolist() == ["volume"]
    assert clone(volume_only("volume")).get_params() == {"columns": ("volume",)}


def test_a_feature_that_is_volume_in_disguise_is_shown():
    table, _ = cohort()
    table.loc["P3", "age"] = np.nan
    found = volume_correlations(table[["texture", "age"]].assign(same=1.0), table["volume"]).set_index(
        "column"
    )
    assert found.loc["texture", "spearman"] == pytest.approx(1.0)
    known = table.dropna()
    wanted = stats.spearmanr(known["age"], known["volume"])
    assert found.loc["age", ["spearman", "p"]].tolist() == pytest.approx([wanted.statistic, wanted.pvalue])
    assert found["n"].tolist() == [200, 199, 200]
    assert np.isnan(found.loc["same", "spearman"])


def test_volumes_are_matched_by_patient_and_not_by_row():
    table, _ = cohort()
    turned = table["volume"].iloc[::-1]
    assert volume_correlations(table[["texture"]], turned)["spearman"][0] == pytest.approx(1.0)
