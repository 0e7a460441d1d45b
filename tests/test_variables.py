"""A study's own clinical variables: known to all that reads the dictionary, refused where they contradict."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_project, planned_jobs, run

from annulus.clinical.encoding import encode
from annulus.cohort.checks import check_participants
from annulus.cohort.dictionary import VARIABLES, columns_of, digest_of, know, variable_contradictions
from annulus.config import Folders, load
from annulus.errors import StudyError
from annulus.evaluation.plan import terms_of_model
from annulus.figures.style import level_title, variable_title

CRP = {"type": "number", "description": "C-reactive protein", "unit": "mg/L", "minimum": 0, "maximum": 500}
ARM = {"type": "category", "description": "Treatment arm", "levels": ["control", "drug"]}
PAIN = {
    "type": "ordinal", "description": "Pain", "levels": ["none", "mild", "severe"],
    "scores": {"none": 0, "mild": 1, "severe": 3},
}  # fmt: skip
OWN = {"crp_mg_l": CRP, "arm": ARM, "pain": PAIN, "smoker": {"type": "boolean", "description": "Smoker"}}


@pytest.fixture
def design():
    """Return a clinical study of one's own variables on simulated patients of the dictionary."""
    return {
        "name": "own",
        "title": "Own variables",
        "cohort": "kaiser_us_alnm_simulated",
        "seed": 1,
        "variables": {name: dict(entry) for name, entry in OWN.items()},
        "split": {"by": "none"},
        "tasks": {
            "alnm": {
                "outcome": "aln_metastasis",
                "positive": [1],
                "negative": [0],
                "clinical": {"candidates": ["crp_mg_l", "arm"]},
                "combined": {"both": {"clinical": ["pain", "smoker"]}},
                "subgroups": [{"column": "crp_mg_l", "cut": 5}],
                "decision": {"description": "operate", "thresholds": [0.1, 0.5]},
            }
        },
    }


@pytest.fixture
def refused(tmp_path):
    def run(design):
        with pytest.raises(StudyError) as error:
            load(design, Folders(tmp_path, ROOT))
        return str(error.value)

    return run


def test_loading_a_study_makes_its_variables_known_to_whatever_names_columns(design, tmp_path):
    assert "crp_mg_l" not in columns_of("participants")
    loaded = load(design, Folders(tmp_path, ROOT)).design
    column = columns_of("participants")["crp_mg_l"]
    assert (column.type, column.unit, column.minimum, column.maximum) == ("number", "mg/L", 0, 500)
    assert "crp_mg_l" not in columns_of("images")
    assert terms_of_model(loaded["tasks"]["alnm"], "clinical") == ["crp_mg_l", "arm[drug]"]
    assert variable_title("crp_mg_l") == "C-reactive protein, mg/L"
    assert level_title("1", "smoker") == "yes"


def test_a_process_that_is_started_knows_them():
    know(OWN)
    code = (
        "from annulus.cohort.dictionary import columns_of; print(columns_of('participants')['pain'].scores)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.strip() == "{'none': 0, 'mild': 1, 'severe': 3}"


def test_their_cells_are_checked_and_enter_models_by_their_description():
    know(OWN)
    rows = [
        {"_row": "2", "patient_id": "a", "crp_mg_l": "12.5", "arm": "drug", "pain": "severe", "smoker": "1"},
        {"_row": "3", "patient_id": "b", "crp_mg_l": "-4", "arm": "placebo", "pain": "", "smoker": "2"},
    ]
    people = columns_of("participants")
    patients, problems = check_participants("people.csv", rows, people, OWN)
    wrong = [(p.row, p.column, p.value) for p in problems if p.severity == "error"]
    assert wrong == [("3", "crp_mg_l", "-4"), ("3", "arm", "placebo"), ("3", "smoker", "2")]
    terms = encode(pd.DataFrame(patients[:1]), [people[name] for name in OWN])
    assert terms.iloc[0].to_dict() == {"crp_mg_l": 12.5, "arm[drug]": 1.0, "pain": 3.0, "smoker": 1.0}


def test_numbers_as_levels_are_the_text_of_cells():
    know({"arm": {**PAIN, "levels": [1, 2], "scores": {1: 10, 2: 20}}})
    column = columns_of("participants")["arm"]
    assert column.read("2") == "2"
    assert column.scores == {"1": 10, "2": 20}


def test_studies_of_one_run_keep_their_variables_and_cannot_disagree():
    know({"arm": ARM})
    know({"crp_mg_l": CRP})
    know({"arm": dict(reversed(ARM.items()))})
    assert {"arm", "crp_mg_l"} <= set(columns_of("participants"))
    with pytest.raises(
        StudyError, match=r"variables\.arm: another study of this run describes arm otherwise"
    ):
        know({"arm": {**ARM, "levels": ["control", "other"]}})


def test_a_digest_changes_with_any_part_and_not_with_their_order():
    assert digest_of({}) == ""
    assert digest_of(OWN) == digest_of(dict(reversed(OWN.items())))
    assert digest_of(OWN) != digest_of({**OWN, "arm": {**ARM, "levels": ["drug", "control"]}})


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("age_years", CRP, "variables.age_years: the data dictionary has this column (Age at imaging)"),
        ("x", {"type": "category", "description": "X"}, "variables.x.levels: a category needs them"),
        ("x", {**CRP, "levels": ["a", "b"]}, "variables.x.levels: a number has none"),
        ("x", {**ARM, "levels": ["a", "a"]}, "variables.x.levels: one stands there twice"),
        (
            "x",
            {**PAIN, "scores": {"none": 0}},
            "variables.x.scores: an ordinal needs a number for each of none",
        ),
        ("x", {**ARM, "scores": {"a": 1}}, "variables.x.scores: only an ordinal has them"),
        ("x", {**ARM, "minimum": 1}, "variables.x: a category has no minimum"),
        ("x", {**CRP, "minimum": 600}, "variables.x: the minimum 600 is above the maximum 500"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(name, entry, said):
    (line,) = variable_contradictions({**OWN, name: entry})
    assert line.startswith(said)
    assert "\n" not in line


def test_a_design_is_refused_for_its_variables_before_anything_is_known(design, refused):
    design["variables"]["age_years"] = CRP
    assert refused(design).startswith("study own: variables.age_years: the data dictionary has this column")
    design["variables"] = {"x": {"type": "numbr", "description": "X"}, "y": {"type": "number"}}
    text = refused(design)
    assert "variables.x.type: 'numbr' is not allowed (did you mean 'number'?)" in text
    assert "variables.y: description must be given" in text
    assert os.environ[VARIABLES] == ""


@pytest.mark.parametrize("kind", ["date", "text"])
def test_a_date_or_text_of_ones_own_is_no_predictor(design, refused, kind):
    design["variables"]["seen"] = {"type": kind, "description": "Seen"}
    design["tasks"]["alnm"]["clinical"]["candidates"].append("seen")
    assert f"clinical.candidates: seen is a {kind} and cannot be a term of a model" in refused(design)


def test_a_variable_that_reads_like_a_feature_is_refused(refused):
    design = yaml.safe_load((ROOT / "config/studies/cem_her2.yaml").read_text())
    design["variables"] = {"rc_itr_score": CRP, "radscore_x": CRP, "log2_lesion_volume": CRP, "rc_score": CRP}
    lines = [line for line in refused(design).splitlines() if "a column that is made here" in line]
    assert [line.split(": ")[1] for line in lines] == [
        "variables.rc_itr_score", "variables.radscore_x", "variables.log2_lesion_volume"
    ]  # fmt: skip


def test_a_name_that_nobody_describes_is_still_unknown(design, refused):
    del design["variables"]["arm"]
    assert "clinical.candidates: the column 'arm' is not known" in refused(design)


def clinical_project(folder: Path) -> dict:
    """Write a study of own variables: 80 made-up patients whose outcome follows one of them."""
    copy_project(folder)
    rows = [
        {"patient_id": f"p{i:02d}", "crp_mg_l": 5 + (i * 7) % 31, "arm": ["control", "drug"][i % 2],
         "relapse": int((i * 7) % 31 + 3 * (i % 5) > 20)}
        for i in range(80)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    cohort = {"name": "mine", "source": "table", "folder": ".", "participants": {"file": "people.csv"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(cohort))
    design = {
        "name": "own",
        "title": "Own variables",
        "cohort": "mine.yaml",
        "seed": 1,
        "resamples": 2,
        "repeated_splits": 2,
        "variables": {
            "crp_mg_l": dict(CRP),
            "arm": dict(ARM),
            "relapse": {"type": "boolean", "description": "Relapse"},
        },
        "split": {"by": "random", "cohorts": {"train": 0.7, "internal_test": 0.3}},
        "tasks": {
            "relapse": {
                "outcome": "relapse",
                "positive": [1],
                "negative": [0],
                "outer_folds": 3,
                "clinical": {"candidates": ["crp_mg_l", "arm"]},
                "combined": {"both": {"clinical": ["crp_mg_l", "arm"]}},
                "nomogram": "both",
                "bootstraps": 100,
                "decision": {"description": "treat", "thresholds": [0.1, 0.9]},
            }
        },
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(design, sort_keys=False))
    return design


@pytest.mark.slow
def test_changing_a_variable_runs_its_jobs_again(tmp_path):
    design = clinical_project(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--configfile", "own.yaml"]
    split = "results/own/split/split.csv"
    run([*command, "--cores", "1", "--", split], tmp_path)
    assert planned_jobs(run([*command, "-n", "--quiet", "rules", "--", split], tmp_path)) == {}
    design["variables"]["crp_mg_l"]["maximum"] = 400
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(design, sort_keys=False))
    again = planned_jobs(run([*command, "-n", "--quiet", "rules", "--", split], tmp_path))
    assert again["read_cohort"] == again["split_patients"] == 1


@pytest.mark.slow
def test_own_variables_go_from_the_table_to_the_report(tmp_path):
    clinical_project(tmp_path)
    command = [sys.executable, "-m", "snakemake", "--configfile", "own.yaml", "--cores", "1"]
    run(command, tmp_path)
    results = tmp_path / "results" / "own"
    table = pd.read_csv(results / "tasks/relapse/table_one.csv")
    assert {"crp_mg_l", "arm"} <= set(table["variable"])
    points = pd.read_csv(results / "tasks/relapse/nomogram.csv")
    assert any(points["term"].str.startswith("crp_mg_l"))
    report = (results / "report/report.html").read_text()
    assert "C-reactive protein, mg/L" in report
    assert "Treatment arm" in report
