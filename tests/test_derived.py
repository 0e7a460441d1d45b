"""Derived columns of a participants table: given, worked out or missing, and what contradicts itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from annulus.clinical.derived import CONTRADICTIONS, DERIVATIONS, Instruments, derive
from annulus.cohort.checks import check_participants
from annulus.cohort.dictionary import columns_of, with_derived
from annulus.config import read_yaml
from annulus.config_docs import render_dictionary
from annulus.modelling.split import outcomes_of
from annulus.tables import as_given, read_text_csv, write_csv

ROOT = Path(__file__).parents[1]
PEOPLE = columns_of("participants")
DEFAULTS = Instruments(ki67_cut_pct=20, baseline_cortex_mm=3.0, post_nst_cortex_mm=2.3)


def derived(instruments=DEFAULTS, **cells):
    (row,), problems = derive([{"patient_id": "p1", **cells}], instruments, "people.csv")
    return row, [(p.column, p.value, p.rule) for p in problems]


# --- the dictionary --------------------------------------------------------------------------


def test_every_derived_column_of_the_dictionary_has_a_rule_and_every_rule_a_column():
    declared = {name: column.derived for name, column in PEOPLE.items() if column.derived}
    assert set(DERIVATIONS) == set(declared)
    done = set()
    for name in DERIVATIONS:
        parents = {*declared[name].needed, *declared[name].optional}
        assert parents <= set(PEOPLE)
        # Nothing is derived from what comes later.
        assert parents & set(declared) <= done, name
        done.add(name)
    for check in CONTRADICTIONS:
        assert {check.column, check.other} <= set(PEOPLE)


def test_every_rule_makes_do_with_the_columns_that_the_dictionary_names():
    for name, column in PEOPLE.items():
        if column.derived:
            parents = dict.fromkeys((*column.derived.needed, *column.derived.optional))
            assert DERIVATIONS[name](parents, DEFAULTS) is None, name


def test_columns_before_and_after_therapy_allow_what_the_column_itself_allows():
    for name, column in PEOPLE.items():
        for time in ("_pre", "_post"):
            if name.startswith("aln_") and time in name and name != "aln_visible_post":
                base = PEOPLE[name.replace(time, "")]
                shared = ("type", "unit", "minimum", "maximum", "levels")
                assert [getattr(column, key) for key in shared] == [getattr(base, key) for key in shared]


def test_what_can_be_derived_counts_as_there_over_several_steps():
    there = with_derived({"er_pct", "pr_pct", "ki67_pct", "her2_ihc"}, PEOPLE)
    assert there - {"er_pct", "pr_pct", "ki67_pct", "her2_ihc"} == {
        "er_status", "pr_status", "ki67_high", "her2_category", "molecular_subtype",
    }  # fmt: skip
    assert "molecular_subtype" not in with_derived({"er_pct", "pr_pct", "her2_ihc"}, PEOPLE)


def test_a_needed_column_may_be_missing_where_its_parents_are_there():
    rows = [{"_row": "2", "patient_id": "p1", "n_nodes_positive": "2"}]
    _, problems = check_participants("p.csv", rows, PEOPLE, ["nodal_burden", "kaiser_ge6"])
    assert [(p.column, p.rule) for p in problems] == [("kaiser_ge6", "missing_column")]
    assert "or what it is derived from (kaiser_score)" in problems[0].message


# --- columns ---------------------------------------------------------------------------------

NODE = {
    "nst_completed": 1, "baseline_node_positive": 1, "aln_visible_post": 1,
    "aln_cortical_thickness_post_mm": 2.4, "aln_hilum_post": "present", "aln_shape_post": "oval",
    "axilla_technically_limited": 0, "palpable_node": 0, "posttreatment_change": 0,
}  # fmt: skip
KAISER = {
    "mri_root_sign": 0, "mri_curve": "washout", "mri_margin": None, "mri_internal_enh": "heterogeneous",
    "mri_oedema": None,
}  # fmt: skip
LUMINAL = {"er_pct": 90.0, "pr_pct": 20.0, "her2_ihc": "1+", "ki67_pct": 19.0}


@pytest.mark.parametrize(
    ("cells", "column", "value"),
    [
        ({"tumor_diameter_mm": 20.0}, "tumor_gt_20mm", 0),
        ({"tumor_diameter_mm": 20.1}, "tumor_gt_20mm", 1),
        ({"tumor_diameter_mm": None}, "tumor_gt_20mm", None),
        ({"er_pct": 1.0}, "er_status", 1),
        ({"pr_pct": 0.5}, "pr_status", 0),
        ({"ki67_pct": 20.0}, "ki67_high", 1),
        ({"ki67_pct": 19.9}, "ki67_high", 0),
        ({"her2_ish_ratio": 2.1, "her2_copy_number": 5.0, "her2_ihc": "2+"}, "her2_ish", "positive"),
        ({"her2_ish_ratio": 1.5, "her2_copy_number": 6.5, "her2_ihc": "1+"}, "her2_ish", "negative"),
        ({"her2_ish_ratio": 1.5, "her2_copy_number": None, "her2_ihc": "2+"}, "her2_ish", None),
        ({"her2_ihc": "2+"}, "her2_category", "equivocal"),
        ({"her2_ihc": "2+", "her2_ish": "negative"}, "her2_category", "low"),
        # Over two steps, by the probes.
        ({"her2_ish_ratio": 2.1, "her2_copy_number": 5.0, "her2_ihc": "2+"}, "her2_category", "positive"),
        ({"her2_ihc": None, "her2_ish": "positive"}, "her2_category", None),
        (LUMINAL, "molecular_subtype", "luminal_a"),
        ({**LUMINAL, "ki67_pct": 20.0}, "molecular_subtype", "luminal_b_her2neg"),
        ({**LUMINAL, "her2_ihc": "2+"}, "molecular_subtype", None),
        ({"n_nodes_positive": 3}, "nodal_burden", "high_ge3"),
        ({"n_nodes_positive": None}, "nodal_burden", None),
        ({"n_nodes_positive": 1}, "aln_metastasis", 1),
        ({"n_nodes_positive": 0}, "aln_metastasis", 0),
        ({"n_nodes_positive": 0, "post_nst": 1}, "aln_metastasis", None),
        ({"n_nodes_positive": 2, "post_nst": 1}, "aln_metastasis", 1),
        ({"aln_long_axis_mm": 12.0, "aln_short_axis_mm": 8.0}, "aln_solbiati", 1.5),
        ({"aln_long_axis_post_mm": 12.0, "aln_short_axis_post_mm": 6.0}, "aln_solbiati_post", 2.0),
        ({"aln_hilum": "present", "aln_cortex_lobulation": "none", "aln_cortical_thickness_mm": 3.1},
         "aln_bedi_type", 3),
        ({"aln_hilum_pre": "absent", "aln_cortex_lobulation_pre": None,
          "aln_cortical_thickness_pre_mm": None}, "aln_bedi_type_pre", 6),
        ({"aln_cortical_thickness_pre_mm": 6.0, "aln_cortical_thickness_post_mm": 2.0},
         "aln_cortical_thickness_change_mm", -4.0),
        ({"aln_short_axis_pre_mm": 6.0, "aln_short_axis_post_mm": None}, "aln_short_axis_change_mm", None),
        ({"aln_hilum_pre": "absent", "aln_hilum_post": "present"}, "aln_hilum_recovered", 1),
        ({"aln_hilum_pre": "present", "aln_hilum_post": "present"}, "aln_hilum_recovered", 0),
        (KAISER, "kaiser_score", 8),
        (KAISER, "kaiser_ge6", 1),
        ({**KAISER, "mri_internal_enh": None}, "kaiser_ge6", None),
        ({"kaiser_score": 5}, "kaiser_ge6", 0),
        ({"us_adler_grade": 1}, "us_adler_ge2", 0),
        ({"us_adler_grade": 2}, "us_adler_ge2", 1),
        (NODE, "axilla_us_class", "suspicious"),
        ({**NODE, "aln_cortical_thickness_post_mm": 2.3}, "axilla_us_class", "normal"),
        ({**NODE, "baseline_node_positive": 0}, "axilla_us_class", "not_applicable"),
        ({**NODE, "nst_completed": 0}, "axilla_us_class", "not_applicable"),
        ({**NODE, "nst_completed": None}, "axilla_us_class", None),
        ({**NODE, "baseline_node_positive": None}, "axilla_us_class", None),
        ({**NODE, "baseline_node_positive": None, "cn_stage": "N2"}, "axilla_us_class", "suspicious"),
        ({**NODE, "aln_visible_post": None}, "axilla_us_class", "suspicious"),
        ({**NODE, "aln_visible_post": 0, "aln_cortical_thickness_post_mm": None},
         "axilla_us_class", "normal"),
        ({**NODE, "aln_visible_post": None, "aln_cortical_thickness_post_mm": None, "aln_hilum_post": None,
          "aln_shape_post": None}, "axilla_us_class", None),
    ],
)  # fmt: skip
def test_a_column_follows_from_its_parents(cells, column, value):
    row, problems = derived(**cells)
    assert row[column] == value
    assert problems == []


def test_a_column_is_not_added_where_a_parent_column_is_not_there():
    row, _ = derived(aln_hilum="absent", aln_cortical_thickness_mm=2.0, her2_ish="positive")
    assert set(row) == {"patient_id", "aln_hilum", "aln_cortical_thickness_mm", "her2_ish"}
    assert derive([], DEFAULTS) == ([], [])


def test_cut_offs_are_the_studys():
    other = Instruments(ki67_cut_pct=14, baseline_cortex_mm=2.0, post_nst_cortex_mm=3.0)
    assert derived(other, ki67_pct=14.0)[0]["ki67_high"] == 1
    assert derived(other, **NODE)[0]["axilla_us_class"] == "normal"
    node = {"aln_hilum": "present", "aln_cortex_lobulation": "none", "aln_cortical_thickness_mm": 2.5}
    assert derived(other, **node)[0]["aln_bedi_type"] == 3


def test_the_schemas_defaults_are_the_cut_offs_of_the_instruments():
    schema = read_yaml(ROOT / "workflow" / "schemas" / "study.schema.yaml")
    keys = schema["properties"]["instruments"]["properties"]
    assert Instruments(**{key: part["default"] for key, part in keys.items()}) == DEFAULTS


# --- given and derived -----------------------------------------------------------------------


def test_a_given_column_is_kept_and_its_empty_cells_are_filled():
    rows = [
        {"patient_id": "a", "kaiser_score": 9, "kaiser_ge6": 1},
        {"patient_id": "b", "kaiser_score": 3, "kaiser_ge6": None},
        {"patient_id": "c", "kaiser_score": None, "kaiser_ge6": 1},
    ]
    completed, problems = derive(rows, DEFAULTS)
    assert [row["kaiser_ge6"] for row in completed] == [1, 0, 1]
    assert problems == []
    # What was given is left as it was.
    assert rows[1]["kaiser_ge6"] is None


@pytest.mark.parametrize(
    ("cells", "column", "value"),
    [
        ({"tumor_diameter_mm": 20.0, "tumor_gt_20mm": 1}, "tumor_gt_20mm", "1"),
        ({"er_pct": 0.5, "er_status": 1}, "er_status", "1"),
        ({"ki67_pct": 14.0, "ki67_high": 1}, "ki67_high", "1"),
        ({"her2_ihc": "1+", "her2_category": "zero"}, "her2_category", "zero"),
        ({"her2_ihc": "2+", "her2_category": "zero"}, "her2_category", "zero"),
        ({"her2_ihc": "2+", "her2_ish": "not_done", "her2_category": "low"}, "her2_category", "low"),
        ({"n_nodes_positive": 3, "nodal_burden": "low_1_2"}, "nodal_burden", "low_1_2"),
        ({**KAISER, "kaiser_score": 4}, "kaiser_score", "4"),
        ({"aln_long_axis_mm": 12.0, "aln_short_axis_mm": 8.0, "aln_solbiati": 1.6}, "aln_solbiati", "1.6"),
    ],
)
def test_a_given_value_that_does_not_follow_is_an_error(cells, column, value):
    row, problems = derived(**cells)
    assert (column, value, "derived_disagrees") in problems
    assert str(row[column]) == value


@pytest.mark.parametrize(
    "cells",
    [
        {"aln_long_axis_mm": 12.0, "aln_short_axis_mm": 7.0, "aln_solbiati": 1.7},
        {"her2_ihc": "2+", "her2_category": "low"},
        {"her2_ihc": "2+", "her2_ish": None, "her2_category": "positive"},
    ],
)
def test_a_given_value_that_is_rounded_or_knows_more_stands(cells):
    assert derived(**cells)[1] == []


def test_a_disagreement_names_patient_file_values_and_what_to_do():
    row = {"patient_id": "p7", "n_nodes_positive": 3, "nodal_burden": "low_1_2"}
    (problem,) = derive([row], DEFAULTS, "people.csv")[1]
    assert (problem.file, problem.severity) == ("people.csv", "error")
    for part in ("p7", "low_1_2", "n_nodes_positive 3", "high_ge3", "Correct what is wrong"):
        assert part in problem.message


# --- contradictions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "other", "against", "fits"),
    [
        ("n_nodes_positive", 4, "n_nodes_examined", 3, 4),
        ("pn_stage", "pN0", "n_nodes_positive", 1, 0),
        ("pn_stage", "pN1a", "n_nodes_positive", 4, 3),
        ("pn_stage", "pN2a", "n_nodes_positive", 3, 9),
        ("pn_stage", "pN1mi", "n_nodes_positive", 0, 2),
        ("aln_long_axis_mm", 6.0, "aln_short_axis_mm", 6.1, 6.0),
        ("aln_long_axis_pre_mm", 6.0, "aln_short_axis_pre_mm", 6.1, 5.0),
        ("clip_located", 1, "clip_placed", 0, 1),
        ("baseline_biopsy_proven", 1, "baseline_node_positive", 0, 1),
        ("nst_completed", 1, "nst_cycles", 0, 6),
        ("aln_visible_post", 0, "aln_cortical_thickness_post_mm", 1.5, 0.0),
        ("residual_nodal_disease", 0, "n_nodes_positive", 1, 0),
        ("residual_nodal_disease", 0, "pn_stage", "pN0i", "pN0"),
        ("her2_ultralow", 1, "her2_ihc", "1+", "0"),
    ],
)
def test_columns_that_contradict_one_another_are_an_error(column, value, other, against, fits):
    assert (column, str(value), "contradiction") in derived(**{column: value, other: against})[1]
    for known in (fits, None):
        assert derived(**{column: value, other: known})[1] == []
    assert derived(**{column: None, other: against})[1] == []


def test_a_stage_that_the_count_alone_does_not_decide_is_let_be():
    for stage in ("pN1mi", "pN1b", "pN3a", "pN3c"):
        assert derived(pn_stage=stage, n_nodes_positive=2)[1] == []


# --- written and read ------------------------------------------------------------------------


def test_an_outcome_of_0_and_1_survives_a_missing_one(tmp_path):
    rows = [{"patient_id": f"p{i}", "malignant": v, "bmi": b} for i, (v, b) in
            enumerate([(1, 20.5), (0, None), (None, 30.0)])]  # fmt: skip
    write_csv(tmp_path / "p.csv", as_given(rows))
    assert (tmp_path / "p.csv").read_text() == "patient_id,malignant,bmi\np0,1,20.5\np1,0,\np2,,30.0\n"
    plan = {"outcome": "malignant", "positive": [1], "negative": [0]}
    found = outcomes_of(read_text_csv(tmp_path / "p.csv"), {"m": plan})["m"]
    assert found.tolist()[:2] == [1.0, 0.0]
    assert found.isna().tolist() == [False, False, True]


def test_the_page_of_the_data_dictionary_is_in_step():
    assert (ROOT / "docs" / "data_dictionary.md").read_text(encoding="utf-8") == render_dictionary()


def test_derived_columns_need_no_more_than_snakemake_installs():
    program = "import sys, annulus.clinical.derived; print('numpy' in sys.modules, 'pandas' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT / "scripts",
    )  # fmt: skip
    assert found.stdout.split() == ["False", "False"]
