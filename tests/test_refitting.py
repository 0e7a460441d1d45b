"""All models of a task refitted whole: the study's own models where nothing is resampled, and no leaks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from annulus.cohort.dictionary import columns_of
from annulus.modelling.fitting import (
    Training,
    fit_clinical_model,
    fit_combined_model,
    fit_prespecified_model,
    fit_signature,
    freezing_for,
    with_frequency,
)
from annulus.modelling.optimism import apparent_performance, optimism_rounds, optimism_table, resamples
from annulus.modelling.plan import LESION_SIZE
from annulus.modelling.refitting import (
    random_splits,
    refit,
    refitter,
    selection_frequency,
    split_rounds,
    task_plan,
)
from annulus.modelling.scorers import probability

SIGNATURE = {
    "steps": ["impute", "variance", "scale"],
    "model": {"lasso": {"folds": 3, "count": 10, "smallest_ratio": 0.1}},
}
SETTINGS = {
    "signatures": ["itr", "ptr"],
    "signature": SIGNATURE,
    "clinical": {"candidates": ["age_years", "menopausal_status"], "entry_p": 0.2, "stay_p": 0.2},
    "prespecified": ["clinical_full", "volume", "size_clinical"],
    "combined": {
        "radiomics": {"signatures": ["itr", "ptr"], "clinical": []},
        "nomogram": {"signatures": ["itr"], "clinical": ["age_years"]},
    },
    "outer_folds": 3,
}
MODELS = [
    "signature_itr", "signature_ptr", "clinical", "clinical_full", "volume", "size_clinical", "radiomics",
    "nomogram",
]  # fmt: skip


def training(n=90, seed=0, signal=1.2):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.resize([1.0, 0.0], n))
    names = [f"us_{roi}_f{i}" for roi in ("itr", "ptr") for i in range(8)]
    table = pd.DataFrame(rng.normal(size=(n, len(names))), columns=names)
    table["us_itr_f0"] += signal * y
    table["us_ptr_f3"] -= signal * y
    table["age_years"] = 50.0 + 8.0 * rng.normal(size=n) + 5.0 * y
    table["menopausal_status"] = rng.choice(["pre", "peri", "post"], n)
    table[LESION_SIZE] = 10.0 + rng.normal(size=n) + 0.5 * y
    table.loc[3, "us_itr_f0"] = np.nan
    table.index = pd.Index([f"P{i:02d}" for i in range(n)], name="patient_id")
    return Training(table, pd.Series(y, index=table.index))


def plan_of(data):
    return task_plan(SETTINGS, data, ["us"], None, 1)


def test_on_the_patients_themselves_the_models_are_those_of_the_study():
    data = training()
    found = refit(data.predictors, data.outcome.to_numpy(), plan_of(data), 0)
    assert list(found.models) == MODELS
    freezing = freezing_for(data, 3, {"rule": "youden"}, 1)
    parts = {
        roi: fit_signature(data, roi, data.feature_columns(["us"], roi), SIGNATURE, 3, True, freezing)
        for roi in ("itr", "ptr")
    }
    study = {
        "signature_itr": parts["itr"],
        "clinical": fit_clinical_model(data, ["age_years", "menopausal_status"], 0.2, 0.2, freezing),
        "volume": fit_prespecified_model(data, "volume", [LESION_SIZE], freezing),
        "nomogram": fit_combined_model(
            data, "nomogram", {"itr": parts["itr"].model}, {"itr": parts["itr"].cross_fitted},
            ["age_years"], freezing,
        ),
    }  # fmt: skip
    columns = columns_of("participants")
    predicted = found.probabilities(data.predictors)
    for name, part in study.items():
        wanted = probability(part.model.score(data.predictors, columns))
        np.testing.assert_allclose(predicted[name], wanted, rtol=1e-9)


def test_whoever_is_left_out_takes_no_part():
    data = training()
    y = data.outcome.to_numpy()
    train = np.arange(60)
    other = data.predictors.copy()
    other.iloc[60:] = other.iloc[60:].sample(frac=1.0, random_state=1).to_numpy()
    one = refit(data.predictors.iloc[train], y[train], plan_of(data), 2)
    two = refit(other.iloc[train], y[train], plan_of(data), 2)
    for name, model in one.models.items():
        assert model.to_json() == two.models[name].to_json()


def test_where_no_model_survives_the_prevalence_is_predicted():
    data = training(signal=0.0, seed=4)
    settings = {**SETTINGS, "clinical": {**SETTINGS["clinical"], "entry_p": 1e-9}}
    y = data.outcome.to_numpy()[:81]
    found = refit(data.predictors.iloc[:81], y, task_plan(settings, data, ["us"], None, 1), 0)
    assert found.models["clinical"].linear is None
    np.testing.assert_allclose(found.probabilities(data.predictors)["clinical"], y.mean())


def test_a_resample_with_repeated_patients_corrects_every_model():
    data = training()
    y = data.outcome.to_numpy()
    drawn = dict(enumerate(resamples(y, 12, 3)))
    rounds = optimism_rounds(refitter(plan_of(data)), data.predictors, y, drawn)
    assert list(rounds["model"].drop_duplicates()) == MODELS
    assert set(rounds["resample"]) == set(drawn)
    found = refit(data.predictors, y, plan_of(data), 0)
    tables = {
        name: pd.DataFrame({"patient_id": data.outcome.index, "probability": p})
        for name, p in found.probabilities(data.predictors).items()
    }
    table = optimism_table(apparent_performance(tables, data.outcome), rounds)
    auc = table[table["measure"] == "auc"].set_index("model")
    # Eight features, of which one means something, leave a signature room to overfit; one size does not.
    assert (auc.loc[["signature_itr", "signature_ptr"], "optimism"] > 0.01).all()
    assert abs(auc.loc["volume", "optimism"]) < 0.03
    again = optimism_rounds(refitter(plan_of(data)), data.predictors, y, {7: drawn[7]})
    own = rounds[rounds["resample"] == 7].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, again, check_exact=True)


def test_splits_are_balanced_and_judged_in_the_part_held_out():
    data = training()
    y = data.outcome.to_numpy()
    splits = dict(enumerate(random_splits(y, 4, 1)))
    for train, test in splits.values():
        assert len(test) == 27 and abs(y[test].mean() - y.mean()) < 0.03
        assert not set(train) & set(test)
    areas, selected = split_rounds(
        data.predictors,
        y,
        plan_of(data),
        splits,
    )
    train, test = splits[2]
    found = refit(data.predictors.iloc[train], y[train], plan_of(data), 3)
    p = found.probabilities(data.predictors.iloc[test])["radiomics"]
    row = areas[(areas["model"] == "radiomics") & (areas["split"] == 2)].iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(y[test], p), abs=1e-12)
    frequency = selection_frequency(selected, 4).set_index(["model", "column"])["selection_frequency"]
    assert frequency[("signature_itr", "us_itr_f0")] == 1.0
    assert frequency.le(1.0).all()


def test_what_no_split_selected_has_a_frequency_of_0():
    selection = pd.DataFrame(
        {
            "model": ["signature_itr", "signature_itr", "clinical", "volume"],
            "column": ["a", "b", "age_years", LESION_SIZE],
            "selection_frequency": np.nan,
        }
    )
    selected = pd.DataFrame(
        [("signature_itr", 0, "a"), ("signature_itr", 1, "a"), ("signature_itr", 1, "c")],
        columns=["model", "split", "column"],
    )
    found = with_frequency(selection, selection_frequency(selected, 4))["selection_frequency"]
    assert found[:3].tolist() == [0.5, 0.0, 0.0] and np.isnan(found[3])


def test_a_resample_without_a_small_centre_is_not_refused():
    data = training()
    centre = pd.Series("a", index=data.outcome.index)
    centre.iloc[:4] = "b"
    moved = Training(data.predictors.assign(center=centre), data.outcome)
    harmonise = {"harmonise": {"centre": "center"}}
    settings = {
        **SETTINGS,
        "signatures": ["itr"],
        "signature": {**SIGNATURE, "steps": ["impute", harmonise, "variance", "scale"]},
        "combined": {},
    }
    y = data.outcome.to_numpy()
    plan = task_plan(settings, moved, ["us"], None, 1)
    rows = np.r_[np.arange(4, 90), 4, 5, 6, 7]
    found = refitter(plan)(moved.predictors.iloc[rows], y[rows], 0)(moved.predictors)
    assert np.isfinite(found["signature_itr"]).all()
