"""The command line: what it writes loads, its scores are the model's, and mistakes are told in words."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_frozen import COLUMNS, COMBINED, fitted, patients
from typer.testing import CliRunner

from annulus import __version__
from annulus.cli import init as init_module
from annulus.cli.bundles import open_model
from annulus.cli.found_images import find_images, patient_part
from annulus.cli.found_tables import feature_groups, plain_name, settle_outcome
from annulus.cli.main import app
from annulus.cohort.sources import read_source
from annulus.config import Folders, load, read_yaml
from annulus.errors import StudyError
from annulus.modelling.attribution import contributions, missing_values
from annulus.modelling.bundle import Origin, Task, seal
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.scorers import Kernel
from annulus.tables import write_json

STUDY_KEYS = read_yaml(ROOT / "workflow" / "schemas" / "study.schema.yaml")["properties"]
COHORT_KEYS = read_yaml(ROOT / "workflow" / "schemas" / "cohort.schema.yaml")["properties"]
TASK_KEYS = STUDY_KEYS["tasks"]["additionalProperties"]["properties"]

takes_features = pytest.mark.skipif(
    not ({"feature_groups", "variables"} <= set(STUDY_KEYS) and "features" in COHORT_KEYS),
    reason="the configuration has no feature tables yet",
)
takes_predictions = pytest.mark.skipif(
    not ("variables" in STUDY_KEYS and "predictions" in TASK_KEYS),
    reason="the configuration has no prediction tables yet",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0, answers=None):
    """Run the command; returns what was printed, with what went to stderr."""
    result = CliRunner().invoke(app, list(map(str, arguments)), input=answers)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def loaded(here, name):
    return load({"study": name}, Folders(working=here, workflow=ROOT))


# --- the command itself ----------------------------------------------------------------------


def test_help_has_an_example_of_every_command():
    top = run("--help").output
    for command in ("init", "check", "score", "explain"):
        assert f"annulus {command} " in top
        assert f"annulus {command} " in run(command, "--help").output
    assert run("--version").output == f"annulus {__version__}\n"


def test_help_needs_none_of_the_heavy_libraries():
    program = "import sys, annulus.cli.main; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "pandas", "yaml", "jsonschema", "SimpleITK", "sklearn"}
    assert "typer" in done.stdout.split()


def test_wrong_usage_has_another_exit_code_than_wrong_input(here):
    assert "one of --images" in run("init", "--images", "a", "--features", "b", code=2).stderr
    assert (
        "--participants goes with --images"
        in run("init", "--features", "a", "--participants", "b", code=2).stderr
    )
    run("check", "--nonsense", code=2)
    run("score", code=2)
    said = run("check", "us_malignacy", code=1)
    assert "did you mean 'us_malignancy'" in said.stderr
    assert "Traceback" not in said.output


# --- init from images ------------------------------------------------------------------------


def folders_of_classes(folder):
    names = [f"{kind}/{kind} ({n}).png" for kind in ("benign", "malignant", "normal") for n in range(1, 31)]
    masks = [name.replace(".png", "_mask.png") for name in names]
    touch(folder, *names, *masks, "benign/benign (1)_mask_1.png")
    return folder


def cohort_of_images(folder):
    """30 patients with two images each in Images/, masks in Masks/, and a table."""
    people = range(1, 61)
    for n in people:
        for side in "lr":
            touch(folder, f"Images/bus_{n:04d}-{side}.png", f"Masks/mask_{n:04d}-{side}.png")
    rows = [
        {"Case": n, "malignant": "mal" if n % 2 else "ben", "age_years": 40 + n % 30, "Note": "x"}
        for n in people
    ]
    write_rows(folder / "table.csv", rows)
    return folder


def test_folders_named_after_the_outcome_become_a_study_that_loads_and_checks(here):
    data = folders_of_classes(here / "data")
    flags = ["--outcome", "folder", "--positive", "malignant", "--negative", "benign", "--name", "classes"]
    said = run("init", "--images", data, "--modality", "US", *flags).output
    assert "60 images; 0 of 60 have no mask" in said
    assert "annulus check classes" in said
    study = loaded(here, "classes")
    assert study.design["tasks"]["malignant"]["outcome"] == "malignant"
    assert study.design["regions"]["unit"] == "fraction"
    people = read_source(study.cohort["folder"], study.cohort["participants"])
    assert [row["malignant"] for row in people] == ["0"] * 30 + ["1"] * 30
    images = read_source(study.cohort["folder"], study.cohort["images"])
    assert images[0]["mask_path"] == "benign/benign (1)_mask.png;benign/benign (1)_mask_1.png"
    assert images[-1]["mask_path"] == "malignant/malignant (9)_mask.png"
    checked = run("check", "classes").output
    assert "60 images of 60 patients; 0 without a mask; 0 missing files" in checked
    assert "train: 42 patients; malignant: 21 events of 42" in checked


def test_images_are_matched_with_a_table_of_patients_by_a_part_of_their_names(here):
    data = cohort_of_images(here / "data")
    flags = ["--outcome", "malignant", "--positive", "mal", "--name", "mine", "--modality", "us"]
    run("init", "--images", data, "--participants", data / "table.csv", *flags)
    study = loaded(here, "mine")
    images = read_source(study.cohort["folder"], study.cohort["images"])
    assert len(images) == 120
    assert {row["patient_id"] for row in images} == {str(n) for n in range(1, 61)}
    assert images[0] | {"_row": ""} == {
        "_row": "", "patient_id": "1", "image_id": "0001-l", "modality": "US", "series": "bmode",
        "image_path": "Images/bus_0001-l.png", "mask_path": "Masks/mask_0001-l.png", "mask_role": "tumour",
    }  # fmt: skip
    assert study.cohort["participants"]["columns"]["age_years"] == "age_years"
    text = (here / "config" / "cohorts" / "mine.yaml").read_text()
    assert "# Not used: Note." in text
    assert "config/README.md" in text
    assert "120 images of 60 patients" in run("check", "mine").output


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.png", "{}_mask.png"),
        ("{}.jpg", "mask_{}.png"),
        ("img/{}.tif", "img/masks/{}.tif"),
        ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"),
        ("images/a/image_{}.nrrd", "segmentations/a/seg-{}.nrrd"),
        ("{0}/image_{0}.png", "{0}/{0}-segmentation.png"),
    ],
)
def test_masks_are_found_by_many_ways_of_naming_them(tmp_path, image, mask):
    cores = [f"case{n}" for n in range(1, 6)]
    touch(tmp_path, *(image.format(c) for c in cores), *(mask.format(c) for c in cores), "readme.txt")
    touch(tmp_path, image.format("case9"))
    found = find_images(tmp_path)
    assert found.images == tuple(sorted(image.format(c) for c in [*cores, "case9"]))
    assert found.without_mask == (image.format("case9"),)
    columns = {"mask": {"from": "path", "pattern": found.rule.pattern, "replacement": found.rule.replacement}}
    table = {"files": found.rule.files(patient_part(found, cores)), "columns": columns}
    expected = [mask.format(c) for c in [*cores, "case9"]]
    assert sorted(row["mask"] for row in read_source(tmp_path, table)) == sorted(expected)


def test_images_without_any_mask_or_any_patient_are_refused_in_words(tmp_path):
    with pytest.raises(StudyError, match="there are no images below it"):
        find_images(tmp_path)
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(StudyError, match=r"no mask's name follows from an image's, such as a\.png"):
        find_images(tmp_path)
    touch(tmp_path, "a_mask.png", "b_mask.png")
    with pytest.raises(StudyError, match=r"no part of the images' names, such as a\.png, is an id"):
        patient_part(find_images(tmp_path), ["P1", "P2"])


def test_files_that_are_there_are_kept_unless_forced(here):
    data = folders_of_classes(here / "data")
    flags = ["--modality", "US", "--outcome", "folder", "--positive", "malignant", "--negative", "benign"]
    place = here / "config" / "studies" / "data.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    assert "there already" in run("init", "--images", data, *flags, code=1).stderr
    assert place.read_text() == "mine"
    assert not (here / "config" / "cohorts" / "data.yaml").exists()
    run("init", "--images", data, *flags, "--force")
    assert loaded(here, "data").design["name"] == "data"


def test_nobody_is_asked_where_nobody_can_answer(here):
    assert "--images, --features or --predictions must be given" in run("init", code=1).stderr
    data = folders_of_classes(here / "data")
    assert "--modality must be given" in run("init", "--images", data, code=1).stderr
    said = run("init", "--images", data, "--modality", "US", "--outcome", "folder", code=1).stderr
    assert "--positive must be given" in said
    assert not (here / "config").exists()


def test_who_can_answer_is_asked(here, monkeypatch):
    monkeypatch.setattr(init_module, "interactive", lambda: True)
    data = cohort_of_images(here / "data")
    answers = f"images\n{data}\nus\nmalignant\nmal\n"
    said = run("init", "--participants", data / "table.csv", "--name", "asked", answers=answers).output
    assert "Value of malignant that is the event, of ben, mal" in said
    assert loaded(here, "asked").cohort["participants"]["columns"]["malignant"]["values"] == {
        "mal": 1,
        "ben": 0,
    }


# --- init from tables ------------------------------------------------------------------------


def features_file(path):
    rng = np.random.default_rng(1)
    names = [f"{kind}_f{n}" for kind in ("original", "wavelet-LLH") for n in range(4)]
    rows = [
        {"ID": f"P{n}", **{name: f"{rng.normal():.6f}" for name in names}, "Target": n % 2, "Site": "A"}
        for n in range(60)
    ]
    write_rows(path, rows)
    return path


def test_a_feature_table_becomes_groups_and_an_outcome(here):
    table = features_file(here / "data" / "Petrillo 23.csv")
    run("init", "--features", table, "--outcome", "Target", "--positive", "1")
    study = read_yaml(here / "config" / "studies" / "petrillo_23.yaml")
    cohort = read_yaml(here / "config" / "cohorts" / "petrillo_23.yaml")
    assert study["feature_groups"] == {"original": ["original_*"], "waveletllh": ["wavelet-LLH_*"]}
    assert study["variables"] == {"target": {"type": "boolean", "description": "Target is 1"}}
    assert study["tasks"]["target"]["signatures"] == ["original", "waveletllh"]
    assert cohort["features"] == {"file": "Petrillo 23.csv", "patient_id": "ID"}
    assert cohort["participants"] == {
        "file": "Petrillo 23.csv",
        "columns": {"patient_id": "ID", "target": {"from": "Target", "values": {"1": 1, "0": 0}}},
    }


@takes_features
def test_what_is_written_for_a_feature_table_loads_and_checks(here):
    table = features_file(here / "data" / "table.csv")
    run("init", "--features", table, "--outcome", "Target", "--positive", "1", "--name", "given")
    assert loaded(here, "given").design["feature_groups"]
    assert "train: 42 patients; target: 21 events of 42" in run("check", "given").output


def predictions_file(path):
    rng = np.random.default_rng(2)
    rows = [
        {"patient": f"P{n}", "Model A": f"{rng.uniform():.4f}", "reader_1": f"{rng.uniform():.4f}",
         "percent": round(100 * rng.uniform()), "operated": n % 3 // 2, "status": ("alive", "dead")[n % 2]}
        for n in range(40)
    ]  # fmt: skip
    write_rows(path, rows)
    return path


def test_a_prediction_table_becomes_models_that_are_only_evaluated(here):
    table = predictions_file(here / "p.csv")
    run("init", "--predictions", table, "--outcome", "status", "--positive", "dead", "--name", "readers")
    study = read_yaml(here / "config" / "studies" / "readers.yaml")
    cohort = read_yaml(here / "config" / "cohorts" / "readers.yaml")
    assert study["tasks"]["status"]["predictions"] == {"model_a": "model_a", "reader_1": "reader_1"}
    assert study["tasks"]["status"]["cut_off"] == {"rule": "fixed", "at": 0.5}
    described = study["variables"]["model_a"]
    assert (described["type"], described["minimum"], described["maximum"]) == ("number", 0, 1)
    columns = cohort["participants"]["columns"]
    assert (columns["model_a"], columns["reader_1"]) == ("Model A", "reader_1")
    assert columns["status"] == {"from": "status", "values": {"dead": 1, "alive": 0}}
    said = run("init", "--predictions", table, "--outcome", "Status", "--positive", "x", code=1).stderr
    assert "did you mean 'status'" in said


@takes_predictions
def test_what_is_written_for_a_prediction_table_loads(here):
    table = predictions_file(here / "p.csv")
    run("init", "--predictions", table, "--outcome", "status", "--positive", "dead", "--name", "readers")
    assert loaded(here, "readers").design["tasks"]["status"]["predictions"]


def test_a_table_of_percentages_is_refused(here):
    write_rows(here / "p.csv", [{"id": n, "m": 10 * n, "y": n % 2} for n in range(1, 9)])
    said = run("init", "--predictions", "p.csv", "--outcome", "y", "--positive", "1", code=1).stderr
    assert "Percentages must be divided by 100" in said


def test_columns_are_grouped_by_prefix_or_by_suffix_whichever_makes_fewer_groups():
    suffixed = [f"{name}_{view}" for view in ("CC", "MLO") for name in ("MEAN", "STD", "IQR")]
    assert feature_groups(suffixed) == {"cc": ["*_CC"], "mlo": ["*_MLO"]}
    prefixed = [f"{kind}_{n}" for kind in ("shape", "glcm") for n in "abc"]
    assert feature_groups([*prefixed, "odd"]) == {"shape": ["shape_*"], "glcm": ["glcm_*"], "others": ["odd"]}
    assert feature_groups(["one", "two [mm]"]) == {"all": ["one", "two ?mm?"]}


def test_an_outcome_of_several_values_needs_both_sides():
    with pytest.raises(StudyError, match="Say with --negative"):
        settle_outcome("t.csv", "grade", ["1", "2", "3"], ["3"], [])
    settled = settle_outcome("t.csv", "grade", ["1", "2", "3"], ["3"], ["1"])
    assert (settled.name, settled.known, settled.others) == ("outcome_grade", False, ("2",))
    with pytest.raises(StudyError, match="no cell is '4'"):
        settle_outcome("t.csv", "grade", ["1", "2", "3"], ["4"], [])
    assert plain_name("3D Größe (mm)") == "x_3d_gr_e_mm"


# --- check -----------------------------------------------------------------------------------


def begun(here):
    data = cohort_of_images(here / "data")
    flags = ["--outcome", "malignant", "--positive", "mal", "--name", "mine", "--modality", "us"]
    run("init", "--images", data, "--participants", data / "table.csv", *flags)
    return data


def change(path, edit):
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_events_of_patients_kept_for_testing_are_not_counted_before_they_are_opened(here):
    begun(here)
    said = run("check", "mine").output
    assert "train: 42 patients; malignant: 21 events of 42" in said
    assert (
        "internal_test: 18 patients; malignant: outcomes are not looked at before models are frozen" in said
    )
    write_rows(here / "results" / "mine" / "tasks" / "malignant" / "predictions.csv", [{"patient_id": "1"}])
    assert "internal_test: 18 patients; malignant: 9 events of 18" in run("check", "mine").output


def test_what_is_wrong_with_a_table_is_one_line_each(here):
    data = begun(here)
    with (data / "table.csv").open("a") as stream:
        stream.write("7,mal,50,x\n61,perhaps,50,x\n62,ben,500,x\n")
    (data / "Images" / "bus_0003-l.png").unlink()
    (data / "Masks" / "mask_0004-r.png").unlink()
    said = run("check", "mine", code=1)
    table = f"error: {data}/table.csv"
    assert f"{table}, row 62, column patient_id, value '7': Row 8 is the same patient." in said.stderr
    assert f"{table}, row 63, column malignant, value 'perhaps': The cohort file's mapping" in said.stderr
    assert f"{table}, row 64, column age_years, value '500'" in said.stderr
    assert "1 missing file" in said.output
    assert "value 'Masks/mask_0004-r.png': There is no such file" in said.stderr
    assert said.stdout.endswith("Mend the errors first.\n")
    assert "Traceback" not in said.output


def test_an_external_cohort_is_held_against_the_study_without_linking_outcomes(here):
    begun(here)
    study = here / "config" / "studies" / "mine.yaml"
    change(study, lambda d: d["tasks"]["malignant"]["clinical"].update(candidates=["age_years"]))
    other = here / "other"
    for n in range(1, 6):
        touch(other, f"{n}.png", f"{n}_mask.png")
    write_rows(other / "t.csv", [{"patient_id": n, "malignant": n % 2} for n in range(1, 6)])
    cohort = {
        "name": "other",
        "source": "table",
        "folder": str(other),
        "participants": {"file": "t.csv"},
        "images": {
            "files": r"(?P<image>\d+)\.png",
            "columns": {
                "patient_id": "image", "image_id": "image", "modality": {"constant": "US"},
                "series": {"constant": "bmode"}, "image_path": "path",
                "mask_path": {"from": "image", "pattern": "(.*)", "replacement": r"\1_mask.png"},
                "mask_role": {"constant": "tumour"},
            },
        },
    }  # fmt: skip
    place = here / "other.yaml"
    place.write_text(yaml.safe_dump(cohort))
    said = run("check", "mine", "--cohort", place)
    assert "external cohort other: 5 patients; outcomes are not looked at" in said.stdout
    assert "task malignant: malignant has the values 0, 1" in said.stdout
    assert "3 events" not in said.output
    assert "it lacks age_years; models of task malignant" in said.stderr
    write_rows(other / "t.csv", [{"patient_id": n, "malignant": 1 + n % 2} for n in range(1, 6)])
    assert "has the value '2': 0 or 1 is expected" in run("check", "mine", "--cohort", place, code=1).stderr
    write_rows(other / "t.csv", [{"patient_id": n, "malignant": 0} for n in range(1, 6)])
    said = run("check", "mine", "--cohort", place, code=1).stderr
    assert "has 0 and none of the study's positive values (1)" in said


def test_a_simulated_study_is_checked_without_a_table(here):
    said = run("check", "kaiser_us_alnm").output
    assert "SYNTHETIC, 108 patients (all 108)" in said
    assert "0 errors, 0 warnings. Ready to run." in said


# --- contributions ---------------------------------------------------------------------------


def test_contributions_are_coefficient_times_z_and_add_up():
    one = patients().iloc[[0]]
    parts = {part.term: part for part in contributions(COMBINED, one, COLUMNS)}
    rad = 0.25 + 1.5 * (11 - 9) / 2 - 2.0 * (1 - 1) / 0.5
    assert parts["radscore_itr"].value == rad
    assert parts["radscore_itr"].contribution == 0.8 * rad
    assert parts["age_years"].contribution == 0.02 * 60
    assert parts["menopausal_status[peri]"].contribution == 0.3
    assert parts["breast_density"].contribution == pytest.approx(0.4, abs=1e-15)
    total = COMBINED.linear.intercept + sum(part.contribution for part in parts.values())
    assert total == pytest.approx(COMBINED.score(one, COLUMNS)[0], abs=1e-12)


@pytest.mark.parametrize("row", range(3))
def test_contributions_add_up_with_missing_values(row):
    one = patients().iloc[[row]]
    parts = contributions(COMBINED, one, COLUMNS)
    assert [abs(p.contribution) for p in parts] == sorted((abs(p.contribution) for p in parts), reverse=True)
    total = COMBINED.linear.intercept + sum(part.contribution for part in parts)
    assert total == pytest.approx(COMBINED.score(one, COLUMNS)[0], abs=1e-12)


def test_contributions_of_fitted_models_add_up_in_every_patient():
    data, parts, combined = fitted()
    table = data.predictors
    linear = [part.model for part in (*parts.values(), combined) if isinstance(part.model.linear, Linear)]
    assert combined.model in linear
    for model in linear:
        scores = model.score(table, COLUMNS)
        for at in range(0, len(table), 7):
            told = contributions(model, table.iloc[[at]], COLUMNS)
            total = model.linear.intercept + sum(part.contribution for part in told)
            assert total == pytest.approx(scores[at], abs=1e-12)


def test_a_model_that_is_not_linear_has_no_contributions():
    kernel = Kernel(0.0, ("us_itr_a",), (0.0,), (1.0,), ((1.0,),), (1.0,), 0.1, 0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="is not linear"):
        contributions(FrozenModel("signature_itr", "signature", kernel), patients().iloc[[0]], COLUMNS)


def test_missing_values_are_counted_by_hand():
    assert COMBINED.columns == (
        "us_itr_a", "us_itr_b", "age_years", "menopausal_status", "breast_density",
    )  # fmt: skip
    missing = missing_values(COMBINED, patients(), COLUMNS)
    assert missing.sum(axis=1).tolist() == [0, 3, 2]
    assert missing.loc[1].tolist() == [True, False, True, False, True]


# --- score -----------------------------------------------------------------------------------


@pytest.fixture
def bundle(here):
    folder = here / "results" / "mine" / "models" / "malignant" / "nomogram"
    content = COMBINED.to_json() | {"synthetic": True}
    content["training"] = {"n": 80, "events": 30, **dict(COMBINED.training)}
    write_json(folder / "model.json", sealed(content))
    return folder


def sealed(content):
    """Seal a fitted model as a study does; its training patients are 30 to 70 years old."""
    rng = np.random.default_rng(4)
    rows = 80
    training = pd.DataFrame(
        {
            "patient_id": [f"T{i}" for i in range(rows)],
            "us_itr_a": rng.uniform(5, 15, rows),
            "us_itr_b": rng.uniform(-2, 4, rows),
            "age_years": rng.uniform(30, 70, rows).round().astype(int).astype(str),
            "menopausal_status": rng.choice(["pre", "peri", "post"], rows),
            "breast_density": rng.choice(["a", "b", "c", "d"], rows),
        }
    )
    task = Task("malignant", {"outcome": "malignant", "positive": [1], "negative": [0], "label": "malignant"})
    return seal(content, task, Origin("mine", "0" * 64, {}, {}), training, COLUMNS, None)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_scores_are_the_models_to_the_last_digits(here, bundle, kind):
    table = patients().assign(us_itr_a=[11.123456789012345, np.nan, 1 / 3], extra="x")
    getattr(table, f"to_{kind}")(here / f"t.{kind}", index=False)
    result = run("score", bundle, here / f"t.{kind}")
    scored = pd.read_csv(io.StringIO(result.stdout))
    expected = FrozenModel.from_json(json.loads((bundle / "model.json").read_text())).score(table, COLUMNS)
    assert scored["linear_predictor"].to_numpy() == pytest.approx(expected, abs=1e-12)
    assert scored["probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-12)
    assert scored["class"].tolist() == [int(p >= 0.4) for p in 1 / (1 + np.exp(-expected))]
    assert scored["missing_filled"].tolist() == [0, 3, 2]
    assert scored["extrapolates"].tolist() == [0, 0, 1]
    assert scored["synthetic"].tolist() == [1, 1, 1]
    assert scored["patient_id"].tolist() == ["a", "b", "c"]
    assert "SYNTHETIC" in result.stderr
    assert "not a medical device" in result.stderr


def test_scores_go_to_a_file_and_extrapolation_is_counted(here, bundle):
    patients().assign(age_years=["99", "50", "18"]).to_csv(here / "t.csv", index=False)
    result = run("score", bundle / "model.json", "t.csv", "--out", "scores.csv")
    assert result.stdout == ""
    assert pd.read_csv(here / "scores.csv")["out_of_range"].tolist() == [1, 0, 1]
    assert "2 of 3 patients lie outside the training range" in result.stderr


def test_all_missing_columns_are_named_at_once(here, bundle):
    patients().drop(columns=["us_itr_b", "breast_density"]).rename(columns={"age_years": "age_year"}).to_csv(
        here / "t.csv", index=False
    )
    said = run("score", bundle, "t.csv", code=1).stderr
    assert "lacks 3 columns that the model needs: us_itr_b" in said
    assert "age_years (did you mean 'age_year'?), breast_density" in said


def test_cells_that_are_wrong_are_named_with_their_rows(here, bundle):
    patients().assign(
        patient_id=["a", "a", ""], us_itr_a=["1,5", "2", "inf"], menopausal_status=["peri", "post", "late"]
    ).to_csv(here / "t.csv", index=False)
    lines = run("score", bundle, "t.csv", code=1).stderr.splitlines()
    assert any("row 3, column patient_id: 'a' stands in row 2 already" in line for line in lines)
    assert any("row 4, column patient_id: the cell must not be empty" in line for line in lines)
    assert any(
        "row 2, column us_itr_a, value '1,5': a number is expected, with a point" in line for line in lines
    )
    assert any("row 4, column us_itr_a, value 'inf'" in line for line in lines)
    assert any(
        "row 4, column menopausal_status, value 'late': allowed are pre, peri, post" in line for line in lines
    )
    assert len(lines) == 5


def test_what_is_no_model_is_refused(here, bundle):
    assert "there is no such file" in run("score", "nowhere", "t.csv", code=1).stderr
    (here / "x.json").write_text("{}")
    assert "this is not a frozen model" in run("score", "x.json", "t.csv", code=1).stderr
    nothing = FrozenModel("clinical", "clinical", None, "no variable entered").to_json()
    write_json(here / "y.json", sealed(nothing | {"synthetic": True}))
    assert "no variable entered" in run("score", "y.json", "t.csv", code=1).stderr
    assert open_model(bundle).synthetic


# --- explain ---------------------------------------------------------------------------------


@pytest.fixture
def study(here, bundle):
    """A study on six patients: two scored, and one left out at each step."""
    begun(here)
    design = here / "config" / "studies" / "mine.yaml"
    condition = {"column": "age_years", "minimum": 18, "reason": "age is not known"}

    def edit(content):
        content["eligibility"] = [condition]
        content["split"] = {
            "by": "column", "column": "center", "cohorts": {"train": ["A"], "internal_test": ["B"]},
        }  # fmt: skip

    change(design, edit)
    results = here / "results" / "mine"
    ids = ["1", "2", "3", "4", "5", "6"]
    people = [
        {"patient_id": n, "age_years": "" if n == "3" else "50", "center": "C" if n == "5" else "A",
         "malignant": 1, "cohort_source": "mine", "synthetic": 0}
        for n in ids
    ]  # fmt: skip
    write_rows(results / "cohort" / "participants.csv", people)
    masks = [
        {"patient_id": n, "image_id": f"{n}-l", "mask_role": "tumour", "rater": "1",
         "decision": "excluded" if n == "4" else "pass", "reasons": "empty_mask" if n == "4" else ""}
        for n in ids
    ]  # fmt: skip
    write_rows(results / "qc" / "masks.csv", masks)
    finding = {
        "patient_id": "4",
        "code": "empty_mask",
        "action": "exclude",
        "message": "No voxel is set.",
        "repair": "",
    }
    write_rows(results / "qc" / "findings.csv", [finding])
    write_rows(results / "qc" / "lost.csv", [{"patient_id": "4", "reason": "empty_mask"}])
    regions = [
        {"patient_id": n, "image_id": f"{n}-l", "roi": roi, "voxels": 90, "reason": "" if ok else "12 voxels",
         "status": "ok" if ok else "too_small"}
        for n in ("1", "2", "5", "6") for roi in ("itr", "ptr25") for ok in [n != "6" or roi == "ptr25"]
    ]  # fmt: skip
    write_rows(results / "rois" / "rois.csv", regions)
    allocated = [
        {"patient_id": n, "cohort": "internal_test" if n == "2" else "train"} for n in ("1", "2", "6")
    ]
    write_rows(results / "split" / "allocation.csv", allocated)
    write_rows(results / "split" / "split.csv", allocated[:2])
    write_rows(results / "split" / "train" / "outcomes.csv", [{"patient_id": "1", "malignant": 1}])
    predictors = patients().iloc[:2].assign(patient_id=["1", "2"])
    for at, cohort in enumerate(("train", "internal_test")):
        folder = results / "split" / cohort
        folder.mkdir(parents=True, exist_ok=True)
        predictors.iloc[[at]].to_parquet(folder / "predictors.parquet", index=False)
    features = predictors[["patient_id", "us_itr_a", "us_itr_b"]]
    (results / "features").mkdir()
    pd.concat([features, features.iloc[[0]].assign(patient_id="5")]).to_parquet(
        results / "features" / "features.parquet", index=False
    )
    failure = {"patient_id": "6", "image_id": "6-l", "roi": "itr", "reason": "the region is too small"}
    write_rows(results / "features" / "failures.csv", [failure])
    return results


def explained(*arguments):
    return run("explain", *arguments, "--study", "mine").stdout


def test_a_scored_patient_is_followed_to_the_prediction(study):
    said = explained("1")
    assert said.startswith("1: in the study, in cohort train\n")
    assert "Participants table: row 2 of cohort mine." in said
    assert "Image 1-l, mask of the tumour (rater 1): passed quality control." in said
    assert "Regions of image 1-l: itr (90 voxels), ptr25 (90 voxels)." in said
    assert "Features: 2 extracted." in said
    assert "Task malignant: the outcome is the event." in said
    score = COMBINED.score(patients().iloc[[0]], COLUMNS)[0]
    assert f"predicted risk {1 / (1 + np.exp(-score)):.3f} (linear predictor {score:.4g})" in said
    assert "age_years = 60 (z +60.00) adds +1.2." in said
    assert "Missing" not in said


def test_outcomes_of_test_patients_stay_closed_until_predictions_stand_beside_them(study):
    said = explained("2")
    assert "the outcome is not looked at before models are frozen" in said
    assert "Missing and filled in from training: us_itr_a, age_years, breast_density." in said
    row = {"patient_id": "2", "cohort": "internal_test", "model": "nomogram", "y": 0.0}
    write_rows(study / "tasks" / "malignant" / "predictions.csv", [row])
    assert "Task malignant: the outcome is no event." in explained("2")


@pytest.mark.parametrize(
    ("patient", "why"),
    [
        ("3", "left out, not eligible: age is not known (age_years is missing)"),
        ("4", "left out at quality control: empty_mask"),
        ("5", "left out at the split: none of the split's cohorts takes center C"),
        ("6", "left out at extraction: Not extracted: region itr of image 6-l, the region is too small."),
    ],
)
def test_who_was_left_out_is_told_where_and_why(study, patient, why):
    said = explained(patient)
    assert said.splitlines()[0] == f"{patient}: {why}"
    assert "Model" not in said
    assert "the outcome" not in said


def test_findings_and_small_regions_are_told(study):
    assert "Image 4-l, mask of the tumour (rater 1): excluded (empty_mask)." in explained("4")
    assert "Finding empty_mask (exclude): No voxel is set." in explained("4")
    assert "Region itr of image 6-l: too small, 12 voxels." in explained("6")


def test_a_patient_is_found_by_the_row_of_the_table(study):
    assert explained("2", "--row").startswith("1: in the study")
    assert (
        "there is no row 999; rows are 2 to 61"
        in run("explain", "999", "--row", "--study", "mine", code=1).stderr
    )


def test_an_unknown_patient_is_told_the_nearest_ids(study):
    said = run("explain", "11", "--study", "mine", code=1).stderr
    assert "no participant of results/mine has this id. The nearest ids are 1." in said
    assert (
        "there are no results of this study (did you mean 'mine'?)"
        in run("explain", "1", "--study", "mines", code=1).stderr
    )


def test_a_half_finished_study_is_told_as_far_as_it_is(study):
    for place in ("split", "models", "features", "rois"):
        subprocess.run(["rm", "-r", str(study / place)], check=True)
    said = explained("1")
    assert said.startswith("1: still in the study; later steps have not been run\n")
    assert "passed quality control" in said
    assert "Task" not in said
