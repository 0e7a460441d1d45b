"""Feature tables that somebody else extracted: made-up ones, and published ones where they are at hand."""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, copy_project, run

from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables, take_in
from annulus.cohort.feature_table import TOLD, GivenFeature, read_feature_table
from annulus.config import Folders, load
from annulus.errors import StudyError
from annulus.features.given import catalogue_of, failures_of, features_of
from annulus.modelling.fitting import feature_columns
from annulus.modelling.split import allocate, predictors_of

PUBLISHED = ROOT.parent / "shared" / "data"
GROUPS = {"shape": ["shape_*"], "texture": ["glcm_*", "gl?m_*", "shape_*"]}
SOURCE = {"file": "features.csv", "patient_id": "id"}


def needs(place):
    """Skip loudly where a public dataset is not at hand."""
    return pytest.mark.skipif(not place.exists(), reason=f"NOT TESTED ON PUBLIC DATA: {place} is not there")


@pytest.fixture
def read(tmp_path):
    """Write a table and read it as a study does."""

    def reading(text, groups=GROUPS, patients=("a", "b", "c"), participants=None, **more):
        (tmp_path / "features.csv").write_text(text, encoding="utf-8")
        return read_feature_table(tmp_path, SOURCE | more, groups, participants or {}, patients)

    return reading


def rules(problems):
    return [(p.row, p.column, p.rule, p.severity) for p in problems]


# --- columns and groups ----------------------------------------------------------------------------


def test_a_column_belongs_to_the_first_group_that_fits_and_others_are_counted_once(read):
    table, problems = read("id,glcm_b,shape_a,age,Shape_c\na,1,2,3,4\nb,2,4,5,6\nc,3,5,7,8\n")
    assert [(f.name, f.group) for f in table.features] == [("shape_a", "shape"), ("glcm_b", "texture")]
    assert table.values == {"a": [2, 1], "b": [4, 2], "c": [5, 3]}
    (problem,) = problems
    assert (problem.rule, problem.severity, problem.column) == ("no_group", "warning", "age, Shape_c")
    assert problem.message.startswith("2 columns fit no group")


def test_our_names_are_different_for_different_names_whatever_else_is_in_the_table():
    names = ["a b", "a_b", "a-b", "a(b", "a)b", "A_b", "GLCM [mean]", "tumeur é"]
    columns = [GivenFeature(name, "g").column for name in names]
    assert len(set(columns)) == len(names)
    assert columns[1:3] == ["table_g_a_b", "table_g_a-b"]
    # A bracket begins a level of a category in the names of terms.
    assert not any(set(column) & set("[]() ") for column in columns)


def test_signatures_find_the_columns_of_their_group_alone(read):
    groups = {"a": ["a*"], "ab": ["b*"]}
    table, _ = read("id,a_b_x,b_x\na,1,2\nb,2,1\nc,3,3\n", groups)
    features = features_of(table)
    assert feature_columns(features, ["table"], "a") == ["table_a_a_b_x"]
    assert feature_columns(features, ["table"], "ab") == ["table_ab_b_x"]


def test_a_group_without_a_column_is_refused(read):
    with pytest.raises(StudyError, match=r"no column is left for the group 'shape'.*columns are id, SHAPE_a"):
        read("id,SHAPE_a\na,1\n", {"shape": ["shape_*"]})


@pytest.mark.parametrize("participants", [{"file": "features.csv", "columns": {"malignant": "Target"}}, {}])
def test_an_outcome_cannot_be_a_feature(read, participants):
    name = "Target" if participants else "malignant"
    with pytest.raises(
        StudyError, match=f"takes the column '{name}', which is malignant of the participants"
    ):
        read(f"id,x,{name}\na,1,0\nb,2,1\nc,3,1\n", {"all": ["*"]}, participants=participants)


# --- cells -----------------------------------------------------------------------------------------


def test_missing_cells_are_missing_and_said_once_per_column(read):
    table, problems = read("id,shape_a,glcm_b\na,NA,1\nb,,nan\nc,inf,-Inf\nd,1,2\n", patients=tuple("abcd"))
    values = features_of(table).set_index("patient_id")
    assert values["table_shape_shape_a"].isna().tolist() == [True, False]
    assert rules(problems)[0] == ("", "shape_a", "missing_feature", "warning")
    # b and c have nothing at all, so they are lost and not counted among the gaps.
    assert problems[0].message.startswith("1 of 2 patients")
    assert dict(table.lost) == {"b": "no value in the feature table", "c": "no value in the feature table"}
    assert failures_of(table)["reason"].tolist() == ["no value in the feature table"] * 2


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("1,5", "A decimal point is expected: 1.5"),
        ("-0,25", "A decimal point is expected: -0.25"),
        ("1 234", "A number is expected"),
        ("1_000", "A number is expected"),
        ("high", "A number is expected"),
        ("#DIV/0!", "A number is expected"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_remedy(read, cell, remedy):
    table, problems = read(f'id,shape_a,glcm_b\na,1,2\nb,"{cell}",3\nc,2,4\n')
    (problem,) = problems
    place = (problem.file.endswith("features.csv"), problem.row, problem.column, problem.value)
    assert place == (True, "3", "shape_a", cell)
    assert (problem.severity, problem.message.startswith(remedy)) == ("error", True)
    assert math.isnan(table.values["b"][0])


def test_of_many_wrong_cells_the_first_are_told_and_all_are_counted(read):
    header = ",".join(f"glcm_{i}" for i in range(400))
    cells = ",".join(['"0,5"'] * 400)
    _, problems = read(f"id,{header}\n" + "".join(f"{p},{cells}\n" for p in "abc"), {"texture": ["glcm_*"]})
    assert len(problems) == TOLD + 1
    assert problems[-1].message == f"These are the first {TOLD} of 1200 cells that are no numbers."
    assert problems[-1].severity == "error"


def test_text_throughout_is_left_out_and_a_constant_stays_both_with_a_warning(read):
    text = "id,glcm_version,glcm_c,glcm_x\na,v3.0,7,1\nb,v3.1,7,2\nc,v3.1,7,3\n"
    table, problems = read(text, {"texture": ["glcm_*"]})
    assert [f.name for f in table.features] == ["glcm_c", "glcm_x"]
    assert rules(problems) == [
        ("", "glcm_version", "text_column", "warning"),
        ("", "glcm_c", "constant_feature", "warning"),
    ]
    catalogue = catalogue_of(table).set_index("feature")
    assert catalogue["constant"].to_dict() == {"glcm_c": 1, "glcm_x": 0}
    assert set(catalogue["mode"]) == {"given"}


# --- patients --------------------------------------------------------------------------------------


def test_a_patient_twice_or_without_a_name_is_an_error(read):
    _, problems = read("id,shape_a,glcm_b\na,1,2\na,1,2\n,3,4\nb,2,3\n")
    assert [r for r in rules(problems) if r[3] == "error"] == [
        ("3", "id", "duplicate_patient", "error"),
        ("4", "id", "empty", "error"),
    ]


def test_strangers_are_left_out_with_one_warning_and_all_of_them_are_an_error(read):
    table, problems = read("id,shape_a,glcm_b\na,1,2\nx,9,9\ny,8,8\nb,2,3\n")
    assert set(table.values) == {"a", "b"}
    assert dict(table.lost) == {"c": "no row in the feature table"}
    (warning,) = [p for p in problems if p.rule == "unknown_patient"]
    assert (warning.value, warning.severity) == ("x, y", "warning")
    with pytest.raises(StudyError, match=r"none of its patients \(001, 002\) is in the participants table"):
        read("id,shape_a,glcm_b\n001,1,2\n002,9,9\n")


def test_a_table_without_their_column_of_patients_is_refused(read):
    with pytest.raises(
        StudyError, match=r"no column 'case', which the cohort file names in features.patient_id"
    ):
        read("id,shape_a,glcm_b\na,1,2\n", patient_id="case")


def test_rows_left_out_and_columns_joined_work_as_in_other_tables(tmp_path):
    (tmp_path / "features.csv").write_text("id,scan,shape_a\na,1,5\na,2,6\nb,1,7\n")
    (tmp_path / "more.csv").write_text("who,glcm_b\na,0.5\nb,0.25\n")
    join = {"file": "more.csv", "match": {"id": "who"}}
    source = SOURCE | {"join": join, "leave_out": {"scan": [2]}}
    table, _ = read_feature_table(tmp_path, source, GROUPS, {}, ["a", "b"])
    assert table.values == {"a": [5, 0.5], "b": [7, 0.25]}


def test_patients_without_features_are_lost_in_the_flow_chart(read):
    table, _ = read("id,shape_a,glcm_b\na,1,2\nb,2,3\n", patients=tuple("abcd"))
    people = pd.DataFrame({"patient_id": list("abcd"), "malignant": ["0", "1", "0", "1"]})
    tasks = {"t": {"outcome": "malignant", "positive": [1], "negative": [0]}}
    plan = {"by": "none", "cohorts": {"train": []}}
    allocation, flow = allocate(people, failures_of(table), [], plan, tasks, 1, "features given")
    assert allocation["patient_id"].tolist() == ["a", "b"]
    assert flow.iloc[0].tolist() == ["features given", "all", 4, 2, "no row in the feature table (2)"]
    predictors = predictors_of(people[:2], [], None, features_of(table).drop(columns="timepoint"))
    assert list(predictors) == ["patient_id", "table_shape_shape_a", "table_texture_glcm_b"]


def test_the_problems_of_a_feature_table_stand_among_those_of_the_cohort(tmp_path):
    (tmp_path / "people.csv").write_text("patient_id,malignant\na,0\nb,1\n")
    (tmp_path / "features.csv").write_text("id,shape_a,glcm_b\na,1,two\nb,2,3\n")
    tables = CohortTables(str(tmp_path), {"file": "people.csv"}, features=SOURCE, groups=GROUPS)
    patients, problems = take_in(tables, False, ["malignant"], Instruments(20, 3, 2.3))
    assert [patient["patient_id"] for patient in patients] == ["a", "b"]
    assert [(p.row, p.column, p.value) for p in problems] == [("2", "glcm_b", "two")]


# --- the design ------------------------------------------------------------------------------------


@pytest.fixture
def design():
    return yaml.safe_load((ROOT / "config/studies/petrillo_luminal.yaml").read_text())


@pytest.fixture
def refused(tmp_path):
    def run(design):
        with pytest.raises(StudyError) as error:
            load(design, Folders(tmp_path, ROOT))
        return str(error.value)

    return run


def test_designs_that_contradict_a_feature_table_are_refused_in_one_line_each(design, refused):
    task = design["tasks"]["luminal"]
    task["signatures"], task["combined"] = ["wavlet"], {}
    text = refused(design)
    assert "signatures: the feature group 'wavlet' is not known (did you mean 'wavelet'?)" in text
    task["signatures"] = ["original"]
    design["images"] = {"us": {"modality": "US", "series": "bmode", "settings": "us_bmode"}}
    design["regions"] = {"rois": {"itr": {"kind": "tumour"}}}
    design["cohort"] = str(ROOT / "config/cohorts/bus_bra.yaml")
    assert "bus_bra.yaml: the study has feature_groups, so the cohort needs its feature table" in refused(
        design
    )
    del design["feature_groups"]
    design["cohort"] = "petrillo2023"
    assert "petrillo2023.yaml: the study has images, so the cohort needs its image manifest" in refused(
        design
    )


def test_a_study_has_images_or_feature_groups_and_regions_only_with_images(design, refused):
    design["regions"] = {"rois": {"itr": {"kind": "tumour"}}}
    design["feature_groups"]["habitats"] = ["x*"]
    text = refused(design)
    assert "images and regions.rois go together" in text
    assert "feature_groups.habitats: this name is kept for habitats." in text
    design["timepoints"] = {"pre": "baseline"}
    assert "timepoints: the study has no images; leave it out." in refused(design)


def test_images_and_feature_groups_contradict_each_other(design, refused, tmp_path):
    cohort = yaml.safe_load((ROOT / "config/cohorts/petrillo2023.yaml").read_text())
    cohort["images"] = {"file": "images.csv"}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(cohort))
    design["cohort"] = "both.yaml"
    design["images"] = {"us": {"modality": "US", "series": "bmode", "settings": "us_bmode"}}
    design["regions"] = {"rois": {"itr": {"kind": "tumour"}}}
    assert "feature_groups and images contradict each other" in refused(design)


# --- whole studies ---------------------------------------------------------------------------------


def feature_project(folder: Path) -> None:
    """Write a study of a made-up table in which one texture tells the outcome, and the rest is noise."""
    copy_project(folder)
    rng = np.random.default_rng(7)
    outcome = np.arange(90) % 2
    patients = [f"p{i:02d}" for i in range(90)]
    table = pd.DataFrame(rng.normal(size=(90, 12)), columns=[f"glcm_{i}" for i in range(12)])
    table["glcm_told"] = 2.0 * outcome + rng.normal(size=90)
    table["first order mean"] = rng.normal(size=90)
    table["first order sd"] = rng.normal(size=90)
    table.insert(0, "id", patients)
    table.loc[3, "glcm_1"] = np.nan
    table[:88].to_csv(folder / "features.csv", index=False)
    people = pd.DataFrame(
        {"patient_id": patients, "malignant": outcome, "age_years": rng.integers(30, 80, 90)}
    )
    people.to_csv(folder / "people.csv", index=False)
    cohort = {
        "name": "mine", "source": "table", "folder": ".", "participants": {"file": "people.csv"},
        "features": {"file": "features.csv", "patient_id": "id"},
    }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump(cohort))
    study = {
        "name": "given",
        "title": "A feature table",
        "cohort": "mine.yaml",
        "seed": 1,
        "resamples": 2,
        "repeated_splits": 2,
        "feature_groups": {"texture": ["glcm_*"], "histogram": ["first order *"]},
        "split": {"by": "random", "cohorts": {"train": 0.7, "internal_test": 0.3}},
        "tasks": {
            "malignancy": {
                "outcome": "malignant",
                "positive": [1],
                "negative": [0],
                "signatures": ["texture", "histogram"],
                "outer_folds": 3,
                "bootstraps": 100,
                "clinical": {"candidates": ["age_years"]},
                "combined": {"radiomics": {"signatures": ["texture"]}},
                "decision": {"description": "biopsy", "thresholds": [0.1, 0.9]},
            }
        },
    }
    (folder / "given.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


@pytest.mark.slow
def test_a_feature_table_goes_from_the_table_to_the_report(tmp_path):
    feature_project(tmp_path)
    run([sys.executable, "-m", "snakemake", "--configfile", "given.yaml", "--cores", "1"], tmp_path)
    results = tmp_path / "results" / "given"
    flow = pd.read_csv(results / "qc/flow.csv")
    assert flow.iloc[0][["step", "n_in", "n_out"]].tolist() == ["features given", 90, 88]
    performance = pd.read_csv(results / "tasks/malignancy/performance.csv")
    area = performance[(performance["metric"] == "auc") & (performance["cohort"] == "internal_test")]
    found = area.set_index("model")["estimate"]
    # The planted difference of 2 SD is an AUC of 0.92.
    assert found["radiomics"] > 0.8
    assert "volume" not in found.index
    assert pd.read_csv(results / "tasks/malignancy/volume.csv").empty
    selection = pd.read_csv(results / "tasks/malignancy/selection.csv")
    kept = selection[(selection["model"] == "signature_texture") & selection["step_removed"].isna()]
    assert "table_texture_glcm_told" in set(kept["column"])
    report = (results / "report/report.html").read_text()
    assert "its features were extracted elsewhere" in report
    catalogue = pd.read_csv(results / "features/catalogue.csv")
    assert "first order mean" in set(catalogue["feature"])


# --- published tables ------------------------------------------------------------------------------


@needs(PUBLISHED / "feature_tables")
def test_the_published_feature_table_is_read_whole():
    cohort = yaml.safe_load((ROOT / "config/cohorts/petrillo2023.yaml").read_text())
    study = yaml.safe_load((ROOT / "config/studies/petrillo_luminal.yaml").read_text())
    folder = PUBLISHED / "feature_tables"
    theirs = pd.read_csv(folder / "Petrillo2023.csv")
    patients = theirs["ID"].astype(str).tolist()
    table, problems = read_feature_table(
        folder, cohort["features"], study["feature_groups"], cohort["participants"], patients
    )
    assert [p.column for p in problems] == ["Target"]
    assert len(table.features) == 851
    values = features_of(table).drop(columns=["patient_id", "timepoint"])
    assert len(set(patients)) == 128
    assert values.shape == (128, 851)
    # Published as z-scores over everybody.
    assert np.allclose(values.mean(), 0.0, atol=1e-9)
    theirs = theirs.assign(patient_id=patients).sort_values("patient_id")
    assert np.array_equal(values.to_numpy(), theirs[[feature.name for feature in table.features]].to_numpy())


@needs(PUBLISHED / "clinical")
def test_the_published_clinical_table_is_read_whole(tmp_path):
    study = load({"study": "bcnb_nodal_status"}, Folders(tmp_path, ROOT))
    cohort = study.cohort
    tables = CohortTables(str(PUBLISHED / "clinical"), cohort["participants"])
    needed = [*study.design["variables"], "aln_metastasis", "er_status", "pr_status"]
    patients, problems = take_in(tables, False, needed, Instruments(**study.design["instruments"]))
    assert problems == []
    counts = pd.DataFrame(patients).groupby("published_split")["aln_metastasis"].agg(["size", "sum"])
    assert counts.loc[["train", "val", "test"]].to_numpy().tolist() == [[630, 240], [210, 79], [218, 84]]
    assert sum(int(patient["er_status"]) for patient in patients) == 831
