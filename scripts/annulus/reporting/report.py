"""The study's report: one HTML file with every figure, caption and main number in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from annulus.evaluation.words import FOLLOWS_VOLUME, UNPAIRED
from annulus.figures.style import model_title
from annulus.reporting.comparisons import assumption_rows, published_rows, table_one_parts
from annulus.reporting.imaging import given_parts, imaging_parts
from annulus.reporting.numbers import number, text_of, with_interval
from annulus.reporting.odds_ratios import odds_ratio_rows
from annulus.reporting.pages import figure_parts, page
from annulus.reporting.pathways import pathway_parts
from annulus.reporting.task_tables import (
    CALIBRATION_METRICS,
    METRICS,
    centre_prediction_rows,
    centre_rows,
    comparison_rows,
    development_rows,
    duplicates_text,
    goodness_of_fit_rows,
    must_know,
    performance_rows,
    reclassification_rows,
    remarks_of,
    resampled_rows,
    rivals_of,
    rows_at_risks,
    screen_rows,
    signature_rows,
    subgroup_notes,
    subgroup_rows,
    validation_rows,
    volume_rows,
)
from annulus.tables import read_csv


# Figures of no task stand under this name.
WHOLE_STUDY = "study"


CASCADE_METRICS = {
    "accuracy": "Accuracy",
    "weighted_kappa": "Weighted kappa",
    "sensitivity": "Sensitivity",
    "ppv": "PPV",
    "auc": "AUC against the rest",
}


@dataclass(frozen=True)
class Study:
    """What a report is made of: tables by name, figures (name, path) and models by task, settings."""

    design: Mapping[str, Any]
    cohort: Mapping[str, Any]
    synthetic: bool
    tables: Mapping[str, pd.DataFrame]
    task_tables: Mapping[str, Mapping[str, pd.DataFrame]]
    cascades: Mapping[str, pd.DataFrame]
    pathways: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
    figures: Mapping[str, Sequence[tuple[str, str]]]
    split_sha256: str
    gallery: str
    shown: Mapping[str, Sequence[str]]


def study_of(inputs: Any, params: Any) -> Study:
    """Read a report's inputs (named tables, and lists of one table per task) into a study."""
    tasks = list(params.design["tasks"])
    paths = {Path(p).parts[-2:]: p for p in inputs.figures}
    names = ["problems", "flow", "published", "assumptions"]
    names += ["masks", "findings", "agreement", "rois"] if params.design["images"] else []
    names += ["failures", "catalogue"] if _featured(params.design) else []
    lists = (
        "performance",
        "comparisons",
        "supplement",
        "subgroups",
        "sample_size",
        "warnings",
        "selection",
        "odds_ratios",
        "optimism",
        "repeated_splits",
        "volume",
        "table_one",
        *(["leak_screen", "duplicates"] if params.design["images"] else []),
        *(["centres"] if "centre" in params.design else []),
    )
    return Study(
        design=params.design,
        cohort=params.cohort,
        synthetic=params.synthetic,
        tables={name: read_csv(_listed(inputs[name])[0]) for name in (*names, *_of_centres(params.design))},
        task_tables={
            task: {name: read_csv(_listed(inputs[name])[i]) for name in lists} for i, task in enumerate(tasks)
        },
        cascades={
            name: read_csv(path)
            for name, path in zip(params.design["cascades"], _listed(inputs["cascades"]), strict=True)
        },
        pathways={
            name: (read_csv(patients), read_csv(performance))
            for name, patients, performance in zip(
                params.design["pathways"],
                _listed(inputs["pathway_patients"]),
                _listed(inputs["pathways"]),
                strict=True,
            )
        },
        figures={
            name: [(figure, paths[(name, f"{figure}.png")]) for figure in figures]
            for name, figures in params.figures.items()
        },
        split_sha256=Path(inputs.split_sha256).read_text(encoding="utf-8").split()[0],
        gallery=params.gallery,
        shown=params.shown,
    )


def _of_centres(design: Mapping[str, Any]) -> tuple[str, ...]:
    return ("centre_prediction",) if "centre" in design and _featured(design) else ()


def _featured(design: Mapping[str, Any]) -> bool:
    return bool(design["images"] or design["feature_groups"])


def render(study: Study) -> str:
    """Render the report as HTML that needs no other file and no network."""
    return page(
        "report.html.jinja",
        study.synthetic,
        study=study,
        tasks={task: _task(study, task) for task in study.design["tasks"]},
        flow=study.tables["flow"].fillna("").to_dict("records"),
        imaging=imaging_parts(study.tables) if study.design["images"] else None,
        given=given_parts(study.tables) if study.design["feature_groups"] else None,
        warnings=study.tables["problems"].fillna("").to_dict("records"),
        cascades={name: _cascade(study, name) for name in study.cascades},
        pathways={
            name: pathway_parts(name, study.design["pathways"][name], *tables)
            for name, tables in study.pathways.items()
        },
        study_figures=figure_parts(study.figures.get(WHOLE_STUDY, ())),
        centre_prediction=centre_prediction_rows(study.tables),
        published=published_rows(study.tables["published"]),
        assumptions=assumption_rows(study.tables["assumptions"]),
        follows_volume=FOLLOWS_VOLUME,
    )


def _task(study: Study, task: str) -> dict[str, Any]:
    tables = study.task_tables[task]
    unpaired = tables["comparisons"]["method"] == UNPAIRED
    paired, between = tables["comparisons"][~unpaired], tables["comparisons"][unpaired]
    return {
        "plan": study.design["tasks"][task],
        "table_one": table_one_parts(
            tables["table_one"], study.design["tasks"][task]["label"], list(study.design["split"]["cohorts"])
        ),
        "figures": figure_parts(study.figures[task]),
        "must_know": must_know(tables["warnings"]),
        "metrics": METRICS,
        "calibration_metrics": CALIBRATION_METRICS,
        "performance": performance_rows(tables["performance"], METRICS),
        "calibration": performance_rows(tables["performance"], CALIBRATION_METRICS),
        "at": rows_at_risks(tables["performance"], study.design["tasks"][task]["decision"]["at"]),
        "remarks": [
            f"{model_title(model)}: {reason}" for model, reason in remarks_of(tables["performance"]).items()
        ],
        "comparisons": comparison_rows(paired),
        "between_cohorts": comparison_rows(between),
        "subgroups": subgroup_rows(tables["subgroups"]),
        "subgroup_notes": subgroup_notes(tables["subgroups"]),
        "development": development_rows(tables["sample_size"]),
        "validation": validation_rows(tables["sample_size"]),
        "goodness_of_fit": goodness_of_fit_rows(tables["supplement"]),
        "reclassification": reclassification_rows(tables["supplement"]),
        "supplement_warnings": must_know(tables["warnings"], supplement=True),
        "odds_ratios": odds_ratio_rows(tables["odds_ratios"]),
        "resampled": resampled_rows(tables),
        "volume": volume_rows(tables["volume"]),
        "centres": centre_rows(tables.get("centres")),
        "signatures": signature_rows(tables["selection"]),
        "screens": screen_rows(tables["leak_screen"]) if "leak_screen" in tables else [],
        "rivals": rivals_of(tables["leak_screen"]) if "leak_screen" in tables else [],
        "duplicates": duplicates_text(tables["duplicates"]) if "duplicates" in tables else "",
    }


def _cascade(study: Study, name: str) -> dict[str, Any]:
    """Return a cascade's plan, its performance by cohort and class, and its figures."""
    rows = [
        {
            **row,
            "n": number(row["n"], 0),
            "events": number(row["events"], 0),
            "estimate": with_interval(row),
            "metric": CASCADE_METRICS[row["metric"]],
            "note": text_of(row["note"]),
        }
        for row in study.cascades[name].to_dict("records")
    ]
    return {
        "plan": study.design["cascades"][name],
        "rows": rows,
        "figures": figure_parts(study.figures[name]),
    }


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
