"""No patient's outcome reaches the score that evaluation takes for that patient."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from annulus.cohort.dictionary import columns_of
from annulus.evaluation.performance import Plan, performance
from annulus.modelling import combined, fitting, folds, lasso
from annulus.modelling.clinical import fit_prespecified
from annulus.modelling.combined import out_of_fold
from annulus.modelling.fitting import (
    Freezing,
    Training,
    fit_clinical_model,
    fit_combined_model,
    fit_prespecified_model,
    fit_signature,
    freezing_for,
    variables,
)
from annulus.modelling.folds import log_odds, stratified_folds
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.pipeline import build_pipeline
from annulus.modelling.plan import LESION_SIZE
from annulus.modelling.predicting import predict
from annulus.modelling.signature import cross_fit
from annulus.modelling.threshold import CutOff, youden

# Smaller than a study's, so that the canary fits some 2000 paths in half a minute. One region's
# signature takes its penalty by cross-validation, which on noise mostly selects nothing; the other
# always takes the weakest penalty, so that it overfits as badly as it can.
LASSO = {"folds": 3, "count": 8, "smallest_ratio": 0.25}
STEPS = ["impute", "variance", "scale"]
RULES = {"itr": "weakest", "ptr": "minimum"}
OUTER, TRAINED, TESTED, FEATURES, PERMUTATIONS = 3, 84, 60, 150, 14


def noise_table():
    """Correlated features in two regions and clinical variables; nothing is about any outcome."""
    rng = np.random.default_rng(1)
    n = TRAINED + TESTED
    values = rng.normal(size=(n, 12)) @ rng.normal(size=(12, FEATURES)) + rng.normal(size=(n, FEATURES))
    names = [f"us_{roi}_f{i:03d}" for roi in RULES for i in range(FEATURES // 2)]
    table = pd.DataFrame(values, columns=names, index=[f"P{i:03d}" for i in range(n)])
    table["age_years"] = rng.normal(55, 9, n)
    table["tumor_diameter_mm"] = rng.uniform(6, 50, n)
    table["menopausal_status"] = rng.choice(["pre", "peri", "post"], n)
    return table


def fit_all(training, seed):
    freezing = freezing_for(training, OUTER, {"rule": "youden"}, seed)
    parts = {
        roi: fit_signature(
            training,
            roi,
            training.feature_columns(["us"], roi),
            {"steps": STEPS, "model": {"lasso": LASSO | {"penalty": rule}}},
            OUTER,
            True,
            freezing,
        )
        for roi, rule in RULES.items()
    }
    models = {roi: part.model for roi, part in parts.items()}
    crossed = {roi: part.cross_fitted for roi, part in parts.items()}
    radiomics = fit_combined_model(training, "radiomics", models, crossed, [], freezing)
    candidates = ["age_years", "tumor_diameter_mm", "menopausal_status"]
    clinical = fit_clinical_model(training, candidates, 0.5, 0.5, freezing)
    return [*parts.values(), radiomics, clinical]


def areas_of(table, y, seed):
    """AUC of every model that there is: apparent, out-of-fold, and in held-out patients."""
    training = Training(table.iloc[:TRAINED], pd.Series(y[:TRAINED], index=table.index[:TRAINED]))
    held_out = table.iloc[TRAINED:].reset_index(names="patient_id")
    rows = []
    for part in fit_all(training, seed):
        if part.model.linear is None:
            continue
        described = replace(part.model, variables=columns_of("participants"))
        scores = predict([described], held_out, "internal_test")["probability"]
        own = part.training
        rows.append(
            {
                "model": part.model.name,
                "apparent": roc_auc_score(training.outcome, own["probability"]),
                "out_of_fold": roc_auc_score(training.outcome, own["probability_out_of_fold"]),
                "held_out": roc_auc_score(y[TRAINED:], scores),
            }
        )
    return rows


@pytest.fixture(scope="module")
def canary():
    table, rng = noise_table(), np.random.default_rng(2)
    truth = np.resize([1.0, 0.0, 0.0], len(table))
    weakest = property(lambda found: len(found.penalties) - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lasso.CrossValidation, "weakest", weakest, raising=False)
        return pd.DataFrame(
            row for seed in range(PERMUTATIONS) for row in areas_of(table, rng.permutation(truth), seed)
        )


MODELS = ["radiomics", "signature_itr", "signature_ptr", "clinical"]


def mean_and_error(canary, model, kind):
    values = canary.loc[canary["model"] == model, kind]
    assert len(values) >= 6, "too few permutations gave a model"
    return values.mean(), values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("model", MODELS)
def test_permuted_labels_are_not_predicted_in_held_out_patients(canary, model):
    mean, error = mean_and_error(canary, model, "held_out")
    assert abs(mean - 0.5) < 3 * error


@pytest.mark.parametrize("model", MODELS)
def test_permuted_labels_are_not_predicted_out_of_fold(canary, model):
    # Pooled out-of-fold AUCs of noise fall a little below 0.5 (here to 0.48, of the combined model
    # to 0.46): a fold with more events leaves fewer to its model, whose intercept is then lower.
    # A leak would raise them.
    mean, error = mean_and_error(canary, model, "out_of_fold")
    assert 0.5 - 3 * error - 0.06 < mean < 0.5 + 3 * error


def test_the_canary_would_notice_a_leak(canary):
    # Scored on the patients they were fitted on, the same models seem to predict noise.
    # (A combined model does not: its weights come from cross-fitted scores.)
    for model in ("signature_itr", "clinical"):
        mean, error = mean_and_error(canary, model, "apparent")
        assert mean > 0.5 + 3 * error + 0.05


# ---- cross-fitting ----


def small(seed=0, n=42, p=6):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.resize([1.0, 0.0, 0.0], n))
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"us_itr_f{i}" for i in range(p)])
    X["us_itr_f0"] += 2.0 * y
    X.index = [f"P{i:02d}" for i in range(n)]
    return X, y


def quick():
    lasso = {"folds": 3, "count": 8, "smallest_ratio": 0.1}
    return build_pipeline({"steps": STEPS, "model": {"lasso": lasso}}, 5)


def scores_of(X, y, nested=True):
    outer = folds.stratified_folds(y, 3, 5)
    return cross_fit(quick(), X, y, outer, 3, 5, nested).scores.set_index(["outer_set", "patient_id"])


def fix_folds(monkeypatch, y):
    """Stratified folds follow the outcome; hold the sharing-out fixed while one outcome changes."""
    real, known = stratified_folds, {}

    def fixed(outcome, count, seed):
        return known.setdefault((len(outcome), count, seed), real(outcome, count, seed))

    monkeypatch.setattr("annulus.modelling.folds.stratified_folds", fixed)
    return fixed(y, 3, 5)


@pytest.mark.parametrize("patient", [0, 17, 41])
def test_a_patients_own_outcome_never_reaches_the_signature_that_scores_them(monkeypatch, patient):
    X, y = small()
    fix_folds(monkeypatch, y)
    before = scores_of(X, y)
    flipped = y.copy()
    flipped[patient] = 1.0 - flipped[patient]
    after = scores_of(X, flipped)
    name = X.index[patient]
    # In every set: out-of-fold, as held-out patient of an outer fold, and in inner cross-fitting.
    own = before.index.get_level_values("patient_id") == name
    assert own.sum() == 4
    pd.testing.assert_series_equal(before.loc[own, "score"], after.loc[own, "score"])
    assert not before["score"].equals(after["score"])


@pytest.mark.parametrize("patient", [3, 20])
def test_a_patients_features_reach_nobody_of_the_same_fold(monkeypatch, patient):
    X, y = small()
    outer = fix_folds(monkeypatch, y)
    moved = X.copy()
    moved.iloc[patient] += 3.0
    before, after = scores_of(X, y).loc["all", "score"], scores_of(moved, y).loc["all", "score"]
    companions = next(test for _, test in outer if patient in test)
    others = X.index[[i for i in companions if i != patient]]
    pd.testing.assert_series_equal(before[others], after[others])
    assert before[X.index[patient]] != after[X.index[patient]]


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_nothing_of_an_outer_folds_patients_reaches_its_training_scores(monkeypatch, fold):
    X, y = small()
    outer = fix_folds(monkeypatch, y)
    _, test = outer[fold]
    moved, flipped = X.copy(), y.copy()
    moved.iloc[test] = 99.0
    flipped[test] = 1.0 - flipped[test]
    before, after = scores_of(X, y).loc[str(fold)], scores_of(moved, flipped).loc[str(fold)]
    inner = before["held_out"] == 0
    assert set(before.index[~inner]) == set(X.index[test])
    pd.testing.assert_series_equal(before.loc[inner, "score"], after.loc[inner, "score"])


def test_every_outer_set_scores_every_patient_once():
    X, y = small()
    for _, part in scores_of(X, y).groupby(level="outer_set"):
        assert sorted(part.index.get_level_values("patient_id")) == sorted(X.index)
        assert part["score"].notna().all()


def test_a_held_out_score_is_the_out_of_fold_score():
    X, y = small()
    scores = scores_of(X, y)
    held_out = scores[scores["held_out"] == 1].droplevel("outer_set")["score"]
    pd.testing.assert_series_equal(
        held_out.sort_index(), scores.loc["all", "score"].sort_index(), check_names=False
    )


def test_a_combined_models_out_of_fold_score_is_free_of_the_patients_outcome(monkeypatch):
    X, y = small()
    outer = fix_folds(monkeypatch, y)
    clinical = pd.DataFrame({"age_years": np.linspace(30, 80, len(y))}, index=X.index)

    def held_out(outcome):
        table = cross_fit(quick(), X, outcome, outer, 3, 5, True).scores
        series = pd.Series(outcome, index=X.index)
        return out_of_fold({"itr": table}, clinical, variables(["age_years"]), series, outer)

    flipped = y.copy()
    flipped[11] = 1.0 - flipped[11]
    before, after = held_out(y), held_out(flipped)
    assert before.iloc[11] == after.iloc[11]
    assert not before.equals(after)


def test_a_clinical_models_out_of_fold_score_is_free_of_the_patients_outcome(monkeypatch):
    _, y = small()
    outer = stratified_folds(y, 3, 5)
    monkeypatch.setattr(fitting, "stratified_folds", lambda *_: outer)
    ages = 50 + 8 * np.random.default_rng(3).normal(size=42) + 9 * y
    table = pd.DataFrame({"age_years": ages}, index=[f"P{i:02d}" for i in range(42)])

    def held_out(outcome):
        training = Training(table, pd.Series(outcome, index=table.index))
        fitted = fit_clinical_model(
            training, ["age_years"], 0.2, 0.2, freezing_for(training, 3, {"rule": "youden"}, 5)
        )
        # Put at the training prevalence, which one flipped outcome moves for everybody alike.
        return logit(fitted.training["probability_out_of_fold"]) - log_odds(outcome)

    flipped = y.copy()
    flipped[11] = 1.0 - flipped[11]
    before, after = held_out(y), held_out(flipped)
    assert before.iloc[11] == pytest.approx(after.iloc[11], abs=1e-12)
    assert not np.allclose(before, after)


def test_a_signature_that_selects_nothing_gets_no_weight_in_a_combined_model():
    # With no feature, a fold's signature is its intercept: the log-odds of the event among the others,
    # low where the fold has many events. As a term it would earn a slope near 1 - folds.
    y = np.random.default_rng(0).permutation(np.resize([1.0, 0.0, 0.0], 83))
    names = pd.Index([f"P{i:02d}" for i in range(83)], name="patient_id")
    features = pd.DataFrame({"us_itr_f0": 1.0}, index=names)
    model = build_pipeline({"steps": STEPS, "model": {"lasso": {"folds": 3, "count": 10}}}, 1)
    crossed = cross_fit(model, features, y, stratified_folds(y, 5, 1), 5, 1, nested=True).scores
    # Counted from the prevalence that it was fitted on, such a fold says nothing of whom it leaves out.
    assert np.allclose(crossed["intercept"], 0.0) and (crossed["score"] == 0.0).all()
    fitted = fit_combined_model(
        Training(features, pd.Series(y, index=names)),
        "radiomics",
        {
            "itr": FrozenModel(
                "signature_itr", "signature", Linear(-0.7, ("us_itr_f0",), (0.4,), (0.0,), (0.0,), (1.0,))
            )
        },
        {"itr": crossed},
        [],
        Freezing(stratified_folds(y, 5, 1), "youden", None, 1),
    )
    assert fitted.model.linear is None
    assert "none of its terms varies" in fitted.model.reason


def test_a_patient_without_a_cross_fitted_score_is_not_silently_imputed():
    clinical = pd.DataFrame({"age_years": [50.0, 60.0, 70.0]}, index=["a", "b", "c"])
    with pytest.raises((KeyError, ValueError)):
        combined.combined_terms({"itr": np.array([0.1, 0.2])}, clinical)


@pytest.mark.parametrize("by_centre", [False, True])
def test_folds_whose_prevalence_differs_do_not_turn_noise_against_the_outcome(by_centre):
    # Centres of prevalence 0.2, 0.4 and 0.6: by their own intercepts a useless model is worst where it is
    # pooled (AUC about 0.35), since every centre is scored by the prevalence of the other two.
    areas = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        centre = np.repeat(["a", "b", "c"], 80)
        y = (rng.random(240) < np.repeat([0.2, 0.4, 0.6], 80)).astype(float)
        index = pd.Index([f"P{i}" for i in range(240)], name="patient_id")
        table = pd.DataFrame({LESION_SIZE: rng.normal(size=240)}, index=index)
        together = pd.Series(centre, index=index) if by_centre else None
        training = Training(table, pd.Series(y, index=index), together)
        freezing = freezing_for(training, 10, {"rule": "youden"}, seed)
        fitted = fit_prespecified_model(training, "volume", [LESION_SIZE], freezing)
        areas.append(roc_auc_score(y, fitted.training["probability_out_of_fold"]))
    error = np.std(areas, ddof=1) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 3 * error and error < 0.03


def test_a_level_that_a_fold_never_saw_is_scored_as_the_frozen_model_would():
    rng = np.random.default_rng(2)
    index = pd.Index([f"P{i}" for i in range(60)], name="patient_id")
    y = pd.Series(rng.permutation(np.resize([1.0, 0.0], 60)), index=index)
    status = np.where(rng.random(60) < 0.3 + 0.4 * y, "post", "pre")
    status[0] = "peri"
    table = pd.DataFrame({"menopausal_status": status}, index=index)
    columns = variables(["menopausal_status"])

    def fit(part, outcome):
        return fit_prespecified(part, outcome, columns)

    outer = [(np.arange(1, 60), np.array([0])), (np.array([0, *range(30, 60)]), np.arange(1, 30)),
             (np.arange(30), np.arange(30, 60))]  # fmt: skip
    scores = combined.out_of_fold_clinical(table, y, columns, outer, fit)
    found = fit(table.iloc[1:], y.to_numpy()[1:])
    frozen = FrozenModel("m", "clinical", found.linear, clinical=("menopausal_status",))
    wanted = frozen.score(table.iloc[[0]], columns)[0] - log_odds(y.to_numpy()[1:])
    assert scores.iloc[0] == pytest.approx(wanted, abs=1e-12)


def test_a_variable_that_no_training_patient_has_costs_nothing_but_itself():
    table, y = small(n=60)
    rng = np.random.default_rng(0)
    table = table.assign(age_years=50 + 8 * rng.normal(size=60) + 4 * y, tumor_diameter_mm=np.nan)
    training = Training(table, pd.Series(y, index=table.index))
    freezing = freezing_for(training, 3, {"rule": "youden"}, 1)
    fitted = fit_prespecified_model(training, "clinical_full", ["age_years", "tumor_diameter_mm"], freezing)
    assert fitted.model.linear.terms == ("age_years",)
    json.dumps(fitted.model.to_json(), allow_nan=False)
    assert not fitted.odds_ratios["note"].str.contains("imputed").any()


# ---- the cut-off ----


def test_training_rows_say_that_their_cut_off_was_chosen_on_them():
    # The cut-off maximises sensitivity + specificity over these very predictions, so on noise both
    # together exceed 1 by construction; "out-of-fold" alone would call them honest.
    rng = np.random.default_rng(4)
    y, p = rng.permutation(np.arange(80) % 2), rng.uniform(size=80)
    cut = youden(y, p)
    table = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(80)],
            "cohort": "train",
            "model": "m",
            "y": y,
            "probability": p,
            "probability_out_of_fold": p,
        }
    )
    cut_offs = {"m": CutOff(cut, "a rule", cut - 0.1, cut + 0.1)}
    found = performance(table, cut_offs, {}, {}, Plan(100, 1), synthetic=False).set_index("metric")
    assert found.loc[["sensitivity", "specificity"], "estimate"].sum() > 1.1
    assert "cut-off" in found.loc["sensitivity", "note"]
    fixed = {"m": CutOff(cut, "fixed before the study")}
    found = performance(table, fixed, {}, {}, Plan(100, 1), synthetic=False).set_index("metric")
    assert "optimistic" not in found.loc["sensitivity", "note"]


def test_youden_of_a_known_example():
    # At 0.6 sensitivity is 3/4 and specificity 4/4.
    outcome = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    probability = np.array([0.1, 0.2, 0.3, 0.5, 0.4, 0.6, 0.7, 0.9])
    assert youden(outcome, probability) == 0.6


def test_youden_is_procs_on_the_synthetic_training_cohort():
    oracle = Path(__file__).parents[1] / "tests" / "oracle"
    table = pd.read_csv(oracle / "pred.csv")
    table = table[table["cohort"] == "train"]
    found = youden(table["y"].to_numpy(), table["pf"].to_numpy())
    wanted = json.loads((oracle / "expected.json").read_text())["cut"]["youden_obs"]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_of_equally_good_cut_offs_the_largest_is_taken():
    assert youden(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])) == 0.4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=30).filter(
        lambda rows: len({event for event, _ in rows}) == 2
    )
)
def test_no_other_cut_off_is_better(rows):
    y, p = (np.array(column) for column in zip(*rows, strict=True))
    p = p / 10.0

    def index(cut):
        return (p[y] >= cut).mean() + (p[~y] < cut).mean()

    found = youden(y, p)
    assert found in p
    assert index(found) == pytest.approx(max(index(cut) for cut in p))
