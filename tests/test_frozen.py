"""Frozen models: what is read back scores as what was fitted, and as a computation by hand."""

import functools
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column, columns_of, terms_of
from annulus.errors import StudyError
from annulus.modelling.fitting import (
    Training,
    fit_combined_model,
    fit_signature,
    freezing_for,
    read_lower_bounds,
)
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.pipeline import build_pipeline
from annulus.modelling.predicting import predict, scorable
from annulus.modelling.threshold import CutOff

FINITE = st.floats(-1e6, 1e6)
COLUMNS = columns_of("participants")
SIGNATURE = {
    "steps": ["impute", "variance", "scale"],
    "model": {"lasso": {"folds": 3, "count": 10, "smallest_ratio": 0.1}},
}
ITR = Linear(0.25, ("us_itr_a", "us_itr_b"), (1.5, -2.0), (10.0, 0.0), (9.0, 1.0), (2.0, 0.5))
COMBINED = FrozenModel(
    name="nomogram",
    kind="combined",
    linear=Linear(
        -1.0,
        ("radscore_itr", "age_years", "menopausal_status[peri]", "menopausal_status[post]",
         "breast_density"),
        (0.8, 0.02, 0.3, -0.4, 0.1),
        (0.0, 52.0, 0.0, 1.0, 2.0),
        (0.0,) * 5,
        (1.0,) * 5,
    ),
    clinical=("age_years", "menopausal_status", "breast_density"),
    signatures={"itr": ITR},
    cut_off=CutOff(0.4, "a rule", 0.3, 0.5),
    training={"n": 3, "ranges": {"age_years": [40.0, 60.0]}},
)  # fmt: skip


def patients():
    return pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "us_itr_a": [11.0, np.nan, 9.0],
            "us_itr_b": [1.0, 2.0, np.nan],
            "age_years": ["60", None, "40"],
            "menopausal_status": ["peri", "pre", None],
            "breast_density": ["d", None, "b"],
        }
    )


def training(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2).astype(float)
    names = [f"us_{roi}_f{i}" for roi in ("itr", "ptr") for i in range(4)]
    table = pd.DataFrame(rng.normal(size=(n, 8)), columns=names, index=[f"P{i}" for i in range(n)])
    table["us_itr_f0"] += 1.2 * y
    table["us_ptr_f1"] -= 1.2 * y
    table["age_years"] = rng.normal(55, 9, n)
    table.iloc[3, 0] = table.iloc[5, 8] = np.nan
    return Training(table, pd.Series(y, index=table.index))


@functools.cache
def fitted():
    data = training()
    freezing = freezing_for(data, 3, {"rule": "youden"}, 1)
    parts = {
        roi: fit_signature(data, roi, data.feature_columns(["us"], roi), SIGNATURE, 3, True, freezing)
        for roi in ("itr", "ptr")
    }
    combined = fit_combined_model(
        data, "nomogram", {roi: part.model for roi, part in parts.items()},
        {roi: part.cross_fitted for roi, part in parts.items()}, ["age_years"], freezing,
    )  # fmt: skip
    return data, parts, combined


def through_json(model):
    return FrozenModel.from_json(json.loads(json.dumps(model.to_json(), allow_nan=False)))


def test_a_fitted_combined_model_scores_alike_after_json():
    data, _, combined = fitted()
    found = through_json(combined.model)
    assert found == combined.model
    np.testing.assert_allclose(
        found.score(data.predictors, COLUMNS),
        combined.model.score(data.predictors, COLUMNS),
        atol=1e-12,
        rtol=0,
    )


def test_the_training_table_holds_the_frozen_models_scores():
    data, parts, combined = fitted()
    for part in (*parts.values(), combined):
        again = through_json(part.model).score(data.predictors, COLUMNS)
        np.testing.assert_allclose(part.training["linear_predictor"], again, atol=1e-12)


def test_the_threshold_is_an_out_of_fold_probability():
    _, parts, combined = fitted()
    for part in (*parts.values(), combined):
        assert part.model.cut_off.value in part.training["probability_out_of_fold"].to_list()


def test_a_combined_models_coefficients_come_from_cross_fitted_scores():
    data, parts, combined = fitted()
    terms = {}
    for roi, part in parts.items():
        table = part.cross_fitted
        scores = table[table["outer_set"] == "all"].set_index("patient_id")["score"]
        terms[f"radscore_{roi}"] = scores.reindex(data.outcome.index)
    age = data.predictors["age_years"]
    design = pd.DataFrame({**terms, "age_years": age.fillna(age.median())})
    # The score equations of logistic regression hold at the coefficients, and there alone.
    linear = combined.model.linear
    p = 1 / (1 + np.exp(-(linear.intercept + design[list(linear.terms)] @ linear.coefficients)))
    np.testing.assert_allclose(design.T @ (data.outcome - p), 0.0, atol=1e-6)


def test_no_model_survives_json_with_its_reason():
    model = FrozenModel("clinical", "clinical", None, "no variable survived")
    found = through_json(model)
    assert (found.linear, found.reason, found.cut_off) == (None, "no variable survived", None)
    with pytest.raises(ValueError, match="no variable survived"):
        found.score(patients(), COLUMNS)


@settings(max_examples=50, deadline=None)
@given(FINITE, st.lists(st.tuples(FINITE, FINITE, FINITE, st.floats(1e-3, 1e3)), max_size=5))
def test_a_linear_predictor_survives_json_exactly(intercept, rows):
    columns = list(zip(*rows, strict=True)) if rows else [()] * 4
    linear = Linear(intercept, tuple(f"t{i}" for i in range(len(rows))), *columns)
    assert Linear.from_json(json.loads(json.dumps(linear.to_json()))) == linear


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE, FINITE, st.floats(0.1, 1e3)), min_size=1, max_size=5))
def test_a_linear_predictor_is_the_sum_over_its_terms(rows):
    columns = list(zip(*rows, strict=True))
    linear = Linear(0.5, tuple(f"t{i}" for i in range(len(rows))), *columns)
    table = pd.DataFrame([{f"t{i}": float(i) for i in range(len(rows))}])
    wanted = 0.5 + math.fsum(b * (i - m) / s for i, (b, _, m, s) in enumerate(rows))
    size = sum(abs(b * (i - m) / s) for i, (b, _, m, s) in enumerate(rows))
    assert linear.of(table)[0] == pytest.approx(wanted, abs=1e-12 * (1 + size))


def test_a_missing_term_takes_its_training_median():
    found = ITR.of(patients())
    wanted = [
        0.25 + 1.5 * (11 - 9) / 2 - 2.0 * (1 - 1) / 0.5,
        0.25 + 1.5 * (10 - 9) / 2 - 2.0 * (2 - 1) / 0.5,
        0.25 + 1.5 * (9 - 9) / 2 - 2.0 * (0 - 1) / 0.5,
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_without_terms_everybody_gets_the_intercept():
    np.testing.assert_array_equal(Linear(-0.7).of(patients()), [-0.7] * 3)


def test_a_term_that_is_not_in_the_table_is_refused():
    with pytest.raises(KeyError):
        ITR.of(patients().drop(columns="us_itr_b"))


def test_a_combined_model_scores_as_by_hand():
    rad = [1.75, -3.0, 4.25]
    wanted = [
        -1.0 + 0.8 * rad[0] + 0.02 * 60 + 0.3 * 1 - 0.4 * 0 + 0.1 * 4,
        -1.0 + 0.8 * rad[1] + 0.02 * 52 + 0.3 * 0 - 0.4 * 0 + 0.1 * 2,
        # Her menopausal status is missing: both indicators take their training medians, 0 and 1.
        -1.0 + 0.8 * rad[2] + 0.02 * 40 + 0.3 * 0 - 0.4 * 1 + 0.1 * 2,
    ]
    np.testing.assert_allclose(ITR.of(patients()), rad, atol=1e-12)
    np.testing.assert_allclose(COMBINED.score(patients(), COLUMNS), wanted, atol=1e-12)


def test_predictions_leave_out_models_that_do_not_exist_or_lack_a_column():
    absent = FrozenModel("clinical", "clinical", None, "none")
    described = {name: COLUMNS[name] for name in COMBINED.clinical}
    other = replace(COMBINED, name="other", clinical=(*COMBINED.clinical, "bmi"))
    models, unscored = scorable(
        [absent, replace(COMBINED, variables=described), other], patients(), "internal_test"
    )
    reason = "internal_test has no bmi"
    assert unscored.to_dict("records") == [{"model": "other", "cohort": "internal_test", "reason": reason}]
    found = predict(models, patients(), "internal_test")
    assert found["model"].unique().tolist() == ["nomogram"]
    scores = COMBINED.score(patients(), COLUMNS)
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-scores)))
    assert found["patient_id"].tolist() == ["a", "b", "c"]


def test_a_cohort_that_no_model_can_score_is_refused():
    other = replace(COMBINED, clinical=(*COMBINED.clinical, "bmi"))
    empty = patients().assign(bmi=np.nan)
    with pytest.raises(StudyError, match=r"No model can score external_x .*has no bmi"):
        scorable([other], empty, "external_x")


def test_a_patients_score_does_not_depend_on_the_other_patients():
    together = COMBINED.score(patients(), COLUMNS)
    for i in range(3):
        assert COMBINED.score(patients().iloc[[i]], COLUMNS)[0] == pytest.approx(together[i])


def test_a_frozen_signature_scores_as_the_estimator():
    data = training()
    columns = data.feature_columns(["us"], "itr")
    X = data.predictors[columns].assign(same=4.0)
    model = build_pipeline(SIGNATURE, 0).fit(X, data.outcome.to_numpy())
    linear = model.freeze()
    new = training(seed=9).predictors[columns].assign(same=5.0)
    assert "us_itr_f0" in linear.terms and "same" not in linear.terms
    np.testing.assert_allclose(linear.of(new), model.decision_function(new), atol=1e-12)


# ---- signatures of other kinds ----

MACHINE = {"steps": ["impute"], "model": {"svm": {"cost": [1.0], "gamma": [0.5], "folds": 3}}}
FOREST = {"steps": ["impute"], "model": {"random_forest": {"trees": 30}}}


@functools.cache
def fitted_otherwise():
    """A support vector machine and a forest, and a combined model of both with age."""
    data = training()
    freezing = freezing_for(data, 3, {"rule": "youden"}, 1)
    parts = {
        roi: fit_signature(data, roi, data.feature_columns(["us"], roi), config, 3, True, freezing)
        for roi, config in (("itr", MACHINE), ("ptr", FOREST))
    }
    combined = fit_combined_model(
        data, "nomogram", {roi: part.model for roi, part in parts.items()},
        {roi: part.cross_fitted for roi, part in parts.items()}, ["age_years"], freezing,
    )  # fmt: skip
    return data, parts, combined


def test_signatures_of_any_kind_can_be_combined_and_predict_after_json():
    _, parts, combined = fitted_otherwise()
    new = training(seed=4).predictors.reset_index(names="patient_id").fillna({"age_years": 50.0})
    models = [part.model for part in (*parts.values(), combined)]
    described = {"age_years": COLUMNS["age_years"]}
    models = [replace(model, variables=described) for model in models]
    again = [through_json(model) for model in models]
    assert again == models and set(combined.model.signatures) == {"itr", "ptr"}
    found = predict(again, new, "internal_test").set_index(["model", "patient_id"])["linear_predictor"]
    # By hand: the intercept, age, and each signature's score from its own origin.
    linear = combined.model.linear
    slopes = dict(zip(linear.terms, linear.coefficients, strict=True))
    wanted = linear.intercept + slopes["age_years"] * new["age_years"]
    for roi, part in parts.items():
        score = found[f"signature_{roi}"].to_numpy() - part.model.linear.intercept
        wanted = wanted + slopes[f"radscore_{roi}"] * score
    np.testing.assert_allclose(found["nomogram"], wanted, atol=1e-10)
    assert found.groupby("model").std().min() > 0.05


def test_the_training_table_of_any_kind_holds_the_frozen_models_scores():
    data, parts, combined = fitted_otherwise()
    for part in (*parts.values(), combined):
        again = through_json(part.model).score(data.predictors, COLUMNS)
        np.testing.assert_allclose(part.training["linear_predictor"], again, atol=1e-12)
        assert part.model.training["n"] == 60


def test_a_signature_without_a_path_has_empty_tables_and_names_its_model():
    _, parts, _ = fitted_otherwise()
    for part, kind in zip(parts.values(), ("svm", "random_forest"), strict=True):
        assert part.path.empty and part.cv.empty
        assert list(part.cv) == list(fitted()[1]["itr"].cv)
        assert part.choice["learner"].tolist() == [kind]
        assert (
            part.selection["coefficient"].isna().all() and (part.selection["model"] == part.model.name).all()
        )
    importance = parts["ptr"].selection.set_index("column")["statistic"]
    assert importance.sum() == pytest.approx(1.0) and importance.idxmax() == "us_ptr_f1"


def test_a_signature_keeps_to_stable_features_and_is_harmonised():
    data = training()
    table = data.predictors.assign(device=np.resize(["a", "b"], 60), us_itr_other=1.0)
    table["age_years"] = table["age_years"].fillna(50.0)
    table.loc[table["device"] == "b", "us_itr_f0"] += 4.0
    steps = ["stability", "impute", {"harmonise": {"centre": "device", "covariates": ["age_years"]}}]
    lower = {f"us_itr_f{i}": 0.9 for i in range(4)} | {"us_itr_f1": 0.2, "us_itr_other": np.nan}
    moved = Training(table, data.outcome)
    columns = moved.feature_columns(["us"], "itr")
    freezing = freezing_for(data, 3, {"rule": "youden"}, 1)
    config = {"steps": steps, "model": SIGNATURE["model"]}
    part = fit_signature(moved, "itr", columns, config, 3, False, freezing, lower)
    fates = part.selection.set_index("column")
    assert list(fates.index) == columns
    removed = fates[fates["step_removed"] == "stability"]
    assert (
        set(removed.index) == {"us_itr_f1", "us_itr_other"} and removed.loc["us_itr_f1", "statistic"] == 0.2
    )
    model = through_json(part.model)
    assert "us_itr_f0" in model.linear.terms and set(model.linear.columns) > {"device", "age_years"}
    scores = model.score(table, COLUMNS)
    np.testing.assert_allclose(scores, part.training["linear_predictor"], atol=1e-12)
    # What the device adds is gone.
    apart = pd.Series(scores).groupby(table["device"].to_numpy()).mean().diff().iloc[1]
    slope = model.linear.coefficients[model.linear.terms.index("us_itr_f0")]
    assert abs(apart) < 0.3 < 4.0 * slope
    with pytest.raises(StudyError, match="training had no"):
        model.score(table.assign(device="c"), COLUMNS)


def test_lower_bounds_come_from_the_table_of_stability_where_there_is_one(tmp_path):
    rows = [("us_itr_a", 0.8, "raters"), ("us_itr_a", 0.6, "noise"), ("us_itr_b", np.nan, "noise")]
    path = tmp_path / "stability.csv"
    pd.DataFrame(rows, columns=["column", "icc_lower", "source"]).to_csv(path, index=False)
    found = read_lower_bounds([path])
    assert found["us_itr_a"] == 0.6 and np.isnan(found["us_itr_b"])
    assert read_lower_bounds([]) is None


# ---- clinical variables as terms ----


def test_a_category_has_an_indicator_per_level_after_its_first():
    table = pd.DataFrame({"menopausal_status": ["pre", "peri", "post", None]})
    found = encode(table, [COLUMNS["menopausal_status"]])
    assert list(found) == ["menopausal_status[peri]", "menopausal_status[post]"]
    np.testing.assert_array_equal(found, [[0, 0], [1, 0], [0, 1], [np.nan, np.nan]])


def test_an_ordinal_takes_its_scores_and_what_has_none_is_missing():
    table = pd.DataFrame({"us_birads": ["3", "4A", "4", "4C", "5", "0", None]})
    found = encode(table, [COLUMNS["us_birads"]])["us_birads"]
    np.testing.assert_array_equal(found, [3, 3.67, 4, 4.33, 5, np.nan, np.nan])


def test_numbers_and_booleans_are_themselves():
    table = pd.DataFrame({"age_years": ["52.5", None], "er_status": ["1", "0"]})
    found = encode(table, [COLUMNS["age_years"], COLUMNS["er_status"]])
    np.testing.assert_array_equal(found, [[52.5, 1], [np.nan, 0]])


def test_a_value_that_is_no_level_is_not_taken_for_the_first_level():
    table = pd.DataFrame({"menopausal_status": ["pre", "perimenopausal"]})
    found = encode(table, [COLUMNS["menopausal_status"]])
    assert found.iloc[1].isna().all()


def test_the_coding_does_not_depend_on_which_levels_are_there():
    table = pd.DataFrame({"menopausal_status": ["post", "peri", "pre"]})
    whole = encode(table, [COLUMNS["menopausal_status"]])
    for i in range(3):
        alone = encode(table.iloc[[i]], [COLUMNS["menopausal_status"]])
        pd.testing.assert_frame_equal(alone, whole.iloc[[i]])


@pytest.mark.parametrize("kind", ["text", "date"])
def test_a_text_or_date_cannot_be_a_term(kind):
    with pytest.raises(StudyError, match="cannot be a term"):
        terms_of(Column(name="device", type=kind, description=""))


def test_every_ordinal_of_the_dictionary_scores_only_its_levels():
    for column in COLUMNS.values():
        if column.type == "ordinal":
            assert set(column.scores) <= set(column.levels), column.name
            scores = [column.scores[level] for level in column.levels if level in column.scores]
            assert len(scores) >= 2, column.name
