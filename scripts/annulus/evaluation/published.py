"""Published numbers beside those of a study: performance, odds ratios, subgroups, cascades and pathways."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from annulus.evaluation.plan import (
    APPARENT_AUC,
    CLASS,
    CORRECTED,
    EVERYBODY,
    ODDS_RATIO,
    THRESHOLD,
    corrected,
)

PUBLISHED_COLUMNS = [
    "task", "model", "cohort", "metric", "published", "published_lower", "published_upper",
    "here", "lower", "upper", "agrees", "synthetic", "source", "note", "term", "subgroup", "n",
]  # fmt: skip

OUT_OF_FOLD_HERE = (
    "out of fold here; a published value of the patients that a model was fitted on is optimistic"
)
AS_FITTED = (APPARENT_AUC, THRESHOLD, *map(corrected, CORRECTED))
NO_MODEL = "no model"


@dataclass(frozen=True)
class Tables:
    """A study's tables that published numbers are looked up in.

    ``performance`` is by task and pathway, ``odds_ratios`` and ``subgroups`` by task, ``cascades`` by
    cascade.
    """

    performance: Mapping[str, pd.DataFrame]
    odds_ratios: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    subgroups: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    cascades: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Here:
    """What this study has for a published number; without an estimate ``note`` says why."""

    estimate: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    n: float = np.nan
    note: str = ""


def against_published(
    published: Iterable[Mapping[str, Any]], tables: Tables, synthetic: bool
) -> pd.DataFrame:
    """Set every published number beside ours, and keep those that we have nothing for.

    ``agrees`` is 1 when the published number lies within our interval, 0 when it does not, and
    missing when we have none. Training performance is out of fold, as the note says.
    """
    rows = []
    for number in published:
        here = _here(number, tables)
        inside = here.lower <= number["published"] <= here.upper
        rows.append(
            {
                **number,
                "here": here.estimate,
                "lower": here.lower,
                "upper": here.upper,
                "n": here.n,
                "agrees": int(inside) if pd.notna(here.lower) and pd.notna(here.upper) else None,
                "synthetic": int(synthetic),
                "subgroup": _subgroup_text(number),
                "note": "; ".join(part for part in (number.get("note", ""), here.note) if part),
            }
        )
    table = pd.DataFrame(rows).reindex(columns=PUBLISHED_COLUMNS)
    return table.astype({"n": "Int64", "agrees": "Int64"})


def _here(number: Mapping[str, Any], tables: Tables) -> Here:
    task = str(number["task"])
    if task in tables.cascades:
        return _of_cascade(number, tables.cascades[task])
    performance = tables.performance[task]
    if number["metric"] == ODDS_RATIO:
        return _of_odds_ratio(number, tables.odds_ratios[task], performance)
    if "subgroup" in number:
        return _of_subgroup(number, tables.subgroups[task], performance)
    rows = _of_model(performance, number)
    found = rows[rows["metric"] == number["metric"]]
    if found.empty or pd.isna(found["estimate"].iloc[0]):
        return Here(note=_why_not(rows, found, number))
    first = found.iloc[0]
    held_out = number["cohort"] == "train" and number["metric"] not in AS_FITTED
    return _of_row(first, "estimate", OUT_OF_FOLD_HERE if held_out else "")


def _of_odds_ratio(number: Mapping[str, Any], ratios: pd.DataFrame, performance: pd.DataFrame) -> Here:
    own = ratios[(ratios["model"] == number["model"]) & (ratios["analysis"] == "multivariable")]
    found = own[own["term"] == number["term"]].dropna(subset="odds_ratio")
    if found.empty and own.empty:
        return Here(note=_why_not(_of_model(performance, number), own, number))
    if found.empty:
        return Here(note=f"{number['term']} is not a term of the model here")
    # Wald's interval stands first and is the one that papers print.
    return _of_row(found.iloc[0], "odds_ratio", f"interval: {found['ci_method'].iloc[0].capitalize()}")


def _of_subgroup(number: Mapping[str, Any], subgroups: pd.DataFrame, performance: pd.DataFrame) -> Here:
    column, level = number["subgroup"]["column"], str(number["subgroup"]["level"])
    own = _of_model(subgroups, number)
    found = own[(own["variable"] == column) & (own["level"].map(_level) == level)]
    if own.empty:
        return Here(note=_why_not(_of_model(performance, number), own, number))
    if found.empty:
        return Here(note=f"no patient of {number['cohort']} has {column}: {level}")
    if pd.isna(found["auc"].iloc[0]):
        return Here(n=found["n"].iloc[0], note=_text(found["note"].iloc[0]))
    return _of_row(found.iloc[0], "auc", OUT_OF_FOLD_HERE if number["cohort"] == "train" else "")


def _of_cascade(number: Mapping[str, Any], table: pd.DataFrame) -> Here:
    level = str(number["subgroup"]["level"]) if "subgroup" in number else EVERYBODY
    found = table[
        (table["cohort"] == number["cohort"])
        & (table[CLASS].map(_level) == level)
        & (table["metric"] == number["metric"])
    ]
    if found.empty or pd.isna(found["estimate"].iloc[0]):
        noted = [*found["note"], *table["note"][table["cohort"].isna()]]
        return Here(note=next(filter(None, map(_text, noted)), f"no patient of {number['cohort']}"))
    return _of_row(found.iloc[0], "estimate", _text(found["note"].iloc[0]))


def _of_model(table: pd.DataFrame, number: Mapping[str, Any]) -> pd.DataFrame:
    return table[(table["model"] == number["model"]) & (table["cohort"] == number["cohort"])]


def _of_row(row: pd.Series, estimate: str, note: str) -> Here:
    return Here(row[estimate], row["lower"], row["upper"], row["n"], note)


def _why_not(rows: pd.DataFrame, found: pd.DataFrame, number: Mapping[str, Any]) -> str:
    """Say why there is no number: no patients, no such model, or what the number's own row says."""
    if rows.empty:
        return f"{number['cohort']} has no patient of known outcome whom {number['model']} scores"
    reasons = [note for note in rows["note"].map(_text) if note.startswith(NO_MODEL)]
    own = [] if found.empty else [_text(found["note"].iloc[0])]
    return next(filter(None, [*reasons, *own]), f"{number['metric']} is not computed here")


def _subgroup_text(number: Mapping[str, Any]) -> str | None:
    if "subgroup" not in number:
        return None
    return f"{number['subgroup']['column']}: {number['subgroup']['level']}"


def _level(value: object) -> str:
    """Write a level alike, whether it was read as text or as a number."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)
