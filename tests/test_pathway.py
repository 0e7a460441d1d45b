"""Clinical pathways in a study: every participant's way, and its worth against the outcome."""

import pandas as pd
import pytest
from conftest import write_study
from scipy import stats

from annulus.clinical.derived import Instruments
from annulus.evaluation.pathway import PATIENT_COLUMNS, pathway_performance, run_axilla_pathway
from annulus.evaluation.performance import PERFORMANCE_COLUMNS
from annulus.modelling.plan import models_of
from annulus.tables import write_csv, write_json

DEFAULTS = Instruments(ki67_cut_pct=20, baseline_cortex_mm=3.0, post_nst_cortex_mm=2.3)
PLAN = {"outcome": "residual_nodal_disease", "positive": [1], "negative": [0]}
COLUMNS = [
    "nst_completed", "baseline_node_positive", "aln_visible_post", "aln_cortical_thickness_post_mm",
    "aln_hilum_post", "aln_shape_post", "axilla_technically_limited", "palpable_node",
    "posttreatment_change", "residual_nodal_disease",
]  # fmt: skip


def participants(*rows):
    """Participants as they are read from a table: text, missing where empty."""
    table = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    table.insert(0, "patient_id", [f"p{n}" for n in range(len(rows))])
    return table.assign(baseline_biopsy_proven="1", clip_placed="1", cohort_source="x")


def patient(cortex, outcome="1", **changed):
    values = ["1", "1", "1", cortex, "present", "oval", "0", "0", "0", outcome]
    cells = dict(zip(COLUMNS, values, strict=True)) | changed
    return [cells[name] for name in COLUMNS]


def split_of(table, **cohorts):
    names = [name for name, count in cohorts.items() for _ in range(count)]
    return pd.DataFrame({"patient_id": table["patient_id"][: len(names)], "cohort": names})


def test_what_nobody_wrote_down_is_flagged_and_a_team_decides():
    table = participants(patient("1.0", palpable_node=None)).assign(clip_placed=None)
    found = run_axilla_pathway(table, split_of(table, train=1), 2.3).iloc[0]
    assert (found["class"], found["mdt_required"]) == ("normal", 1)
    assert found["flags"].split(";")[-2:] == ["not_recorded_palpable_node", "not_recorded_clip_placed"]


def test_every_participant_has_a_row_with_class_step_and_flags():
    table = participants(
        patient("4.0"),
        patient("1.0"),
        patient(None, aln_hilum_post=None),
        patient("1.0", palpable_node="1"),
        patient("4.0", baseline_node_positive="0"),
        patient("4.0", nst_completed=None),
    )
    found = run_axilla_pathway(table, split_of(table, train=3, test=2), DEFAULTS.post_nst_cortex_mm)
    assert list(found.columns) == PATIENT_COLUMNS
    assert found["patient_id"].tolist() == table["patient_id"].tolist()
    assert found["cohort"].fillna("").tolist() == ["train"] * 3 + ["test"] * 2 + [""]
    assert found["class"].fillna("").tolist() == [
        "suspicious", "normal", "indeterminate", "limited_or_discordant", "", "",
    ]  # fmt: skip
    assert found["next_step"].tolist()[:4] == [
        "biopsy_clipped_node_first", "slnb_tad", "mdt_then_slnb_tad", "mdt_and_repeat_ultrasound",
    ]  # fmt: skip
    assert found["not_applicable"].fillna("").tolist() == [
        "", "", "", "", "initially_node_negative", "therapy_status_unknown",
    ]  # fmt: skip
    assert found["mdt_required"].tolist()[:4] == [0, 0, 1, 1]
    assert found["mdt_required"].isna().tolist() == [False] * 4 + [True] * 2
    assert found["flags"].tolist()[3] == "P6_discordant_palpable"


def test_the_outcome_does_not_change_what_the_pathway_says():
    rows = [patient("4.0"), patient("1.0"), patient("2.2", posttreatment_change="1")]
    split = split_of(participants(*rows), train=3)
    first = run_axilla_pathway(participants(*rows), split, DEFAULTS.post_nst_cortex_mm)
    other = [[*row[:-1], "0"] for row in rows]
    pd.testing.assert_frame_equal(
        first, run_axilla_pathway(participants(*other), split, DEFAULTS.post_nst_cortex_mm)
    )


def test_the_cut_off_is_the_studys():
    table = participants(patient("2.5"))
    other = Instruments(ki67_cut_pct=20, baseline_cortex_mm=3.0, post_nst_cortex_mm=3.0)
    split = split_of(table, train=1)
    assert run_axilla_pathway(table, split, DEFAULTS.post_nst_cortex_mm)["class"].tolist() == ["suspicious"]
    assert run_axilla_pathway(table, split, other.post_nst_cortex_mm)["class"].tolist() == ["normal"]


def test_performance_is_that_of_acosog_z1071():
    # Boughey et al., J Clin Oncol 2015;33:3386: residual disease in 130 of 181 patients with suspicious and
    # in 243 of 430 with normal nodes on ultrasound after therapy.
    table = participants(
        *[patient("4.0", "1")] * 130,
        *[patient("4.0", "0")] * 51,
        *[patient("1.0", "1")] * 243,
        *[patient("1.0", "0")] * 187,
    )
    patients = run_axilla_pathway(table, split_of(table, train=611), DEFAULTS.post_nst_cortex_mm)
    found = pathway_performance(patients, table, "axilla", PLAN, synthetic=False)
    assert list(found.columns) == PERFORMANCE_COLUMNS
    assert set(found["method"]) == {"Clopper-Pearson"}
    # Nobody is between suspicious and normal, so that both readings agree.
    for model in ("axilla", "axilla_not_normal"):
        for cohort in ("all", "train"):
            rows = found[(found["model"] == model) & (found["cohort"] == cohort)].set_index("metric")
            assert set(rows["n"]) == {611}
            assert set(rows["events"]) == {373}
            percent = (100 * rows["estimate"]).round(1).to_dict()
            assert percent == {
                "sensitivity": 34.9, "specificity": 78.6, "accuracy": 51.9, "ppv": 71.8, "npv": 43.5,
            }  # fmt: skip
            # Clopper and Pearson's limits are quantiles of the beta distribution.
            limits = [stats.beta.ppf(0.025, 130, 52), stats.beta.ppf(0.975, 131, 51)]
            assert rows.loc["ppv", ["lower", "upper"]].tolist() == pytest.approx(limits, abs=1e-9)
            assert rows.loc["sensitivity", "note"] == "130/373"
    assert len(found) == 20


def test_readings_differ_by_what_is_between_suspicious_and_normal():
    table = participants(
        patient("4.0", "1"),
        patient(None, "1"),
        patient("1.0", "1", axilla_technically_limited="1"),
        patient("1.0", "1"),
        patient("1.0", "0"),
        patient("1.0", "0", palpable_node="1"),
    )
    patients = run_axilla_pathway(table, split_of(table, train=4, test=2), DEFAULTS.post_nst_cortex_mm)
    found = pathway_performance(patients, table, "axilla", PLAN, synthetic=True)
    notes = found.set_index(["model", "cohort", "metric"])["note"]
    assert notes["axilla", "all", "sensitivity"] == "1/4"
    assert notes["axilla", "all", "specificity"] == "2/2"
    assert notes["axilla_not_normal", "all", "sensitivity"] == "3/4"
    assert notes["axilla_not_normal", "all", "specificity"] == "1/2"
    assert notes["axilla", "test", "specificity"] == "2/2"
    assert notes["axilla", "test", "sensitivity"] == "no such patient"
    assert set(found["synthetic"]) == {1}


def test_whom_the_pathway_is_not_for_and_unknown_outcomes_are_left_out_and_counted():
    table = participants(
        patient("4.0", "1"),
        patient("4.0", None),
        patient("4.0", "1", baseline_node_positive="0"),
        patient("4.0", "1"),
    )
    # The last one is in no cohort of the study.
    patients = run_axilla_pathway(table, split_of(table, train=3), DEFAULTS.post_nst_cortex_mm)
    found = pathway_performance(patients, table, "axilla", PLAN, synthetic=False)
    assert set(found["n"]) == {1}
    assert found["note"].tolist()[0] == (
        "1/1; 1 patients to whom the pathway does not apply left out; 1 patients of unknown outcome left out"
    )


# --- in the workflow -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_runs_its_pathway_and_refuses_tables_that_contradict_it(tmp_path):
    project = write_study(tmp_path, {"train": 12, "internal_test": 6})
    people = pd.read_csv(tmp_path / "data/participants.csv", dtype=str)
    # The class of the axilla is not given, so the pathway's columns are what the study needs.
    people = people.assign(**dict(zip(COLUMNS, patient("4.0"), strict=True)))
    people.loc[6:, "aln_cortical_thickness_post_mm"] = "1.0"
    people.loc[9:, "residual_nodal_disease"] = "0"
    people.loc[17, "residual_nodal_disease"] = None
    people.to_csv(tmp_path / "data/participants.csv", index=False)
    design = project.read_design()
    design["pathways"] = {"axilla": {"kind": "axilla_after_nst", **PLAN}}
    project.write_design(design)
    assert project.planned()["run_pathway"] == 1

    # No outcome of a test patient is looked at before all models are frozen.
    assert project.planned("--until", "judge_pathway")["fit_signature"] > 0
    write_csv(project.results / "split/split.csv", people[["patient_id", "cohort"]])
    for task, plan in design["tasks"].items():
        for model in models_of(plan, True):
            write_json(project.results / f"models/{task}/{model}/model.json", {})
    target = "results/small/pathways/axilla/performance.csv"
    rules = ("run_pathway", "judge_pathway", "read_cohort")
    project.snakemake("--cores", "1", "--allowed-rules", *rules, "--", target)
    classes = pd.read_csv(project.results / "cohort/participants.csv")["axilla_us_class"]
    assert classes.tolist() == ["suspicious"] * 6 + ["normal"] * 12
    found = pd.read_csv(tmp_path / target)
    notes = found[found["cohort"] == "all"].set_index(["model", "metric"])["note"]
    left_out = "; 1 patients of unknown outcome left out"
    assert notes["axilla", "sensitivity"] == f"6/9{left_out}"
    assert notes["axilla", "specificity"] == f"8/8{left_out}"
    assert set(found["cohort"]) == {"all", "train", "internal_test"}

    people.assign(axilla_us_class="normal").to_csv(tmp_path / "data/participants.csv", index=False)
    refused = project.snakemake("-n", check=False)
    assert "The cohort has 6 errors" in refused
    assert "axilla_us_class is given as normal" in refused
    people.drop(columns="aln_hilum_post").to_csv(tmp_path / "data/participants.csv", index=False)
    assert "column aln_hilum_post" in project.snakemake("-n", check=False)
