"""Where patients come from: a cohort's own tables turned into ours, row by row.

Used while Snakemake reads the workflow, so it needs the standard library and the data dictionary alone.
"""

import glob
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation, localcontext
from operator import itemgetter
from pathlib import Path
from typing import Any

from annulus.cohort.dictionary import columns_of
from annulus.cohort.files import SEVERAL
from annulus.cohort.listing import Folder, RawTable, Row, compiled, decimal_text, every_column, raw_table
from annulus.errors import StudyError

# Stands before a value that a cohort file's mapping does not know.
UNMAPPED = "?unmapped: "

# Empty manifest cells that have one obvious meaning.
MANIFEST_DEFAULTS = {"timepoint": "baseline", "view": "na", "rater": "1", "lesion": "1"}

# A group in a replacement or glob: \1 or \g<name>.
GROUP = re.compile(r"\\(?:(\d)|g<(\w+)>)")

# Numbers with a decimal comma, and numbers whose point may be a decimal one or separate thousands.
COMMA_NUMBER = re.compile(r"[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?")
POINTED = re.compile(r"[-+]?[\d.]*\.[\d.]*(,\d*)?([eE][-+]?\d+)?")

Change = Callable[[str], str]


class UnmappedError(Exception):
    """A value that a mapping does not know."""


def read_source(folder: str | Path, table: Mapping[str, Any], among: Folder | None = None) -> list[Row]:
    """Read the rows of one of a cohort's tables in our columns; see ``read_table``."""
    return read_table(folder, table, among).rows


def read_table(
    folder: str | Path,
    table: Mapping[str, Any],
    among: Folder | None = None,
    known: Callable[[str], bool] = every_column,
) -> RawTable:
    """Read one of a cohort's tables in our columns, with its line (or file) in ``_row``.

    ``among`` is the folder's listing, where it has been looked through already. Of a table without
    mapping, rows hold the columns that are ``known``. Raises StudyError when a file, sheet or mapped column
    is not there, no file matches, or a file cannot be read. Values that the mapping does not know are kept
    behind ``UNMAPPED``, so that the check of the cohort names them all.
    """
    among = among or Folder(str(folder))
    theirs = remaining_rows(folder, table, among, _kept(table, known))
    mapping = table.get("columns") or {name: name for name in theirs.columns if known(name)}
    theirs.require(_wanted(mapping), "maps")
    values = {ours: _value_of(ours, spec, theirs, among) for ours, spec in mapping.items()}
    rows = [
        {"_row": row["_row"]} | {ours: value(row) for ours, value in values.items()} for row in theirs.rows
    ]
    if not table.get("columns"):
        return replace(theirs, rows=rows)
    used = {*mapping, *_wanted(mapping)}
    unmapped = tuple(name for name in theirs.columns if name not in used)
    return RawTable(theirs.name, tuple(mapping), rows, unmapped=unmapped)


def remaining_rows(
    folder: str | Path,
    table: Mapping[str, Any],
    among: Folder,
    wanted: Callable[[str], bool] = every_column,
) -> RawTable:
    """Read a table's rows as they are, less those that ``leave_out`` and ``worst`` leave out.

    Rows hold the columns that are ``wanted``. Raises StudyError when a file, sheet or column is not there, or
    a file cannot be read.
    """
    theirs = raw_table(folder, table, among, wanted)
    return _worst(_left(theirs, table.get("leave_out", {})), table.get("worst"))


def mapped_columns(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield our column and their column of it, for every column of theirs that a mapping reads."""
    for ours, spec in table.get("columns", {}).items():
        yield from ((ours, theirs) for theirs in _wanted({ours: spec}))


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


def listed_digest(cohort: Mapping[str, Any], rows: Mapping[str, Iterable[Row]]) -> str:
    """Digest the manifest rows of a cohort whose tables are listings of files; empty for other cohorts."""
    tables = [cohort[kind] for kind in ("participants", "images") if kind in cohort]
    if not any("files" in part for table in tables for part in (table, table.get("join", {}))):
        return ""
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _kept(table: Mapping[str, Any], known: Callable[[str], bool]) -> Callable[[str], bool]:
    """Say which of their columns are read: those that the cohort file names, or that are known."""
    if "join" in table:
        return every_column
    worst = table.get("worst", {})
    named = {*table.get("leave_out", {}), worst.get("within"), worst.get("by")}
    named.update(_wanted(table.get("columns") or {}))
    return lambda name: name in named or (not table.get("columns") and known(name))


def _left(table: RawTable, out: Mapping[str, Iterable[object]]) -> RawTable:
    """Leave out the rows with one of the values that are named per column."""
    table.require(out, "names in leave_out")
    unwanted = {name: {_text(value) for value in values} for name, values in out.items()}
    rows = [row for row in table.rows if not any(row[name] in values for name, values in unwanted.items())]
    return replace(table, rows=rows)


def _worst(table: RawTable, rule: Mapping[str, Any] | None) -> RawTable:
    """Keep, of each group of rows, those with the first value of the order that the group has."""
    if rule is None:
        return table
    within, by = rule["within"], rule["by"]
    table.require((within, by), "names in worst")
    rank = {_text(value): place for place, value in enumerate(rule["order"])}
    unknown = sorted({row[by] for row in table.rows} - set(rank))
    if unknown:
        raise StudyError(
            f"{table.name}: column {by} has {', '.join(map(repr, unknown))}, which worst.order in the cohort "
            f"file does not name. Add it there, or to leave_out. The order is {', '.join(rank)}."
        )
    best: dict[str, int] = {}
    for row in table.rows:
        best[row[within]] = min(rank[row[by]], best.get(row[within], len(rank)))
    rows = [row for row in table.rows if rank[row[by]] == best[row[within]]]
    return replace(table, rows=rows)


def _wanted(mapping: Mapping[str, Any]) -> Iterator[str]:
    for spec in mapping.values():
        if isinstance(spec, str):
            yield spec
        elif "constant" not in spec:
            yield from (spec[key] for key in ("from", "item") if key in spec)


def _value_of(
    ours: str, spec: str | Mapping[str, Any], table: RawTable, among: Folder
) -> Callable[[Row], str]:
    """Return what makes our value of their row, in the order that the schema of cohort files gives."""
    if isinstance(spec, str):
        spec = {"from": spec}
    if "constant" in spec:
        constant = _text(spec["constant"])
        return lambda row: constant
    if "from" not in spec:
        raise StudyError(f"columns.{ours}: the cohort file gives neither from nor constant.")
    theirs, item, split = spec["from"], spec.get("item"), spec.get("split")
    changes = _changes(ours, spec, theirs in table.comma, among)
    if not (changes or item or split or "missing" in spec):
        return itemgetter(theirs)
    missing = {_text(code) for code in spec.get("missing", [])} | {""}

    def value(row: Row) -> str:
        text = row[theirs]
        if text in missing:
            return ""
        try:
            one = _element(text, row[item]) if item else text
            parts = one.split(split) if split else [one]
            return SEVERAL.join(filter(None, (_changed(part.strip(), changes) for part in parts)))
        except UnmappedError:
            return UNMAPPED + text

    return value


def _changes(ours: str, spec: Mapping[str, Any], comma: bool, among: Folder) -> list[Change]:
    changes: list[Change] = []
    if "pattern" in spec or "glob" in spec:
        changes.append(_rewriting(ours, spec, among))
    if "values" in spec:
        changes.append(_translation(spec["values"]))
    elif comma and _may_hold_numbers(ours):
        changes.append(_decimal_point)
    if "factor" in spec or "offset" in spec:
        changes.append(_unit_change(ours, spec.get("factor", 1), spec.get("offset", 0)))
    return changes


def _changed(text: str, changes: Iterable[Change]) -> str:
    for change in changes:
        text = change(text) if text else text
    return text


def _rewriting(ours: str, spec: Mapping[str, Any], among: Folder) -> Change:
    key = f"columns.{ours}.pattern"
    expression = compiled(spec.get("pattern", ".*"), key)
    template = str(spec.get("glob", spec.get("replacement", r"\g<0>")))
    groups = {str(number) for number in range(expression.groups + 1)} | set(expression.groupindex)
    for one, other in GROUP.findall(template):
        if (one or other) not in groups:
            raise StudyError(
                f"{key}: {expression.pattern!r} has no group {one or other}, which {template!r} needs."
            )

    def change(text: str) -> str:
        found = expression.fullmatch(text)
        if not found:
            raise UnmappedError
        filled = _filled(template, found, str)
        if "glob" not in spec:
            return filled
        # A glob that finds nothing stands for itself, so that the check names what is not there.
        return SEVERAL.join(among.glob(_filled(template, found, glob.escape))) or filled

    return change


def _filled(template: str, found: re.Match[str], made: Change) -> str:
    def group(place: re.Match[str]) -> str:
        name = place[1] or place[2]
        return made(found[int(name) if name.isdigit() else name] or "")

    return GROUP.sub(group, template)


def _may_hold_numbers(ours: str) -> bool:
    known = [columns_of(table)[ours] for table in ("participants", "images") if ours in columns_of(table)]
    return not known or any(column.type in ("number", "integer") for column in known)


def _decimal_point(text: str) -> str:
    """Write a number with a point for its decimal comma; one that has a point could mean anything."""
    if POINTED.fullmatch(text):
        raise UnmappedError
    return text.replace(",", ".") if COMMA_NUMBER.fullmatch(text) else text


def _translation(values: Mapping[Any, Any]) -> Change:
    known = {_text(theirs): _text(ours) for theirs, ours in values.items()}

    def change(text: str) -> str:
        if text not in known:
            raise UnmappedError
        return known[text]

    return change


def _unit_change(ours: str, factor: object, offset: object) -> Change:
    try:
        above, _, below = str(factor).partition("/")
        numerator, denominator, shift = Decimal(above), Decimal(below or "1"), Decimal(str(offset))
        numerator / denominator
    except (InvalidOperation, ZeroDivisionError):
        raise StudyError(
            f"columns.{ours}: factor {factor!r} and offset {offset!r} in the cohort file must be numbers; "
            "a factor may be a quotient such as 1/365.25."
        ) from None

    def change(text: str) -> str:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise UnmappedError from None
        if not number.is_finite():
            raise UnmappedError
        with localcontext() as context:
            context.prec = 50
            changed = number * numerator / denominator + shift
            context.prec = 15
            return decimal_text(+changed)

    return change


def _element(text: str, number: str) -> str:
    """Return the element of a bracketed list with a number from 0; empty beyond its end."""
    found = re.fullmatch(r"\[(.*)\]", text, re.DOTALL)
    if not found or not number.isdecimal():
        raise UnmappedError
    elements = found[1].split(",")
    return elements[int(number)].strip() if int(number) < len(elements) else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)
