"""The shipped designs, from SYNTHETIC patients to their published numbers, at reduced size."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_project, planned_jobs, run

from annulus.tables import read_csv

SIMULATED = ("us_nodal_burden", "cem_her2", "mri_habitat_her2", "us_axilla_post_nst", "kaiser_us_alnm")
QUICK = ("resamples=2", "repeated_splits=2")


def snakemake(folder: Path, *arguments: str) -> str:
    return run([sys.executable, "-m", "snakemake", *arguments], folder)


def ran(folder: Path, study: str, config: tuple[str, ...], targets: tuple[str, ...]) -> Path:
    """Run a shipped study, or some of its files, in a copy of the project; returns its results."""
    copy_project(folder)
    results = Path("results", study)
    paths = [str(results / target) for target in targets]
    snakemake(folder, "--cores", "1", "--config", f"study={study}", *QUICK, *config, "--", *paths)
    return folder / results


def published_of(study: str) -> list[dict]:
    """Return the published numbers of a shipped study."""
    return yaml.safe_load((ROOT / f"config/studies/{study}.yaml").read_text())["published"]


def refuse_gaps(results: Path, study: str) -> pd.DataFrame:
    """Every published number stands in the table, with ours or with why there is none (a note of our own)."""
    table = read_csv(results / "published.csv")
    numbers = published_of(study)
    assert [*table["published"]] == [number["published"] for number in numbers]
    assert (table["synthetic"] == 1).all()
    for here, note, number in zip(table["here"], table["note"], numbers, strict=True):
        assert pd.notna(here) or len(str(note)) > len(number.get("note", ""))
    return table


def test_the_five_studies_are_one_target(tmp_path):
    copy_project(tmp_path)
    text = snakemake(tmp_path, "-n", "--quiet", "rules", "--config", "patients=60", "--", "all_studies")
    jobs = planned_jobs(text)
    for study in SIMULATED:
        assert jobs[f"{study}_write_report"] == jobs[f"{study}_compare_with_published"] == 1
    assert "kaiser_us_alnm_extract_features" not in jobs
    assert jobs["us_axilla_post_nst_run_pathway"] == jobs["us_nodal_burden_run_cascade"] == 1
    assert jobs["mri_habitat_her2_fit_habitats"] == jobs["all_studies"] == 1


def test_a_job_of_the_five_studies_finds_its_rules_on_a_cluster(tmp_path):
    copy_project(tmp_path)
    text = snakemake(tmp_path, "-n", "--quiet", "rules", "--target-jobs", "kaiser_us_alnm_read_cohort:")
    assert planned_jobs(text)["kaiser_us_alnm_read_cohort"] == 1


def test_the_kaiser_study_runs_from_its_table_to_its_published_numbers(tmp_path):
    results = ran(tmp_path, "kaiser_us_alnm", (), ("published.csv", "tasks/alnm/comparisons.csv"))
    table = refuse_gaps(results, "kaiser_us_alnm")
    assert table["here"].notna().all()
    assert set(table.loc[table["metric"] == "odds_ratio", "term"]) == {
        "tumor_gt_20mm", "us_microcalcification", "us_convergence_sign", "kaiser_ge6",
    }  # fmt: skip
    people = read_csv(results / "cohort/participants.csv")
    root_or_washout = (people["mri_root_sign"] == 1) | (
        (people["mri_curve"] == "washout") & (people["mri_internal_enh"] == "heterogeneous")
    )
    assert (people["kaiser_ge6"] == root_or_washout.astype(int)).all()
    compared = read_csv(results / "tasks/alnm/comparisons.csv").set_index(["model_a", "model_b"])
    assert "out-of-fold" in compared.loc[("combined", "kaiser"), "note"].iloc[0]


def test_without_signal_the_ultrasound_signature_finds_none(tmp_path):
    results = ran(
        tmp_path,
        "us_nodal_burden",
        ("patients=180", "null=true"),
        ("tasks/level1/parts/signature_itr/training.csv",),
    )
    scores = read_csv(results / "tasks/level1/parts/signature_itr/training.csv").set_index("patient_id")
    outcome = read_csv(results / "split/train/outcomes.csv").set_index("patient_id")["level1"]
    y = outcome.loc[scores.index].to_numpy()
    ranks = scores["probability_out_of_fold"].rank().to_numpy()
    events, others = int(y.sum()), int((1 - y).sum())
    area = (ranks[y == 1].sum() - events * (events + 1) / 2) / (events * others)
    standard_error = ((events + others + 1) / (12 * events * others)) ** 0.5
    assert abs(area - 0.5) < 3 * standard_error


def test_the_axilla_is_followed_from_before_to_after_therapy(tmp_path):
    results = ran(
        tmp_path,
        "us_axilla_post_nst",
        ("patients=140",),
        ("pathways/axilla/patients.csv", "split/train/predictors.parquet"),
    )
    predictors = pd.read_parquet(results / "split/train/predictors.parquet").set_index("patient_id")
    features = pd.read_parquet(results / "features/features.parquet").set_index(["patient_id", "timepoint"])
    name = "original_firstorder_Mean"
    change = predictors[f"us_cortexdelta_{name}"].dropna()
    before, after = (
        features[f"us_cortex_{name}"].xs(time, level="timepoint") for time in ("baseline", "post_nst")
    )
    expected = (after - before).loc[change.index]
    assert len(change) > 50
    assert (change - expected).abs().max() == 0
    people = read_csv(results / "cohort/participants.csv").set_index("patient_id").loc[predictors.index]
    unseen = people.index[people["aln_visible_post"] == 0]
    assert len(unseen) > 5
    assert predictors.loc[unseen, [f"us_cortexpost_{name}", f"us_cortexdelta_{name}"]].isna().all().all()
    assert predictors.loc[unseen, f"us_cortexpre_{name}"].notna().all()
    patients = read_csv(results / "pathways/axilla/patients.csv")
    assert {"during_therapy", "initially_node_negative"} <= set(patients["not_applicable"].dropna())
    assert set(patients["class"].dropna()) == {
        "suspicious", "limited_or_discordant", "indeterminate", "normal",
    }  # fmt: skip


# Where the AUC of a study of its own size must lie (task, model, cohort): what effects of the published size
# give, give or take the luck of so many patients.
BANDS = {
    "us_nodal_burden": {
        ("level1", "combined", "internal_test"): (0.84, 0.96),
        ("level2", "combined", "internal_test"): (0.60, 0.90),
    },
    "cem_her2": {
        ("her2_fish", "nomogram", "internal_test"): (0.65, 1.00),
        ("her2_fish", "nomogram", "prospective_test"): (0.65, 1.00),
    },
    "mri_habitat_her2": {
        ("her2_positive", "combined", "external_centre_2"): (0.62, 0.84),
        ("her2_low", "combined", "external_centre_2"): (0.50, 0.82),
    },
    "us_axilla_post_nst": {("residual", "combined", "internal_test"): (0.70, 0.95)},
    "kaiser_us_alnm": {("alnm", "combined", "train"): (0.70, 0.90)},
}


@pytest.mark.slow
@pytest.mark.parametrize("study", SIMULATED)
def test_a_study_of_its_own_size_comes_out_where_it_must(tmp_path, study):
    results = ran(tmp_path, study, (), ("report/report.html", "published.csv", "assumptions.csv"))
    refuse_gaps(results, study)
    html = (results / "report/report.html").read_text()
    assert "SYNTHETIC" in html and "not a medical device" in html
    for (task, model, cohort), (low, high) in BANDS[study].items():
        table = read_csv(results / f"tasks/{task}/performance.csv").set_index(["model", "cohort", "metric"])
        assert low <= table.loc[(model, cohort, "auc"), "estimate"] <= high, (task, model, cohort)
