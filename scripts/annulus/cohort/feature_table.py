"""A table of features that were extracted elsewhere: read, checked, and its columns put into groups.

Also used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake installs.
"""

import fnmatch
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annulus.cohort.checks import Problem
from annulus.cohort.dictionary import columns_of
from annulus.cohort.listing import Folder, RawTable, Row, first_of
from annulus.cohort.sources import mapped_columns, remaining_rows
from annulus.errors import StudyError

# Stands where the short name of an image stands in the columns of extracted features.
IMAGE = "table"

# Cells that stand for a missing value, in lower-case letters.
MISSING = {"", "na", "nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}

# Problems of one kind that are told one by one.
TOLD = 20

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class GivenFeature:
    """One feature of the table: its name there, its group, and the name of our column."""

    name: str
    group: str

    @property
    def column(self) -> str:
        """Name our column. It depends on nothing but the names, so that another table of them agrees."""
        clean = re.sub(r"[^A-Za-z0-9_.-]", "_", self.name)
        if clean != self.name:
            clean += f"_{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"
        return f"{IMAGE}_{self.group}_{clean}"


@dataclass(frozen=True)
class FeatureTable:
    """The features of a cohort's patients: values in the order of ``features``, NaN where missing.

    ``lost`` says by patient why there is none at all.
    """

    features: tuple[GivenFeature, ...]
    values: Mapping[str, Sequence[float]]
    lost: Mapping[str, str]


def read_feature_table(
    folder: str | Path,
    source: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
    participants: Mapping[str, Any],
    patients: Iterable[str],
    among: Folder | None = None,
) -> tuple[FeatureTable, list[Problem]]:
    """Read and check a cohort's feature table; returns the features of ``patients`` and the problems.

    ``source`` and ``participants`` are the keys ``features`` and ``participants`` of the cohort's file,
    ``groups`` the study's ``feature_groups``: patterns over the names of columns, of which the first group
    that fits counts. Raises StudyError when the table is not there or has no column of patients, when no
    column fits a group, or when a group takes a column that is no feature.
    """
    table = remaining_rows(folder, source, among or Folder(str(folder)))
    key = source["patient_id"]
    table.require([key], "names in features.patient_id")
    grouped, left = _grouped([name for name in table.columns if name != key], groups)
    _refuse_empty_groups(table, groups, grouped)
    _refuse_participants_columns(table, grouped, _taken(folder, source, participants))
    rows, problems = _rows_of_patients(table, key, sorted(set(patients)))
    problems += _left_out(table.name, left)
    numeric, texts = _without_texts(grouped, rows.values())
    problems += _told(
        [
            _warning(table.name, f.name, "text_column",
                     "No cell of the column is a number. It is no feature and is left out.")
            for f in texts
        ],
        "columns without a number",
    )  # fmt: skip
    values, wrong = _numbers(table.name, rows, numeric)
    found = {patient: row for patient, row in values.items() if not all(map(math.isnan, row))}
    lost = {
        patient: "no row in the feature table" if patient not in rows else "no value in the feature table"
        for patient in sorted(set(patients) - set(found))
    }
    # Cells that are wrong would be counted as missing.
    problems += wrong or _missing_and_constant(table.name, numeric, list(found.values()))
    return FeatureTable(tuple(numeric), found, lost), problems


def _grouped(
    names: Iterable[str], groups: Mapping[str, Sequence[str]]
) -> tuple[list[GivenFeature], list[str]]:
    """Return the features in order of the groups and the table, and the columns of no group."""
    members: dict[str, list[GivenFeature]] = {group: [] for group in groups}
    left = []
    for name in names:
        fitting = (g for g, patterns in groups.items() if any(fnmatch.fnmatchcase(name, p) for p in patterns))
        group = next(fitting, None)
        if group is None:
            left.append(name)
        else:
            members[group].append(GivenFeature(name, group))
    return [feature for group in members.values() for feature in group], left


def _refuse_empty_groups(
    table: RawTable, groups: Mapping[str, Sequence[str]], grouped: Iterable[GivenFeature]
) -> None:
    having = {feature.group for feature in grouped}
    for group, patterns in groups.items():
        if group not in having:
            raise StudyError(
                f"{table.name}: no column is left for the group {group!r}, whose patterns in feature_groups "
                f"are {', '.join(patterns)}. Capitals count, and a column is of the first group that fits. "
                f"The {len(table.columns)} columns are {first_of(table.columns, 20)}."
            )


def _taken(folder: str | Path, source: Mapping[str, Any], participants: Mapping[str, Any]) -> dict[str, str]:
    """Return what each column is for the participants, where these are read from the same file."""
    if (participants.get("file"), participants.get("sheet")) != (source["file"], source.get("sheet")):
        return {}
    return {theirs: ours for ours, theirs in mapped_columns(participants)}


def _refuse_participants_columns(
    table: RawTable, grouped: Iterable[GivenFeature], taken: Mapping[str, str]
) -> None:
    """Refuse outcomes and clinical variables among the features, where a wide pattern easily puts them."""
    dictionary = columns_of("participants")
    for feature in grouped:
        ours = taken.get(feature.name, feature.name if feature.name in dictionary else None)
        if ours is not None:
            raise StudyError(
                f"{table.name}: the group {feature.group!r} of feature_groups takes the column "
                f"{feature.name!r}, which is {ours} of the participants table and no feature; an outcome "
                "among the features would make every model look perfect. Narrow the group's patterns."
            )


def _rows_of_patients(
    table: RawTable, key: str, patients: Sequence[str]
) -> tuple[dict[str, Row], list[Problem]]:
    rows: dict[str, Row] = {}
    problems, strangers, wanted = list[Problem](), list[str](), set(patients)
    for row in table.rows:
        patient = row[key]
        if not patient:
            problems.append(
                Problem(table.name, row["_row"], key, "", "empty", "error",
                        "The row names no patient. Fill the cell, or remove the row.")
            )  # fmt: skip
        elif patient in rows:
            problems.append(
                Problem(table.name, row["_row"], key, patient, "duplicate_patient", "error",
                        f"Row {rows[patient]['_row']} is the same patient. Keep one row per patient.")
            )  # fmt: skip
        elif patient in wanted:
            rows[patient] = row
        else:
            strangers.append(patient)
    if strangers and not rows:
        raise StudyError(
            f"{table.name}: none of its patients ({first_of(strangers, 3)}) is in the participants table "
            f"({first_of(patients, 3)}). Write them alike, for example with pattern and replacement in "
            "participants.columns.patient_id of the cohort file."
        )
    if strangers:
        problems.append(
            Problem(table.name, "", key, first_of(strangers, 3), "unknown_patient", "warning",
                    f"{len(strangers)} patients are not in the participants table and are left out.")
        )  # fmt: skip
    return rows, problems


def _left_out(file: str, left: Sequence[str]) -> list[Problem]:
    if not left:
        return []
    count = "1 column fits" if len(left) == 1 else f"{len(left)} columns fit"
    return [_warning(file, first_of(left, 5), "no_group", f"{count} no group of feature_groups; left out.")]


def _without_texts(
    grouped: Iterable[GivenFeature], rows: Iterable[Row]
) -> tuple[list[GivenFeature], list[GivenFeature]]:
    """Part columns that hold some number, or nothing, from those of text throughout.

    A number with a decimal comma is not text: the columns of a whole table would vanish without a word.
    """
    numeric, texts, every = list[GivenFeature](), list[GivenFeature](), list(rows)
    for feature in grouped:
        cells = [row[feature.name] for row in every if row[feature.name].lower() not in MISSING]
        is_text = bool(cells) and not any(_number(c) is not None or DECIMAL_COMMA.fullmatch(c) for c in cells)
        (texts if is_text else numeric).append(feature)
    return numeric, texts


def _numbers(
    file: str, rows: Mapping[str, Row], features: Sequence[GivenFeature]
) -> tuple[dict[str, list[float]], list[Problem]]:
    """Read every cell of the features; NaN where it is missing or wrong."""
    values, wrong = dict[str, list[float]](), list[Problem]()
    for patient, row in rows.items():
        values[patient] = []
        for feature in features:
            number = _number(row[feature.name])
            if number is None:
                wrong.append(_wrong(file, row, feature.name))
            values[patient].append(math.nan if number is None else number)
    return values, _told(wrong, "cells that are no numbers")


def _number(text: str) -> float | None:
    """Read a cell: NaN where it is missing, None where it is no number."""
    if text.lower() in MISSING:
        return math.nan
    # Python would read 1_000 as 1000.
    if "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else math.nan


def _wrong(file: str, row: Row, column: str) -> Problem:
    text = row[column]
    remedy = "A number is expected. Correct it, or leave the cell empty where the value is missing."
    if DECIMAL_COMMA.fullmatch(text):
        remedy = f"A decimal point is expected: {text.replace(',', '.')}. Save the table with decimal points."
    return Problem(file, row["_row"], column, text, "feature_value", "error", remedy)


def _missing_and_constant(
    file: str, features: Sequence[GivenFeature], rows: Sequence[Sequence[float]]
) -> list[Problem]:
    gaps, constants = list[Problem](), list[Problem]()
    for place, feature in enumerate(features):
        column = [row[place] for row in rows]
        known = [value for value in column if not math.isnan(value)]
        lacking = len(column) - len(known)
        if lacking:
            gaps.append(
                _warning(file, feature.name, "missing_feature",
                         f"{lacking} of {len(column)} patients have no value (empty, NA, NaN or inf).")
            )  # fmt: skip
        if known and min(known) == max(known):
            constants.append(
                _warning(file, feature.name, "constant_feature", f"Every patient has {known[0]:g}.")
            )
    return _told(gaps, "columns with missing values") + _told(constants, "columns that do not vary")


def _told(problems: Sequence[Problem], what: str) -> list[Problem]:
    """Keep the first problems of a kind, and say how many there are."""
    if len(problems) <= TOLD:
        return list(problems)
    first = problems[0]
    rest = Problem(
        first.file, "", "", "", first.rule, first.severity,
        f"These are the first {TOLD} of {len(problems)} {what}.",
    )  # fmt: skip
    return [*problems[:TOLD], rest]


def _warning(file: str, column: str, rule: str, message: str) -> Problem:
    return Problem(file, "", column, "", rule, "warning", message)
