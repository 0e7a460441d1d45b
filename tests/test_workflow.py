"""The workflow as a user sees it: what runs, what does not run again, and what it says."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from conftest import PARTS, ROOT, TABLES, Project, copy_project, planned_jobs, run, small_design
from scipy.special import expit, logit

from annulus.cohort.chunks import chunk_of
from annulus.modelling.logistic import fit_logistic
from annulus.tables import read_csv

EVALUATION = {
    "evaluate": 1,
    "list_warnings": 1,
    "compare_with_published": 1,
    "figure_roc": 2,
    "figure_calibration": 2,
    "figure_decision_curve": 2,
    "write_cards_her2_fish": 1,
    "write_report": 1,
    "all": 1,
    "total": 12,
}

CONTRACT = {
    "cohort/participants.csv": ["patient_id", "cohort_source", "synthetic"],
    "cohort/images.csv": [
        "patient_id", "image_id", "timepoint", "modality", "series", "view", "image_path",
        "mask_path", "mask_role", "rater", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm",
        "spacing_source", "image_sha256", "mask_sha256",
    ],
    "cohort/problems.csv": ["file", "row", "column", "value", "rule", "severity", "message"],
    "qc/masks.csv": [
        "patient_id", "image_id", "mask_role", "rater", "decision", "reasons", "repairs", "voxels",
        "volume_mm3", "components", "holes", "touches_border", "image_mask_same_grid",
        "largest_diameter_mm",
    ],
    "qc/flow.csv": ["step", "cohort", "n_in", "n_out", "reason"],
    "rois/rois.csv": [
        "patient_id", "image_id", "roi", "kind", "inner_mm", "outer_mm", "achieved_mm", "voxels",
        "volume_mm3", "lost_fraction", "status", "reason",
    ],
    "features/catalogue.csv": [
        "column", "image", "roi", "filter", "class", "feature", "ibsi_code", "settings_sha256",
    ],
    "features/failures.csv": ["patient_id", "image_id", "roi", "reason"],
    "split/split.csv": ["patient_id", "cohort"],
    "tasks/her2_fish/selection.csv": [
        "model", "column", "step_removed", "statistic", "coefficient", "selection_frequency",
    ],
    "tasks/her2_fish/odds_ratios.csv": [
        "model", "analysis", "term", "n", "events", "odds_ratio", "lower", "upper", "p", "ci_method",
    ],
    "tasks/her2_fish/predictions.csv": [
        "patient_id", "cohort", "model", "y", "linear_predictor", "probability",
    ],
    "models/fingerprints.csv": ["kind", "sha256", "cohort"],
    "provenance/freezing.csv": [
        "frozen_at", "task", "model", "model_sha256", "event", "previous_sha256", "sha256",
    ],
    "provenance/openings_internal_test.csv": [
        "opened_at", "cohort", "outcomes_sha256", "models_sha256", "frozen_at", "event",
        "previous_sha256", "sha256",
    ],
    "tasks/her2_fish/performance.csv": [
        "model", "cohort", "n", "events", "metric", "estimate", "lower", "upper", "method", "note",
    ],
    "tasks/her2_fish/comparisons.csv": [
        "model_a", "model_b", "cohort", "metric", "difference", "lower", "upper", "statistic", "p",
        "method",
    ],
    "tasks/her2_fish/calibration.csv": [
        "model", "cohort", "predicted", "observed", "lower", "upper", "smoother",
    ],
    "tasks/her2_fish/decision_curve.csv": [
        "model", "cohort", "threshold", "net_benefit", "lower", "upper", "interventions_avoided",
    ],
    "tasks/her2_fish/subgroups.csv": [
        "variable", "level", "model", "cohort", "n", "events", "auc", "lower", "upper", "p_interaction",
    ],
    "tasks/her2_fish/nomogram.csv": ["model", "term", "value", "points"],
    "published.csv": [
        "task", "model", "cohort", "metric", "published", "published_lower", "published_upper",
        "here", "lower", "upper", "agrees", "synthetic", "source", "note",
    ],
}  # fmt: skip


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def hashes(folder: Path, *patterns: str) -> dict[str, str]:
    """Hash every file of a results folder that matches, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }


def first_patient(project: Project, cohort: str = "train") -> str:
    table = pd.read_csv(project.folder / "data/participants.csv")
    return str(table.loc[table["cohort"] == cohort, "patient_id"].iloc[0])


def test_contract_files_have_the_contract_columns(finished: Project) -> None:
    for file, columns in CONTRACT.items():
        found = list(pd.read_csv(finished.results / file, nrows=0).columns)
        assert [c for c in found if c in columns] == columns, file
    figures = (
        "flowchart", "roi_overlay", "lasso_path", "coefficients", "correlation_heatmap",
        "signature_waterfall", "forest_odds_ratios", "nomogram", "roc_internal_test",
    )  # fmt: skip
    for name in figures:
        for kind in ("pdf", "png", "csv"):
            assert (finished.results / f"figures/her2_fish/{name}.{kind}").stat().st_size > 100
    features = pd.read_parquet(finished.results / "features/features.parquet")
    catalogue = pd.read_csv(finished.results / "features/catalogue.csv")
    assert list(features.columns) == ["patient_id", "timepoint", *catalogue["column"]]
    assert len(features) == 54


def test_the_report_stands_alone(finished: Project) -> None:
    html = (finished.results / "report/report.html").read_text()
    assert "not a medical device" in html
    assert 'src="http' not in html and 'href="http' not in html
    assert html.count("data:image/png;base64,") == 15


def test_every_worker_has_one_thread_and_names_its_patients(finished: Project) -> None:
    text = (finished.results / "logs/extract_features/0000.log").read_text()
    names = ("OMP", "OPENBLAS", "MKL")
    assert all(f"'{name}_NUM_THREADS': '1'" in text for name in names)
    assert "'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS': '1'" in text
    assert text.count("patient SYN-CEM-") == len(
        pd.read_parquet(finished.results / "features/chunks/0000.parquet")
    )


def test_a_finished_study_has_nothing_to_do(finished: Project) -> None:
    assert "Nothing to be done" in finished.snakemake("--cores", "1")


def test_touching_every_file_changes_nothing(copy_of_finished: Project) -> None:
    for path in copy_of_finished.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert copy_of_finished.planned() == {}


def test_a_fresh_clone_beside_old_results_changes_nothing(finished: Project, tmp_path: Path) -> None:
    copy_project(tmp_path)
    for name in ("small.yaml", "small_cohort.yaml", "small_settings.yaml"):
        shutil.copy(finished.folder / name, tmp_path / name)
    (tmp_path / "data").symlink_to(finished.folder / "data")
    shutil.copytree(finished.folder / "results", tmp_path / "results")
    shutil.copytree(finished.folder / ".snakemake", tmp_path / ".snakemake")
    assert Project(tmp_path).planned() == {}


def test_a_changed_mask_recomputes_its_chunk_alone(copy_of_finished: Project) -> None:
    path = copy_of_finished.folder / f"data/{first_patient(copy_of_finished)}_tumour.nrrd"
    mask = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.BinaryErode(mask, [1, 1]), str(path))
    planned = copy_of_finished.planned()
    assert {rule: planned[rule] for rule in ("check_masks", "build_regions", "extract_features")} == {
        "check_masks": 1,
        "build_regions": 1,
        "extract_features": 1,
    }
    assert "read_cohort" not in planned and planned["fit_signature"] == 2


def test_an_added_patient_recomputes_its_chunk_alone(copy_of_finished: Project) -> None:
    data = copy_of_finished.folder / "data"
    old = first_patient(copy_of_finished)
    for name in ("participants", "images"):
        table = pd.read_csv(data / f"{name}.csv")
        rows = table[table["patient_id"] == old].replace(old, "AAA-new")
        pd.concat([rows, table]).to_csv(data / f"{name}.csv", index=False)
    planned = copy_of_finished.planned()
    assert planned["read_cohort"] == 1
    assert planned["check_masks"] == planned["extract_features"] == 1


def test_a_decision_range_reruns_evaluation_alone(copy_of_finished: Project) -> None:
    design = copy_of_finished.read_design()
    design["tasks"]["her2_fish"]["decision"]["thresholds"] = [0.2, 0.5]
    copy_of_finished.write_design(design)
    assert copy_of_finished.planned() == EVALUATION


def test_a_ring_width_reruns_regions_but_not_quality_control(copy_of_finished: Project) -> None:
    design = copy_of_finished.read_design()
    design["regions"]["rois"]["ptr5"]["outer"] = 4
    copy_of_finished.write_design(design)
    planned = copy_of_finished.planned()
    assert planned["build_regions"] == planned["extract_features"] == 3
    assert "check_masks" not in planned and "read_cohort" not in planned


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("scripts/annulus/evaluation/decision.py", "step: float = 0.01", "step: float = 0.02", EVALUATION),
        (
            "scripts/annulus/reporting/report.html.jinja",
            "<h3>Signatures</h3>",
            "<h3>Rad-scores</h3>",
            {"write_report": 1, "all": 1, "total": 2},
        ),
        (
            "scripts/figure_nomogram.py",
            "save(figure, snakemake.output, table",
            "save(figure, snakemake.output, table.copy()",
            {"figure_nomogram": 1, "write_report": 1, "all": 1, "total": 3},
        ),
        (
            "scripts/annulus/figures/flowchart.py",
            "fontsize=8, bbox",
            "fontsize=9, bbox",
            {"figure_flowchart": 1, "write_report": 1, "all": 1, "total": 3},
        ),
    ],
)
def test_edited_code_reruns_what_depends_on_it(
    copy_of_finished: Project, file: str, old: str, new: str, expected: dict[str, int]
) -> None:
    edit(copy_of_finished.folder / file, old, new)
    assert copy_of_finished.planned() == expected


def test_an_edited_library_module_reaches_only_its_rules(copy_of_finished: Project) -> None:
    module = copy_of_finished.folder / "scripts/annulus/modelling/threshold.py"
    edit(module, "np.round(sensitivity + specificity, 12)", "np.round(sensitivity + specificity, 11)")
    planned = copy_of_finished.planned()
    assert planned["fit_signature"] == planned["fit_combined"] == 2
    assert not {"check_masks", "extract_features", "split_patients", "share_out"} & set(planned)


def test_a_comment_reruns_nothing(copy_of_finished: Project) -> None:
    module = copy_of_finished.folder / "scripts/annulus/modelling/lasso.py"
    module.write_text(module.read_text() + "\n# a thought\n")
    assert copy_of_finished.planned() == {}


def test_tables_are_the_same_bytes_on_one_core(finished: Project, tmp_path: Path) -> None:
    for part in (*PARTS, "data", "small.yaml", "small_cohort.yaml", "small_settings.yaml"):
        source = finished.folder / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / part)
    again = Project(tmp_path)
    tables = [f"{TABLES}/{name}.csv" for name in ("predictions", "nomogram", "parts/resamples_000")]
    again.snakemake("--cores", "1", *tables, "results/small/qc/flow.csv")
    patterns = ("**/*.csv", "**/*.json", "**/*.parquet")
    here = hashes(again.results, *patterns)
    there = hashes(finished.results, *patterns)
    # When models were frozen and outcomes opened differs from run to run; nothing else does.
    here = {path: sha256 for path, sha256 in here.items() if not path.startswith("provenance/")}
    assert len(here) > 40
    assert {path: there[path] for path in here} == here


def test_without_test_patients_every_training_artefact_is_the_same(copy_of_finished: Project) -> None:
    project = copy_of_finished
    patterns = ("models/**/*.json", "tasks/*/parts/*/*.csv", "split/train/*")
    before = hashes(project.results, *patterns)
    data = project.folder / "data"
    people = pd.read_csv(data / "participants.csv")
    training = people[people["cohort"] == "train"]
    images = pd.read_csv(data / "images.csv")
    training.to_csv(data / "participants.csv", index=False)
    images[images["patient_id"].isin(training["patient_id"])].to_csv(data / "images.csv", index=False)
    for patient in set(people["patient_id"]) - set(training["patient_id"]):
        for file in data.glob(f"{patient}_*"):
            file.unlink()
    design = small_design()
    design["split"]["cohorts"] = {"train": ["train"]}
    project.write_design(design)
    shutil.rmtree(project.results)
    project.snakemake("--cores", "2", f"{TABLES}/predictions.csv")
    after = hashes(project.results, *patterns)
    assert len(after) > 15
    assert after == before


def test_bad_patients_are_rows_and_the_others_go_on(copy_of_finished: Project) -> None:
    project, data = copy_of_finished, copy_of_finished.folder / "data"
    patients = list(pd.read_csv(data / "participants.csv")["patient_id"])[:4]
    (data / f"{patients[0]}_rc.nrrd").unlink()
    (data / f"{patients[1]}_tumour.nrrd").write_bytes(b"not an image")
    for patient, change in ((patients[2], np.zeros_like), (patients[3], lambda a: a[:-3])):
        path = data / f"{patient}_tumour.nrrd"
        mask = sitk.ReadImage(str(path))
        changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(mask)))
        # The last mask is cut, and without its place: it lies beside the image.
        changed.SetSpacing(mask.GetSpacing())
        changed.SetOrigin((1000.0, 0.0) if patient == patients[3] else mask.GetOrigin())
        sitk.WriteImage(changed, str(path))
    project.snakemake("--cores", "2", "results/small/qc/flow.csv")
    lost = pd.read_csv(project.results / "qc/lost.csv").set_index("patient_id")["reason"]
    assert lost.to_dict() == {
        patients[0]: "rc: missing_image",
        patients[1]: "rc: unreadable_mask",
        patients[2]: "rc: empty_mask",
        patients[3]: "rc: grid_mismatch",
    }
    assert len(pd.read_csv(project.results / "split/split.csv")) == 50
    flow = pd.read_csv(project.results / "qc/flow.csv").set_index("step")
    assert flow.loc["images and masks usable", ["n_in", "n_out"]].tolist() == [54, 50]


def test_the_run_stops_when_too_many_are_lost_and_says_why(copy_of_finished: Project) -> None:
    design = copy_of_finished.read_design()
    design["qc"]["minimum_voxels"] = 400
    copy_of_finished.write_design(design)
    text = copy_of_finished.snakemake("--cores", "2", "results/small/split/split.csv", check=False)
    assert "more than qc.maximum_lost_share (0.2) allows" in text
    assert "too_few_voxels" in text and "Traceback" not in text
    # The tables are written all the same.
    masks = pd.read_csv(copy_of_finished.results / "qc/masks.csv")
    assert masks["reasons"].str.contains("too_few_voxels").sum() > 10


def test_errors_in_the_tables_stop_the_study_before_any_image(tmp_path: Path, finished: Project) -> None:
    for part in (*PARTS, "data", "small.yaml", "small_cohort.yaml", "small_settings.yaml"):
        source = finished.folder / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / part)
    path = tmp_path / "data/participants.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[2, "age_years"] = "999"
    table.loc[5, "her2_ish"] = "postive"
    table.to_csv(path, index=False)
    text = Project(tmp_path).snakemake("--cores", "2", check=False)
    assert "The cohort has 2 errors" in text and "no image was read" in text
    assert "row 4, column age_years, value '999'" in text
    assert "row 7, column her2_ish, value 'postive'" in text
    written = pd.read_csv(tmp_path / "results/small/cohort/problems.csv")
    assert written[["row", "column", "rule", "severity"]].values.tolist() == [
        [4, "age_years", "value", "error"],
        [7, "her2_ish", "value", "error"],
    ]
    assert [path.name for path in (tmp_path / "results/small").iterdir()] == ["cohort"]


def test_a_misspelt_key_is_refused_with_the_nearest_one(copy_of_finished: Project) -> None:
    design = copy_of_finished.read_design()
    design["regions"]["minimum_voxel"] = 5
    copy_of_finished.write_design(design)
    text = copy_of_finished.snakemake("-n", check=False)
    assert "the key 'minimum_voxel' is not known (did you mean 'minimum_voxels'?)" in text


def test_the_default_target_plans_the_whole_study(tmp_path: Path) -> None:
    copy_project(tmp_path)
    for arguments in ([], ["-s", "workflow/Snakefile"]):
        command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", *arguments]
        planned = planned_jobs(run(command, tmp_path))
        assert planned["simulate_patients"] == 1 and planned["check_masks"] == 3
        assert planned["fit_signature"] == 5 and planned["total"] == 85


def test_simulated_patients_say_synthetic(tmp_path: Path) -> None:
    copy_project(tmp_path)
    target = "results/cem_her2/cohort/images.csv"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", target, "--config", "patients=20"]
    run(command, tmp_path)
    people = pd.read_csv(tmp_path / "results/cem_her2/cohort/participants.csv")
    assert (people["synthetic"] == 1).all() and people["patient_id"].str.startswith("SYN-").all()
    assert people["cohort"].value_counts().to_dict() == {
        "train": 13,
        "prospective_test": 4,
        "internal_test": 3,
    }
    file = next((tmp_path / "results/cem_her2/simulation/images").glob("*_rc.nrrd"))
    assert "SYNTHETIC" in sitk.ReadImage(str(file)).GetMetaData("content")
    assert "latent_itr" not in people


def test_the_snakemake_report_needs_no_network(finished: Project) -> None:
    finished.snakemake("--report", "report.zip")
    assert (finished.folder / "report.zip").stat().st_size > 100_000


def test_chunks_of_the_small_study_are_all_used(finished: Project) -> None:
    table = pd.read_csv(finished.folder / "data/participants.csv")
    assert {chunk_of(patient, 3) for patient in table["patient_id"]} == {"0000", "0001", "0002"}


def test_every_study_file_names_an_existing_cohort() -> None:
    for path in (ROOT / "config/studies").glob("*.yaml"):
        cohort = yaml.safe_load(path.read_text())["cohort"]
        assert (ROOT / f"config/cohorts/{cohort}.yaml").is_file(), path


def test_a_control_is_a_region_and_can_be_a_signature(copy_of_finished: Project) -> None:
    project, design = copy_of_finished, small_design()
    design["extraction"] = {"controls": {"shuffled": ["itr"]}}
    design["tasks"]["her2_fish"]["signatures"].append("itrshuffled")
    project.write_design(design)
    before = pd.read_parquet(project.results / "features/features.parquet")
    model = "results/small/models/her2_fish/signature_itrshuffled/model.json"
    project.snakemake("--cores", "2", model)
    after = pd.read_parquet(project.results / "features/features.parquet")
    pd.testing.assert_frame_equal(after[before.columns], before, check_exact=True)
    catalogue = pd.read_csv(project.results / "features/catalogue.csv")
    control = catalogue[catalogue["roi"] == "itrshuffled"]
    assert set(control["class"]) == set(catalogue["class"]) - {"shape2D"}
    assert set(catalogue["mode"]) == {"shared"}
    means = after[["rc_itr_original_firstorder_Mean", "rc_itrshuffled_original_firstorder_Mean"]]
    assert np.allclose(means.iloc[:, 0], means.iloc[:, 1], rtol=1e-9)
    assert (project.folder / model).is_file()
    # What was extracted stays in the store.
    shutil.rmtree(project.results / "features")
    project.snakemake("--cores", "2", "results/small/features/features.parquet")
    logs = [path.read_text() for path in (project.results / "logs/extract_features").glob("*.log")]
    assert all("its features are in the store" in text for text in logs)


def test_centres_can_be_left_out_and_tasks_sort_in_a_cascade(copy_of_finished: Project) -> None:
    project, design = copy_of_finished, small_design()
    design["split"] = {"by": "leave_one_out", "column": "cohort"}
    design["centre"] = "cohort"
    first = design["tasks"]["her2_fish"]
    first |= {"signatures": ["itr"], "combined": {"radiomics": {"signatures": ["itr"]}}}
    del first["nomogram"]
    design["tasks"]["high_grade"] = {**first, "label": "high grade"}
    levels = [{"task": task, "model": "volume"} for task in ("her2_fish", "high_grade")]
    design["cascades"] = {"classes": {"levels": levels, "classes": ["negative", "low", "high"]}}
    project.write_design(design)
    targets = ["tasks/her2_fish/centres.csv", "cascades/classes/performance.csv"]
    figure = "figures/classes/confusion_train.png"
    project.snakemake("--cores", "2", *(f"results/small/{name}" for name in (*targets, figure)))
    results = project.results
    split = read_csv(results / "split/split.csv")
    assert (split["cohort"] == "train").all() and split["left_out_together"].nunique() == 2
    assert "split.csv" in (results / "split/split.csv.sha256").read_text()
    # Out of fold, the size's model of one centre is the one that the other centre's patients give.
    table = pd.read_parquet(results / "split/train/predictors.parquet").set_index("patient_id")
    outcomes = read_csv(results / "split/train/outcomes.csv").set_index("patient_id")
    there = outcomes["left_out_together"] == "train"
    others = there.index[there]
    fit = fit_logistic(table.loc[others, ["log2_lesion_volume"]], outcomes.loc[others, "her2_fish"])
    predicted = read_csv(results / "tasks/her2_fish/predictions.csv").query("model == 'volume'")
    risk = predicted.set_index("patient_id").loc[there.index[~there], "probability_out_of_fold"]
    linear = fit.intercept + fit.coefficients[0] * table.loc[risk.index, "log2_lesion_volume"]
    # Counted from the prevalence there, and put at that of all.
    shift = logit(outcomes["her2_fish"].mean()) - logit(outcomes.loc[others, "her2_fish"].mean())
    np.testing.assert_allclose(risk, expit(linear + shift), rtol=1e-9)
    centres = read_csv(results / "tasks/her2_fish/centres.csv")
    assert set(centres["centre"]) == {"train", "internal_test"} and set(centres["cohort"]) == {"train"}
    sorted_patients = read_csv(results / "cascades/classes/patients.csv")
    assert set(sorted_patients["observed_class"].dropna()) <= {"negative", "low", "high"}
    assert len(sorted_patients) == len(split)
    assert (results / figure).is_file()


def test_the_quick_profile_has_fewer_refits(copy_of_finished: Project) -> None:
    design = small_design()
    del design["resamples"], design["repeated_splits"]
    copy_of_finished.write_design(design)
    target = "results/small/tasks/her2_fish/optimism.csv"
    planned = copy_of_finished.planned("--profile", "profiles/quick", "--", target)
    assert planned["refit_resamples"] == 8
    assert copy_of_finished.planned("--", target)["refit_resamples"] == 40
