"""Another hospital's patients against a finished study: who is scored, and when outcomes open."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import NAME, Project, planned_jobs, write_patients, write_study

from annulus.evaluation.discrimination import auc_interval
from annulus.ledger import read
from annulus.modelling.bundle import read_bundle
from annulus.tables import read_csv

ELSEWHERE = f"results/{NAME}/external/elsewhere"
COHORT = "external_elsewhere"
MODELS = ("signature_itr", "signature_ptr5", "clinical", "radiomics", "nomogram")


def bring_cohort(project: Project, name: str = "elsewhere") -> Path:
    """Write SYNTHETIC patients of another hospital, who have no recorded age, and name them in the study."""
    folder = project.folder / name
    write_patients(folder, {"prospective_test": 16}, seed=8)
    for table in ("participants.csv", "images.csv"):
        rows = pd.read_csv(folder / table, dtype=str).drop(columns="age_years", errors="ignore")
        rows["patient_id"] = rows["patient_id"].str.replace("SYN-CEM", "SYN-OTHER")
        rows.to_csv(folder / table, index=False)
    cohort = {
        "name": name,
        "source": "table",
        "folder": name,
        "redistribution": True,
        "participants": {"file": "participants.csv"},
        "images": {"file": "images.csv"},
    }
    (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(cohort))
    project.write_design({**project.read_design(), "external": [f"{name}.yaml"]})
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """A small study run until its models are frozen, and the hashes of its models."""
    project = write_study(tmp_path_factory.mktemp("frozen"), {"train": 36, "internal_test": 12})
    project.snakemake("--cores", "2", "--", f"results/{NAME}/provenance/freezing.csv")
    return project, hashes(project.results / "models")


@pytest.fixture(scope="module")
def scored(frozen: tuple[Project, dict[str, str]]) -> Project:
    """The study with an external cohort that has run to its report."""
    project, _ = frozen
    bring_cohort(project)
    project.snakemake("--cores", "2", "--", "external")
    return project


def changed_copy(scored: Project, tmp_path: Path) -> Project:
    """A copy of the study and its external cohort, to change at will."""
    folder = tmp_path / "copy"
    shutil.copytree(scored.folder, folder, symlinks=True)
    return Project(folder)


def test_no_rule_of_an_external_cohort_fits_or_freezes_anything(
    scored: Project, frozen: tuple[Project, dict[str, str]]
) -> None:
    planned = planned_jobs(scored.snakemake("-n", "-F", "--quiet", "rules", "--", "external"))
    assert planned["total"] > 20
    assert not [rule for rule in planned if "fit" in rule or "freeze" in rule or "allocate" in rule]
    assert hashes(scored.results / "models") == frozen[1]
    assert "Nothing to be done" in scored.snakemake("-n", "--", "external")


def test_predictions_are_the_frozen_models(scored: Project) -> None:
    folder = scored.folder / ELSEWHERE
    predictions = read_csv(folder / "tasks/her2_fish/predictions.csv")
    predictors = pd.read_parquet(folder / "split" / COHORT / "predictors.parquet")
    assert set(predictions["cohort"]) == {COHORT}
    for name in ("signature_itr", "nomogram"):
        model = read_bundle(scored.results / f"models/her2_fish/{name}/model.json").model
        own = predictions[predictions["model"] == name].set_index("patient_id")["linear_predictor"]
        expected = pd.Series(model.score(predictors), index=predictors["patient_id"])
        np.testing.assert_allclose(own.loc[expected.index], expected, rtol=0, atol=1e-12)


def test_performance_is_that_of_opened_outcomes(scored: Project) -> None:
    folder = scored.folder / ELSEWHERE
    predictions = read_csv(folder / "tasks/her2_fish/predictions.csv")
    people = pd.read_csv(scored.folder / "elsewhere/participants.csv").set_index("patient_id")
    rows = predictions[predictions["model"] == "nomogram"]
    truth = (rows["patient_id"].map(people["her2_ish"]) == "positive").astype(float)
    expected = auc_interval(truth.to_numpy(), rows["probability"].to_numpy()).estimate
    table = read_csv(folder / "tasks/her2_fish/performance.csv")
    found = table[(table["model"] == "nomogram") & (table["metric"] == "auc")]
    assert found["estimate"].item() == pytest.approx(expected, abs=1e-12)
    assert found["n"].item() == 16


def test_a_model_whose_column_is_not_there_is_absent_and_says_so(scored: Project) -> None:
    table = read_csv(scored.folder / ELSEWHERE / "tasks/her2_fish/performance.csv")
    absent = table[(table["method"] == "none") & (table["metric"] == "auc")].set_index("model")["note"]
    assert "clinical_full" in absent.index and "nomogram" not in absent.index
    assert absent["clinical_full"] == f"no model: {COHORT} has no age_years"
    mix = read_csv(scored.folder / ELSEWHERE / "case_mix.csv").set_index("column")
    assert mix.loc["age_years", "missing_share_here"] == 1.0


def test_outcomes_are_not_in_the_participants_before_they_are_opened(scored: Project) -> None:
    cohort = scored.folder / ELSEWHERE / "cohort"
    before = set(pd.read_csv(cohort / "participants.csv").columns)
    after = set(pd.read_csv(cohort / "participants_with_outcomes.csv").columns)
    assert "her2_ish" not in before and "her2_ish" in after
    assert {"patient_id", "tumor_diameter_mm"} <= before


def test_the_opening_is_on_record_after_the_freezing(scored: Project) -> None:
    (opening,) = read(scored.folder / ELSEWHERE / "provenance/openings.csv")
    frozen = read(scored.results / "provenance/freezing.csv")
    assert opening["event"] == "first opening" and opening["cohort"] == COHORT
    assert {row["model"] for row in frozen} >= set(MODELS)
    assert max(row["frozen_at"] for row in frozen) <= opening["frozen_at"] <= opening["opened_at"]
    outcomes = scored.folder / ELSEWHERE / "split" / COHORT / "outcomes.csv"
    assert opening["outcomes_sha256"] == hashlib.sha256(outcomes.read_bytes()).hexdigest()


def test_cohorts_stand_side_by_side_and_the_report_stands_alone(scored: Project) -> None:
    cohorts = read_csv(scored.results / "external/cohorts.csv")
    assert set(cohorts["cohort"]) == {COHORT}
    assert (scored.results / "external/figures/her2_fish/forest_cohorts.png").stat().st_size > 10_000
    page = (scored.folder / ELSEWHERE / "report/report.html").read_text()
    assert "not a medical device" in page and "https://" not in page.replace("https://doi", "")


def test_nothing_of_the_outcomes_is_read_before_they_are_opened(scored: Project, tmp_path: Path) -> None:
    """A coding that nobody knows stops the opening alone: predictions and the comparison are made before."""
    project = changed_copy(scored, tmp_path)
    file = project.folder / "elsewhere/participants.csv"
    people = pd.read_csv(file, dtype=str)
    people["her2_ish"] = "alive"
    people.to_csv(file, index=False)
    text = project.snakemake("--cores", "2", "--", "external", check=False)
    made = text.index("(Rule: external_elsewhere_compare_case_mix)")
    assert made < text.index("Error in rule external_elsewhere_open_outcomes")
    assert not (project.folder / ELSEWHERE / "split" / COHORT / "outcomes.csv").exists()
    assert "column her2_ish, value 'alive': The value is not allowed" in text


def test_a_changed_front_end_is_refused_with_its_key(scored: Project, tmp_path: Path) -> None:
    project = changed_copy(scored, tmp_path)
    design = project.read_design()
    design["qc"]["minimum_voxels"] = 25
    project.write_design(design)
    text = project.snakemake("-n", "--", "external", check=False)
    assert "qc.minimum_voxels: frozen 20, now 25" in text


def test_a_patient_of_the_study_is_refused(scored: Project, tmp_path: Path) -> None:
    project = changed_copy(scored, tmp_path)
    known = pd.read_csv(project.folder / "data/participants.csv", dtype=str)["patient_id"].iloc[0]
    for table in ("participants", "images"):
        file = project.folder / f"elsewhere/{table}.csv"
        rows = pd.read_csv(file, dtype=str)
        first = rows["patient_id"].iloc[0]
        rows.replace({"patient_id": {first: known}}).to_csv(file, index=False)
    text = project.snakemake("-n", "--", "external", check=False)
    assert f"row 2, column patient_id, value '{known}': The models were trained on a patient" in text


def test_a_column_in_another_unit_is_refused(scored: Project, tmp_path: Path) -> None:
    project = changed_copy(scored, tmp_path)
    file = project.folder / "elsewhere/participants.csv"
    people = pd.read_csv(file, dtype=str)
    people["tumor_diameter_mm"] = people["tumor_diameter_mm"].astype(float) / 10
    people.to_csv(file, index=False)
    text = project.snakemake("-n", "--", "external", check=False)
    assert "column tumor_diameter_mm" in text and "columns.tumor_diameter_mm.factor: 10" in text


def test_an_edited_model_scores_nobody(scored: Project, tmp_path: Path) -> None:
    project = changed_copy(scored, tmp_path)
    file = project.results / "models/her2_fish/nomogram/model.json"
    content = json.loads(file.read_text())
    content["linear"]["intercept"] += 0.1
    file.write_text(json.dumps(content))
    text = project.snakemake("--cores", "2", "--", "external", check=False)
    assert "the model was edited after it was frozen" in text
    assert "external_elsewhere_open_outcomes)" not in text


def test_a_study_without_models_says_what_to_do(scored: Project, tmp_path: Path) -> None:
    project = changed_copy(scored, tmp_path)
    shutil.rmtree(project.results)
    text = project.snakemake("-n", "--", "external", check=False)
    assert "the study has no frozen models yet. Run it first" in text
