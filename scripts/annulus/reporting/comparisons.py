"""Rows of the report's Table 1, of published numbers and of assumptions."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from annulus.cohort.dictionary import columns_of
from annulus.evaluation.plan import CASCADE
from annulus.evaluation.words import DESCRIBES, OUTCOME_GROUPS, PATIENTS
from annulus.figures.style import cohort_title, level_title, model_title, variable_title
from annulus.reporting.numbers import number, p_value, text_of, with_interval

# Values of whole branches of a configuration stand in assumptions.csv in full.
LONGEST_VALUE = 160


def table_one_parts(table: pd.DataFrame, label: str, cohorts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the two parts of Table 1, each with its groups' titles and its rows.

    ``label`` is the event in words.
    """
    groups = {
        "outcome": dict(zip(OUTCOME_GROUPS, (f"Not: {label}", label), strict=True)),
        "cohorts": {cohort: cohort_title(cohort) for cohort in cohorts},
    }
    titles = {
        "outcome": "Training patients by outcome",
        "cohorts": "Cohorts, without outcomes",
    }
    return [
        {"title": titles[str(name)], **_part(part, groups[str(name)])}
        for name, part in table.groupby("comparison", sort=False)
    ]


def published_rows(published: pd.DataFrame) -> list[dict[str, Any]]:
    """Return published numbers beside ours, as text."""
    return [
        {
            "task": row["task"],
            "model": "All levels" if row["model"] == CASCADE else model_title(row["model"]),
            "cohort": cohort_title(row["cohort"]),
            "metric": _metric(row),
            "published": _published(row),
            "here": with_interval({**row, "estimate": row["here"]}),
            "n": number(row["n"], 0),
            "agrees": _agrees(row),
            "source": row["source"],
            "note": text_of(row["note"]),
        }
        for row in published.to_dict("records")
    ]


def assumption_rows(assumptions: pd.DataFrame) -> list[dict[str, str]]:
    """Return what was assumed, its key and the value in force, shortened where it is long."""
    return [
        {
            "what": text_of(row["what"]),
            "key": text_of(row["key"]),
            "value": textwrap.shorten(text_of(row["value"]), LONGEST_VALUE, placeholder=" ..."),
        }
        for row in assumptions.to_dict("records")
    ]


def _part(part: pd.DataFrame, groups: Mapping[str, str]) -> dict[str, Any]:
    sizes = part[part["variable"] == PATIENTS].iloc[0]
    rows = []
    for variable, lines in part[part["variable"] != PATIENTS].groupby("variable", sort=False):
        first = lines.iloc[0]
        rows.append(
            {
                "variable": _described(str(variable)),
                "lines": [
                    {
                        "level": text_of(line["level"]),
                        "texts": [text_of(line[group]) or "–" for group in groups],
                    }
                    for line in lines.to_dict("records")
                ],
                "missing": number(first["missing"], 0),
                "p": p_value(first["p"]),
                "test": text_of(first["test"]),
                "smd": number(first["smd"], 2),
                "note": text_of(first["note"]).removesuffix(DESCRIBES).removesuffix("; "),
            }
        )
    return {"groups": [(title, sizes[key]) for key, title in groups.items()], "rows": rows}


def _described(variable: str) -> str:
    column = columns_of("participants")[variable]
    return f"{column.description}, {column.unit}" if column.unit else column.description


def _metric(row: Mapping[str, Any]) -> str:
    parts = [str(row["metric"]).replace("_", " ").replace("auc", "AUC")]
    parts += [] if pd.isna(row["term"]) else [f"of {row['term']}"]
    if pd.notna(row["subgroup"]):
        column, _, level = str(row["subgroup"]).partition(": ")
        parts.append(f"in {variable_title(column)}: {level_title(level, column)}")
    return " ".join(parts)


def _published(row: Mapping[str, Any]) -> str:
    if pd.isna(row["published_lower"]) or pd.isna(row["published_upper"]):
        return f"{row['published']:g}"
    return f"{row['published']:g} ({row['published_lower']:g}–{row['published_upper']:g})"


def _agrees(row: Mapping[str, Any]) -> str:
    if pd.isna(row["here"]):
        return "nothing here to compare"
    if pd.isna(row["agrees"]):
        return "no interval here"
    return "yes" if row["agrees"] else "no"
