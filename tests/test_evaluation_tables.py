"""The tables of a task's evaluation against R, closed forms and the functions that they are made of."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from annulus.evaluation import comparing, guards, performance, sample_size, subgroups
from annulus.evaluation.calibration_error import calibration_errors, hosmer_lemeshow, ici_interval
from annulus.evaluation.discrimination import auc_interval, bootstrap_auc_interval, compare_unpaired_aucs
from annulus.evaluation.performance import Plan
from annulus.evaluation.predictions import known, side_by_side
from annulus.evaluation.reclassification import bootstrap_improvement, continuous_nri, idi
from annulus.evaluation.supplement import SUPPLEMENT_COLUMNS, supplement
from annulus.modelling.threshold import CutOff

ORACLE = Path(__file__).parents[1] / "tests" / "oracle"
EXPECTED = json.loads((ORACLE / "expected.json").read_text())
COHORTS = {"train": "train", "internal": "internal_test", "external": "external_a"}
PLAN = Plan(bootstraps=200, seed=3)
MODELS = ["clinical", "full"]


def _held_out(cohort, p, out_of_fold):
    if cohort != "train":
        return np.nan
    return p if out_of_fold is None else out_of_fold


def rows_of(cohort, model, y, p, out_of_fold=None):
    return pd.DataFrame(
        {
            "patient_id": [f"{cohort}-{i:04d}" for i in range(len(y))],
            "cohort": cohort,
            "model": model,
            "y": np.asarray(y, dtype=float),
            "linear_predictor": logit(np.asarray(p, dtype=float)),
            "probability": p,
            "probability_out_of_fold": _held_out(cohort, p, out_of_fold),
        }
    )


@pytest.fixture(scope="module")
def predictions():
    """Both models of the oracle in its three cohorts, whose patients are R's."""
    table = pd.read_csv(ORACLE / "pred.csv")
    parts = [
        rows_of(name, model, part["y"].to_numpy(), part[column].to_numpy())
        for cohort, name in COHORTS.items()
        for model, column in (("clinical", "pc"), ("full", "pf"))
        for part in [table[table["cohort"] == cohort]]
    ]
    return pd.concat(parts, ignore_index=True)


def simulated(n, seed, slope=1.0, cohort="external_a", model="m"):
    """Patients whose outcome is drawn from their probability, calibrated where ``slope`` is 1."""
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=n)
    return rows_of(cohort, model, rng.random(n) < expit(slope * linear), expit(linear))


def cell(table, column="estimate", **where):
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1, where
    return table[column].iloc[0]


def measured(table, plan=PLAN, threshold=0.5, **more):
    cuts = dict.fromkeys(table["model"].unique(), CutOff(threshold, "a rule"))
    return performance.performance(table, cuts, {}, {}, plan, synthetic=True, **more)


# ---- performance ----


def test_performance_is_that_of_r(predictions):
    found = measured(predictions, threshold=EXPECTED["cut"]["youden_obs"])
    for cohort, name in COHORTS.items():
        wanted = EXPECTED["cal"][cohort]
        here = found[(found["cohort"] == name) & (found["model"] == "full")].set_index("metric")["estimate"]
        assert here["auc"] == pytest.approx(EXPECTED["delong"][cohort]["auc_f"][1], rel=1e-9)
        assert here["brier"] == pytest.approx(wanted["Brier"], rel=1e-9)
        assert here["scaled_brier"] == pytest.approx(wanted["brier_scaled"], rel=1e-9)
        assert here["observed_expected"] == pytest.approx(wanted["OE"], rel=1e-8)
        assert here["calibration_slope"] == pytest.approx(wanted["Slope"], rel=1e-6)
        assert here["calibration_in_the_large"] == pytest.approx(wanted["citl"], abs=1e-7)
        assert here["spiegelhalter_z"] == pytest.approx(wanted["S:z"], rel=1e-8)
        assert here["spiegelhalter_p"] == pytest.approx(wanted["S:p"], rel=1e-8)
        for metric, key in (("sensitivity", "sens"), ("ppv", "ppv"), ("npv", "npv")):
            row = found[(found["cohort"] == name) & (found["model"] == "full") & (found["metric"] == metric)]
            assert row[["estimate", "lower", "upper"]].iloc[0].to_list() == pytest.approx(
                EXPECTED["ops"][cohort][key][2:], rel=1e-9
            )
    assert cell(found, cohort="train", model="full", metric="ici") == pytest.approx(
        EXPECTED["cal"]["train"]["loess_Eavg"], rel=1e-9
    )


def test_smooth_curve_errors_are_there_from_fifty_patients_of_either_outcome():
    table = simulated(200, 1)
    y, p = table["y"].to_numpy(), table["probability"].to_numpy()
    found = measured(table)
    ici = ici_interval(y, p, "loess", 200, 3)
    row = found[found["metric"] == "ici"].iloc[0]
    assert (row["estimate"], row["lower"], row["upper"]) == (ici.estimate, ici.lower, ici.upper)
    assert "loess" in row["method"]
    errors = calibration_errors(y, p, "loess")
    assert [cell(found, metric=m) for m in ("e50", "e90", "emax")] == [errors.e50, errors.e90, errors.emax]
    few = measured(table[: len(table) // 4])
    assert few.set_index("metric").loc[["ici", "e50", "e90", "emax"], "estimate"].isna().all()
    assert "of the rarer outcome where 50 are needed" in cell(few, "note", metric="ici")


def test_an_auc_of_one_has_a_bound_that_delong_has_not():
    y, p = np.r_[np.zeros(12), np.ones(9)], np.linspace(0.1, 0.9, 21)
    row = measured(rows_of("external_a", "m", y, p)).set_index("metric").loc["auc"]
    wanted = bootstrap_auc_interval(y, logit(p), 200, 3)
    assert (row["estimate"], row["lower"], row["upper"]) == (1.0, wanted.lower, 1.0)
    assert row["lower"] < 1.0 and "smoothed bootstrap" in row["method"]
    far = np.r_[np.linspace(1e-6, 2e-6, 12), 1 - np.linspace(1e-6, 2e-6, 9)]
    row = measured(rows_of("external_a", "m", y, far)).set_index("metric").loc["auc"]
    assert row["lower"] == auc_interval(y, far).lower and "exact" in row["method"]


def test_risks_set_in_advance_have_rows_of_their_own(predictions):
    found = measured(predictions, Plan(200, 3, at=(0.3, 0.125)))
    part = predictions[(predictions["cohort"] == "external_a") & (predictions["model"] == "full")]
    y, p = part["y"].to_numpy(), part["probability"].to_numpy()
    for risk, name in ((0.3, "0.30"), (0.125, "0.125")):
        called = p >= risk
        wanted = {
            "sensitivity": called[y == 1].mean(),
            "specificity": (~called)[y == 0].mean(),
            "ppv": y[called].mean(),
            "npv": 1 - y[~called].mean(),
        }
        for metric, value in wanted.items():
            where = {"cohort": "external_a", "model": "full", "metric": f"{metric}_at_{name}"}
            assert cell(found, **where) == pytest.approx(value)
    assert not found.duplicated(["model", "cohort", "metric"]).any()


def test_proportions_can_have_wilsons_interval():
    table = rows_of("external_a", "m", [1] * 20 + [0] * 4, [0.9] * 18 + [0.1] * 6)
    found = measured(table, Plan(200, 3, proportion_interval="Wilson"))
    # Closed form: (k + z2/2 -+ z sqrt(k(n-k)/n + z2/4)) / (n + z2).
    z2 = 1.959963984540054**2
    centre, reach = 18 + z2 / 2, np.sqrt(z2 * (18 * 2 / 20 + z2 / 4))
    row = found[found["metric"] == "sensitivity"].iloc[0]
    assert [row["lower"], row["upper"]] == pytest.approx(
        [(centre - reach) / (20 + z2), (centre + reach) / (20 + z2)]
    )
    assert row["method"] == "Wilson"


def test_training_rows_are_out_of_fold_and_say_so():
    y = np.arange(60) % 2
    table = rows_of("train", "m", y, np.where(y, 0.9, 0.1), np.random.default_rng(0).uniform(size=60))
    found = measured(table)
    assert cell(found, metric="auc") < 0.8 and cell(found, metric="auc_apparent") == 1.0
    others = found[found["metric"] != "auc_apparent"]
    assert others["note"].str.contains("out-of-fold").all()
    assert "fitted on" in cell(found, "note", metric="auc_apparent")


# ---- comparisons ----


def test_comparisons_are_those_of_r(predictions):
    found = comparing.comparisons(predictions, MODELS, [], synthetic=False)
    for cohort in ("internal", "external"):
        wanted = EXPECTED["delong"][cohort]
        where = {"cohort": COHORTS[cohort], "method": "paired DeLong"}
        assert cell(found, "statistic", **where) == pytest.approx(wanted["z"], rel=1e-9)
        assert cell(found, "p", **where) == pytest.approx(wanted["p"], rel=1e-9)
    assert not (found["cohort"] == "train").any()
    assert (found["declared"] == 0).all() and found["p_holm"].isna().all()


def test_a_model_between_cohorts_is_that_of_r(predictions):
    # R compared training and external patients, so they are two held-out cohorts here.
    renamed = predictions.replace({"cohort": {"train": "external_b", "internal_test": "train"}})
    found = comparing.comparisons(renamed, ["full"], [], synthetic=False)
    row = found[found["method"] == "unpaired DeLong"].iloc[0]
    wanted = EXPECTED["delong_unpaired"]
    assert (row["model_a"], row["model_b"]) == ("full", "full")
    assert row["cohort"] == "external_b vs external_a"
    assert (row["statistic"], row["p"]) == pytest.approx((wanted["D"], wanted["p"]), rel=1e-9)


def test_declared_comparisons_are_adjusted_over_all_cohorts(predictions):
    third = predictions[predictions["model"] == "full"].assign(model="third")
    third["probability"] = third["probability"] * 0.5 + 0.25 * np.random.default_rng(5).uniform(
        size=len(third)
    )
    table = pd.concat([predictions, third.assign(probability_out_of_fold=third["probability"])])
    found = comparing.comparisons(
        table, ["clinical", "full", "third"], [["full", "clinical"], ["third", "full"]], synthetic=True
    )
    declared = found[found["declared"] == 1]
    assert list(declared["model_a"]) == ["full", "third"] * 2
    p = declared["p"].to_numpy()
    order = np.argsort(p)
    wanted = np.empty(4)
    wanted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.array([4, 3, 2, 1])))
    np.testing.assert_allclose(declared["p_holm"].to_numpy(dtype=float), wanted, rtol=1e-12)
    others = found[(found["declared"] == 0) & (found["method"] == "paired DeLong")]
    assert set(map(tuple, others[["model_a", "model_b"]].to_numpy())) == {("clinical", "third")}
    assert (found["synthetic"] == 1).all()


def test_a_declared_comparison_that_cannot_be_tested_still_counts(predictions):
    found = comparing.comparisons(
        predictions, MODELS, [["full", "clinical"], ["full", "absent"]], synthetic=False
    )
    p = cell(found, "p", cohort="internal_test", model_b="clinical", method="paired DeLong")
    other = cell(found, "p", cohort="external_a", model_b="clinical", method="paired DeLong")
    smallest = min(p, other)
    assert found["p_holm"].astype(float).min() == pytest.approx(4 * smallest)
    assert "no model absent" in cell(found, "note", cohort="external_a", model_b="absent")


# ---- the supplement ----


def test_hosmer_lemeshow_is_apparent_in_training():
    y = np.random.default_rng(1).integers(0, 2, 120)
    apparent, held_out = np.random.default_rng(2).uniform(0.1, 0.9, (2, 120))
    found = supplement(rows_of("train", "m", y, apparent, held_out), [], {}, (), 100, 1, synthetic=False)
    wanted = hosmer_lemeshow(y, apparent, on_training=True)
    row = found.iloc[0]
    assert (row["estimate"], row["degrees_of_freedom"], row["p"]) == (wanted.statistic, 8, wanted.p)
    assert "apparent" in row["note"]


def calibrated_pair(n=400):
    """Two models of the same patients, both calibrated: the second knows a part of the first."""
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(2, n))
    y = rng.random(n) < expit(a + b)
    # The probability given one of the two alone is expit(a / c) nearly (c of Zeger et al. 1988).
    half = expit(a / np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2))
    full = expit(a + b)
    return pd.concat([rows_of("external_a", "new", y, full), rows_of("external_a", "old", y, half)])


def test_reclassification_is_that_of_the_library_without_p():
    table = calibrated_pair()
    wide = side_by_side(known(table))[0]
    y = table.drop_duplicates("patient_id")["y"].to_numpy()
    found = supplement(table, [["new", "old"]], {"new": 0.4, "old": 0.5}, (), 200, 7, synthetic=True)
    rows = found[found["measure"] != "hosmer_lemeshow"].set_index("measure")
    assert rows["p"].isna().all() and not rows["note"].str.contains("miscalibrated").any()
    old, new = wide["old"].to_numpy(), wide["new"].to_numpy()
    # At each model's own cut-off, net reclassification is the gain in sensitivity and in specificity.
    gain = (new >= 0.4)[y == 1].mean() - (old >= 0.5)[y == 1].mean()
    assert rows.loc["nri_events", "estimate"] == pytest.approx(gain)
    fall = (new < 0.4)[y == 0].mean() - (old < 0.5)[y == 0].mean()
    assert rows.loc["nri_non_events", "estimate"] == pytest.approx(fall)
    for measure, names in (
        (continuous_nri, ("continuous_nri_events", "continuous_nri_non_events")),
        (idi, ("idi_events", "idi_non_events", "idi")),
    ):
        for name, wanted in zip(names, bootstrap_improvement(measure, y, old, new, 200, 7), strict=False):
            numbers = rows.loc[name, ["estimate", "lower", "upper"]].to_list()
            assert numbers == [wanted.estimate, wanted.lower, wanted.upper]


def test_reclassification_by_declared_risks_counts_moves_between_categories():
    table = calibrated_pair()
    found = supplement(table, [["new", "old"]], {}, (0.3, 0.6), 100, 7, synthetic=True)
    wide = side_by_side(known(table))[0]
    y = table.drop_duplicates("patient_id")["y"].to_numpy()
    moved = np.digitize(wide["new"], [0.3, 0.6]) - np.digitize(wide["old"], [0.3, 0.6])
    wanted = (moved[y == 1] > 0).mean() - (moved[y == 1] < 0).mean()
    assert cell(found, measure="nri_events") == pytest.approx(wanted)
    assert cell(found, "cut_offs", measure="nri_events") == "0.3;0.6"


def test_a_miscalibrated_model_gets_no_reclassification_but_the_reason(predictions):
    # R's slope of the full model in external patients is 0.597 (0.307 to 0.888).
    cuts = dict.fromkeys(MODELS, 0.5)
    found = supplement(predictions, [["full", "clinical"]], cuts, (), 100, 1, synthetic=True)
    rows = found[found["against"].notna() & (found["cohort"] == "external_a")]
    assert len(rows) == 7 and rows["estimate"].isna().all()
    assert rows["note"].str.contains("slope 0.60, interval 0.31 to 0.89").all()


# ---- subgroups ----


def test_subgroups_are_those_of_r():
    table = pd.read_csv(ORACLE / "cohort.csv").merge(pd.read_csv(ORACLE / "rad.csv"), on="id")
    table = table[table["cohort"] != "train"]
    rows = rows_of("external_a", "m", table["y"].to_numpy(), expit(table["rad"].to_numpy()))
    people = pd.DataFrame({"patient_id": rows["patient_id"], "ki67_high": table["ki67"].to_numpy()})
    found = subgroups.subgroup_table(rows, people, [{"column": "ki67_high"}], ["m"], synthetic=True)
    wanted = EXPECTED["sub"]
    assert list(found["level"]) == ["0", "1"]
    assert found["p_interaction"].to_numpy(float) == pytest.approx([wanted["p_int"]] * 2, rel=1e-6)
    for row, key in zip(found.to_dict("records"), ("or0", "or1"), strict=True):
        assert [row["odds_ratio"], row["or_lower"], row["or_upper"]] == pytest.approx(
            [wanted[key]["or"][1], *wanted[key]["wald"][1]], rel=1e-6
        )
    assert found["n"].sum() == len(table) and (found["synthetic"] == 1).all()


def test_a_cut_goes_to_the_level_above_it_and_a_missing_value_to_none():
    values = pd.Series([14.9, 15.0, np.nan, 30.0], name="ki67_pct")
    found = subgroups.factor_of(values, 15)
    assert list(found[[0, 1, 3]]) == ["below 15", "15 or above", "15 or above"] and found.isna()[2]
    grades = subgroups.factor_of(pd.Series([2.0, np.nan, 1.0], name="grade"), None)
    assert list(grades.cat.categories) == ["1", "2"]
    stages = subgroups.factor_of(pd.Series(["post", "pre"], name="menopausal_status"), None)
    assert list(stages.cat.categories) == ["pre", "peri", "post"]


def test_subgroups_of_training_patients_are_out_of_fold():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 80)
    held_out = rng.uniform(0.1, 0.9, 80)
    rows = rows_of("train", "m", y, np.where(y, 0.9, 0.1), held_out)
    people = pd.DataFrame({"patient_id": rows["patient_id"], "er_status": np.arange(80) // 40})
    found = subgroups.subgroup_table(rows, people, [{"column": "er_status"}], ["m"], synthetic=False)
    wanted = auc_interval(y[:40], held_out[:40])
    assert found["auc"].iloc[0] == pytest.approx(wanted.estimate) and wanted.estimate < 0.8


# ---- sample size ----

SELECTION = pd.DataFrame(
    [("signature_itr", f"f{i}") for i in range(30)]
    + [("clinical", "age_years"), ("clinical", "menopausal_status")]
    + [("nomogram", "radscore_itr"), ("nomogram", "age_years")],
    columns=["model", "column"],
)


def test_parameters_count_every_candidate_behind_a_model():
    # A category of three levels has two parameters; a Rad-score those of its signature.
    assert sample_size.candidate_parameters(SELECTION) == {
        "signature_itr": 30,
        "clinical": 3,
        "nomogram": 31,
    }


def test_sample_sizes_are_those_of_the_out_of_fold_auc():
    training = simulated(300, 5, slope=1.5, cohort="train", model="nomogram")
    training["probability_out_of_fold"] = expit(0.8 * training["linear_predictor"])
    other = simulated(90, 6, model="nomogram")
    found = sample_size.sample_size_table(pd.concat([training, other]), SELECTION, synthetic=True)
    y, log_odds = training["y"].to_numpy(), 0.8 * training["linear_predictor"].to_numpy()
    auc, prevalence = auc_interval(y, log_odds).estimate, y.mean()
    r2 = sample_size.cox_snell_r2_of_auc(auc, prevalence)
    needed = sample_size.development_size(31, prevalence, r2)
    row = found[found["purpose"] == "development"].iloc[0]
    assert (row["n"], row["parameters"], row["patients_needed"]) == (300, 31, needed.patients)
    assert row["cox_snell_r2"] == pytest.approx(r2)
    assert row["events_per_parameter"] == pytest.approx(min(y.sum(), 300 - y.sum()) / 31)
    assert row["expected_shrinkage"] == sample_size.expected_shrinkage(300, 31, r2, prevalence)
    row = found[found["purpose"] == "validation"].iloc[0]
    widths = sample_size.expected_widths(90, int(other["y"].sum()), auc, log_odds)
    assert [
        row["auc_width"],
        row["calibration_slope_width"],
        row["observed_expected_width"],
    ] == pytest.approx([widths.auc, widths.calibration_slope, widths.observed_expected])


def test_a_model_no_better_than_chance_has_no_sample_size_but_a_reason():
    y = np.r_[np.zeros(30), np.ones(30)]
    training = rows_of("train", "clinical", y, np.linspace(0.9, 0.1, 60))
    found = sample_size.sample_size_table(training, SELECTION, synthetic=True)
    assert found["patients_needed"].isna().all()
    assert "not above 0.5" in found["note"].iloc[0]


# ---- decision curves ----


def test_a_declared_prevalence_has_curves_of_its_own(predictions):
    grid = np.array([0.2, 0.4])
    found = performance.shifted_decision_table(predictions, grid, 50, 1, True, 0.1)
    part = predictions[(predictions["cohort"] == "external_a") & (predictions["model"] == "full")]
    y, called = part["y"].to_numpy(), part["probability"].to_numpy() >= 0.2
    wanted = 0.1 * called[y == 1].mean() - 0.9 * called[y == 0].mean() * 0.2 / 0.8
    where = {"cohort": "external_a", "model": "full", "threshold": 0.2}
    assert cell(found, "net_benefit", **where) == pytest.approx(wanted)
    assert (found["prevalence"] == 0.1).all()
    assert performance.shifted_decision_table(predictions, grid, 50, 1, True, None).empty
    plain = performance.decision_table(predictions, grid, 50, 1, True)
    assert "prevalence" not in plain and set(plain["beyond_largest_risk"]) == {0}


# ---- guards ----


def volume_rows(*rows):
    return pd.DataFrame(rows, columns=["model", "column", "spearman"]).astype({"column": str})


def evaluated(table, declared=(), at=(), shown=("m",), people=None, variables=(), **more):
    """All tables of a task, as its rules make them."""
    cuts = dict.fromkeys(table["model"].unique(), 0.5)
    patients = table[["patient_id"]].drop_duplicates() if people is None else people
    selection = pd.DataFrame({"model": list(cuts), "column": "age_years"})
    settings = {
        "predictions": table,
        "performance": performance.performance(
            table, dict.fromkeys(cuts, CutOff(0.5, "a rule")), {}, {}, PLAN, synthetic=True
        ),
        "comparisons": comparing.comparisons(table, shown, declared, synthetic=True),
        "supplement": supplement(table, declared, cuts, at, 100, 1, synthetic=True),
        "subgroups": subgroups.subgroup_table(table, patients, variables, shown, synthetic=True),
        "sample_size": sample_size.sample_size_table(table, selection, synthetic=True),
        "odds_ratios": pd.DataFrame(columns=["model", "term", "note"]),
        "volume": volume_rows(),
        "shown": shown,
        "order": shown,
        "terms": {model: ["age_years"] for model in cuts},
        "decision": "biopsy",
        "thresholds": np.array([0.1, 0.5, 0.95]),
        "at": at,
        "splits": 20,
        "cut_off_chosen": True,
        "transductive": False,
    }
    return guards.Evaluated(**{**settings, **more})


def test_every_guard_that_applies_is_listed():
    train = simulated(80, 1, cohort="train")
    other = pd.concat([train, train.assign(model="n", probability=lambda t: t["probability"] ** 2)])
    held_out = simulated(60, 2, slope=0.2, cohort="internal_test")
    both = pd.concat([other, held_out, held_out.assign(model="n", probability=0.5 * held_out["probability"])])
    parts = [rows_of("external_a", model, [1] * 6, np.linspace(0.1, 0.6, 6)) for model in ("m", "n")]
    separated = [
        rows_of("external_b", model, np.arange(12) > 5, np.linspace(0.1, 0.8, 12)) for model in ("m", "n")
    ]
    table = pd.concat([both, *parts, *separated])
    people = pd.DataFrame({"patient_id": table["patient_id"].unique()}).assign(
        er_status=lambda t: t.index % 2
    )
    odds = pd.DataFrame({"model": ["m"], "term": ["radscore_itr"], "note": [np.nan]})
    found = guards.warnings_table(
        evaluated(
            table,
            declared=[["m", "n"]],
            at=(0.2, 0.5),
            shown=("m", "n", "o"),
            people=people,
            variables=[{"column": "er_status"}],
            odds_ratios=odds,
            volume=volume_rows(("signature_itr", "radscore_itr", 0.9), ("signature_itr", "f1", 1.0)),
        ),
        synthetic=True,
    )
    assert set(found["guard"]) - {"nri_can_mislead"} == {
        "single_split", "few_events", "calibration_curve_left_out", "one_outcome_only",
        "complete_separation", "thresholds_beyond_largest_risk", "training_is_apparent",
        "same_patients_chose_the_cut_off", "nested_models_in_training", "training_p_is_apparent",
        "few_events_per_parameter", "imprecise_validation", "nri_blocked", "nri_has_many_categories",
        "hosmer_lemeshow_says_little", "subgroups_were_examined", "signature_follows_volume",
    }  # fmt: skip
    assert (found["synthetic"] == 1).all() and found["message"].notna().all()
    blocked = found[(found["guard"] == "nri_blocked") & (found["cohort"] == "internal_test")]
    assert (blocked["model"] == "m against n").all() and len(blocked) >= 1


def test_a_study_of_training_patients_alone_says_so():
    table = simulated(80, 1, cohort="train")
    found = guards.warnings_table(evaluated(table, thresholds=np.array([0.01, 0.99])), synthetic=False)
    assert {"no_held_out_cohort", "threshold_range_too_wide"} <= set(found["guard"])


def test_undeclared_comparisons_are_called_exploratory():
    table = pd.concat([simulated(120, 4), simulated(120, 4).assign(model="n", probability=0.3)])
    found = guards.warnings_table(evaluated(table, shown=("m", "n")), synthetic=False)
    assert "m against n" in cell(found, "message", guard="undeclared_comparisons")


def test_reclassification_that_is_given_comes_with_its_warning():
    table = calibrated_pair()
    found = guards.warnings_table(
        evaluated(table, declared=[["new", "old"]], shown=("old", "new")), synthetic=False
    )
    assert "new against old, external_a: Net reclassification" in cell(
        found, "message", guard="nri_can_mislead"
    )


def test_repeated_splits_and_large_cohorts_silence_their_guards():
    table = pd.concat([simulated(400, 1, cohort="train"), simulated(2500, 2)])
    found = guards.warnings_table(
        evaluated(table, thresholds=np.array([0.2, 0.4]), splits=100), synthetic=False
    )
    assert set(found["guard"]) == {
        "training_is_apparent", "same_patients_chose_the_cut_off", "hosmer_lemeshow_says_little",
    }  # fmt: skip


# ---- odd cohorts ----


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from(["varied", "tied", "certain", "few"]))
def test_no_cohort_is_too_small_or_too_plain(n, seed, kind):
    rng = np.random.default_rng(seed)
    draw = {
        "varied": lambda: rng.uniform(0.01, 0.99, n),
        "tied": lambda: np.full(n, 0.4),
        "certain": lambda: rng.integers(0, 2, n).astype(float),
        "few": lambda: rng.choice([0.2, 0.5], n),
    }[kind]
    y = rng.integers(0, 2, n)
    with np.errstate(divide="ignore"):
        parts = [rows_of("external_a", model, y, draw()) for model in ("m", "n")]
    training = [simulated(40, seed + 1, cohort="train", model=model) for model in ("m", "n")]
    table = pd.concat([*training, *parts], ignore_index=True)
    people = pd.DataFrame({"patient_id": table["patient_id"].unique()}).assign(
        grade=lambda t: np.where(t.index % 3 == 0, np.nan, t.index % 3)
    )
    of = evaluated(
        table, declared=[["m", "n"]], shown=("m", "n"), people=people, variables=[{"column": "grade"}]
    )
    guards.warnings_table(of, synthetic=True)
    performance.shifted_decision_table(table, np.array([0.2, 0.5]), 20, 1, True, 0.3)
    performance.calibration_table(table, True)
    performance.roc_table(table, True)
    # Whatever is missing has a reason.
    for rows, value in ((of.performance, "estimate"), (of.supplement, "estimate")):
        missing = rows[rows[value].isna()]
        assert missing["note"].fillna("").str.len().gt(0).all(), missing
    subgroup = of.subgroups[of.subgroups["auc"].isna()]
    assert subgroup["note"].fillna("").str.len().gt(0).all()


def test_tables_of_nobody_have_their_columns():
    nobody = rows_of("external_a", "m", [1.0], [0.5]).assign(y=np.nan)
    assert list(supplement(nobody, [], {}, (), 100, 1, True).columns) == SUPPLEMENT_COLUMNS
    assert list(comparing.comparisons(nobody, ["m"], [], True).columns) == comparing.COMPARISON_COLUMNS
    found = subgroups.subgroup_table(
        nobody, pd.DataFrame({"patient_id": ["a"], "er_status": [1]}), [{"column": "er_status"}], ["m"], True
    )
    assert list(found.columns) == subgroups.SUBGROUP_COLUMNS
    assert list(sample_size.sample_size_table(nobody, SELECTION, True).columns) == sample_size.SIZE_COLUMNS


def test_tables_are_the_same_twice(predictions):
    one, two = (
        (
            measured(predictions),
            comparing.comparisons(predictions, MODELS, [["full", "clinical"]], True),
            supplement(predictions, [["full", "clinical"]], dict.fromkeys(MODELS, 0.5), (), 100, 1, True),
        )
        for _ in range(2)
    )
    for first, second in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(first, second)


def test_an_unpaired_row_is_that_of_the_library(predictions):
    found = comparing.comparisons(predictions, ["clinical"], [], synthetic=False)
    a, b = (
        predictions[(predictions["cohort"] == cohort) & (predictions["model"] == "clinical")]
        for cohort in ("internal_test", "external_a")
    )
    wanted = compare_unpaired_aucs(a["y"], a["probability"], b["y"], b["probability"])
    row = found[found["method"] == "unpaired DeLong"].iloc[0]
    assert (row["difference"], row["lower"], row["upper"]) == (
        wanted.difference,
        wanted.lower,
        wanted.upper,
    )
