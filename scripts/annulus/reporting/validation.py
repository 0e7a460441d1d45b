"""The report on a cohort in which nothing was fitted: frozen models, or given predictions, evaluated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from annulus.figures.style import feature_title, model_title, term_title
from annulus.reporting.comparisons import table_one_parts
from annulus.reporting.imaging import imaging_parts
from annulus.reporting.numbers import number, text_of, with_interval
from annulus.reporting.pages import figure_parts, page
from annulus.reporting.task_tables import (
    CALIBRATION_METRICS,
    METRICS,
    centre_rows,
    comparison_rows,
    must_know,
    performance_rows,
    remarks_of,
    subgroup_notes,
    subgroup_rows,
)
from annulus.tables import joined, read_csv

IMAGING = ("masks", "findings", "agreement", "rois", "failures", "catalogue")

# Rows that a page shows of tables that may have thousands; the rest is in the file.
SHOWN_COLUMNS = 30
SHOWN_PATIENTS = 20

# The titles of Table 1 are a study's; here nobody trained.
PATIENTS_BY_OUTCOME = "Patients by outcome"


@dataclass(frozen=True)
class Validation:
    """What the report is made of; any table may be absent, and its section then is as well.

    ``tables`` are the cohort's own by name (flow, problems, case_mix, membership, extrapolating, freezing,
    openings and those of quality control), ``task_tables`` those of each task, ``development`` the study's
    own performance by task, ``figures`` name and path by task. ``study`` has name, title and tasks.
    """

    study: Mapping[str, Any]
    cohort: Mapping[str, Any]
    synthetic: bool
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    task_tables: Mapping[str, Mapping[str, pd.DataFrame]] = field(default_factory=dict)
    development: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Lock:
    """When models were frozen and outcomes opened, and what changed after the first opening."""

    freezing: list[dict[str, str]]
    openings: list[dict[str, str]]
    refrozen: list[dict[str, str]]
    models_changed: bool
    outcomes_changed: bool


def validation_of(inputs: Any, params: Any) -> Validation:
    """Read a report's inputs, lists of files, into a validation.

    ``tables`` are named by their files, ``task_tables``, ``development`` and ``figures`` by their folder
    (the task) and file as well.
    """
    figures: dict[str, list[tuple[str, str]]] = {}
    for path in map(Path, inputs.figures):
        figures.setdefault(path.parent.name, []).append((path.stem, str(path)))
    return Validation(
        study=params.design,
        cohort=params.cohort,
        synthetic=params.synthetic,
        tables={Path(path).stem: read_csv(path) for path in inputs.tables},
        task_tables=_by_task(inputs.task_tables),
        development={task: found["performance"] for task, found in _by_task(inputs.development).items()},
        figures=figures,
    )


def _by_task(paths: Iterable[str]) -> dict[str, dict[str, pd.DataFrame]]:
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for path in map(Path, paths):
        found.setdefault(path.parent.name, {})[path.stem] = read_csv(path)
    return found


def render(validation: Validation) -> str:
    """Render the report as HTML that needs no other file and no network."""
    tables = validation.tables
    locked = {"freezing", "openings"} <= set(tables)
    return page(
        "validation.html.jinja",
        validation.synthetic,
        study=validation.study,
        cohort=validation.cohort,
        lock=lock_of(tables["freezing"], tables["openings"]) if locked else None,
        flow=_records(tables, "flow"),
        problems=_records(tables, "problems"),
        imaging=imaging_parts(tables) if set(IMAGING) <= set(tables) else None,
        case_mix=case_mix_rows(tables["case_mix"]) if "case_mix" in tables else [],
        shown_columns=SHOWN_COLUMNS,
        tasks={task: _task(validation, task) for task in validation.task_tables},
    )


def lock_of(freezing: pd.DataFrame, openings: pd.DataFrame) -> Lock:
    """Return freezing and openings in order of time, and whether either side changed after the first opening.

    What changed is read from times and hashes, not from the words of an event: a model that was frozen
    later than the first opening, or was opened in another state, was changed by people who could know
    the outcomes. Times are ISO 8601 of one zone, as the tables are written.
    """
    frozen, opened = freezing.sort_values("frozen_at", kind="stable"), openings.sort_values("opened_at")
    first = pd.Timestamp(opened["opened_at"].iloc[0]) if len(opened) else None
    later = [] if first is None else _texts(frozen[pd.to_datetime(frozen["frozen_at"]) > first])
    return Lock(
        freezing=_texts(frozen),
        openings=_texts(opened),
        refrozen=later,
        models_changed=bool(later) or opened["models_sha256"].nunique() > 1,
        outcomes_changed=opened["outcomes_sha256"].nunique() > 1,
    )


def case_mix_rows(case_mix: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the columns of a cohort beside training, the largest absolute standardised difference first."""
    order = case_mix["standardised_difference"].abs().sort_values(ascending=False, kind="stable").index
    return [
        {
            "column": _mixed_title(row),
            "kind": row["kind"].replace("_", " "),
            "training": _mean(row, "training"),
            "here": _mean(row, "here"),
            "missing_training": _share(row["missing_share_training"]),
            "missing_here": _share(row["missing_share_here"]),
            "difference": number(row["standardised_difference"], 2),
            "outside": _share(row["out_of_range_share"]),
            "unseen": text_of(row["unseen_levels"]),
            "note": text_of(row["note"]),
        }
        for row in case_mix.loc[order].to_dict("records")
    ]


def _mixed_title(row: Mapping[str, Any]) -> str:
    """Name a row of the case mix: a variable in words, and which model a linear predictor is of."""
    if row["kind"] == "linear_predictor":
        return f"of {model_title(str(row['task_models']).partition('/')[2])}"
    if row["kind"] == "acquisition":
        return str(row["column"]).replace("_", " ")
    return term_title(row["column"]) if row["kind"] != "feature" else feature_title(row["column"])


def membership_rows(membership: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how well each model's predictors tell a patient of this cohort from a training patient."""
    return [
        {**row, "auc": with_interval({**row, "estimate": row["auc"]}), "note": text_of(row["note"])}
        for row in membership.to_dict("records")
    ]


def extrapolating_parts(extrapolating: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, by model, how many patients lie outside of what it was trained on, and the first of them."""
    parts = []
    for model, group in extrapolating.groupby("model", sort=False):
        outside = group[group["extrapolates"] == 1]
        parts.append(
            {
                "model": model,
                "patients": group["patient_id"].nunique(),
                "count": outside["patient_id"].nunique(),
                "first": [
                    {
                        **row,
                        "columns": text_of(row["columns"]),
                        "distance": number(row["distance"], 2),
                        "distance_limit": number(row["distance_limit"], 2),
                    }
                    for row in outside.head(SHOWN_PATIENTS).to_dict("records")
                ],
            }
        )
    return parts


def recalibration_rows(recalibration: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each model as frozen, and below it what each way of recalibrating would have changed."""
    return [
        {
            **row,
            "as_frozen": row["update"] == "as frozen",
            "intercept": _interval(row, "intercept"),
            "slope": _interval(row, "slope"),
            "brier": number(row["brier"]),
            "in_the_large": number(row["calibration_in_the_large"], 2),
            "calibration_slope": number(row["calibration_slope"], 2),
            "observed_expected": number(row["observed_expected"], 2),
            "note": text_of(row["note"]),
        }
        for row in recalibration.to_dict("records")
    ]


def updating_rows(updating: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what could be done to each model, and whether the patients here would be enough for it."""
    return [
        {
            **row,
            "parameters": number(row["parameters"], 0),
            "patients_needed": number(row["patients_needed"], 0),
            "enough": {1: "yes", 0: "no"}.get(row["patients_here_enough"], "–"),
            "advice": text_of(row["advice"]),
            "note": text_of(row["note"]),
        }
        for row in updating.to_dict("records")
    ]


def _task(validation: Validation, task: str) -> dict[str, Any]:
    tables = validation.task_tables[task]
    here = tables["performance"]
    beside = joined([validation.development[task], here]) if task in validation.development else here
    plan = validation.study["tasks"][task]
    unscored = [row for row in performance_rows(here, {}) if row["absent"]]
    return {
        "plan": plan,
        "unscored": unscored,
        "metrics": METRICS,
        "calibration_metrics": CALIBRATION_METRICS,
        "performance": performance_rows(beside, METRICS),
        "calibration": performance_rows(beside, CALIBRATION_METRICS),
        "beside": task in validation.development,
        "remarks": [f"{model_title(model)}: {reason}" for model, reason in remarks_of(here).items()],
        "comparisons": comparison_rows(tables["comparisons"]) if "comparisons" in tables else [],
        "subgroups": subgroup_rows(tables["subgroups"]) if "subgroups" in tables else [],
        "subgroup_notes": subgroup_notes(tables["subgroups"]) if "subgroups" in tables else [],
        "centres": centre_rows(tables.get("centres")),
        "table_one": _table_one(tables, plan["label"], list(here["cohort"].unique())),
        "membership": membership_rows(_of_task(validation.tables, "membership", task)),
        "extrapolating": extrapolating_parts(_of_task(validation.tables, "extrapolating", task)),
        "recalibration": recalibration_rows(tables["recalibration"]) if "recalibration" in tables else [],
        "updating": updating_rows(tables["updating"]) if "updating" in tables else [],
        "must_know": must_know(tables["warnings"]) if "warnings" in tables else [],
        "figures": figure_parts(validation.figures.get(task, ())),
    }


def _table_one(
    tables: Mapping[str, pd.DataFrame], label: str, cohorts: Sequence[str]
) -> list[dict[str, Any]]:
    if "table_one" not in tables:
        return []
    parts = table_one_parts(tables["table_one"], label, cohorts)
    by_outcome = tables["table_one"]["comparison"].drop_duplicates() == "outcome"
    return [
        {**part, "title": PATIENTS_BY_OUTCOME} if outcome else part
        for part, outcome in zip(parts, by_outcome, strict=True)
    ]


def _of_task(tables: Mapping[str, pd.DataFrame], name: str, task: str) -> pd.DataFrame:
    if name not in tables:
        return pd.DataFrame(columns=["task", "model"])
    return tables[name][tables[name]["task"] == task]


def _records(tables: Mapping[str, pd.DataFrame], name: str) -> list[dict[str, Any]] | None:
    return _texts(tables[name]) if name in tables else None


def _texts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{key: text_of(value) for key, value in row.items()} for row in table.to_dict("records")]


def _mean(row: Mapping[str, Any], where: str) -> str:
    if pd.isna(row[f"mean_{where}"]):
        return "–"
    return f"{row[f'mean_{where}']:.3g} ({row[f'sd_{where}']:.3g})"


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0%}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    bounds = {"estimate": row[name], "lower": row[f"{name}_lower"], "upper": row[f"{name}_upper"]}
    return with_interval(bounds, 2)
