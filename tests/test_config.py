"""Study configurations: those that are shipped load, and mistakes are told in words."""

import inspect
from pathlib import Path

import pytest
import yaml
from radiomics.featureextractor import RadiomicsFeatureExtractor

from annulus.assumptions import Sources, in_force
from annulus.config import Folders, load, problems, read_yaml
from annulus.errors import StudyError
from annulus.modelling.learners import Choose
from annulus.modelling.pipeline import MODELS, STEPS, build_pipeline

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "config" / "studies").glob("*.yaml"))
SCHEMAS = ROOT / "workflow" / "schemas"


@pytest.fixture
def folders(tmp_path):
    return Folders(working=tmp_path, workflow=ROOT)


@pytest.fixture
def design():
    return read_yaml(ROOT / "config" / "studies" / "cem_her2.yaml")


@pytest.fixture
def refused(folders):
    """Load a configuration that must be refused and return what is said."""

    def run(config):
        with pytest.raises(StudyError) as error:
            load(config, folders)
        return str(error.value)

    return run


def task(design):
    return design["tasks"]["her2_fish"]


# --- what is shipped -------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_loads_by_its_name(folders, name):
    study = load({"study": name}, folders)
    assert study.design["name"] == name
    assert study.cohort["name"] == study.design["cohort"]
    used = {image["settings"] for image in study.design["images"].values() if "settings" in image}
    assert set(study.imaging) == used


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_the_same_by_name_by_path_and_by_content(folders, name):
    path = ROOT / "config" / "studies" / f"{name}.yaml"
    by_name = load({"study": name}, folders)
    assert load({"study": str(path)}, folders) == by_name
    assert load(read_yaml(path), folders) == by_name


def test_the_default_study_exists():
    assert read_yaml(ROOT / "config" / "config.yaml")["study"] in STUDIES


@pytest.mark.parametrize("kind", ["cohort", "imaging"])
def test_every_cohort_and_settings_file_fits_its_schema(kind):
    folder = {"cohort": "cohorts", "imaging": "imaging"}[kind]
    schema = read_yaml(SCHEMAS / f"{kind}.schema.yaml")
    files = sorted((ROOT / "config" / folder).glob("*.yaml"))
    assert len(files) >= 2
    for path in files:
        assert problems(read_yaml(path), schema) == [], path


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_of_a_schema_is_described(path):
    def keys(part):
        for name, below in part.get("properties", {}).items():
            yield name, below
            yield from keys(below)
        for inner in ("additionalProperties", "items"):
            if isinstance(part.get(inner), dict):
                yield from keys(part[inner])

    found = list(keys(read_yaml(path)))
    assert found
    assert [name for name, part in found if "description" not in part] == []


def test_defaults_of_the_schema_are_filled_in_at_every_depth(folders, design):
    del task(design)["signature"]
    del design["qc"]
    study = load(design, folders)
    assert study.design["qc"]["minimum_voxels"] == 50
    assert study.design["qc"]["maximum_lost_share"] == 0.2
    assert study.design["regions"]["rois"]["ptr5"]["inner"] == 0
    assert task(study.design)["signature"] == {"steps": ["impute", "variance", "scale"], "model": "lasso"}
    assert task(study.design)["combined"]["radiomics"]["clinical"] == []
    assert study.imaging["cem_low_energy"]["normalise_within"] == "tissue"


def test_a_default_never_replaces_what_is_given(folders, design):
    design["qc"] = {"minimum_voxels": 7}
    assert load(design, folders).design["qc"]["minimum_voxels"] == 7


def test_keys_are_laid_over_a_named_study_deeply(folders):
    config = {"study": "cem_her2", "seed": 5, "regions": {"rois": {"ptr3": {
        "kind": "ring", "outer": 3}}}}  # fmt: skip
    study = load(config, folders).design
    assert study["seed"] == 5
    assert study["regions"]["rois"]["ptr3"]["outer"] == 3
    assert study["regions"]["rois"]["ptr5"]["outer"] == 5
    assert study["regions"]["unit"] == "mm"


def test_patients_scale_a_simulated_cohort_and_leave_a_table_alone(folders):
    assert load({"study": "cem_her2", "patients": 60}, folders).cohort["patients"] == 60
    assert "patients" not in load({"study": "us_malignancy", "patients": 60}, folders).cohort


def test_the_folder_of_a_table_cohort_can_be_moved(folders):
    config = {"study": "us_malignancy", "cohort_folder": "/data/bus"}
    assert load(config, folders).cohort["folder"] == "/data/bus"
    assert "folder" not in load({"study": "cem_her2", "cohort_folder": "/x"}, folders).cohort


def test_a_file_in_the_working_folder_wins_over_the_workflows(tmp_path, folders, design):
    mine = tmp_path / "config" / "studies" / "cem_her2.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(yaml.safe_dump({**design, "seed": 99}))
    assert load({"study": "cem_her2"}, folders).design["seed"] == 99


# --- names of files --------------------------------------------------------------------------


def test_an_unknown_study_is_told_with_the_known_ones_and_the_nearest(refused):
    text = refused({"study": "cem_her3"})
    assert "there is no file 'cem_her3'" in text
    assert "did you mean 'cem_her2'?" in text
    for name in STUDIES:
        assert name in text


def test_an_unknown_cohort_or_settings_file_is_told(refused, design):
    assert "config/cohorts: there is no file 'cem_simulate'" in refused({**design, "cohort": "cem_simulate"})
    design["images"]["le"]["settings"] = "cem_low"
    text = refused(design)
    assert "config/imaging: there is no file 'cem_low'" in text
    assert "cem_low_energy" in text


def test_no_study_at_all_is_told_with_an_example(refused):
    assert "study: cem_her2" in refused({})


@pytest.mark.parametrize("content", ["a: [1", "- 1\n- 2\n", "only words", ""])
def test_a_file_that_is_no_mapping_is_named(tmp_path, refused, content):
    (tmp_path / "mine.yaml").write_text(content)
    assert "mine.yaml: " in refused({"study": "mine.yaml"})


# --- keys, types and values ------------------------------------------------------------------


def test_a_misspelt_key_is_refused_with_where_the_nearest_and_the_allowed(refused, design):
    design["regions"]["minimum_voxel"] = 3
    text = refused(design)
    assert "study cem_her2: regions: the key 'minimum_voxel' is not known" in text
    assert "did you mean 'minimum_voxels'?" in text
    assert "Allowed: chest_wall_mm, habitats, maximum_lost_fraction, minimum_voxels, rois," in text


def test_a_misspelt_key_on_the_command_line_is_refused(refused):
    text = refused({"study": "cem_her2", "pateints": 60})
    assert "top level: the key 'pateints' is not known (did you mean 'patients'?)" in text


@pytest.mark.parametrize(
    ("place", "key", "nearest"),
    [
        (("tasks", "her2_fish"), "outcomes", "outcome"),
        (("tasks", "her2_fish", "signature"), "step", "steps"),
        (("tasks", "her2_fish", "signature", "model", "lasso"), "fold", "folds"),
        (("tasks", "her2_fish", "clinical"), "candidate", "candidates"),
        (("tasks", "her2_fish", "combined", "radiomics"), "signature", "signatures"),
        (("tasks", "her2_fish", "decision"), "threshold", "thresholds"),
        (("regions", "rois", "ptr5"), "outter", "outer"),
        (("images", "le"), "setings", "settings"),
        (("split",), "columns", "column"),
        (("qc",), "hole", "holes"),
    ],
)
def test_a_misspelt_key_is_found_at_every_depth(refused, design, place, key, nearest):
    part = design
    for name in place:
        part = part[name]
    part[key] = 1
    text = refused(design)
    assert f"{'.'.join(place)}: the key {key!r} is not known (did you mean {nearest!r}?)" in text


def test_misspelt_keys_in_lists_are_found(refused, design):
    design["eligibility"][0]["colum"] = "x"
    assert "eligibility.0: the key 'colum' is not known (did you mean 'column'?)" in refused(design)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"column": "age_years"}, "values, minimum or below must be given"),
        ({"column": "her2_ihc", "below": 40}, "her2_ihc is not a number, so it takes no below; name values"),
        ({"column": "age_years", "minimum": 40, "below": 40}, "nobody is at least 40 and below 40"),
    ],
)
def test_conditions_of_eligibility_that_cannot_be_met_are_refused(refused, design, condition, words):
    design["eligibility"].append({**condition, "reason": "x"})
    assert f"eligibility.1: {words}" in refused(design)


def test_an_age_limit_is_a_condition_of_eligibility(folders, design):
    design["eligibility"] = [{"column": "age_years", "minimum": 18, "below": 40, "reason": "40 or older"}]
    assert load(design, folders).design["eligibility"][0]["below"] == 40


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("her2_fish", {}, "pathways.her2_fish: a task or cascade has this name"),
        ("axilla", {"outcome": "residual_disease"}, "did you mean 'residual_nodal_disease'?"),
        ("axilla", {"negative": [0, 1]}, "pathways.axilla: 1 is both positive and negative"),
        ("axilla", {"kind": "axilla"}, "pathways.axilla.kind: 'axilla' is not allowed"),
    ],
)
def test_pathways_that_refer_to_nothing_are_refused(refused, design, name, changed, words):
    pathway = {
        "kind": "axilla_after_nst", "outcome": "residual_nodal_disease", "positive": [1], "negative": [0],
    }  # fmt: skip
    design["pathways"] = {name: {**pathway, **changed}}
    assert words in refused(design)


@pytest.mark.parametrize(
    ("outcome", "predictor", "shared"),
    [
        (
            "her2_category",
            "molecular_subtype",
            "her2_category, her2_copy_number, her2_ihc, her2_ish, her2_ish_ratio",
        ),
        ("nodal_burden", "pn_stage", "what only surgery tells"),
        ("residual_nodal_disease", "breast_pcr", "what only surgery tells"),
        ("her2_category", "her2_ihc", "her2_ihc"),
        ("aln_metastasis", "nodal_burden", "n_nodes_positive"),
        ("aln_metastasis", "n_nodes_positive", "n_nodes_positive"),
        ("molecular_subtype", "ki67_high", "ki67_pct"),
    ],
)
def test_a_predictor_that_rests_on_the_outcomes_own_columns_is_refused(
    refused, design, outcome, predictor, shared
):
    task(design)["outcome"] = outcome
    task(design)["clinical"]["candidates"] = ["age_years", predictor]
    text = refused(design)
    assert f"clinical.candidates: {predictor} and the outcome {outcome} both rest on {shared}" in text
    assert "age_years and" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre": "nodal_burden"}, "centre): nodal_burden is the outcome of a task"),
        ({"centre": "site"}, "centre: the column 'site' is not known"),
        ({"changes": {"delta": {"from": "pre", "to": "post"}}}, "changes: they are between timepoints"),
        (
            {"timepoints": {"pre": "baseline"}, "stability": {"perturbations": {}}},
            "leave one of stability and timepoints out",
        ),
        (
            {"images": {}, "regions": {}, "timepoints": {"pre": "baseline"}},
            "timepoints: the study has no images",
        ),
        (
            {"pathways": {"axilla": {"kind": "axilla_after_nst", "outcome": "axilla_us_class",
             "positive": ["suspicious"], "negative": ["normal"]}}},
            "pathways.axilla.outcome: the pathway itself reads axilla_us_class",
        ),
    ],
)  # fmt: skip
def test_keys_that_cannot_go_together_are_refused(refused, design, change, message):
    task(design)["outcome"] = "nodal_burden"
    design |= change
    assert message in refused(design)


def test_predictors_are_columns_with_numbers_or_levels(refused, design):
    task(design)["clinical"]["candidates"] = ["exam_date", "diameter"]
    text = refused(design)
    assert "candidates: exam_date is a date and cannot be a term" in text
    assert "candidates: the column 'diameter' is not known" in text


def test_a_task_without_any_model_is_refused(refused, design):
    design |= {"images": {}, "regions": {}}
    task(design).update(
        signatures=[], combined={}, clinical={"candidates": []}, comparisons=[], nomogram=None
    )
    del task(design)["nomogram"]
    assert "tasks.her2_fish: it has no model" in refused(design)


def test_a_region_cannot_have_the_name_of_another_at_a_time(refused, design):
    design["timepoints"] = {"pre": "baseline"}
    design["regions"]["rois"]["itrpre"] = {"kind": "tumour"}
    assert "regions.rois.itrpre: with the time pre the region itr has this name too" in refused(design)


def test_predictors_that_share_nothing_with_the_outcome_are_let_be(folders, design):
    task(design)["outcome"] = "aln_metastasis"
    task(design)["clinical"]["candidates"] = ["kaiser_ge6", "tumor_gt_20mm", "her2_category", "aln_bedi_type"]
    assert load(design, folders).design["tasks"]["her2_fish"]["outcome"] == "aln_metastasis"


def test_all_mistakes_of_a_file_are_told_at_once(refused, design):
    design["seeds"] = 1
    design["seed"] = "many"
    design["regions"]["unit"] = "cm"
    del design["title"]
    lines = refused(design).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("study cem_her2: ") for line in lines)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("seed",), "many", "seed: 'many' is not of type integer."),
        (("seed",), -1, "seed: -1 is not allowed (minimum: 0)."),
        (("title",), 3, "title: 3 is not of type string."),
        (("cohort",), ["x"], "cohort: ['x'] is not of type string."),
        (("regions", "unit"), "MM", "Allowed: mm, px, fraction."),
        (("regions", "unit"), "fractions", "did you mean 'fraction'?"),
        (("regions", "rois", "itr", "kind"), "tumor", "did you mean 'tumour'?"),
        (("images", "le", "modality"), "CT", "images.le.modality: 'CT' is not allowed"),
        (("qc",), {"holes": "mend"}, "Allowed: repair, exclude, warn."),
        (("split", "by"), "centre", "Allowed: column, date, random, leave_one_out, none."),
        (("tasks",), {}, "tasks: {} is not allowed (minProperties: 1)."),
        (("name",), "Her 2", "name: 'Her 2' is not allowed: lower-case letters, digits and _ are"),
    ],
)
def test_a_wrong_type_or_value_is_told_with_what_is_allowed(refused, design, place, value, message):
    part = design
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    assert message in refused(design)


def test_a_key_that_must_be_given_is_told(refused, design):
    del task(design)["outcome"]
    assert "tasks.her2_fish: outcome must be given." in refused(design)


def test_a_name_that_would_break_column_names_is_refused(refused, design):
    design["regions"]["rois"]["ptr_5"] = {"kind": "ring", "outer": 5}
    assert "ptr_5" in refused(design)


def test_a_cohort_file_is_held_to_its_kind(tmp_path, refused, design):
    cohort = {"name": "mine", "source": "table", "chunks": 2}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(cohort))
    text = refused({**design, "cohort": "mine.yaml"})
    assert "folder" in text
    assert "participants" in text
    assert "must be given" in text


def test_a_mapping_of_a_column_is_held_to_its_keys(tmp_path, refused, design):
    part = {"file": "t.csv", "columns": {"patient_id": {"form": "Case"}}}
    cohort = {
        "name": "mine", "source": "table", "chunks": 2, "folder": ".", "participants": part,
        "images": {"file": "t.csv"},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(cohort))
    text = refused({**design, "cohort": "mine.yaml"})
    assert "participants.columns.patient_id: the key 'form' is not known" in text
    assert "did you mean 'from'?" in text


@pytest.fixture
def with_imaging(tmp_path, design):
    """A design whose low-energy images have settings that ``change`` makes of the shipped ones."""

    def write(change):
        settings = read_yaml(ROOT / "config" / "imaging" / "cem_low_energy.yaml")
        change(settings)
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
        design["images"]["le"]["settings"] = "mine.yaml"
        return design

    return write


def test_a_parameter_file_of_pyradiomics_is_taken_as_it_is(tmp_path, design):
    own = {
        "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {"level": 2}},
        "featureClass": {"shape": None, "firstorder": [], "glcm": ["Contrast"]},
        "setting": {
            "binWidth": 5, "normalize": True, "normalizeScale": 100, "removeOutliers": None, "label": 1,
            "resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline", "geometryTolerance": None,
            "correctMask": False, "additionalInfo": True, "minimumROIDimensions": 2, "padDistance": 10,
        },
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    design["images"]["le"]["settings"] = "mine.yaml"
    study = load(design, Folders(tmp_path, ROOT))
    assert study.imaging["mine.yaml"]["setting"]["padDistance"] == 10
    # And pyradiomics takes it too.
    RadiomicsFeatureExtractor(str(tmp_path / "mine.yaml"))


def test_bins_as_wide_as_all_z_scores_are_refused_with_the_number_of_levels(with_imaging, refused):
    text = refused(with_imaging(lambda s: s["setting"].update(normalizeScale=1, binWidth=25)))
    assert "setting.binWidth" in text
    assert "leave 1 grey level; 8 are needed" in text
    assert "Set normalizeScale to 100, or a binWidth of 0.25" in text


def test_clipped_outliers_narrow_what_bins_have_to_cover(with_imaging, refused):
    text = refused(with_imaging(lambda s: s["setting"].update(removeOutliers=1, binWidth=40)))
    assert "span about 200" in text
    assert "leave 6 grey levels" in text


def test_a_fixed_number_of_bins_is_never_too_few(with_imaging, tmp_path):
    design = with_imaging(lambda s: s["setting"].update(normalizeScale=1, binWidth=25, binCount=32))
    assert load(design, Folders(tmp_path, ROOT)).imaging["mine.yaml"]["setting"]["binCount"] == 32


def test_a_filter_that_vanishes_in_silence_is_refused(with_imaging, refused):
    text = refused(with_imaging(lambda s: s["imageType"].update(LBP3D=None)))
    assert "imageType.LBP3D" in text
    assert "yields no such image and says nothing" in text


def test_slices_that_would_be_mixed_are_refused(with_imaging, refused):
    spacing = [1.0, 1.0, 3.0]
    text = refused(with_imaging(lambda s: s["setting"].update(force2D=True, resampledPixelSpacing=spacing)))
    assert "with force2D slices are never mixed; 3 must be 0" in text


def test_what_pyradiomics_cannot_do_is_refused_in_its_own_mode(design, refused):
    design["extraction"] = {"mode": "compatible"}
    assert "normalise_within: tissue is not pyradiomics' own" in refused(design)


def test_two_ways_of_normalising_are_refused(with_imaging, refused):
    text = refused(with_imaging(lambda s: s["setting"].update(normalize=True)))
    assert "normalise_within: tissue contradicts setting.normalize" in text


def test_a_control_of_an_unknown_region_is_refused(design, refused):
    design["extraction"] = {"controls": {"shuffled": ["irt"]}}
    text = refused(design)
    assert "extraction.controls.shuffled: the region 'irt' is not known (did you mean 'itr'?)" in text


def test_a_control_can_be_a_signature(design, tmp_path):
    design["extraction"] = {"controls": {"shuffled": ["itr"]}}
    task(design)["signatures"].append("itrshuffled")
    assert (
        load(design, Folders(tmp_path, ROOT)).design["tasks"]["her2_fish"]["signatures"][-1] == "itrshuffled"
    )


def test_an_unknown_image_to_share_a_scale_with_is_refused(design, refused):
    design["images"]["le"]["scale_with"] = ["recombined"]
    assert "images.le.scale_with: the image 'recombined' is not known" in refused(design)


# --- contradictions --------------------------------------------------------------------------


def test_a_signature_of_an_unknown_region_is_refused_with_the_nearest(refused, design):
    task(design)["signatures"].append("ptr50")
    text = refused(design)
    assert "tasks.her2_fish.signatures: the region 'ptr50' is not known" in text
    assert "did you mean 'ptr5'?" in text
    assert "Known: itr, ptr5, ptr10, itrptr5, itrptr10." in text


def test_a_combined_model_of_an_unknown_signature_is_refused(refused, design):
    task(design)["combined"]["radiomics"]["signatures"] = ["itr", "ptr7"]
    text = refused(design)
    assert "tasks.her2_fish.combined.radiomics.signatures: 'ptr7' is not among" in text


def test_a_combined_model_without_terms_is_refused(refused, design):
    task(design)["combined"]["radiomics"] = {"signatures": []}
    assert "combined.radiomics: it has no terms" in refused(design)


def test_a_nomogram_of_an_unknown_model_is_refused(refused, design):
    task(design)["nomogram"] = "nomogramm"
    assert "nomogramm" in refused(design)


def test_a_ring_without_a_unit_is_refused_and_tumours_alone_are_not(refused, folders, design):
    del design["regions"]["unit"]
    assert "regions.unit: a ring (ptr5) needs a unit: mm, px or fraction." in refused(design)
    design["regions"]["rois"] = {"itr": {"kind": "tumour"}}
    task(design)["signatures"] = ["itr"]
    task(design)["combined"] = {"nomogram": {"signatures": ["itr"]}}
    task(design)["comparisons"] = []
    assert list(load(design, folders).design["regions"]["rois"]) == ["itr"]


@pytest.mark.parametrize(
    "region",
    [
        {"kind": "ring", "outer": 5, "inner": 5},
        {"kind": "ring", "outer": 3, "inner": 5},
        {"kind": "ring", "outer": 0},
        {"kind": "ring"},
        {"kind": "union"},
    ],
)
def test_a_ring_without_width_is_refused(refused, design, region):
    design["regions"]["rois"]["ptr5"] = region
    assert "regions.rois.ptr5: outer must be greater than inner." in refused(design)


@pytest.mark.parametrize("thresholds", [[0.7, 0.1], [0.3, 0.3]])
def test_thresholds_in_reverse_are_refused(refused, design, thresholds):
    task(design)["decision"]["thresholds"] = thresholds
    low, high = thresholds
    assert f"decision.thresholds: {low} is not below {high}." in refused(design)


def test_risks_out_of_order_are_refused(refused, design):
    task(design)["decision"]["at"] = [0.5, 0.3]
    assert "decision.at: 0.5, 0.3 are not in increasing order." in refused(design)


def test_a_comparison_of_an_unknown_model_is_refused(refused, design):
    task(design)["comparisons"] = [["nomogramm", "clinical"]]
    said = refused(design)
    assert (
        "tasks.her2_fish.comparisons: the model 'nomogramm' is not known (did you mean 'nomogram'?)" in said
    )
    assert "signature_itr" in said


def test_a_comparison_declared_twice_is_refused(refused, design):
    task(design)["comparisons"] = [["nomogram", "clinical"], ["clinical", "nomogram"]]
    assert "clinical and nomogram are compared twice" in refused(design)


@pytest.mark.parametrize(
    ("subgroup", "said"),
    [
        ({"column": "ki67_percent"}, "'ki67_percent' is not known (did you mean 'ki67_pct'?)"),
        ({"column": "ki67_pct"}, "ki67_pct is a number, so it needs a cut in %."),
        ({"column": "menopausal_status", "cut": 2}, "menopausal_status has levels of its own"),
        ({"column": "exam_date"}, "exam_date is a date"),
    ],
)
def test_a_subgroup_that_has_no_levels_is_refused(refused, design, subgroup, said):
    task(design)["subgroups"] = [subgroup]
    assert said in refused(design)


def test_subgroups_and_comparisons_are_accepted(folders, design):
    task(design)["subgroups"] = [{"column": "ki67_pct", "cut": 20}, {"column": "grade"}, {"column": "center"}]
    task(design)["comparisons"] = [["nomogram", "clinical"], ["nomogram", "signature_ptr5"]]
    loaded = load(design, folders).design["tasks"]["her2_fish"]
    assert loaded["proportion_interval"] == "Clopper-Pearson" and loaded["decision"]["at"] == []


def test_a_split_without_training_is_refused(refused, design):
    design["split"]["cohorts"] = {"internal_test": ["a"], "prospective_test": ["b"]}
    assert "split.cohorts: one of them must be called train." in refused(design)


def test_an_outcome_value_that_is_both_event_and_not_is_refused(refused, design):
    task(design)["negative"] = ["negative", "positive"]
    assert "positive" in refused(design)


def test_contradictions_are_told_all_at_once(refused, design):
    task(design)["signatures"].append("nowhere")
    task(design)["decision"]["thresholds"] = [0.7, 0.1]
    design["regions"]["rois"]["ptr10"] = {"kind": "ring"}
    assert len(refused(design).splitlines()) == 3


# ---- how signatures are fitted ----


def settings_of(schema):
    return {name: part.get("default") for name, part in schema["properties"].items()}


def defaults_of(kind):
    given = {"carried", "lower", "seed", "prepare"}
    parameters = inspect.signature(kind).parameters
    return {name: plain(part.default) for name, part in parameters.items() if name not in given}


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def signature_schema():
    schema = read_yaml(SCHEMAS / "study.schema.yaml")
    task_schema = schema["properties"]["tasks"]["additionalProperties"]
    return schema["$defs"]["learner"], task_schema["properties"]["signature"]["properties"]


def test_the_schema_has_the_steps_of_the_code_with_their_settings_and_defaults():
    items = signature_schema()[1]["steps"]["items"]
    assert set(items["properties"]) == set(STEPS)
    # The centre is always named, so harmonise is never a name alone.
    assert set(items["then"]["enum"]) == set(STEPS) - {"harmonise"}
    for name, kind in STEPS.items():
        found, wanted = settings_of(items["properties"][name]), defaults_of(kind)
        assert found | {"centre": None} == wanted | {"centre": None}, name
        assert set(found) == set(wanted), name


def test_the_schema_has_the_models_of_the_code_with_their_settings_and_defaults():
    learner, parts = signature_schema()
    assert list(learner["properties"]) == learner["then"]["enum"] == list(MODELS)
    assert parts["model"]["then"]["enum"] == [*MODELS, "choose"] and parts["model"]["default"] == "lasso"
    for name, (kind, implied) in MODELS.items():
        wanted = defaults_of(kind) | {key: plain(value) for key, value in implied.items()}
        if name == "lasso":
            del wanted["l1_ratio"]
        assert settings_of(learner["properties"][name]) == wanted, name
        assert parts["model"]["properties"][name] == learner["properties"][name]
    choose = settings_of(parts["model"]["properties"]["choose"])
    assert choose == {"among": list(MODELS), "folds": defaults_of(Choose)["folds"]}


@pytest.mark.parametrize(
    "signature",
    [
        {"steps": ["impute"], "model": "svm"},
        {"steps": ["impute", {"harmonise": {"centre": "device", "covariates": ["age_years"]}}]},
        {"model": {"choose": {"among": ["lasso", {"random_forest": {"trees": 100}}]}}},
        {"model": "choose"},
        {"model": {"elastic_net": {"l1_ratio": [0.5]}}},
    ],
)
def test_a_signature_that_the_schema_allows_can_be_built(folders, design, signature):
    task(design)["signature"] = signature
    found = task(load(design, folders).design)["signature"]
    assert build_pipeline(found, 3).get_params()["seed"] == 3


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ({"steps": ["imput"]}, "steps.0: 'imput' is not allowed (did you mean 'impute'?)"),
        ({"steps": [{"imput": {}}]}, "steps.0: the key 'imput' is not known (did you mean 'impute'?)"),
        ({"steps": ["harmonise"]}, "steps.0: 'harmonise' is not allowed"),
        ({"steps": ["impute", {"harmonise": {}}]}, "steps.1.harmonise: centre must be given."),
        ({"steps": [{"impute": {"neighbors": 3}}]}, "steps.0.impute: the key 'neighbors' is not known"),
        ({"steps": [{"impute": {"method": "mean"}}]}, "steps.0.impute.method: 'mean' is not allowed"),
        ({"steps": ["scale", "impute"]}, "steps: impute must come first"),
        ({"steps": ["variance"]}, "steps: impute must come first"),
        ({"steps": ["impute", "scale", "scale"]}, "steps: scale stands there twice."),
        ({"steps": ["stability", "impute"]}, "steps: stability needs the study's key stability"),
        ({"model": "lass"}, "model: 'lass' is not allowed (did you mean 'lasso'?)"),
        ({"model": {"svm": {"kernel": "linear"}}}, "model.svm: the key 'kernel' is not known"),
        ({"model": {"lasso": {"l1_ratio": 0.5}}}, "model.lasso: the key 'l1_ratio' is not known"),
        ({"model": {"lasso": {}, "svm": {}}}, "model: "),
        ({"model": {"choose": {"among": ["lasso", "tree"]}}}, "model.choose.among.1: 'tree' is not"),
        ({"model": {"choose": {"among": ["lasso"]}}}, "model.choose.among: "),
    ],
)
def test_a_signature_that_cannot_be_is_refused_when_the_configuration_is_read(
    refused, design, signature, message
):
    task(design)["signature"] = signature
    assert f"tasks.her2_fish.signature.{message}" in refused(design)


@pytest.mark.parametrize("name", ["signature_itr", "clinical_full", "volume", "treat_all"])
def test_a_combined_model_cannot_take_the_name_of_another(refused, design, name):
    task(design)["combined"][name] = {"signatures": ["itr"]}
    assert f"combined: the name {name!r} is taken" in refused(design)


def test_an_outcome_is_no_predictor(refused, design):
    task(design)["clinical"]["candidates"].append("her2_ish")
    assert "clinical.candidates: her2_ish is the outcome of a task" in refused(design)


def test_an_outcome_is_no_covariate_of_harmonisation(refused, design):
    harmonise = {"harmonise": {"centre": "center", "covariates": ["her2_ish"]}}
    task(design)["signature"] = {"steps": ["impute", harmonise, "scale"]}
    assert "signature.steps: her2_ish is the outcome of a task" in refused(design)


def test_centres_that_are_left_out_must_be_harmonised_somehow(refused, design):
    design["split"] = {"by": "leave_one_out", "column": "center"}
    task(design)["signature"] = {"steps": ["impute", {"harmonise": {"centre": "center"}}]}
    assert "choose what happens to unseen ones: leave or reference" in refused(design)


def test_a_cut_off_rule_has_what_it_needs_and_no_more(refused, design):
    task(design)["cut_off"] = {"rule": "sensitivity"}
    assert "cut_off.at: the rule sensitivity needs it" in refused(design)
    task(design)["cut_off"] = {"at": 0.5}
    assert "cut_off.at: the rule youden has none" in refused(design)


def test_a_cascade_names_tasks_models_and_classes_that_fit(refused, design):
    level = {"task": "her2_fish", "model": "nomogram"}
    design["cascades"] = {
        "two": {"levels": [level, {**level, "model": "nomogramm"}], "classes": ["a", "b", "c"]}
    }
    assert "her2_fish has no model 'nomogramm' (did you mean 'nomogram'?)" in refused(design)
    design["cascades"] = {"two": {"levels": [level, level], "classes": ["a", "b", "c", "d"]}}
    assert "2 levels sort into 3 classes; 4 are named" in refused(design)


def test_leaving_one_out_has_no_cohorts_and_other_splits_do(refused, design):
    design["split"] = {"by": "leave_one_out", "column": "center", "cohorts": {"train": ["a"]}}
    assert "leave_one_out has no cohorts" in refused(design)
    design["split"] = {"by": "column", "column": "center"}
    assert "a split by column needs cohorts" in refused(design)


# --- Table 1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("of_task", [True, False])
@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("age_year", "table_one: the column 'age_year' is not known (did you mean 'age_years'?)"),
        ("her2_ish", "table_one: her2_ish tells the outcome of a task"),
        ("exam_date", "table_one: exam_date is a date"),
    ],
)
def test_table_one_describes_known_columns_and_never_an_outcome(refused, design, column, said, of_task):
    (task(design) if of_task else design)["table_one"] = ["histology", column]
    message = refused(design)
    assert said in message and "histology" not in message
    assert ("tasks.her2_fish.table_one" in message) == of_task


# --- published numbers and assumptions -------------------------------------------------------


def number(**more):
    found = {"task": "her2_fish", "model": "nomogram", "cohort": "internal_test", "metric": "auc"}
    return {**found, "published": 0.8, "source": "paper", **more}


PRE = {"column": "menopausal_status", "level": "pre"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            number(task="her2_fihs"),
            ".task: the task, cascade or pathway 'her2_fihs' is not known (did you mean 'her2_fish'",
        ),
        (number(model="nomogramm"), ".model: the model 'nomogramm' is not known (did you mean 'nomogram'?)"),
        (
            number(cohort="internal"),
            ".cohort: the cohort 'internal' is not known (did you mean 'internal_test'",
        ),
        (
            number(metric="sensitivty"),
            ".metric: the metric of internal_test 'sensitivty' is not known (did you mean 'sensitivity'",
        ),
        (number(metric="auc_apparent"), ".metric: the metric of internal_test 'auc_apparent' is not known"),
        (number(metric="ppv_at_0.30"), ".metric: the metric of internal_test 'ppv_at_0.30' is not known"),
        (number(term="age_years"), ".term: only the metric odds_ratio has a term"),
        (
            number(cohort="train", metric="odds_ratio"),
            ".term: the metric odds_ratio needs one of: radscore_itr, radscore_ptr5, tumor_diameter_mm",
        ),
        (
            number(cohort="train", metric="odds_ratio", term="radscore_it"),
            "'radscore_it' is not known (did you mean 'radscore_itr'?)",
        ),
        (number(metric="odds_ratio", term="radscore_itr"), ".cohort: odds ratios are of training patients"),
        (
            number(cohort="train", metric="odds_ratio", model="signature_itr", term="x"),
            ".model: signature_itr is made of features and has no odds ratios",
        ),
        (
            number(subgroup={"column": "menopausal", "level": "pre"}),
            ".subgroup.column: the subgroup of the task 'menopausal' is not known",
        ),
        (
            number(subgroup={"column": "menopausal_status", "level": "perri"}),
            "'perri' is not known (did you mean 'peri'?)",
        ),
        (
            number(subgroup={"column": "tumor_diameter_mm", "level": "above 20"}),
            "Known: below 20, 20 or above",
        ),
        (number(metric="ppv", subgroup=PRE), ".metric: in subgroups there is the auc alone"),
        (
            number(model="clinical_full", subgroup=PRE),
            ".model: the model shown in subgroups 'clinical_full' is not known",
        ),
        (number(task="burden"), ".model: the model of a cascade 'nomogram' is not known. Known: cascade"),
        (number(task="burden", model="cascade"), ".metric: the metric of a whole cascade 'auc' is not known"),
        (
            number(task="burden", model="cascade", subgroup={"column": "class", "level": "feww"}),
            ".subgroup.level: the class 'feww' is not known (did you mean 'few'?)",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_a_published_number_of_what_cannot_exist_is_refused(refused, design, entry, said):
    level = {"task": "her2_fish", "model": "nomogram"}
    design["cascades"] = {"burden": {"levels": [level, level], "classes": ["none", "few", "many"]}}
    design["published"].append(entry)
    message = refused(design)
    assert f"published.2{said}" in message if said.startswith(".") else said in message


def test_published_numbers_of_what_can_exist_are_accepted(folders, design):
    level = {"task": "her2_fish", "model": "nomogram"}
    design["cascades"] = {"burden": {"levels": [level, level], "classes": ["none", "few", "many"]}}
    task(design)["decision"]["at"] = [0.3]
    added = [
        number(cohort="train", metric="auc_apparent"),
        number(metric="ppv_at_0.30"),
        number(cohort="train", metric="odds_ratio", term="radscore_itr"),
        number(cohort="train", metric="odds_ratio", model="clinical", term="menopausal_status[post]"),
        number(cohort="train", metric="odds_ratio", model="volume", term="log2_lesion_volume"),
        number(subgroup={"column": "tumor_diameter_mm", "level": "20 or above"}),
        number(task="burden", model="cascade", metric="accuracy"),
        number(task="burden", model="cascade", metric="ppv", subgroup={"column": "class", "level": "few"}),
    ]
    design["published"] += added
    assert len(load(design, folders).design["published"]) == 2 + len(added)


def test_assumptions_have_the_values_in_force(folders, design):
    keys = {
        "seed": "20260401",
        "split.by": "column",
        "qc.maximum_lost_share": "0.2",
        "tasks.her2_fish.subgroups.0.cut": "20",
        "tasks.her2_fish.decision.thresholds": "[0.1, 0.7]",
        "cohort.source": "simulated",
        "imaging.cem_low_energy.normalise_within": "tissue",
    }
    design["assumptions"] = [{"what": f"not stated: {key}", "key": key} for key in keys]
    study = load(design, folders)
    found = in_force(Sources(study.design, study.cohort, study.imaging))
    assert {row["key"]: row["value"] for row in found} == keys
    assert found[0]["what"] == "not stated: seed"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("spilt.by", "the configuration has no key 'spilt' (did you mean 'split'?)"),
        (
            "tasks.her2_fish.cut_off.rules",
            "tasks.her2_fish.cut_off has no key 'rules' (did you mean 'rule'?)",
        ),
        ("tasks.her2_fish.subgroups.7.cut", "tasks.her2_fish.subgroups has no key '7'"),
        ("seed.value", "seed has no key 'value'. It is a value and has no keys."),
        ("cohort.sources", "cohort has no key 'sources' (did you mean 'source'?)"),
        ("imaging.cem_low_energi.setting", "(did you mean 'cem_low_energy'?)"),
        ("imaging.cem_low_energy.setting.binwidth", "(did you mean 'binWidth'?)"),
    ],
)
def test_an_assumption_whose_key_leads_nowhere_is_refused(refused, design, key, said):
    design["assumptions"] = [{"what": "x", "key": "seed"}, {"what": "y", "key": key}]
    message = refused(design)
    assert f"assumptions.1.key: '{key}'" in message and said in message
