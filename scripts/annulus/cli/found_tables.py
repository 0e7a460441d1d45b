"""What someone else's table holds: which column is the patient, which the outcome, which belong together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annulus.cohort.dictionary import Column, columns_of
from annulus.cohort.listing import Folder, RawTable, raw_table
from annulus.errors import StudyError, nearest

# Names of the column of patients, without capitals, blanks and marks, the likeliest first.
PATIENT_NAMES = (
    "patientid", "patient", "id", "pid", "caseid", "case", "subjectid", "subject", "patientnumber", "studyid",
)  # fmt: skip

OUTCOME_NAMES = (
    "target", "outcome", "event", "label", "class", "malignant", "pathology", "diagnosis", "status", "y",
)  # fmt: skip

# Fewer columns than this make no group of their own, and more groups than this no study.
LEAST_COLUMNS = 3
MOST_GROUPS = 12


@dataclass(frozen=True)
class FoundTable:
    """A table as it was found, with the column of its patients."""

    path: Path
    columns: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]
    patient: str

    def values(self, column: str) -> tuple[str, ...]:
        """Return the values that a column has, in order, without the empty one."""
        return tuple(sorted(set(self.cells[column]) - {""}))

    def require(self, column: str) -> None:
        """Raise StudyError, naming the nearest column, when there is no such column."""
        if column not in self.cells:
            known = list(self.columns)
            shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise StudyError(
                f"{self.path}: it has no column {column!r}{nearest(column, known)}. It has {shown}."
            )


@dataclass(frozen=True)
class Outcome:
    """An outcome column, its values by what they count as, and what the study calls it.

    ``known`` says that the data dictionary has a column of this name, so that the study need not describe it.
    """

    column: str
    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    known: bool
    others: tuple[str, ...] = ()


def find_table(path: Path, patient: str | None) -> FoundTable:
    """Read a table and find its column of patients; raises StudyError where it is not there or empty."""
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file.")
    raw = raw_table(path.parent, {"file": path.name}, Folder(str(path.parent)))
    if not raw.rows:
        raise StudyError(f"{path}: there is no row in it.")
    cells = {name: tuple(row[name] for row in raw.rows) for name in raw.columns}
    found = FoundTable(path, raw.columns, cells, patient or _patient_column(raw, cells))
    found.require(found.patient)
    return found


def find_outcome(table: FoundTable, column: str, positive: Sequence[str], negative: Sequence[str]) -> Outcome:
    """Settle what counts as the event; without ``negative``, the one other value does not.

    Raises StudyError where values are not in the column, or it cannot be told which are negative.
    """
    table.require(column)
    return settle_outcome(str(table.path), column, table.values(column), positive, negative)


def settle_outcome(
    where: str, column: str, values: Sequence[str], positive: Sequence[str], negative: Sequence[str]
) -> Outcome:
    """Settle what values of an outcome count as; see :func:`find_outcome`."""
    shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
    for value in (*positive, *negative):
        if value not in values:
            raise StudyError(f"{where}, column {column}: no cell is {value!r}. Its values are {shown}.")
    rest = tuple(value for value in values if value not in positive)
    if not negative and len(rest) != 1:
        raise StudyError(
            f"{where}, column {column}: its values are {shown}. Say with --negative which are no event."
        )
    if both := set(positive) & set(negative):
        raise StudyError(
            f"{where}, column {column}: {', '.join(sorted(both))} is both positive and negative."
        )
    against = tuple(negative) or rest
    name, known = outcome_name(column)
    others = tuple(value for value in rest if value not in against)
    return Outcome(column, name, tuple(positive), against, known, others)


def outcome_name(column: str) -> tuple[str, bool]:
    """Return what the study calls an outcome, and whether the data dictionary knows it as yes or no."""
    dictionary, name = columns_of("participants"), plain_name(column)
    if name not in dictionary:
        return name, False
    return (name, True) if dictionary[name].type == "boolean" else (f"outcome_{name}", False)


def likely_outcome(table: FoundTable) -> str | None:
    """Return the column that is most likely the outcome, to be offered and never taken unasked."""
    two = [name for name in table.columns if name != table.patient and len(table.values(name)) == 2]
    named = [name for word in OUTCOME_NAMES for name in two if _bare(name) == word]
    return next(iter(named or two), None)


def known_columns(table: FoundTable, without: Sequence[str]) -> list[str]:
    """Return the columns that bear a name of the data dictionary and whose cells all fit it."""
    dictionary = columns_of("participants")
    return [
        name
        for name in table.columns
        if name in dictionary and name not in without and _fits(table, name, dictionary[name])
    ]


def feature_columns(table: FoundTable, without: Sequence[str]) -> list[str]:
    """Return the columns of numbers that may be features."""
    return [name for name in table.columns if name not in without and _is_number(table, name)]


def probability_columns(table: FoundTable, without: Sequence[str]) -> list[str]:
    """Return the columns whose numbers all lie from 0 to 1 and are not just 0 and 1."""
    return [
        name
        for name in feature_columns(table, without)
        if all(0 <= float(value) <= 1 for value in table.values(name))
        and not {float(value) for value in table.values(name)} <= {0.0, 1.0}
    ]


def feature_groups(columns: Sequence[str]) -> dict[str, list[str]]:
    """Group columns by what stands before their first ``_``, or after their last, as patterns by group.

    The way that yields fewer groups, but more than one, is taken. Columns of small groups stand by name in
    the group ``others``; where there are too many groups, or just one, all columns are of the group ``all``.
    """
    ways = [_groups(columns, before=True), _groups(columns, before=False)]
    fitting = [way for way in ways if 1 < len(way) <= MOST_GROUPS]
    if not fitting:
        return {"all": [escaped(name) for name in columns]}
    return min(fitting, key=len)


def plain_name(text: str) -> str:
    """Return a name that keys of the configuration may have: lower-case letters, digits and ``_``."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if re.match("[a-z]", name) else f"x_{name}".rstrip("_")


def escaped(name: str) -> str:
    """Return a pattern that a column's own name fits; marks of patterns become any one character."""
    return re.sub(r"[*?\[\]]", "?", name)


def _groups(columns: Sequence[str], before: bool) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for column in columns:
        part = column.partition("_")[0] if before else column.rpartition("_")[2]
        members.setdefault(part if "_" in column else "", []).append(column)
    groups: dict[str, list[str]] = {}
    others = members.pop("", [])
    for part, names in members.items():
        group = plain_name(part).replace("_", "")
        if len(names) < LEAST_COLUMNS or group == "others":
            others += names
        else:
            groups.setdefault(group, []).append(f"{escaped(part)}_*" if before else f"*_{escaped(part)}")
    if others:
        groups["others"] = [escaped(name) for name in others]
    return groups


def _patient_column(raw: RawTable, cells: Mapping[str, tuple[str, ...]]) -> str:
    named = [name for word in PATIENT_NAMES for name in raw.columns if _bare(name) == word]
    whole = [name for name in named if len(set(cells[name])) == len(cells[name]) and "" not in cells[name]]
    if whole or named:
        return (whole or named)[0]
    raise StudyError(
        f"{raw.name}: no column is named like a patient's id. Say which one is, with --patient COLUMN. It "
        f"has {', '.join(raw.columns[:20])}{', ...' if len(raw.columns) > 20 else ''}."
    )


def _fits(table: FoundTable, name: str, column: Column) -> bool:
    try:
        for value in table.values(name):
            column.read(value)
    except ValueError:
        return False
    return True


def _is_number(table: FoundTable, name: str) -> bool:
    try:
        numbers = [float(value) for value in table.values(name)]
    except ValueError:
        return False
    return len(numbers) > 0


def _bare(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
