"""Where patients come from: a cohort's own tables turned into ours, row by row.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annulus.errors import StudyError

Row = dict[str, str]

# Stands before a value that a cohort file's mapping does not know.
UNMAPPED = "?unmapped: "

# Empty manifest cells that have one obvious meaning.
MANIFEST_DEFAULTS = {"timepoint": "baseline", "view": "na", "rater": "1"}


def read_source(folder: str | Path, table: Mapping[str, Any]) -> list[Row]:
    """Read one of a cohort's tables in our columns, with its line number in ``_row``.

    Raises StudyError when the file or a mapped column is not there, or the file is not UTF-8. Values
    that the mapping does not know are kept behind ``UNMAPPED``, so that the check of the cohort names
    them all.
    """
    path = Path(folder) / table["file"]
    if not path.is_file():
        raise StudyError(
            f"{path}: there is no such file. Set the cohort's folder, in its file in "
            "config/cohorts/ or with --config cohort_folder=PLACE."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: it is not UTF-8 (byte {error.start}). Save it as CSV in UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    theirs = reader.fieldnames or []
    mapping = table.get("columns") or {name: name for name in theirs}
    _refuse_unknown(path, mapping, theirs)
    return [_our_row(line, number, mapping) for number, line in enumerate(reader, start=2)]


def manifest_rows(rows: Iterable[Row], known_patients: Iterable[str]) -> list[Row]:
    """Return the manifest's rows of known patients, with the obvious defaults filled in.

    Rows without a patient or an image id are left to the check of the cohort.
    """
    known = set(known_patients)
    return [
        {
            **{key: value for key, value in row.items() if key != "_row"},
            **{key: row.get(key) or default for key, default in MANIFEST_DEFAULTS.items()},
        }
        for row in rows
        if row.get("patient_id") in known and row.get("image_id")
    ]


def used_rows(rows: Iterable[Row], images: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the manifest rows of images that a study uses, with the study's name for them in ``image``.

    Raises StudyError when one of the study's images has no row at all.
    """
    every = list(rows)
    used = [
        {**row, "image": name}
        for row in every
        for name, wanted in images.items()
        if row.get("modality") == wanted["modality"]
        and row.get("series") == wanted["series"]
        and wanted.get("view") in (None, row["view"])
    ]
    for name in images:
        if not any(row["image"] == name for row in used):
            kinds = {(row.get("modality"), row.get("series"), row["view"]) for row in every}
            raise StudyError(
                f"images.{name}: no row of the image manifest has its modality, series and view. The "
                f"manifest has {'; '.join(' '.join(map(str, kind)) for kind in sorted(kinds)) or 'no rows'}."
            )
    return used


def image_stem(row: Mapping[str, str], *more: str) -> str:
    """Name files after an image (and what of it), safely for any id; different ids never meet."""
    parts = (row["patient_id"], row["timepoint"], row["image_id"], *more)
    readable = re.sub(r"[^A-Za-z0-9_.-]", "-", "_".join(parts)).lstrip(".")
    return f"{readable}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def chunk_of(patient_id: str, chunks: int) -> str:
    """Name the chunk of a patient from the id alone, so that no other patient can move it."""
    number = int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % chunks
    return f"{number:04d}"


def chunked(rows: Iterable[Row], chunks: int) -> dict[str, list[Row]]:
    """Share manifest rows over chunks by patient; rows of a chunk are sorted, order never matters."""
    shares: dict[str, list[Row]] = {}
    for row in rows:
        shares.setdefault(chunk_of(row["patient_id"], chunks), []).append(row)
    return {name: sorted(shares[name], key=_row_key) for name in sorted(shares)}


def _row_key(row: Row) -> tuple[str, ...]:
    keys = ("patient_id", "timepoint", "image_id", "mask_role", "rater", "mask_path")
    return tuple(row.get(key, "") for key in keys)


def _refuse_unknown(path: Path, mapping: Mapping[str, Any], theirs: Iterable[str]) -> None:
    wanted = {
        spec if isinstance(spec, str) else spec.get("from")
        for spec in mapping.values()
        if isinstance(spec, str) or "from" in spec
    }
    missing = sorted(wanted - set(theirs))
    if missing:
        raise StudyError(
            f"{path}: it has no column {', '.join(map(repr, missing))}, which the cohort file maps. "
            f"Its columns are {', '.join(theirs)}."
        )


def _our_row(line: Row, number: int, mapping: Mapping[str, Any]) -> Row:
    return {"_row": str(number)} | {ours: _value(line, spec) for ours, spec in mapping.items()}


def _value(line: Row, spec: str | Mapping[str, Any]) -> str:
    if isinstance(spec, str):
        return (line[spec] or "").strip()
    if "constant" in spec:
        return str(spec["constant"])
    theirs = (line[spec["from"]] or "").strip()
    if "values" in spec:
        known = {str(key): str(value) for key, value in spec["values"].items()}
        return known.get(theirs, UNMAPPED + theirs if theirs else "")
    if "pattern" in spec:
        found = re.fullmatch(spec["pattern"], theirs)
        if found:
            return found.expand(spec["replacement"])
        return UNMAPPED + theirs if theirs else ""
    return theirs
