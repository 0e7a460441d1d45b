"""Clinical instruments: every leaf of the published scales, and the properties that hold across them."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from annulus.clinical import axilla, doppler, kaiser, nodes, receptors
from annulus.clinical.kaiser import MriFindings, kaiser_score, modified_score
from annulus.errors import StudyError
from annulus.imaging.kinetics import type_time_course

CURVES = ["persistent", "plateau", "washout"]
MARGINS = ["circumscribed", "not_circumscribed"]
INTERNAL = ["homogeneous", "heterogeneous"]
# Each finding's answers, from the least suspicious on.
ANSWERS = {
    "root_sign": [False, True],
    "curve": CURVES,
    "margin": MARGINS,
    "internal": INTERNAL,
    "oedema": [False, True],
}
COMBINATIONS = [dict(zip(ANSWERS, values, strict=True)) for values in product(*ANSWERS.values())]


def score(**findings):
    return kaiser_score(MriFindings(**findings)).score


# --- Kaiser score ----------------------------------------------------------------------------

# root sign, curve, the third finding and its answer, score
LEAVES = [
    (False, "persistent", {"margin": "circumscribed"}, 1),
    (False, "plateau", {"margin": "circumscribed"}, 2),
    (False, "persistent", {"margin": "not_circumscribed"}, 3),
    (False, "washout", {"internal": "homogeneous"}, 4),
    (False, "plateau", {"margin": "not_circumscribed"}, 5),
    (True, "persistent", {}, 6),
    (True, "plateau", {"oedema": False}, 7),
    (False, "washout", {"internal": "heterogeneous"}, 8),
    (True, "washout", {"oedema": False}, 9),
    (True, "plateau", {"oedema": True}, 10),
    (True, "washout", {"oedema": True}, 11),
]


@pytest.mark.parametrize(("root_sign", "curve", "third", "expected"), LEAVES)
def test_every_leaf_of_the_kaiser_tree_needs_its_own_findings_alone(root_sign, curve, third, expected):
    missing = dict.fromkeys(["margin", "internal", "oedema"])
    assert score(root_sign=root_sign, curve=curve, **{**missing, **third}) == expected
    # Any answers to what the branch does not ask change nothing.
    for other in COMBINATIONS:
        asked = {"root_sign": root_sign, "curve": curve, **third}
        assert score(**{**other, **asked}) == expected


def test_the_48_combinations_have_8_of_score_6_and_4_of_every_other():
    scores = [score(**findings) for findings in COMBINATIONS]
    assert len(scores) == 48
    assert {value: scores.count(value) for value in range(1, 12)} == {
        value: 8 if value == 6 else 4 for value in range(1, 12)
    }


def test_a_more_suspicious_finding_lowers_the_score_in_exactly_one_place():
    lowered = set()
    for findings in COMBINATIONS:
        for finding, answers in ANSWERS.items():
            for worse in answers[answers.index(findings[finding]) + 1 :][:1]:
                if score(**{**findings, finding: worse}) < score(**findings):
                    asked = {key: value for key, value in findings.items() if key != "oedema"}
                    lowered.add((finding, worse, *asked.values()))
    assert lowered == {("curve", "washout", False, "plateau", "not_circumscribed", "homogeneous")}


@pytest.mark.parametrize("findings", COMBINATIONS)
def test_high_kaiser_scores_are_what_the_tree_says(findings):
    washout = findings["curve"] == "washout" and findings["internal"] == "heterogeneous"
    from_six = findings["root_sign"] or washout
    unsharp = findings["curve"] == "plateau" and findings["margin"] == "not_circumscribed"
    assert (score(**findings) >= 6) == from_six
    assert (score(**findings) >= 5) == (from_six or (unsharp and not findings["root_sign"]))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"enhances": False}, "the lesion does not enhance"),
        ({"root_sign": None}, "root sign not assessable"),
        ({"curve": None}, "curve not assessable"),
        ({"margin": None}, "margin not assessable"),
        ({"curve": "washout", "internal": None}, "internal enhancement not assessable"),
        ({"root_sign": True, "oedema": None}, "oedema not assessable"),
    ],
)
def test_a_kaiser_score_that_does_not_apply_says_why(changed, reason):
    findings = {
        "root_sign": False, "curve": "plateau", "margin": "circumscribed", "internal": "homogeneous",
        "oedema": False,
    }  # fmt: skip
    found = kaiser_score(MriFindings(**{**findings, **changed}))
    assert (found.score, found.reason) == (None, reason)
    assert kaiser_score(MriFindings(**findings)) == kaiser.KaiserScore(2, "")


@pytest.mark.parametrize(
    ("value", "calcified", "adc", "expected"),
    [
        (5, False, None, 5),
        (5, True, None, 7),
        (5, False, 1401, 1),
        (5, False, 1400, 5),
        (5, True, 1500, 3),
        (2, False, 1500, 1),
        (10, True, 1000, 11),
        (11, True, None, 11),
    ],
)
def test_a_modified_kaiser_score_stays_within_1_to_11(value, calcified, adc, expected):
    assert modified_score(value, calcified, adc) == expected


def test_kaiser_scores_map_to_birads():
    found = [kaiser.birads_of(value) for value in range(1, 12)]
    assert found == ["2/3"] * 4 + ["4"] * 3 + ["5"] * 4
    for value in (0, 12):
        with pytest.raises(ValueError, match="1 to 11"):
            kaiser.birads_of(value)


# --- curve -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "initial", "delayed"),
    [
        ([100, 149, 170, 180], "slow", "persistent"),
        ([100, 150, 160, 165], "medium", "plateau"),
        ([100, 200, 210, 220], "medium", "plateau"),
        ([100, 201, 190, 180], "fast", "washout"),
        ([100, 200, 190, 180], "medium", "plateau"),
        ([100, 200, 190, 179], "medium", "washout"),
        ([100, 200, 210, 221], "medium", "persistent"),
    ],
)
def test_a_curve_is_typed_by_its_two_changes(signals, initial, delayed):
    found = type_time_course(signals, [0, 90, 240, 360])
    assert (found.initial, found.delayed) == (initial, delayed)
    assert found.initial_enhancement == pytest.approx(signals[1] / 100 - 1)
    assert found.delayed_change == pytest.approx(signals[3] / signals[1] - 1)


def test_the_peak_of_a_curve_is_the_highest_signal_within_two_minutes():
    found = type_time_course([100, 180, 220, 300, 190], [-20, 60, 120, 240, 360])
    assert found.initial_enhancement == pytest.approx(1.2)
    assert (found.initial, found.delayed) == ("fast", "washout")


@pytest.mark.parametrize(
    ("signals", "times"),
    [
        ([100, 200, 210], [0, 130, 240]),
        ([100, 200, 210], [30, 90, 240]),
        ([100, 200, 210], [0, 90, 110]),
        ([100, 200, 210], [0, 240, 90]),
        ([0, 200, 210], [0, 90, 240]),
        ([100, 200, float("nan")], [0, 90, 240]),
    ],
)
def test_a_curve_without_the_phases_it_takes_is_refused(signals, times):
    with pytest.raises(StudyError, match="cannot be typed"):
        type_time_course(signals, times)


# --- Doppler ---------------------------------------------------------------------------------


def test_adler_grades_over_the_whole_grid():
    rows = {
        0: [0, 1, 1, 2, 2, 3, 3],
        1: [2, 2, 2, 2, 2, 3, 3],
        2: [3] * 7,
        3: [3] * 7,
    }
    for n_long, grades in rows.items():
        assert [doppler.adler_grade(n, n_long) for n in range(7)] == grades
    for counts in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="from 0"):
            doppler.adler_grade(*counts)


# --- nodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hilum", "lobulation", "cortex", "expected"),
    [
        ("present", "none", 0, 1),
        ("present", "none", 0.1, 2),
        ("present", "none", 3.0, 2),
        ("partially_effaced", "none", 3.01, 3),
        ("present", "diffuse", 1.0, 4),
        ("present", "focal", 1.0, 5),
        ("absent", "focal", 1.0, 6),
        ("absent", None, None, 6),
        ("present", "focal", None, 5),
        (None, "focal", 2.0, None),
        ("present", None, 2.0, None),
        ("present", "none", None, None),
    ],
)
def test_bedi_types_are_derived_in_their_order(hilum, lobulation, cortex, expected):
    assert nodes.bedi_type(hilum, lobulation, cortex) == expected


def test_the_cut_of_bedi_types_2_and_3_can_be_set():
    assert nodes.bedi_type("present", "none", 2.5, cut_mm=2.3) == 3


def test_bedi_policies_divide_the_six_types():
    assert [nodes.is_suspicious(n, "bedi2008") for n in range(1, 7)] == [False] * 4 + [True] * 2
    assert [nodes.is_suspicious(n, "z1071") for n in range(1, 7)] == [False] * 2 + [True] * 4
    with pytest.raises(ValueError, match="1 to 6"):
        nodes.is_suspicious(7, "z1071")


@pytest.mark.parametrize(
    ("cortex", "lost", "grade"),
    [(0, False, 1), (1.99, False, 1), (2, False, 2), (4.99, False, 2), (5, False, 3), (1, True, 3)],
)
def test_cortical_grades(cortex, lost, grade):
    assert nodes.cortical_grade(cortex, lost) == grade


def test_solbiati_index_is_long_over_short_and_never_below_1():
    assert nodes.solbiati_index(15, 6) == 2.5
    assert nodes.solbiati_index(6, 6) == 1
    for axes in ((5, 6), (5, 0)):
        with pytest.raises(ValueError, match="short axis"):
            nodes.solbiati_index(*axes)


def test_nodal_burden_is_by_count():
    found = [nodes.nodal_burden(n) for n in (0, 1, 2, 3, 30)]
    assert found == ["none", "low_1_2", "low_1_2", "high_ge3", "high_ge3"]


@pytest.mark.parametrize("value", ["pN1a", "2", -1, 1.5])
def test_nodal_burden_refuses_what_is_no_count(value):
    with pytest.raises(StudyError, match="pN1a is 1 to 3 nodes"):
        nodes.nodal_burden(value)


# --- receptors -------------------------------------------------------------------------------


def test_receptors_are_positive_from_1_percent():
    assert [receptors.is_receptor_positive(p) for p in (0, 0.9, 1, 100)] == [False, False, True, True]


def test_ki67_is_high_at_its_cut_off():
    assert receptors.KI67_CUTS_PCT == {"st_gallen_2011": 14, "st_gallen_2013": 20, "ikwg_2021": 30}
    for cut in receptors.KI67_CUTS_PCT.values():
        assert receptors.is_ki67_high(cut, cut)
        assert not receptors.is_ki67_high(cut - 0.1, cut)
    assert [receptors.ki67_ikwg(p) for p in (5, 5.1, 29.9, 30)] == [
        "low", "indeterminate", "indeterminate", "high",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "copies", "group"),
    [
        (2.0, 4.0, 1), (5, 12, 1), (2.0, 3.9, 2), (1.9, 6.0, 3), (1.99, 5.9, 4), (1.0, 4.0, 4), (1.9, 3.9, 5),
    ],
)  # fmt: skip
def test_dual_probe_groups(ratio, copies, group):
    assert receptors.ish_group(ratio, copies) == group


@pytest.mark.parametrize(
    ("group", "positive_with"),
    [(1, {"0", "1+", "2+", "3+"}), (2, {"3+"}), (3, {"2+", "3+"}), (4, {"3+"}), (5, set())],
)
def test_dual_probe_groups_are_positive_with_the_immunohistochemistry_of_the_guideline(group, positive_with):
    for ihc in ("0", "1+", "2+", "3+"):
        assert receptors.ish_status(group, ihc) == ("positive" if ihc in positive_with else "negative")
    assert receptors.ish_status(group, None) == {1: "positive", 5: "negative"}.get(group)


@pytest.mark.parametrize("ish", ["positive", "negative", "not_done", None])
def test_her2_categories(ish):
    assert receptors.her2_category("3+", ish) == "positive"
    assert receptors.her2_category("1+", ish) == "low"
    assert receptors.her2_category("0", ish) == "zero"
    expected = {"positive": "positive", "negative": "low"}.get(ish, "equivocal")
    assert receptors.her2_category("2+", ish) == expected


def test_equivocal_her2_stays_out_of_positive_against_negative():
    found = [receptors.her2_positive(c) for c in ("positive", "low", "zero", "equivocal")]
    assert found == [True, False, False, None]


@pytest.mark.parametrize(
    ("category", "ultralow", "expected"),
    [("zero", True, "ultralow"), ("zero", False, "null"), ("zero", None, None), ("low", True, None)],
)
def test_her2_zero_is_divided_apart_from_the_category(category, ultralow, expected):
    assert receptors.her2_zero_class(category, ultralow) == expected


@pytest.mark.parametrize(
    ("er", "pr", "her2", "ki67", "pr_pct", "expected"),
    [
        (True, True, False, 19.9, 20, "luminal_a"),
        (True, True, False, 20, 20, "luminal_b_her2neg"),
        (True, True, False, 10, 19, "luminal_b_her2neg"),
        (True, False, False, 10, 0, "luminal_b_her2neg"),
        (True, True, False, 30, None, "luminal_b_her2neg"),
        (True, True, False, None, 5, "luminal_b_her2neg"),
        (True, True, False, 10, None, None),
        (True, True, False, None, 50, None),
        (True, None, True, None, None, "luminal_b_her2pos"),
        (False, True, True, 50, 50, "luminal_b_her2pos"),
        (False, False, True, 50, 0, "her2_enriched"),
        (False, False, False, 50, 0, "triple_negative"),
        (False, True, False, 50, 50, None),
        (False, None, True, 50, None, None),
        (None, True, False, 10, 50, None),
        (True, True, None, 10, 50, None),
    ],
)
def test_molecular_subtypes(er, pr, her2, ki67, pr_pct, expected):
    assert receptors.molecular_subtype(er, pr, her2, ki67, pr_pct) == expected


# --- axilla after therapy --------------------------------------------------------------------

PATIENT = {"therapy": "completed", "node_positive_before": True, "biopsy_proven_before": True}


def assess(node=None, exam=None, cut_mm=axilla.POST_NST_CORTEX_MM, **patient):
    found = [] if node is None else [axilla.Node(**node)]
    return axilla.assess(
        axilla.Patient(**{**PATIENT, **patient}), axilla.Exam(nodes=found, **(exam or {})), cut_mm
    )


def node(cortex, hilum="present", shape="oval", **more):
    return {"cortex_mm": cortex, "hilum": hilum, "shape": shape, **more}


@pytest.mark.parametrize(
    ("given", "exam", "expected", "flags"),
    [
        (node(2.3), {}, "normal", ["P7_normal_is_not_pcr", "P9_near_threshold"]),
        (node(1.9), {}, "normal", ["P7_normal_is_not_pcr"]),
        (node(2.0), {}, "normal", ["P7_normal_is_not_pcr"]),
        (node(2.6), {}, "suspicious", []),
        (node(2.31), {}, "suspicious", ["P9_near_threshold"]),
        (node(2.0, "absent"), {}, "suspicious", []),
        (node(1.8, shape="round"), {}, "suspicious", []),
        (node(2.0, "partially_effaced"), {}, "indeterminate", []),
        (None, {}, "normal", ["P7_normal_is_not_pcr"]),
        (node(9.0, visible=False), {}, "normal", ["P7_normal_is_not_pcr"]),
        (node(1.5), {"palpable_node": True}, "limited_or_discordant", ["P6_discordant_palpable"]),
        (node(1.5), {"technically_limited": True}, "limited_or_discordant", ["P5_limited"]),
        (node(4.0), {"technically_limited": True}, "suspicious", ["P5_limited"]),
        (node(4.0), {"palpable_node": True}, "suspicious", []),
        (node(1.5, posttreatment_change=True), {}, "indeterminate", []),
        (node(4.0, posttreatment_change=True), {}, "suspicious", ["possible_mimic"]),
        (node(None), {}, "indeterminate", []),
        (node(1.5, None), {}, "indeterminate", []),
        (node(1.5, shape=None), {}, "indeterminate", []),
        (node(1.5), {"prior_imaging_reviewed": False}, "normal",
         ["P1_no_prior_imaging", "P7_normal_is_not_pcr"]),
        (node(1.5), {"clip_info_communicated": False}, "normal",
         ["P2_clip_not_communicated", "P7_normal_is_not_pcr"]),
        (node(1.5), {"called_by_size_only": True}, "normal", ["P3_size_only", "P7_normal_is_not_pcr"]),
        (node(1.5), {"modality": "MRI"}, "normal", ["P7_normal_is_not_pcr", "P8_wrong_modality_ordered"]),
    ],
)  # fmt: skip
def test_the_axilla_has_the_class_and_flags_of_the_pathway(given, exam, expected, flags):
    found = assess(given, exam)
    assert found.axilla_class == expected
    assert list(found.flags) == flags
    assert found.not_applicable == ""
    unclear = expected in ("indeterminate", "limited_or_discordant")
    assert found.mdt_required == (unclear or "P5_limited" in flags)
    # A clip that is not found adds its flag to any.
    clipped = assess(given, exam, clip_placed=True, clip_located=False)
    assert set(clipped.flags) == {*flags, "P4_clip_not_located"}
    assert clipped.axilla_class == expected


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"adult_breast_cancer": False}, "not_adult_breast_cancer"),
        ({"therapy": "during_therapy"}, "during_therapy"),
        ({"therapy": "before_therapy"}, "before_therapy"),
        ({"therapy": "post_surgery"}, "post_surgery"),
        ({"therapy": None}, "therapy_status_unknown"),
        ({"node_positive_before": False}, "initially_node_negative"),
        ({"node_positive_before": None, "cn_stage": "N0"}, "initially_node_negative"),
        ({"node_positive_before": None, "cn_stage": "NX"}, "axilla_never_evaluated"),
        ({"node_positive_before": None}, "baseline_status_unknown"),
        ({"axilla_evaluated_before": False}, "axilla_never_evaluated"),
        ({"question_is_axilla": False}, "primary_tumour_question"),
        ({"initial_staging": True}, "initial_staging"),
    ],
)
def test_whom_the_pathway_is_not_for_is_told_why_and_gets_no_class(changed, reason):
    found = assess(node(4.0), {"technically_limited": True}, **changed)
    assert found == axilla.Assessment(not_applicable=reason)


@pytest.mark.parametrize("stage", [None, "N1", "N2", "N3"])
def test_a_baseline_beyond_n1_or_without_biopsy_is_eligible_and_flagged(stage):
    flags = assess(node(4.0), cn_stage=stage, biopsy_proven_before=None).flags
    beyond = ["cn_beyond_n1"] if stage in ("N2", "N3") else []
    assert list(flags) == ["baseline_not_biopsy_proven", *beyond]
    by_stage = assess(node(4.0), cn_stage=stage, node_positive_before=None)
    assert by_stage.axilla_class == (None if stage is None else "suspicious")


@pytest.mark.parametrize(
    ("given", "patient", "step", "mdt"),
    [
        (node(4.0), {}, "biopsy_clipped_node_first", False),
        (node(4.0), {"biopsy": "not_done"}, "biopsy_clipped_node_first", False),
        (node(4.0), {"biopsy": "positive"}, "alnd", False),
        (node(4.0), {"biopsy": "negative"}, "mdt_then_slnb_tad", True),
        (node(4.0), {"biopsy": "nondiagnostic"}, "mdt_then_slnb_tad", True),
        (node(1.0), {"clip_placed": True}, "slnb_tad", False),
        (node(1.0), {"clip_placed": None}, "slnb_tad", False),
        (node(1.0), {"clip_placed": False}, "dual_tracer_slnb_3_nodes_and_mdt", True),
        (node(None), {}, "mdt_then_slnb_tad", True),
    ],
)
def test_the_next_step_follows_from_class_biopsy_and_clip(given, patient, step, mdt):
    found = assess(given, **patient)
    assert (found.next_step, found.mdt_required) == (step, mdt)
    assert assess(node(1.0), {"technically_limited": True}).next_step == "mdt_and_repeat_ultrasound"


def test_the_worst_node_decides():
    patient = axilla.Patient(**PATIENT)
    both = [axilla.Node(**node(1.0)), axilla.Node(**node(2.0, "partially_effaced"))]
    assert axilla.assess(patient, axilla.Exam(both)).axilla_class == "indeterminate"
    both.append(axilla.Node(**node(5.0)))
    assert axilla.assess(patient, axilla.Exam(both)).axilla_class == "suspicious"


def test_the_cut_off_of_the_axilla_can_be_set():
    assert assess(node(2.9), cut_mm=3.0).axilla_class == "normal"
    assert assess(node(3.0), cut_mm=3.0).axilla_class == "normal"
    assert assess(node(3.01), cut_mm=3.0).axilla_class == "suspicious"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"shape": "oval", "long_mm": 10, "short_mm": 9}, "oval"),
        ({"long_mm": 10, "short_mm": 5}, "oval"),
        ({"long_mm": 10, "short_mm": 5.1}, "round"),
        ({"long_mm": 10}, None),
    ],
)
def test_a_shape_that_was_not_read_follows_from_the_axes(given, expected):
    assert axilla.shape_of(axilla.Node(**given)) == expected


# --- where they are used ---------------------------------------------------------------------


def test_instruments_need_the_standard_library_alone():
    modules = [f"annulus.clinical.{name}" for name in ("kaiser", "doppler", "nodes", "receptors", "axilla")]
    program = f"import sys, {', '.join(modules)}; print('numpy' in sys.modules, 'pandas' in sys.modules)"
    folder = Path(kaiser.__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder
    )
    assert found.stdout.split() == ["False", "False"]
