"""Check a cohort's two tables against the data dictionary, and say everything that is wrong.

Also used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake installs.
"""

import csv
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annulus.cohort.dictionary import Column, Value, columns_of, with_derived
from annulus.cohort.files import listed
from annulus.cohort.listing import Folder, Row
from annulus.cohort.sources import MANIFEST_DEFAULTS, UNMAPPED, read_source
from annulus.errors import StudyError

# A mask has both of these, and an image without a mask has neither.
MASK_COLUMNS = ("mask_path", "mask_role")

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
    people = _read_table(participants_file, participants_source, folder, among)
    patients, problems = check_participants(
        participants_file,
        people,
        columns_of("participants"),
        needed,
        participants_file == images_file,
        hidden,
    )
    if images_file is not None and images_source is not None:
        rows = _read_table(images_file, images_source, folder, among)
        known = {str(patient["patient_id"]) for patient in patients}
        problems += check_manifest(images_file, folder, rows, columns_of("images"), known)
    return patients, problems


def _read_table(file: str, source: Mapping[str, Any], folder: str, among: Folder) -> list[Row]:
    if "file" in source or "files" in source:
        return read_source(folder, source, among)
    return read_source(Path(file).parent, {**source, "file": Path(file).name})


def check_participants(
    file: str,
    rows: list[Row],
    columns: Mapping[str, Column],
    needed: Iterable[str],
    several_rows: bool = False,
    hidden: Collection[str] = (),
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Read participants, one per patient.

    With ``several_rows`` (one table holds a row per image) a patient's rows must agree. ``needed`` are
    the columns that the study uses. Cells of ``hidden`` columns are not read. Returns the patients in order
    of their id, and the problems.
    """
    problems = list(_check_header(file, rows, columns, needed))
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
    if not patients:
        problems.append(
            Problem(file, "", "patient_id", "", "no_patients", "error", "There is no patient in it.")
        )
    return [patients[patient] for patient in sorted(patients)], problems


def check_manifest(
    file: str, folder: str, rows: list[Row], columns: Mapping[str, Column], patients: set[str]
) -> list[Problem]:
    """Check the image manifest: its cells, its patients, doubled rows and files that are not there."""
    problems = list(_check_header(file, rows, columns, _mask_columns(rows)))
    seen: dict[tuple[str, ...], str] = {}
    first_rows: dict[tuple[str, ...], Row] = {}
    for row in rows:
        problems += _read_row(file, row, columns)[1]
        problems += _check_mask(file, row)
        problems += _check_links(file, folder, row, patients)
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
    return problems


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
    """Raise StudyError listing every error among ``problems``, which are then also written to ``file``."""
    found = list(problems)
    errors = [problem for problem in found if problem.severity == "error"]
    if not errors:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, PROBLEM_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(map(vars, found))
    lines = [
        f"{p.file}, row {p.row or '-'}, column {p.column or '-'}, value {p.value!r}: {p.message}"
        for p in errors
    ]
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    raise StudyError(
        f"The cohort has {count} (also in {file}); no image was read. Mend them and run again:\n"
        + "\n".join(lines)
    )


def _check_header(
    file: str, rows: list[Row], columns: Mapping[str, Column], needed: Iterable[str]
) -> Iterator[Problem]:
    present = [name for name in (rows[0] if rows else {}) if name != "_row"]
    for name in present:
        if name not in columns and not name.endswith("_missing_reason"):
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            yield Problem(
                file, "1", name, "", "unknown_column", "warning",
                f"The column is not in the data dictionary and is ignored.{hint}",
            )  # fmt: skip
    required = {name for name, column in columns.items() if column.required} | set(needed)
    for name in sorted(required - with_derived(present, columns)):
        parents = columns[name].derived if name in columns else None
        instead = f", or what it is derived from ({', '.join(parents.needed)})" if parents else ""
        yield Problem(
            file, "1", name, "", "missing_column", "error",
            f"The study needs this column. Add it{instead}, or map it in the cohort file.",
        )  # fmt: skip


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
                        "The cohort file's mapping does not know this value. Add it there.")
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


def _check_links(file: str, folder: str, row: Row, patients: set[str]) -> Iterator[Problem]:
    patient = row.get("patient_id", "")
    if patient and patient not in patients:
        yield Problem(
            file, row["_row"], "patient_id", patient, "unknown_patient", "error",
            "The patient is not in the participants table.",
        )  # fmt: skip
    for name in ("image_path", "mask_path"):
        for path in listed(row.get(name, "")):
            # A folder stands for the DICOM series in it.
            if not path.startswith(UNMAPPED) and not Path(folder, path).exists():
                yield Problem(
                    file, row["_row"], name, path, "missing_file", "warning",
                    f"There is no such file in {folder}; the image is excluded at quality control.",
                )  # fmt: skip
