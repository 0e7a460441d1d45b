"""A small SYNTHETIC MRI study through the whole workflow: habitats, second raters, perturbations, gallery."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from conftest import Project, copy_project
from scipy import ndimage

from annulus.tables import write_csv

SHAPE = (12, 28, 28)
SPACING = (1.0, 1.0, 2.0)
PATIENTS = {"train": 18, "external_b": 12}

# Only the whole study shows that these are one image, which is then of neither.
MISFILED = {"M029": "M029_zzz", "M030": "M030_aaa"}

# Mean of (early enhancement, late enhancement, ADC) in the planted habitats, by rising enhancement.
PLANTED = {1: (0.2, 0.3, 1900.0), 2: (0.9, 1.3, 1200.0), 3: (1.8, 1.2, 900.0)}


def lesion(rng):
    slices, rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    radius = rng.uniform(6.5, 8.5)
    depth = ((slices - 5.5) * 2) ** 2 + (rows - 14) ** 2 + (columns - 14) ** 2
    return depth <= radius**2, np.sqrt(depth) / radius


def habitats_of(inside, depth, event, absent, rng):
    """A core, a middle and a rim, the rim wider with the event; the core may be absent."""
    rim = 0.62 if event else 0.82
    labels = np.where(depth <= (0 if absent else 0.45), 1, np.where(depth <= rim, 2, 3))
    return np.where(inside, labels, 0)


def write_image(path, values, pixel=np.float32):
    image = sitk.GetImageFromArray(values.astype(pixel))
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path), useCompression=True)


def write_patient(folder, number, cohort, event):
    rng = np.random.default_rng(number)
    patient = f"M{number:03d}"
    inside, depth = lesion(rng)
    truth = habitats_of(inside, depth, event, number % 5 == 0, rng)
    early, late, adc = (np.full(SHAPE, value) for value in (0.1, 0.15, 1600.0))
    for label, values in PLANTED.items():
        for channel, value in zip((early, late, adc), values, strict=True):
            channel[truth == label] = value
    pre = 300.0 + rng.normal(0, 4, SHAPE)
    gain = 1.3 if cohort == "external_b" else 1.0
    write_image(folder / f"{patient}_pre.nrrd", gain * pre)
    write_image(folder / f"{patient}_early.nrrd", gain * (300 * (1 + early) + rng.normal(0, 6, SHAPE)))
    write_image(folder / f"{patient}_late.nrrd", gain * (300 * (1 + late) + rng.normal(0, 6, SHAPE)))
    write_image(folder / f"{patient}_adc.nrrd", adc + rng.normal(0, 25, SHAPE))
    write_image(folder / f"{patient}_mask.nrrd", inside, np.uint8)
    second = ndimage.binary_dilation(inside) if number % 2 else ndimage.binary_erosion(inside)
    write_image(folder / f"{patient}_mask_b.nrrd", second, np.uint8)
    write_image(folder / f"{patient}_truth.nrrd", truth, np.uint8)
    return patient


def misfiled_images(folder, rows):
    """Return rows of one image under two patients: the last by id of the one, the first of the other."""
    write_image(folder / "misfiled.nrrd", np.random.default_rng(0).normal(3000, 6, SHAPE))
    late = {row["patient_id"]: row for row in rows if row["series"] == "dce_4"}
    return [
        {**late[patient], "image_id": image_id, "image_path": "misfiled.nrrd"}
        for patient, image_id in MISFILED.items()
    ]


def write_tables(folder):
    people, rows, number = [], [], 0
    for cohort, count in PATIENTS.items():
        for i in range(count):
            number += 1
            patient = write_patient(folder, number, cohort, i % 2)
            people.append({"patient_id": patient, "aln_metastasis": i % 2, "center": cohort})
            for series, name, seconds in (
                ("dce_0", "pre", 0), ("dce_1", "early", 90), ("dce_4", "late", 360), ("adc", "adc", ""),
            ):  # fmt: skip
                raters = ("a", "b") if series == "dce_1" else ("a",) if series == "adc" else ("",)
                for rater in raters:
                    mask = {"a": f"{patient}_mask.nrrd", "b": f"{patient}_mask_b.nrrd", "": ""}[rater]
                    rows.append(
                        {
                            "patient_id": patient, "image_id": f"{patient}_{name}", "modality": "MRI",
                            "series": series, "image_path": f"{patient}_{name}.nrrd", "mask_path": mask,
                            "mask_role": "tumour" if mask else "", "rater": rater, "acq_time_s": seconds,
                        }
                    )  # fmt: skip
    rows += misfiled_images(folder, rows)
    write_csv(folder / "participants.csv", people)
    write_csv(folder / "images.csv", rows)


DESIGN = {
    "name": "mri",
    "title": "A small SYNTHETIC study of habitats",
    "cohort": "mri_cohort.yaml",
    "seed": 3,
    "resamples": 3,
    "repeated_splits": 3,
    "images": {
        "pre": {"modality": "MRI", "series": "dce_0"},
        "dce": {"modality": "MRI", "series": "dce_1", "settings": "mri_settings.yaml"},
        "late": {"modality": "MRI", "series": "dce_4"},
        "adc": {"modality": "MRI", "series": "adc", "settings": "mri_settings.yaml"},
    },
    "qc": {"minimum_voxels": 20, "minimum_grey_levels": 1, "maximum_grey_levels": 4000},
    "regions": {
        "unit": "mm",
        "minimum_voxels": 15,
        "rois": {
            "whole": {"kind": "tumour"},
            "ptr3": {"kind": "ring", "outer": 3},
            "rim2": {"kind": "ring", "inner": -2, "outer": 0},
        },
        "habitats": {
            "image": "dce",
            "channels": {
                "early": {"map": "early_enhancement", "pre": "pre", "early": "dce"},
                "late": {"map": "late_enhancement", "pre": "pre", "late": "late"},
                "adc": {"map": "value", "image": "adc"},
            },
            "voxels_per_patient": 300,
        },
    },
    "stability": {
        "patients": 8,
        "perturbations": {"shift": {"translation": 0.4}, "grown": {"volume": 0.15, "noise": 0.5}},
    },
    "split": {
        "by": "column",
        "column": "center",
        "cohorts": {"train": ["train"], "external_b": ["external_b"]},
    },
    "tasks": {
        "nodes": {
            "outcome": "aln_metastasis",
            "positive": [1],
            "negative": [0],
            "signatures": ["whole", "habitats"],
            "signature": {"model": {"lasso": {"folds": 3, "count": 10, "smallest_ratio": 0.3}}},
            "outer_folds": 3,
            "combined": {"radiomics": {"signatures": ["whole", "habitats"]}},
            "decision": {"description": "treat", "thresholds": [0.1, 0.6]},
            "bootstraps": 100,
        }
    },
}


@pytest.fixture(scope="module")
def mri(tmp_path_factory):
    """The finished study, its cohort not to be handed on."""
    folder = tmp_path_factory.mktemp("mri")
    copy_project(folder)
    (folder / "data").mkdir()
    write_tables(folder / "data")
    cohort = {
        "name": "mri_cohort", "source": "table", "folder": "data", "chunks": 2, "redistribution": False,
        "participants": {"file": "participants.csv"}, "images": {"file": "images.csv"},
    }  # fmt: skip
    settings = {
        "imageType": {"Original": None},
        "featureClass": {
            "firstorder": ["Mean", "Entropy", "10Percentile"],
            "glrlm": ["RunEntropy"],
            "shape": ["Sphericity"],
        },
        "setting": {"binWidth": 25},
    }  # fmt: skip
    (folder / "mri_cohort.yaml").write_text(yaml.safe_dump(cohort))
    (folder / "mri_settings.yaml").write_text(yaml.safe_dump(settings))
    (folder / "small.yaml").write_text(yaml.safe_dump(DESIGN, sort_keys=False))
    project = Project(folder)
    project.snakemake("--cores", "2")
    return folder


def table(folder, name):
    return pd.read_csv(folder / "results/mri" / name, dtype={"patient_id": str, "rater_a": str})


def test_planted_habitats_are_found_on_training_patients_and_applied_to_all(mri):
    model = json.loads((mri / "results/mri/models/habitats.json").read_text())
    assert model["k"] == 3
    assert model["training"]["patients"] == PATIENTS["train"]
    centres = np.array(model["centres"]) * [c["sd"] for c in model["channels"]]
    centres += [c["mean"] for c in model["channels"]]
    planted = np.array([PLANTED[k] for k in (1, 2, 3)])
    assert np.allclose(centres[:, :2], planted[:, :2], atol=0.06)
    assert np.allclose(centres[:, 2], planted[:, 2], atol=40)


def test_habitat_shares_are_the_planted_ones_in_the_other_centre_too(mri):
    features = pd.read_parquet(mri / "results/mri/features/features.parquet").set_index("patient_id")
    for patient in features.index:
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(mri / f"data/{patient}_truth.nrrd")))
        for k in (1, 2, 3):
            share = (truth == k).sum() / (truth > 0).sum()
            assert features.loc[patient, f"dce_h{k}_original_habitat_fraction"] == pytest.approx(
                share, abs=0.02
            )
            assert features.loc[patient, f"dce_h{k}_original_habitat_present"] == (share > 0)


def test_habitats_are_made_of_no_image_that_the_whole_study_excluded(mri):
    masks = table(mri, "qc/masks.csv").set_index("image_id")
    assert set(masks.loc[list(MISFILED.values()), "reasons"]) == {"duplicate_image"}
    features = pd.read_parquet(mri / "results/mri/features/features.parquet").set_index("patient_id")
    # With the misfiled image, the first by id, every voxel would fall to one habitat.
    shares = [features.loc["M030", f"dce_h{k}_original_habitat_fraction"] for k in (2, 3)]
    assert min(shares) > 0.1


def test_the_report_says_that_habitats_are_not_clustered_in_every_fold(mri):
    page = " ".join((mri / "results/mri/report/report.html").read_text().split())
    assert "voxels were clustered once, blind to the outcome, on all training patients" in page


def test_an_absent_habitat_has_missing_features_and_the_columns_are_complete(mri):
    features = pd.read_parquet(mri / "results/mri/features/features.parquet").set_index("patient_id")
    catalogue = table(mri, "features/catalogue.csv")
    assert list(catalogue["column"]) == [c for c in features.columns if c != "timepoint"]
    absent = features.index[features["dce_h1_original_habitat_present"] == 0]
    assert len(absent) == sum(PATIENTS.values()) // 5
    assert features.loc[absent, "dce_h1_original_firstorder_Mean"].isna().all()
    assert features.loc[absent, "adc_h2_original_firstorder_Mean"].notna().all()
    mean = features["adc_h3_original_firstorder_Mean"]
    assert mean.between(850, 950).all()


def test_regions_of_all_kinds_are_in_the_table(mri):
    rois = table(mri, "rois/rois.csv")
    assert set(rois["roi"]) == {"whole", "ptr3", "rim2", "h1", "h2", "h3"}
    rim = rois[rois["roi"] == "rim2"].iloc[0]
    assert (rim["inner_mm"], rim["outer_mm"]) == (-2.0, 0.0)
    assert set(rois["image"]) == {"dce", "adc"}


def test_raters_are_compared_and_features_judged(mri):
    agreement = table(mri, "qc/agreement.csv")
    assert len(agreement) == sum(PATIENTS.values())
    assert agreement["dice"].between(0.6, 0.95).all()
    stability = table(mri, "features/stability.csv")
    assert set(stability["source"]) == {"raters", "perturbation"}
    raters = stability[stability["source"] == "raters"].set_index("column")
    assert raters.loc["dce_whole_original_firstorder_Mean", "n"] == PATIENTS["train"]
    perturbed = stability[stability["source"] == "perturbation"].set_index("column")
    assert (perturbed["n"] == 8).all()
    # A lesion grown by 15 % holds other tissue; its mean still tells patients apart.
    assert perturbed.loc["adc_whole_original_firstorder_Mean", "icc"] > 0.4


def test_nothing_of_images_that_may_not_be_handed_on_is_in_the_results(mri):
    kinds = {path.suffix for path in (mri / "results").rglob("*") if path.is_file()}
    assert kinds <= {
        ".csv", ".json", ".md", ".parquet", ".log", ".tsv", ".html", ".png", ".pdf", ".sha256",
    }  # fmt: skip
    assert not list((mri / "results").rglob("*overlay*"))
    page = (mri / "work/mri/qc/gallery/mri_cohort.html").read_text()
    assert page.count("<article") == 4 * sum(PATIENTS.values()) + len(MISFILED)
    assert "keep this page to yourself" in page
    first = page[page.index('src="thumbnails') + 5 :].split('"', 1)[0]
    assert (mri / "work/mri/qc/gallery" / first).is_file()


def test_test_patients_do_not_move_the_habitats(mri, tmp_path):
    plan = run_without_externals(mri, tmp_path)
    first = (mri / "results/mri/models/habitats.json").read_bytes()
    assert plan == first


def run_without_externals(mri, folder):
    """Fit the habitats again in a copy of the study from which an external patient was taken."""
    import shutil

    for part in ("Snakefile", "small.yaml", "mri_cohort.yaml", "mri_settings.yaml"):
        shutil.copy(mri / part, folder / part)
    for part in ("config", "profiles", "scripts", "workflow", "envs", "data"):
        shutil.copytree(mri / part, folder / part)
    for name in ("participants", "images"):
        path = folder / "data" / f"{name}.csv"
        rows = pd.read_csv(path, dtype=str)
        rows[rows["patient_id"] != "M030"].to_csv(path, index=False)
    Project(folder).snakemake("--cores", "2", "results/mri/models/habitats.json")
    return (folder / "results/mri/models/habitats.json").read_bytes()
