"""The study of real ultrasound patients runs, on a few dozen of them."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_project, run
from scipy.stats import mannwhitneyu

BUS_BRA = ROOT.parent / "shared" / "data" / "bus-bra"

pytestmark = pytest.mark.skipif(
    not BUS_BRA.is_dir(),
    reason=f"NOT TESTED ON REAL PATIENTS: BUS-BRA is not at {BUS_BRA}; see the README for where to get it",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run config/studies/us_malignancy.yaml on 44 patients of BUS-BRA."""
    folder = tmp_path_factory.mktemp("real")
    copy_project(folder)
    data = folder / "data"
    data.mkdir()
    table = pd.read_csv(BUS_BRA / "bus_data.csv", dtype=str)
    table["ge"] = table["Device"].str.startswith("GE")
    patients = table.drop_duplicates("Case").groupby(["ge", "Pathology"]).head(14)["Case"]
    table[table["Case"].isin(patients)].drop(columns="ge").to_csv(data / "bus_data.csv", index=False)
    for name in ("Images", "Masks"):
        (data / name).symlink_to(BUS_BRA / name)
    design = yaml.safe_load((folder / "config/studies/us_malignancy.yaml").read_text())
    design |= {"resamples": 4, "repeated_splits": 4}
    plan = design["tasks"]["malignancy"]
    plan |= {"outer_folds": 3, "bootstraps": 100}
    plan["signature"] = {"model": {"lasso": {"folds": 4, "count": 20, "smallest_ratio": 0.2}}}
    (folder / "study.yaml").write_text(yaml.safe_dump(design, sort_keys=False))
    cohort = folder / "config/cohorts/bus_bra.yaml"
    cohort.write_text(cohort.read_text().replace("chunks: 5", "chunks: 4"))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"]
    tables = ["performance", "odds_ratios", "nomogram"]
    targets = [f"results/us_malignancy/tasks/malignancy/{name}.csv" for name in tables]
    figures = "results/us_malignancy/figures/malignancy"
    targets += [f"{figures}/{name}.png" for name in ("roi_overlay", "flowchart")]
    run([*command, "--config", "cohort_folder=data", "--", *targets], folder)
    return folder / "results/us_malignancy"


def test_every_real_patient_is_accounted_for(results: Path) -> None:
    split = pd.read_csv(results / "split/split.csv")
    lost = pd.read_csv(results / "qc/lost.csv")
    participants = pd.read_csv(results / "cohort/participants.csv")
    assert len(split) + len(lost) == len(participants) > 40
    assert set(split["cohort"]) == {"train", "external_other_devices"}
    assert (participants["synthetic"] == 0).all()


def test_both_images_of_a_patient_stay_together(results: Path) -> None:
    images = pd.read_csv(results / "cohort/images.csv", dtype={"patient_id": str})
    assert images["patient_id"].value_counts().max() == 2
    features = pd.read_parquet(results / "features/features.parquet")
    assert features["patient_id"].is_unique


def test_no_length_in_mm_is_derived_without_a_pixel_size(results: Path) -> None:
    images = pd.read_csv(results / "cohort/images.csv")
    rois = pd.read_csv(results / "rois/rois.csv")
    assert (images["spacing_source"] == "unknown").all() and images["spacing_x_mm"].isna().all()
    assert rois[["outer_mm", "achieved_mm", "volume_mm3"]].isna().all(axis=None)
    rings = rois[rois["roi"] == "ptr25"]
    assert (rings["outer"] == 0.25).all()
    assert (rings["achieved"] <= 0.25 + 1e-6).all()


def test_printed_aucs_are_those_of_the_printed_predictions(results: Path) -> None:
    table = pd.read_csv(results / "tasks/malignancy/performance.csv")
    predictions = pd.read_csv(results / "tasks/malignancy/predictions.csv")
    printed = table[(table["metric"] == "auc") & table["estimate"].notna()]
    assert len(printed) >= 8
    for row in printed.itertuples():
        rows = predictions[(predictions["model"] == row.model) & (predictions["cohort"] == row.cohort)]
        column = "probability_out_of_fold" if row.cohort == "train" else "probability"
        event, none = rows.loc[rows["y"] == 1, column], rows.loc[rows["y"] == 0, column]
        expected = mannwhitneyu(event, none).statistic / (len(event) * len(none))
        assert row.estimate == pytest.approx(expected, abs=1e-12)
        assert row.lower <= row.estimate <= row.upper


def test_a_model_whose_terms_separate_the_outcome_is_firths_and_says_so(results: Path) -> None:
    table = pd.read_csv(results / "tasks/malignancy/performance.csv")
    combined = table[(table["model"] == "combined") & (table["metric"] == "auc")]
    assert combined["note"].str.contains("Firth's regression: the outcome is (?:nearly )?separated by").all()
    assert combined[["estimate", "lower", "upper"]].notna().all(axis=None)
    rows = pd.read_csv(results / "tasks/malignancy/odds_ratios.csv").query("model == 'combined'")
    assert len(rows) and rows["ci_method"].str.contains("Firth").all()
    assert not pd.read_csv(results / "tasks/malignancy/nomogram.csv").empty
