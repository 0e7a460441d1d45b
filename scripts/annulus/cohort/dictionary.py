"""The data dictionary: what each column may hold, and reading a value of it.

A study may describe variables that the dictionary lacks. They stand in the environment, so that the jobs that
a process starts know them as well.
"""

import datetime
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from annulus.errors import StudyError

Value = str | float | None

# The environment variable with the studies' own variables, as JSON.
VARIABLES = "ANNULUS_VARIABLES"

# Types with limits, and types with levels.
NUMBERS = ("number", "integer")
LEVELLED = ("category", "ordinal")


@dataclass(frozen=True)
class Derivation:
    """How a column follows from others: those it takes, those it uses where they are there, and the rule."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]
    rule: str


@dataclass(frozen=True)
class Column:
    """One column of the data dictionary."""

    name: str
    type: str
    description: str
    required: bool = False
    unit: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    levels: tuple[str, ...] = ()
    scores: Mapping[str, float] | None = None
    derived: Derivation | None = None
    known: str = ""

    def read(self, text: str) -> Value:
        """Read a cell; ``None`` when it is empty. Raises ValueError saying what is allowed."""
        if text == "":
            return None
        if self.type in ("category", "ordinal"):
            return self._level(text)
        if self.type == "date":
            return self._date(text)
        if self.type == "text":
            return text
        return self._number(text)

    def _level(self, text: str) -> str:
        if text not in self.levels:
            raise ValueError(f"allowed are {', '.join(self.levels)}")
        return text

    def _date(self, text: str) -> str:
        try:
            return datetime.date.fromisoformat(text).isoformat()
        except ValueError:
            raise ValueError("a date as YYYY-MM-DD is expected") from None

    def _number(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            kind = "0 or 1" if self.type == "boolean" else "a number"
            raise ValueError(f"{kind} is expected") from None
        if self.type == "boolean" and number not in (0, 1):
            raise ValueError("0 or 1 is expected")
        if self.type == "integer" and not number.is_integer():
            raise ValueError("a whole number is expected")
        if not (math.isfinite(number) and self.minimum <= number <= self.maximum):
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(
                f"{self.minimum:g} to {self.maximum:g}{unit} is expected; "
                "leave the cell empty where the value is missing"
            )
        return int(number) if self.type in ("boolean", "integer") else number


def columns_of(table: str) -> dict[str, Column]:
    """Return the columns of one table of the dictionary, ``participants`` or ``images``.

    Those of participants include the variables that studies described themselves (:func:`know`).
    """
    own = os.environ.get(VARIABLES, "") if table == "participants" else ""
    return _columns(table, own)


def know(variables: Mapping[str, Mapping[str, Any]]) -> None:
    """Make a study's own variables known to this process and to the jobs that it starts.

    They stand beside those of other studies that were read before. Raises StudyError when one of these has
    a variable of the same name with another meaning.
    """
    if not variables:
        return
    known = json.loads(os.environ.get(VARIABLES) or "{}")
    for name, entry in variables.items():
        if name in known and _packed(known[name]) != _packed(entry):
            raise StudyError(
                f"variables.{name}: another study of this run describes {name} otherwise. Describe it alike "
                "in both, or choose another name."
            )
    os.environ[VARIABLES] = json.dumps({**known, **variables})


def digest_of(variables: Mapping[str, Mapping[str, Any]]) -> str:
    """Digest a study's own variables, for the jobs that must run again when one changes; empty for none."""
    return hashlib.sha256(_packed(variables).encode()).hexdigest()[:8] if variables else ""


def variable_contradictions(variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """List in words what is wrong with a study's own variables, whose keys a schema has checked."""
    ours, lines = _columns("participants", ""), list[str]()
    for name, entry in variables.items():
        key, kind = f"variables.{name}", entry["type"]
        if name in ours:
            lines.append(
                f"{key}: the data dictionary has this column ({ours[name].description}). Leave it out here, "
                "or choose another name."
            )
        levels, scores = list(map(str, entry.get("levels", ()))), entry.get("scores")
        if (kind in LEVELLED) != bool(levels):
            lines.append(
                f"{key}.levels: a {kind} needs them, the reference first."
                if kind in LEVELLED
                else f"{key}.levels: a {kind} has none; leave them out, or make it a category or ordinal."
            )
        if len(set(levels)) < len(levels):
            lines.append(f"{key}.levels: one stands there twice.")
        if kind == "ordinal" and set(map(str, scores or {})) != set(levels):
            lines.append(f"{key}.scores: an ordinal needs a number for each of {', '.join(levels)}.")
        if kind != "ordinal" and scores is not None:
            lines.append(f"{key}.scores: only an ordinal has them.")
        limits = [limit for limit in ("minimum", "maximum") if limit in entry]
        if limits and kind not in NUMBERS:
            lines.append(f"{key}: a {kind} has no {' and no '.join(limits)}.")
        if len(limits) == 2 and entry["minimum"] > entry["maximum"]:
            lines.append(
                f"{key}: the minimum {entry['minimum']:g} is above the maximum {entry['maximum']:g}."
            )
    return lines


@cache
def _columns(table: str, own: str) -> dict[str, Column]:
    content = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    entries = {**content[table], **(json.loads(own) if own else {})}
    return {name: column_of(name, entry) for name, entry in entries.items()}


def _packed(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def terms_of(column: Column) -> list[str]:
    """Name the terms of a variable: one, or one per level after the first of a category."""
    if column.type == "category":
        return [f"{column.name}[{level}]" for level in column.levels[1:]]
    if column.type in ("number", "integer", "boolean", "ordinal"):
        return [column.name]
    raise StudyError(
        f"{column.name}: a {column.type} cannot be a term of a model. Use a number, a boolean, an "
        "ordinal or a category of the data dictionary."
    )


def with_derived(present: Iterable[str], columns: Mapping[str, Column]) -> set[str]:
    """Return the columns that are present and those that can be derived from them, directly or not."""
    there = set(present)
    waiting = {name: c.derived for name, c in columns.items() if c.derived and name not in there}
    while found := {name for name, derived in waiting.items() if there.issuperset(derived.needed)}:
        there |= found
        waiting = {name: derived for name, derived in waiting.items() if name not in found}
    return there


def origins(name: str, columns: Mapping[str, Column]) -> set[str]:
    """Return a column and all that it is derived from, directly or not."""
    derived = columns[name].derived if name in columns else None
    parents = (*derived.needed, *derived.optional) if derived else ()
    return {name}.union(*(origins(parent, columns) for parent in parents))


def column_of(name: str, entry: Mapping[str, Any]) -> Column:
    """Read a column from its entry in a dictionary."""
    derived = entry.get("derived")
    if derived is not None:
        derived = Derivation(tuple(derived["from"]), tuple(derived.get("with", ())), derived["rule"])
    levels = tuple(map(str, entry.get("levels", ())))
    scores = {str(level): score for level, score in entry["scores"].items()} if "scores" in entry else None
    return Column(name=name, **{**entry, "levels": levels, "scores": scores, "derived": derived})


def entry_of(column: Column) -> dict[str, Any]:
    """Describe a column as a dictionary's entry: what its values are, not where they come from."""
    entry: dict[str, Any] = {"type": column.type, "description": column.description}
    if column.unit:
        entry["unit"] = column.unit
    limits = {"minimum": column.minimum, "maximum": column.maximum}
    entry |= {name: limit for name, limit in limits.items() if math.isfinite(limit)}
    if column.levels:
        entry["levels"] = list(column.levels)
    if column.scores:
        entry["scores"] = dict(column.scores)
    return entry
