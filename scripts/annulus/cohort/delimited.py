"""Reading a CSV file as spreadsheets of any country write it, and refusing what could be read in two ways.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from annulus.errors import StudyError

# What stands between cells where it is not a comma.
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}

# Excel itself obeys a first line such as sep=; and does not show it.
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t ]*\n')

WORKBOOK_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

SAVE = "Save it as CSV in UTF-8 (in Excel: Save As, CSV UTF-8)."


def read_delimited(path: Path, header_row: int) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, cells without the blanks around them.

    Cells stand between commas, or between semicolons or tabs where the names in ``header_row`` do and none
    holds a comma. Raises StudyError when the file is not UTF-8, is a workbook, its separator is not clear,
    or a quotation mark is not closed.
    """
    text = _text_of(path)
    named = SEPARATOR_LINE.match(text)
    text = text[named.end() :] if named else text
    separator = named[1] if named else _separator(path, text, header_row)
    row = 1
    try:
        for line in _records(text, separator, strict=True):
            yield [cell.strip() for cell in line]
            row += 1
    except csv.Error as error:
        raise StudyError(
            f"{path}, row {row}: it cannot be read as CSV ({error}). A quotation mark must be closed, and "
            "doubled within a quoted cell."
        ) from None


def _records(text: str, separator: str, strict: bool = False) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(WORKBOOK_STARTS):
        raise StudyError(
            f"{path}: it is a workbook, not CSV. Give it the ending .xlsx or .xls, also in the cohort file."
        )
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise StudyError(f"{path}, row 1: the file is not in UTF-8, but probably in UTF-16. {SAVE}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _not_utf_8(path, content) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_utf_8(path: Path, content: bytes) -> StudyError:
    """Name the first cell with a byte that is not UTF-8, and what it reads in Windows-1252."""
    text = content.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    records = list(_records(text, _likely_separator(text)))
    for number, line in enumerate(records, start=1):
        for at, cell in enumerate(line):
            if re.search("[\udc80-\udcff]", cell):
                name = _windows_1252(records[0][at].strip()) if at < len(records[0]) else str(at + 1)
                return StudyError(
                    f"{path}, row {number}, column {name}, value {_windows_1252(cell.strip())!r}: the file "
                    f"is not in UTF-8, but probably in Windows-1252, as which the value is read here. {SAVE}"
                )
    return StudyError(f"{path}: the file is not in UTF-8. {SAVE}")


def _windows_1252(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _likely_separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max((",", *OTHER_SEPARATORS), key=first.count)


def _separator(path: Path, text: str, header_row: int) -> str:
    """Return what separates the names of the header."""
    names = {mark: _names(text, mark, header_row) for mark in (",", *OTHER_SEPARATORS)}
    others = [mark for mark in OTHER_SEPARATORS if names[mark] > max(1, names[","])]
    if not others:
        return ","
    if names[","] <= 1 and len(others) == 1:
        return others[0]
    marks = " or ".join(OTHER_SEPARATORS[mark] for mark in others)
    raise StudyError(
        f"{path}, row {header_row}: it is not clear whether commas or {marks} separate the columns. Put "
        "names that hold such a mark in quotation marks, or leave it out of them."
    )


def _names(text: str, separator: str, header_row: int) -> int:
    header = islice(_records(text, separator), header_row - 1, header_row)
    try:
        return len(next(header, []))
    except csv.Error:
        return 0
