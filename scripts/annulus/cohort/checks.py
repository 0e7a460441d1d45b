"""Check a cohort's two tables against the data dictionary, and say everything that is wrong.

Also used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake installs.
"""

import csv
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annulus.cohort.advice import advice_on
from annulus.cohort.dictionary import Column, Value, columns_of, with_derived
from annulus.cohort.files import listed
from annulus.cohort.listing import WORKBOOKS, Folder, RawTable, Row
from annulus.cohort.sources import MANIFEST_DEFAULTS, UNMAPPED, read_table
from annulus.errors import StudyError, nearest

# A mask has both of these, and an image without a mask has neither.
MASK_COLUMNS = ("mask_path", "mask_role")

# More unknown columns than these are somebody's features, told in one line.
MOST_UNKNOWN = 10

PROBLEM_COLUMNS = ["file", "row", "column", "value", "rule", "severity", "message"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input, where it is, and what to do."""

    file: str
    row: str
    column: str
    value: str
    rule: str
    severity: str
    message: str


def check_cohort(
    participants_file: str,
    participants_source: Mapping[str, Any],
    images_file: str | None,
    images_source: Mapping[str, Any] | None,
    folder: str,
    needed: Iterable[str],
    among: Folder | None = None,
    hidden: Collection[str] = (),
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Read and check a cohort's tables; returns the participants and the problems.

    The sources say how their columns become ours, and where in ``folder`` they lie when that is not a
    file of the name given; ``among`` is the folder's listing, where it has been looked through already.
    ``hidden`` columns of participants must be there when needed, but their cells are not read. A cohort
    without an image file is simulated, and its images do not exist yet. Raises StudyError when a table
    itself is not there.
    """
    among = among or Folder(folder)
    columns = columns_of("participants")
    read = set(columns).difference(hidden)
    people = _read(participants_file, participants_source, folder, among, read)
    patients, problems = check_participants(
        participants_file,
        people.rows,
        columns,
        needed,
        participants_file == images_file,
        hidden,
        people,
    )
    # Without patients, every image would be told to have an unknown one.
    if patients and images_file is not None and images_source is not None:
        columns = columns_of("images")
        pictures = _read(images_file, images_source, folder, among, columns)
        known = {str(patient["patient_id"]) for patient in patients}
        problems += check_manifest(images_file, folder, pictures.rows, columns, known, pictures)
    return patients, problems


def _read(
    file: str, source: Mapping[str, Any], folder: str, among: Folder, columns: Collection[str]
) -> RawTable:
    def known(name: str) -> bool:
        return name in columns or name.endswith("_missing_reason")

    if "file" in source or "files" in source:
        return read_table(folder, source, among, known)
    return read_table(Path(file).parent, {**source, "file": Path(file).name}, known=known)


def check_participants(
    file: str,
    rows: list[Row],
    columns: Mapping[str, Column],
    needed: Iterable[str],
    several_rows: bool = False,
    hidden: Collection[str] = (),
    table: RawTable | None = None,
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Read participants, one per patient.

    With ``several_rows`` (one table holds a row per image) a patient's rows must agree. ``needed`` are
    the columns that the study uses. Cells of ``hidden`` columns are not read. ``table`` is what the rows
    are of, where they hold known columns alone. Returns the patients in order of their id, and the problems.
    """
    if not rows:
        return [], [
            Problem(file, "", "patient_id", "", "no_patients", "error",
                    "There is no patient in it. Fill in a row per patient, or name another file in the "
                    "cohort file.")
        ]  # fmt: skip
    problems = list(_check_header(file, table or _as_table(rows), columns, needed))
    read = {name: column for name, column in columns.items() if name not in hidden}
    patients: dict[str, dict[str, Value]] = {}
    lines: dict[str, str] = {}
    for row in rows:
        values, wrong = _read_row(file, row, read)
        problems += wrong
        patient = row.get("patient_id", "")
        if patient in patients and not several_rows:
            problems.append(
                Problem(file, row["_row"], "patient_id", patient, "duplicate_patient", "error",
                        f"Row {lines[patient]} is the same patient. Keep one row per patient.")
            )  # fmt: skip
        elif patient in patients:
            problems += _disagreements(file, row, patients[patient], values, lines[patient])
        elif patient:
            patients[patient], lines[patient] = values, row["_row"]
    problems += _similar_patients(file, lines)
    return [patients[patient] for patient in sorted(patients)], _advised(problems, rows, columns)


def check_manifest(
    file: str,
    folder: str,
    rows: list[Row],
    columns: Mapping[str, Column],
    patients: set[str],
    table: RawTable | None = None,
) -> list[Problem]:
    """Check the image manifest: its cells, its patients, doubled rows and files that are not there.

    ``table`` is what the rows are of, where they hold known columns alone.
    """
    if not rows:
        return [
            Problem(file, "", "image_id", "", "no_images", "error",
                    "There is no image in it. Fill in a row per image, or name another file in the "
                    "cohort file.")
        ]  # fmt: skip
    problems = list(_check_header(file, table or _as_table(rows), columns, _mask_columns(rows)))
    alike = {_plain(patient): patient for patient in patients}
    seen: dict[tuple[str, ...], str] = {}
    first_rows: dict[tuple[str, ...], Row] = {}
    for row in rows:
        problems += _read_row(file, row, columns)[1]
        problems += _check_mask(file, row)
        problems += _check_links(file, folder, row, patients, alike)
        problems += _check_source(file, row, first_rows)
        filled = {key: row.get(key) or default for key, default in MANIFEST_DEFAULTS.items()}
        key = (
            row.get("patient_id", ""),
            filled["timepoint"],
            row.get("image_id", ""),
            row.get("mask_role", ""),
            filled["rater"],
            filled["lesion"],
        )
        if key in seen:
            problems.append(
                Problem(
                    file, row["_row"], "image_id", key[2], "duplicate_image", "error",
                    f"Row {seen[key]} has the same patient, timepoint, image, mask role, rater and "
                    "lesion. Remove one, or give each its own image_id, rater or lesion.",
                )
            )  # fmt: skip
        seen.setdefault(key, row["_row"])
    with_images = {row.get("patient_id", "") for row in rows}
    problems += [
        Problem(file, "", "patient_id", patient, "patient_without_image", "warning",
                "The patient has no image and is left out.")
        for patient in sorted(patients - with_images)
    ]  # fmt: skip
    return _advised(problems, rows, columns)


def refuse_empty_cohorts(patients: Iterable[Mapping[str, Value]], plan: Mapping[str, Any]) -> None:
    """Raise StudyError when a cohort of a split by column has none of the patients.

    ``plan`` is the study's ``split``. Said here because the split itself comes after every feature.
    """
    if plan["by"] != "column":
        return
    present = {str(patient.get(plan["column"])) for patient in patients}
    for name, values in plan["cohorts"].items():
        if not present & set(map(str, values)):
            raise StudyError(
                f"split.cohorts.{name}: no patient has {plan['column']} {' or '.join(map(str, values))}. "
                f"The participants table has {', '.join(sorted(present))}."
            )


def refuse_errors(problems: Iterable[Problem], file: Path) -> None:
    """Raise StudyError with every kind of error among ``problems``, which are all written to ``file``.

    A mistake that many rows of a column share is told once, with the first of them and their number.
    """
    found = list(problems)
    errors = [problem for problem in found if problem.severity == "error"]
    if not errors:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, PROBLEM_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(map(vars, found))
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    raise StudyError(
        f"The cohort has {count} (also in {file}); no image was read. Mend them and run again:\n"
        + "\n".join(error_lines(errors))
    )


def error_lines(problems: Iterable[Problem]) -> list[str]:
    """Write a line for each kind of mistake in a column: where it first is, in how many rows, what to do."""
    kinds: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        # Other messages name the row's own patient or values, so only those of cells tell kinds apart.
        kind = problem.message if problem.rule == "value" else ""
        kinds.setdefault((problem.file, problem.column, problem.rule, kind), []).append(problem)
    return [_line(same[0], len(same) - 1) for same in kinds.values()]


def _line(first: Problem, others: int) -> str:
    rows = "row" if others == 1 else "rows"
    more = f" (and {others} more {rows if first.row else 'like it'})" if others else ""
    return (
        f"{first.file}, row {first.row or '-'}{more}, column {first.column or '-'}, value {first.value!r}: "
        f"{first.message}"
    )


def _as_table(rows: list[Row]) -> RawTable:
    return RawTable("", tuple(name for name in rows[0] if name != "_row"), rows)


def _check_header(
    file: str, table: RawTable, columns: Mapping[str, Column], needed: Iterable[str]
) -> Iterator[Problem]:
    unknown = [name for name in table.columns if name not in columns and not name.endswith("_missing_reason")]
    if len(unknown) > MOST_UNKNOWN:
        yield Problem(
            file, "1", unknown[0], "", "unknown_column", "warning",
            f"{len(unknown)} columns are not in the data dictionary and are ignored, among them "
            f"{', '.join(unknown[:3])}. Map those that the study needs in the cohort file.",
        )  # fmt: skip
    else:
        for name in unknown:
            yield Problem(
                file, "1", name, "", "unknown_column", "warning",
                f"The column is not in the data dictionary and is ignored{nearest(name, list(columns))}.",
            )  # fmt: skip
    required = {name for name, column in columns.items() if column.required} | set(needed)
    for name in sorted(required - with_derived(table.columns, columns)):
        parents = columns[name].derived if name in columns else None
        instead = f", or what it is derived from ({', '.join(parents.needed)})" if parents else ""
        yield Problem(
            file, "1", name, "", "missing_column", "error",
            f"The study needs this column{_candidate(name, unknown, table)}. Add it{instead}, or map it in "
            "the cohort file.",
        )  # fmt: skip


def _candidate(name: str, unknown: list[str], table: RawTable) -> str:
    """Name the column of the table that may be the missing one."""
    if name in table.unmapped:
        return "; the table has it, but columns in the cohort file does not name it"
    there = {other.casefold(): other for other in (*unknown, *table.unmapped)}
    near = difflib.get_close_matches(name, there, n=1)
    return f" (is it {there[near[0]]!r} of the table?)" if near else ""


def _plain(patient: str) -> str:
    return "".join(patient.split()).casefold()


def _similar_patients(file: str, lines: Mapping[str, str]) -> Iterator[Problem]:
    """Name patients whose ids differ only in capitals or blanks; ``lines`` are their rows."""
    first: dict[str, str] = {}
    for patient, row in lines.items():
        other = first.setdefault(_plain(patient), patient)
        if other != patient:
            yield Problem(
                file, row, "patient_id", patient, "similar_patient", "warning",
                f"Row {lines[other]} has {other!r}, which differs only in capitals or blanks. If both are "
                "the same patient, keep one row.",
            )  # fmt: skip


def _advised(problems: list[Problem], rows: list[Row], columns: Mapping[str, Column]) -> list[Problem]:
    """Add to the problems of cells what may be done about them, told from their whole column."""
    wrong: dict[str, list[str]] = {}
    for problem in problems:
        if problem.rule == "value":
            wrong.setdefault(problem.column, []).append(problem.value)
    if not wrong:
        return problems
    in_workbook = Path(problems[0].file).suffix.lower() in WORKBOOKS
    advice = {
        name: advice_on(columns[name], texts, _filled(rows, name), in_workbook)
        for name, texts in wrong.items()
    }
    return [
        replace(problem, message=f"{problem.message} {advice[problem.column](problem.value)}".rstrip())
        if problem.rule == "value"
        else problem
        for problem in problems
    ]


def _filled(rows: Sequence[Row], name: str) -> list[str]:
    return [text for row in rows if (text := row.get(name, "")) and not text.startswith(UNMAPPED)]


def _read_row(file: str, row: Row, columns: Mapping[str, Column]) -> tuple[dict[str, Value], list[Problem]]:
    values: dict[str, Value] = {}
    problems = []
    for name, column in columns.items():
        if name not in row:
            continue
        text = row[name]
        if text.startswith(UNMAPPED):
            problems.append(
                Problem(file, row["_row"], name, text.removeprefix(UNMAPPED), "unmapped", "error",
                        "The cohort file's mapping (pattern, values, factor or decimal) does not know this "
                        "value. Add it there, or correct the cell.")
            )  # fmt: skip
            continue
        try:
            values[name] = column.read(text)
        except ValueError as error:
            values[name] = None
            problems.append(
                Problem(file, row["_row"], name, text, "value", "error",
                        f"The value is not allowed: {error}.")
            )  # fmt: skip
        if column.required and text == "":
            problems.append(
                Problem(file, row["_row"], name, "", "empty", "error",
                        "The cell must not be empty.")
            )  # fmt: skip
    return values, problems


def _disagreements(
    file: str, row: Row, first: dict[str, Value], second: dict[str, Value], first_row: str
) -> Iterator[Problem]:
    for name, value in second.items():
        if value != first.get(name):
            yield Problem(
                file, row["_row"], name, str(value), "patient_disagrees", "error",
                f"Row {first_row} of the same patient says {first.get(name)!r}.",
            )  # fmt: skip


def _mask_columns(rows: list[Row]) -> tuple[str, ...]:
    return MASK_COLUMNS if rows and any(name in rows[0] for name in MASK_COLUMNS) else ()


def _check_mask(file: str, row: Row) -> Iterator[Problem]:
    given = [name for name in MASK_COLUMNS if row.get(name)]
    if len(given) == 1:
        missing = next(name for name in MASK_COLUMNS if name not in given)
        if missing in row:
            yield Problem(
                file, row["_row"], missing, "", "empty", "error",
                f"The cell must not be empty where {given[0]} is given.",
            )  # fmt: skip


def _check_source(file: str, row: Row, first_rows: dict[tuple[str, ...], Row]) -> Iterator[Problem]:
    """Hold a row against the first of the same image, which must have the same file and series."""
    timepoint = row.get("timepoint") or MANIFEST_DEFAULTS["timepoint"]
    first = first_rows.setdefault((row.get("patient_id", ""), timepoint, row.get("image_id", "")), row)
    for name in ("image_path", "series_uid"):
        own, other = row.get(name, ""), first.get(name, "")
        if row.get("image_id") and own != other:
            yield Problem(
                file, row["_row"], name, own, "image_disagrees", "error",
                f"Row {first['_row']} has the same patient, timepoint and image_id, but {other!r} here. Give "
                f"each image its own image_id, or its rows the same {name}.",
            )  # fmt: skip


def _check_links(
    file: str, folder: str, row: Row, patients: set[str], alike: Mapping[str, str]
) -> Iterator[Problem]:
    patient = row.get("patient_id", "")
    if patient and patient not in patients:
        near = alike.get(_plain(patient))
        hint = f", which has {near!r}" if near else ""
        yield Problem(
            file, row["_row"], "patient_id", patient, "unknown_patient", "error",
            f"The patient is not in the participants table{hint}. Add the patient there, or correct the id.",
        )  # fmt: skip
    for name in ("image_path", "mask_path"):
        for path in listed(row.get(name, "")):
            # A folder stands for the DICOM series in it.
            if not path.startswith(UNMAPPED) and not Path(folder, path).exists():
                yield Problem(
                    file, row["_row"], name, path, "missing_file", "warning",
                    f"There is no such file in {folder}; the image is excluded at quality control.",
                )  # fmt: skip
