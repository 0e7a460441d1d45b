"""Sealed models: a bundle alone scores as its model did in training, and whatever is edited is refused."""

import functools
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from annulus.canonical import canonical, sha256_of
from annulus.cohort.dictionary import column_of, columns_of, entry_of
from annulus.config import Folders, load
from annulus.errors import StudyError
from annulus.features.timepoints import by_patient, catalogue_by_patient
from annulus.modelling.bundle import Origin, Task, licences_of, read_bundle, seal
from annulus.modelling.fingerprints import fingerprints
from annulus.modelling.fitting import (
    Training,
    fit_clinical_model,
    fit_combined_model,
    fit_prespecified_model,
    fit_signature,
    freezing_for,
)
from annulus.modelling.freezing import hashes_of
from annulus.modelling.front_end import differences, front_end, front_end_sha256
from annulus.modelling.predicting import predict
from annulus.modelling.training_summary import column_summary, correlation
from annulus.tables import write_json

COLUMNS = columns_of("participants")
LASSO = {"lasso": {"folds": 3, "count": 10, "smallest_ratio": 0.1}}
CENTRES = {"harmonise": {"centre": "device", "covariates": ["age_years"]}}
SIGNATURES = {
    "itr": {"steps": ["impute", "scale"], "model": LASSO},
    "ptr": {"steps": ["impute"], "model": {"svm": {"cost": [1.0], "gamma": [0.5], "folds": 3}}},
    "rim": {"steps": ["impute"], "model": {"random_forest": {"trees": 25}}},
    "far": {"steps": ["impute", CENTRES], "model": LASSO},
}
OUTCOME = {"outcome": "her2_ish", "positive": ["positive"], "negative": ["negative"], "label": "amplified"}
COHORT = {"name": "c", "licence": "CC BY 4.0", "citation": "A", "redistribution": True}
ORIGIN = Origin("cem", "f" * 64, licences_of(COHORT), {"code": "0"})
MODELS = [*(f"signature_{roi}" for roi in SIGNATURES), "clinical", "size_clinical", "nomogram"]


def training(n=60, seed=0):
    """Predictors as they are shared out: features, and clinical variables as words."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2).astype(float)
    names = [f"us_{roi}_original_firstorder_f{i}" for roi in SIGNATURES for i in range(4)]
    index = pd.Index([f"P{i:03d}" for i in range(n)], name="patient_id")
    table = pd.DataFrame(rng.normal(size=(n, len(names))), index, names)
    for roi in SIGNATURES:
        table[f"us_{roi}_original_firstorder_f0"] += 1.2 * y
        table.iloc[rng.integers(n, size=3), table.columns.get_loc(f"us_{roi}_original_firstorder_f0")] = (
            np.nan
        )
    table["log2_lesion_volume"] = rng.normal(8, 1, n) + 0.5 * y
    table["age_years"] = [f"{age:.1f}" for age in rng.normal(55, 6, n) + 4 * y]
    table["menopausal_status"] = rng.choice(["pre", "peri", "post"], n)
    table["us_birads"] = rng.choice(["3", "4A", "4B", "4C", "5"], n)
    table.iloc[2, table.columns.get_loc("menopausal_status")] = None
    table["device"] = np.resize(["a", "b", "c"], n)
    return Training(table, pd.Series(y, index=index))


def catalogue(columns):
    parts = [column.split("_") for column in columns if column.startswith("us_") and "original" in column]
    return pd.DataFrame(
        {
            "column": ["_".join(p) for p in parts],
            "image": [p[0] for p in parts],
            "roi": [p[1] for p in parts],
            "time": "",
            "filter": [p[2] for p in parts],
            "class": [p[3] for p in parts],
            "feature": [p[4] for p in parts],
            "ibsi_code": [np.nan if p[4] == "f0" else "ABCD" for p in parts],
            "settings_sha256": "a" * 64,
            "mode": "shared",
            "missing": 0,
            "constant": 0,
        }
    )


@functools.cache
def fitted():
    data = training()
    freezing = freezing_for(data, 3, {"rule": "youden"}, 1)
    numbers = data.predictors.assign(age_years=data.predictors["age_years"].astype(float))
    parts = {
        roi: fit_signature(
            replace(data, predictors=numbers),
            roi,
            data.feature_columns(["us"], roi),
            config,
            3,
            True,
            freezing,
        )
        for roi, config in SIGNATURES.items()
    }
    variables = ["age_years", "menopausal_status", "us_birads"]
    all_parts = [
        *parts.values(),
        fit_clinical_model(data, variables, 0.99, 0.99, freezing),
        fit_prespecified_model(data, "size_clinical", ["log2_lesion_volume", *variables], freezing),
        fit_combined_model(
            data,
            "nomogram",
            {roi: part.model for roi, part in parts.items()},
            {roi: part.cross_fitted for roi, part in parts.items()},
            variables,
            freezing,
        ),
    ]
    return data, {part.model.name: part for part in all_parts}


def sealed(name, origin=ORIGIN):
    data, parts = fitted()
    content = parts[name].model.to_json() | {"synthetic": True}
    columns = catalogue(data.predictors.columns)
    return seal(content, Task("her2", OUTCOME), origin, data.predictors, COLUMNS, columns)


@functools.cache
def sealed_text(name):
    return json.dumps(sealed(name), allow_nan=False)


@pytest.fixture
def written(tmp_path):
    def write(name):
        path = tmp_path / f"{name}.json"
        write_json(path, json.loads(sealed_text(name)))
        return path

    return write


# ---- scoring from the bundle alone ----


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_alone_gives_the_training_predictions(written, name):
    data, parts = fitted()
    bundle = read_bundle(written(name))
    # Only the columns that it names, in another order, and nothing of the dictionary.
    columns = [entry["column"] for entry in bundle.content["features"]] + list(bundle.content["variables"])
    assert set(columns) == set(bundle.model.columns)
    table = data.predictors[columns[::-1]].reset_index()
    found = predict([bundle.model], table, "train")
    wanted = parts[name].training
    assert found["patient_id"].tolist() == wanted["patient_id"].tolist()
    for column in ("linear_predictor", "probability"):
        np.testing.assert_allclose(found[column], wanted[column], atol=1e-12, rtol=0)


def test_the_models_of_these_tests_are_of_every_kind():
    _, parts = fitted()
    kinds = {type(part.model.linear).__name__ for part in parts.values()}
    assert kinds == {"Linear", "Kernel", "Trees"}
    steps = [type(step).__name__ for step in parts["signature_far"].model.linear.before]
    assert "Harmonise" in steps
    nomogram = parts["nomogram"].model
    assert set(nomogram.signatures) == set(SIGNATURES)
    assert "menopausal_status[post]" in nomogram.linear.terms
    assert all(part.model.linear.terms for part in parts.values())


def test_a_bundle_names_features_steps_columns_and_variables(written):
    content = read_bundle(written("nomogram")).content
    assert {"device", "age_years", "menopausal_status", "us_birads"} == set(content["variables"])
    assert content["variables"]["age_years"] == {
        "type": "number", "description": "Age at imaging", "unit": "years", "minimum": 18, "maximum": 100,
    }  # fmt: skip
    assert content["variables"]["menopausal_status"]["levels"] == ["pre", "peri", "post"]
    assert content["variables"]["us_birads"]["scores"]["4A"] == COLUMNS["us_birads"].scores["4A"]
    first = {entry["column"]: entry for entry in content["features"]}["us_rim_original_firstorder_f1"]
    assert first == {
        "column": "us_rim_original_firstorder_f1", "image": "us", "roi": "rim", "time": "",
        "filter": "original", "class": "firstorder", "feature": "f1", "ibsi_code": "ABCD",
        "settings_sha256": "a" * 64, "mode": "shared",
    }  # fmt: skip
    size = read_bundle(written("size_clinical")).content["features"]
    assert size[0]["column"] == "log2_lesion_volume" and "settings_sha256" not in size[0]


def test_a_feature_that_the_catalogue_lacks_is_a_bug():
    data, parts = fitted()
    content = parts["signature_itr"].model.to_json() | {"synthetic": False}
    with pytest.raises(AssertionError, match="us_itr_original_firstorder_f0"):
        seal(content, Task("t", OUTCOME), ORIGIN, data.predictors, COLUMNS, catalogue([]))


def test_a_variable_described_in_the_dictionarys_words_is_the_same_variable():
    for column in COLUMNS.values():
        again = column_of(column.name, json.loads(json.dumps(entry_of(column))))
        assert again == replace(column, derived=None, known="", required=False)


def test_a_model_that_was_not_fitted_is_sealed_with_its_reason(tmp_path):
    data, parts = fitted()
    content = replace(parts["clinical"].model, linear=None, reason="no variable survived").to_json()
    write_json(
        tmp_path / "m.json",
        seal(content | {"synthetic": False}, Task("t", OUTCOME), ORIGIN, data.predictors, COLUMNS, None),
    )
    bundle = read_bundle(tmp_path / "m.json")
    assert (bundle.model.linear, bundle.model.reason) == (None, "no variable survived")
    assert bundle.content["features"] == [] and "summary" not in bundle.content["training"]


def test_the_largest_bundle_here_is_small():
    # Four signatures, one a forest of 25 trees: 51 kB without layout.
    sizes = {name: len(sealed_text(name)) for name in MODELS}
    assert max(sizes, key=sizes.get) == "nomogram" and sizes["nomogram"] < 200_000


# ---- the seal ----


def test_the_seal_is_the_hash_of_all_else(written):
    path = written("clinical")
    content = json.loads(path.read_text())
    assert list(content)[-1] == "sha256"
    seal_of = content.pop("sha256")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert read_bundle(path).sha256 == seal_of == sha256_of(content)
    assert canonical(json.loads(text)) == canonical(content)


def test_canonical_text_is_as_worked_out_by_hand():
    assert canonical({"b": (1, 2.0), "a": None, "é": True}) == '{"a":null,"b":[1,2],"é":true}'
    assert sha256_of({"a": 5}) == hashlib.sha256(b'{"a":5}').hexdigest() == sha256_of({"a": 5.0})
    with pytest.raises(ValueError, match="Out of range"):
        canonical([float("nan")])


def edits():
    def coefficient(c):
        c["linear"]["terms"][0]["coefficient"] *= 1.0000001

    def threshold(c):
        c["threshold"]["value"] = 0.5

    def levels(c):
        c["variables"]["menopausal_status"]["levels"].reverse()

    def summary(c):
        c["training"]["summary"]["age_years"]["maximum"] = 120

    def synthetic(c):
        c["synthetic"] = False

    def added(c):
        c["note"] = "mine"

    def missing(c):
        del c["licences"]

    def infinite(c):
        c["linear"]["intercept"] = float("nan")

    return [coefficient, threshold, levels, summary, synthetic, added, missing, infinite]


@pytest.mark.parametrize("edit", edits(), ids=lambda edit: edit.__name__)
def test_an_edited_bundle_is_refused(written, edit):
    path = written("nomogram")
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match=r"nomogram\.json: the model was edited after it was frozen"):
        read_bundle(path)


def test_another_layout_of_the_same_content_is_the_same_bundle(written):
    path = written("nomogram")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=4))
    assert read_bundle(path).task == "her2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("patient_id,age\n", "no JSON"),
        ("[1, 2]", "not a frozen model"),
        ('{"name": "clinical", "linear": null}', "not a frozen model"),
        ('{"format": 2, "study": "s", "task": "t", "linear": null, "sha256": "x"}', "its format is 2"),
    ],
)
def test_what_is_no_bundle_is_said_plainly(tmp_path, text, words):
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(StudyError, match=words):
        read_bundle(path)
    with pytest.raises(StudyError, match="there is no such file"):
        read_bundle(tmp_path / "none.json")


def test_a_picture_is_no_bundle(tmp_path):
    (tmp_path / "model.json").write_bytes(b"\x89PNG\xff")
    with pytest.raises(StudyError, match="no JSON"):
        read_bundle(tmp_path / "model.json")


# ---- training summaries ----


def test_numbers_are_summarised_as_by_hand():
    found = column_summary(pd.Series(["1", "2", "3", "4", "10", None]), COLUMNS["age_years"])
    assert (found["n"], found["missing"]) == (5, 1)
    assert found["mean"] == 4.0 and found["sd"] == pytest.approx(np.sqrt(12.5))
    assert [found[k] for k in ("minimum", "q25", "median", "q75", "maximum")] == [1, 2, 3, 4, 10]
    # Linear between order statistics: 0.05 * 4 = 0.2 of the way from the first to the second.
    assert found["q05"] == pytest.approx(1.2) and found["q95"] == pytest.approx(8.8)


def test_columns_without_values_have_no_numbers():
    found = column_summary(pd.Series([np.nan, np.nan]), None)
    assert (found["n"], found["missing"], found["mean"], found["maximum"]) == (0, 2, None, None)
    assert column_summary(pd.Series([3.0]), None)["sd"] is None


def test_levels_are_counted_also_those_that_nobody_has():
    found = column_summary(pd.Series(["post", "post", None, "pre"]), COLUMNS["menopausal_status"])
    assert found == {"n": 3, "missing": 1, "levels": {"pre": 1, "peri": 0, "post": 2}}
    centres = column_summary(pd.Series(["b", "a", "b"]), COLUMNS["device"])
    assert centres == {"n": 3, "missing": 0, "levels": {"a": 1, "b": 2}}


def test_correlations_are_pearsons_with_medians_for_missing_values():
    table = pd.DataFrame({"a": [1.0, 2, 3, np.nan], "b": ["2", "4", "6", "4"], "c": 1.0, "sex": ["F"] * 4})
    variables = {"b": COLUMNS["age_years"], "sex": COLUMNS["sex"]}
    found = correlation(table, ["a", "b", "c", "sex"], variables)
    assert found["names"] == ["a", "b"]
    np.testing.assert_allclose(found["matrix"], np.ones((2, 2)), atol=1e-12)
    other = pd.DataFrame(np.random.default_rng(0).normal(size=(70, 61)))
    assert correlation(other, list(range(61)), {}) is None
    first = correlation(other, [0, 1], {})["matrix"][0][1]
    assert first == pytest.approx(other[0].corr(other[1]), abs=1e-12)


def test_a_bundle_summarises_training_as_the_predictors_are(written):
    data, parts = fitted()
    content = read_bundle(written("nomogram")).content
    summary, score = content["training"]["summary"], parts["nomogram"].training["linear_predictor"]
    assert content["training"]["prevalence"] == 0.5
    assert set(summary) == {
        *content["variables"],
        *(e["column"] for e in content["features"]),
        "linear_predictor",
    }
    assert summary["linear_predictor"]["mean"] == pytest.approx(score.mean(), abs=1e-12)
    values = data.predictors["us_rim_original_firstorder_f0"]
    assert summary["us_rim_original_firstorder_f0"]["q75"] == pytest.approx(values.quantile(0.75))
    assert summary["us_rim_original_firstorder_f0"]["missing"] == values.isna().sum() > 0
    names = content["training"]["correlation"]["names"]
    assert "menopausal_status" not in names and {"age_years", "us_far_original_firstorder_f0"} <= set(names)


def test_patients_who_do_not_train_change_no_hash(tmp_path):
    paths = (str(tmp_path / "p"), str(tmp_path / "o"))
    for path in paths:
        Path(path).write_text("x")
    split = pd.DataFrame({"patient_id": ["a", "b", "c"], "cohort": ["train", "train", "test"], "left": ""})
    before = hashes_of(split, paths, "code")
    assert hashes_of(split.iloc[:2], paths, "code") == before
    moved = hashes_of(split.assign(cohort=["train", "test", "test"]), paths, "code")
    assert {key for key in before if before[key] != moved[key]} == {"training_split"}
    assert before["training_predictors"] == hashlib.sha256(b"x").hexdigest()


# ---- timepoints in feature names ----


def test_the_catalogue_follows_the_names_of_times_and_changes():
    columns = ["us_node_original_firstorder_Mean", "us_itr_wavelet-LH_glcm_Id"]
    features = pd.DataFrame(
        [["P1", time, 1.0, 2.0] for time in ("baseline", "post_nst")],
        columns=["patient_id", "timepoint", *columns],
    )
    times = {"pre": "baseline", "post": "post_nst"}
    changes = {"delta": {"from": "pre", "to": "post", "kind": "difference"}}
    wide = by_patient(features, ["us"], times, changes)
    rows = pd.DataFrame({"column": columns, "roi": ["node", "itr"]})
    found = catalogue_by_patient(rows, ["us"], times, changes)
    assert found["column"].tolist() == [c for c in wide if c != "patient_id"]
    assert found["time"].tolist() == ["pre"] * 2 + ["post"] * 2 + ["delta"] * 2
    assert catalogue_by_patient(rows, ["us"], {}, {}).assign(time="")["column"].tolist() == columns


# ---- the front end ----


def study(name="cem_her2", **changes):
    found = load({"study": name, **changes}, Folders(ROOT, ROOT))
    return found.design, found.imaging


def through_json(content):
    return json.loads(json.dumps(content, allow_nan=False))


def test_the_same_configuration_has_the_same_front_end_after_json():
    first = through_json(front_end(*study()))
    assert differences(first, front_end(*study())) == []
    assert first["sha256"] == front_end(*study())["sha256"] == front_end_sha256(first)
    assert set(first["sections"]) == {
        "images", "regions", "qc", "extraction", "timepoints", "changes", "instruments", "variables",
        "feature_groups", "imaging",
    }  # fmt: skip
    assert set(first["sections"]["imaging"]["content"]) == {"le", "rc"}


@pytest.mark.parametrize(
    ("change", "section", "line"),
    [
        (("regions", "rois", "ptr5", "outer", 4), "regions", "regions.rois.ptr5.outer: frozen 5, now 4"),
        (("qc", "holes", "exclude"), "qc", 'qc.holes: frozen "repair", now "exclude"'),
        (("images", "rc", "view", "MLO"), "images", 'images.rc.view: frozen "CC", now "MLO"'),
        (
            ("extraction", "mode", "compatible"),
            "extraction",
            'extraction.mode: frozen "shared", now "compatible"',
        ),
        (("instruments", "ki67_cut_pct", 14), "instruments", "instruments.ki67_cut_pct: frozen 20, now 14"),
        (("timepoints", "pre", "baseline"), "timepoints", 'timepoints.pre: frozen absent, now "baseline"'),
        (
            ("variables", "ct", "type", "number"),
            "variables",
            'variables.ct: frozen absent, now {"type":"number"}',
        ),
        (("feature_groups", "us", "us_"), "feature_groups", 'feature_groups.us: frozen absent, now "us_"'),
    ],
)
def test_a_difference_names_key_frozen_value_and_value_now(change, section, line):
    design, imaging = study()
    frozen = through_json(front_end(design, imaging))
    *keys, last, value = change
    place = design
    for key in keys:
        place = place.setdefault(key, {})
    place[last] = value
    now = front_end(design, imaging)
    assert differences(frozen, now) == [line]
    changed = {name for name, part in now["sections"].items() if part != frozen["sections"][name]}
    assert changed == {section} and now["sha256"] != frozen["sha256"]


def test_imaging_settings_are_compared_image_by_image():
    design, imaging = study()
    frozen = front_end(design, imaging)
    other = json.loads(json.dumps(imaging))
    other["cem_recombined"]["setting"]["binWidth"] = 10
    (line,) = differences(frozen, front_end(design, other))
    old = imaging["cem_recombined"]["setting"]["binWidth"]
    assert line == f"imaging.rc.setting.binWidth: frozen {old}, now 10"


def test_a_key_that_is_gone_is_absent_now():
    design, imaging = study()
    frozen = front_end(design, imaging)
    del design["regions"]["rois"]["ptr10"]
    (line,) = differences(frozen, front_end(design, imaging))
    assert line.startswith("regions.rois.ptr10: frozen {") and line.endswith("now absent")


def test_what_changes_no_predictor_does_not_matter():
    design, imaging = study()
    frozen = front_end(design, imaging)
    design["title"], design["seed"] = "another", 1
    design["qc"]["maximum_lost_share"] = 0.9
    design["extraction"]["store"] = "elsewhere"
    design["variables"] = {}
    design["images"]["rc"]["description"] = "the recombined image"
    design["images"]["rc"]["settings"] = "mine"
    imaging = {**imaging, "mine": json.loads(json.dumps(imaging["cem_recombined"]))}
    imaging["mine"] |= {"citation": "somebody", "what": "a copy"}
    imaging["mine"]["setting"] |= {"label": 2, "additionalInfo": False}
    design["regions"]["rois"]["ptr5"]["outer"] = 5.0
    now = front_end(design, imaging)
    assert differences(frozen, now) == [] and now["sha256"] == frozen["sha256"]


def test_a_seed_matters_where_something_is_drawn_and_habitats_count():
    design, imaging = study()
    design["extraction"]["controls"] = {"shuffled": ["itr"], "elsewhere": []}
    frozen = front_end(design, imaging, "a" * 64)
    now = front_end(design | {"seed": 7}, imaging, "b" * 64)
    assert differences(frozen, now) == [
        "seed.seed: frozen 20260401, now 7",
        f'habitats.sha256: frozen "{"a" * 64}", now "{"b" * 64}"',
    ]


def test_a_changed_frozen_front_end_no_longer_has_its_hash():
    frozen = through_json(front_end(*study()))
    frozen["sections"]["regions"]["content"]["rois"]["ptr5"]["outer"] = 9
    assert front_end_sha256(frozen) != frozen["sha256"]


def test_a_study_with_habitats_and_phases_has_a_front_end():
    found = front_end(*study("mri_habitat_her2"))
    assert differences(through_json(found), found) == []
    # Images that only serve habitats have no extraction settings, and the seed draws voxels.
    sections = found["sections"]
    assert set(sections["imaging"]["content"]) < set(sections["images"]["content"])
    assert set(sections["seed"]["content"]) == {"seed"}


# ---- fingerprints ----


def test_fingerprints_are_salted_ids_and_image_hashes_of_the_split():
    split = pd.DataFrame({"patient_id": ["P1", "P2"], "cohort": ["train", "test"]})
    images = pd.DataFrame(
        {
            "patient_id": ["P1", "P1", "P2", "P9", "P2"],
            "image_sha256": ["i1", "i1", "i2", "i9", np.nan],
        }
    )
    found = fingerprints("cem_her2", split, images)
    assert list(found.columns) == ["kind", "sha256", "cohort"]
    wanted = hashlib.sha256(b"cem_her2:P1").hexdigest()
    assert found.loc[found["sha256"] == wanted, ["kind", "cohort"]].values.tolist() == [["patient", "train"]]
    own = found[found["kind"] == "image"]
    assert dict(zip(own["sha256"], own["cohort"], strict=True)) == {"i1": "train", "i2": "test"}
    assert len(found) == 4 and not found["sha256"].str.contains("P1|P2").any()
    assert set(fingerprints("other", split, None)["sha256"]).isdisjoint(found["sha256"])
    turned = fingerprints("cem_her2", split.iloc[::-1], images.iloc[::-1])
    pd.testing.assert_frame_equal(turned, found)
