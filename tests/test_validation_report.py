"""The report on a cohort in which nothing was fitted: the lock, the numbers, what is absent."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from annulus.evaluation import comparing, performance, subgroups
from annulus.evaluation.centres import centre_table
from annulus.evaluation.performance import Plan
from annulus.modelling.threshold import CutOff
from annulus.reporting.validation import Validation, case_mix_rows, lock_of, render

TASK, COHORT, MODELS = "her2_fish", "external_st_elsewhere", ["clinical", "nomogram"]
UNKNOWN = (np.nan, np.nan)
FIRST = "2026-03-02T09:00:00+00:00"

STUDY = {
    "name": "cem_her2",
    "title": "HER2 from contrast-enhanced mammography",
    "tasks": {
        TASK: {
            "label": "HER2 amplified",
            "outcome": "her2_ish",
            "decision": {"description": "treat against HER2", "thresholds": [0.1, 0.6]},
        }
    },
}
HOSPITAL = {"name": "st_elsewhere", "citation": "Elsewhere registry 2025", "licence": "CC BY 4.0"}


def predictions(cohort, n, seed):
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=(2, n))
    linear[1] += linear[0]
    y = (rng.random(n) < expit(linear[1])).astype(float)
    parts = [
        pd.DataFrame(
            {
                "patient_id": [f"{cohort}-{i:03d}" for i in range(n)],
                "cohort": cohort,
                "model": model,
                "y": y,
                "linear_predictor": x,
                "probability": 0.9 * expit(x),
                "probability_out_of_fold": np.nan,
            }
        )
        for model, x in zip(MODELS, linear, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def evaluated(table, absent):
    cut_offs = dict.fromkeys(MODELS, CutOff(0.4, "a rule", 0.3, 0.5))
    return performance.performance(table, cut_offs, absent, {}, Plan(10, 1, ()), synthetic=True)


@pytest.fixture(scope="module")
def task_tables():
    table = predictions(COHORT, 120, 2)
    people = table[["patient_id"]].drop_duplicates().reset_index(drop=True)
    people["menopausal_status"] = np.array(["pre", "post"])[people.index % 2]
    recalibration = pd.DataFrame(
        [
            ["nomogram", COHORT, "as frozen", 120, 58, 0, *UNKNOWN, 1, *UNKNOWN, 0.2111, 0.31, 0.77, 1.2],
            ["nomogram", COHORT, "intercept", 120, 58, 0.31, 0.1, 0.5, 1, *UNKNOWN, 0.2042, 0, 0.77, 1],
            ["nomogram", COHORT, "intercept and slope", 120, 58, 0.2, 0, 0.4, 0.8, 0.5, 1, 0.1998, 0, 1, 1],
        ],
        columns=[
            "model", "cohort", "update", "n", "events", "intercept", "intercept_lower", "intercept_upper",
            "slope", "slope_lower", "slope_upper", "brier", "calibration_in_the_large", "calibration_slope",
            "observed_expected",
        ],
    ).assign(note=np.nan, synthetic=1)  # fmt: skip
    updating = pd.DataFrame(
        [
            ["nomogram", COHORT, "intercept", 1, 120, 58, 73, 1, "an intercept can be estimated", np.nan, 1],
            ["nomogram", COHORT, "refit", 9, 120, 58, 1043, 0, "too few to refit", np.nan, 1],
        ],
        columns=[
            "model", "cohort", "action", "parameters", "n", "events", "patients_needed",
            "patients_here_enough", "advice", "note", "synthetic",
        ],
    )  # fmt: skip
    return {
        "performance": evaluated(table, {"combined": "no column kaiser_ge6 in participants.csv"}),
        "comparisons": comparing.comparisons(table, MODELS, [["nomogram", "clinical"]], synthetic=True),
        "subgroups": subgroups.subgroup_table(table, people, [{"column": "menopausal_status"}], MODELS, True),
        "centres": centre_table(table, people.set_index("patient_id")["menopausal_status"], True),
        "recalibration": recalibration,
        "updating": updating,
        "warnings": pd.DataFrame({"guard": ["few_events"], "message": ["Only 58 events."], "synthetic": 1}),
    }


def freezing(*rows):
    table = pd.DataFrame(rows, columns=["frozen_at", "model", "model_sha256", "event"])
    return table.assign(task=TASK)


def openings(*rows):
    columns = ["opened_at", "outcomes_sha256", "models_sha256", "frozen_at", "event"]
    return pd.DataFrame(rows, columns=columns).assign(cohort=COHORT)


FROZEN = ("2026-02-01T12:00:00+00:00", "nomogram", "a" * 64, "frozen")
OPENED = (FIRST, "d" * 64, "e" * 64, "2026-02-01T12:00:00+00:00", "first opening")


@pytest.fixture(scope="module")
def tables():
    names = ["age_years", "itr_original_firstorder_Mean", "tumor_diameter_mm"]
    case_mix = pd.DataFrame(
        {
            "column": names,
            "kind": ["clinical", "feature", "size"],
            "task_models": "her2_fish/nomogram",
            "n_training": 200,
            "n_here": 120,
            "missing_share_training": 0.0,
            "missing_share_here": [0.0, 0.0, 0.1],
            "mean_training": [52.0, 100.0, 21.0],
            "sd_training": [10.0, 20.0, 8.0],
            "mean_here": [53.0, 60.0, 28.0],
            "sd_here": [10.0, 21.0, 9.0],
            "standardised_difference": [0.1, -1.95, 0.82],
            "out_of_range_share": [0.0, 0.25, 0.05],
            "unseen_levels": np.nan,
            "note": np.nan,
            "synthetic": 1,
        }
    )
    patients = [f"P{i:03d}" for i in range(120)]
    extrapolating = pd.DataFrame(
        {
            "patient_id": patients,
            "task": TASK,
            "model": "nomogram",
            "out_of_range": 1,
            "columns": "tumor_diameter_mm",
            "distance": 9.5,
            "distance_limit": 7.81,
            "extrapolates": [int(i < 33) for i in range(120)],
            "synthetic": 1,
        }
    )
    membership = [
        TASK,
        "nomogram",
        3,
        200,
        120,
        0.871,
        0.83,
        0.91,
        "logistic regression, out of fold",
        np.nan,
        1,
    ]
    columns = [
        "task",
        "model",
        "predictors",
        "n_training",
        "n_here",
        "auc",
        "lower",
        "upper",
        "method",
        "note",
    ]
    return {
        "flow": pd.DataFrame(
            [["outcome known", COHORT, 130, 120, "the outcome is missing"]],
            columns=["step", "cohort", "n_in", "n_out", "reason"],
        ),
        "problems": pd.DataFrame(columns=["file", "row", "column", "value", "severity", "message"]),
        "case_mix": case_mix,
        "membership": pd.DataFrame([membership], columns=[*columns, "synthetic"]),
        "extrapolating": extrapolating,
        "freezing": freezing(FROZEN),
        "openings": openings(OPENED),
    }


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html.split("</style>")[-1]).replace("&#39;", "'").split())


@pytest.fixture(scope="module")
def whole(tables, task_tables, tmp_path_factory):
    figure, axes = plt.subplots(figsize=(3, 3))
    axes.plot([0, 1], [0, 1])
    path = tmp_path_factory.mktemp("figures") / f"roc_{COHORT}.png"
    figure.savefig(path)
    return Validation(
        STUDY,
        HOSPITAL,
        synthetic=True,
        tables=tables,
        task_tables={TASK: task_tables},
        development={TASK: evaluated(predictions("internal_test", 90, 3), {})},
        figures={TASK: [(f"roc_{COHORT}", str(path))]},
    )


def test_the_page_holds_every_section_and_needs_no_other_file(whole):
    html = render(whole)
    text = words(html)
    headings = re.findall(r"<h[23][^>]*>([^<]+)", html)
    expected = [
        "The lock", "Patients", "Case mix", f"{TASK}: HER2 amplified", "What to keep in mind",
        "Models that could",
        "Discrimination", "Calibration", "Differences in AUC", "Centres", "Subgroups", "Can these patients",
        "Patients beyond", "Recalibration options", "Would these patients", "Figures", "Citation",
    ]  # fmt: skip
    assert len(headings) == len(expected)
    assert all(heading.startswith(start) for heading, start in zip(headings, expected, strict=True))
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html) and "http" not in html
    assert "SYNTHETIC: every patient" in text and "not a medical device" in text
    assert "Elsewhere registry 2025" in text and "CC BY 4.0" in text
    assert "Combined: no model: no column kaiser_ge6 in participants.csv" in text
    assert "Only 58 events." in text


def test_numbers_stand_beside_the_studys_own(whole, task_tables):
    text = words(render(whole))
    for table in (whole.development[TASK], task_tables["performance"]):
        found = table.set_index(["model", "metric"])["estimate"]
        for metric in ("auc", "brier", "calibration_slope"):
            assert f"{found['nomogram', metric]:.3f} (" in text, metric
    assert text.index("Internal test Nomogram") < text.index("External: st elsewhere Nomogram")


def test_recalibration_stands_beside_what_was_frozen_and_advice_below(whole):
    html = render(whole)
    assert html.index(">0.211<") < html.index(">0.204<") < html.index(">0.200<")
    assert html.count('<tr class="updated">') == 2
    assert "intercept and slope 120 58 0.20 (0.00–0.40) 0.80 (0.50–1.00) 0.200" in words(html)
    assert "an offer for the next cohort, not a result of this one" in words(html)
    assert "refit 9 120 58 1043 no too few to refit" in words(html)


def test_the_largest_differences_of_case_mix_come_first(tables):
    rows = case_mix_rows(tables["case_mix"])
    assert [row["difference"] for row in rows] == ["-1.95", "0.82", "0.10"]
    assert (
        rows[0]["training"] == "100 (20)" and rows[0]["outside"] == "25%" and rows[1]["missing_here"] == "10%"
    )


def test_a_difference_that_is_unknown_comes_last(tables):
    table = tables["case_mix"].assign(standardised_difference=[np.nan, 0.2, -0.3])
    assert [row["difference"] for row in case_mix_rows(table)] == ["-0.30", "0.20", "–"]


def test_the_first_twenty_extrapolating_patients_are_named_and_all_are_counted(whole):
    html = render(whole)
    assert "Nomogram: 33 of 120 patients." in words(html)
    assert [f"P{i:03d}" for i in range(20)] == re.findall(r">(P\d{3})<", html)


def test_models_that_stayed_frozen_are_said_to_have(whole):
    text = words(render(whole))
    assert f"Outcomes were first opened on {FIRST}" in text and "no model changed after that" in text
    assert "Models changed after" not in text and "outcomes themselves differ" not in text


LATER = ("2026-03-05T08:00:00+00:00", "nomogram", "b" * 64, "changed")
AGAIN = (
    "2026-03-06T08:00:00+00:00",
    "d" * 64,
    "f" * 64,
    "2026-03-05T08:00:00+00:00",
    "opened again: models changed",
)


def test_models_that_changed_after_the_first_opening_are_said_first_and_by_name(whole):
    changed = {"freezing": freezing(LATER, FROZEN), "openings": openings(AGAIN, OPENED)}
    html = render(Validation(STUDY, HOSPITAL, False, {**whole.tables, **changed}, whole.task_tables))
    text = words(html)
    assert text.index("Models changed after the outcomes") < text.index("Openings of the outcomes")
    assert '<p class="banner">Models changed' in html
    assert "2026-03-05T08:00:00+00:00: her2_fish, Nomogram (changed)" in text
    assert text.index("First opening") < text.index("Opened again: models changed")
    assert "no model changed after that" not in text


@pytest.mark.parametrize(
    ("frozen", "opened", "models", "outcomes"),
    [
        ([FROZEN], [OPENED], False, False),
        ([FROZEN], [], False, False),
        # Frozen anew, but not opened again yet: the change alone tells.
        ([FROZEN, LATER], [OPENED], True, False),
        # A row of freezing was lost: the hashes at the openings still tell.
        ([FROZEN], [OPENED, AGAIN], True, False),
        (
            [FROZEN],
            [OPENED, (AGAIN[0], "0" * 64, *OPENED[2:4], "opened again: outcomes changed")],
            False,
            True,
        ),
    ],
)
def test_what_changed_is_read_from_times_and_hashes(frozen, opened, models, outcomes):
    lock = lock_of(freezing(*frozen), openings(*opened))
    assert (lock.models_changed, lock.outcomes_changed) == (models, outcomes)


def test_a_prediction_table_has_no_lock_no_case_mix_and_nothing_to_recalibrate(task_tables):
    kept = {name: task_tables[name] for name in ("performance", "comparisons")}
    html = render(Validation(STUDY, {"name": "st_elsewhere"}, False, task_tables={TASK: kept}))
    text = words(html)
    assert "the predictions are evaluated as they were given" in text
    assert "No citation is given. Licence: not given." in text
    for absent in ("SYNTHETIC", "lock", "Case mix", "Recalibration", "study’s own rows", "None"):
        assert absent not in text
