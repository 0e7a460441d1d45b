"""What a cohort's own folder holds: its files and folders, and the rows of its CSV files and workbooks.

Used while Snakemake reads the workflow, so it needs the standard library alone; a workbook also needs
python-calamine, which is imported only then.
"""

import bisect
import datetime
import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from annulus.cohort.delimited import read_delimited
from annulus.errors import StudyError, nearest

Row = dict[str, str]

WORKBOOKS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}

# The column of a listing that holds the whole path.
PATH = "path"

# A regular expression that begins with plain folder names looks only below them.
PLAIN_FOLDER = re.compile(r"(?:[\w -]+/(?![?*+{]))*")


@dataclass(frozen=True)
class RawTable:
    """A table as its authors left it; ``_row`` of each row says where it stands in ``name``.

    Numbers in the columns of ``comma`` have a decimal comma; those of ``unmapped`` are in the file, but
    the cohort file's mapping does not name them.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[Row]
    comma: frozenset[str] = frozenset()
    unmapped: tuple[str, ...] = ()

    def require(self, wanted: Iterable[str], purpose: str) -> None:
        """Raise StudyError naming the columns that are not there, and those that are."""
        missing = sorted(set(wanted) - set(self.columns))
        if missing:
            raise StudyError(
                f"{self.name}: it has no column {', '.join(map(repr, missing))}, which the cohort file "
                f"{purpose}. Its columns are {first_of(self.columns, 40)}."
            )


@dataclass(frozen=True)
class Folder:
    """A folder that is looked through at most once; paths in it are relative, with ``/``, sorted.

    Hidden files and folders do not count: archives and computers leave them behind.
    """

    place: str
    _names: dict[str, list[str]] = field(default_factory=dict, compare=False)

    @cached_property
    def everything(self) -> tuple[list[str], list[str]]:
        """Return every file, and every folder with a ``/`` at its end."""
        return self._below("")

    def candidates(self, pattern: str) -> list[str]:
        """Return the files (folders, for a pattern that ends in ``/``) that a pattern may match."""
        plain = PLAIN_FOLDER.match(pattern)
        start = plain[0] if plain and "|" not in pattern else ""
        files, folders = self._below(start) if start else self.everything
        return folders if pattern.endswith("/") else files

    def glob(self, pattern: str) -> list[str]:
        """Return the paths that a glob (``*``, ``?``, ``[...]`` within a name) matches, sorted."""
        found = [""]
        for part in pattern.rstrip("/").split("/"):
            found = [f"{above}{name}/" for above in found for name in self._matching(above, part)]
        return sorted(path.removesuffix("/") for path in found)

    def _below(self, start: str) -> tuple[list[str], list[str]]:
        files, folders, waiting = [], [], [start]
        linked = {os.path.realpath(f"{self.place}/{start}")}
        while waiting:
            above = waiting.pop()
            for entry in self._entries(above):
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    files.append(above + entry.name)
                    continue
                if entry.is_symlink():
                    # A link may lead back to where it lies.
                    target = os.path.realpath(entry.path)
                    if target in linked:
                        continue
                    linked.add(target)
                folders.append(f"{above}{entry.name}/")
                waiting.append(f"{above}{entry.name}/")
        return sorted(files), sorted(folders)

    def _entries(self, above: str) -> Iterator["os.DirEntry[str]"]:
        try:
            with os.scandir(f"{self.place}/{above}") as entries:
                yield from entries
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError as error:
            raise StudyError(f"{error.filename}: you have no right to look into it.") from None

    def _matching(self, above: str, part: str) -> list[str]:
        if above not in self._names:
            self._names[above] = sorted(e.name for e in self._entries(above) if not e.name.startswith("."))
        names = self._names[above]
        plain = re.split(r"[*?[]", part, maxsplit=1)[0]
        first = bisect.bisect_left(names, plain)
        last = bisect.bisect_left(names, plain + "\U0010ffff", lo=first)
        if plain == part:
            last = bisect.bisect_right(names, part, lo=first)
        return [name for name in names[first:last] if _matches(name, part, plain)]


def every_column(name: str) -> bool:
    """Keep every column."""
    return True


def raw_table(
    folder: str | Path, table: Mapping[str, Any], among: Folder, kept: Callable[[str], bool] = every_column
) -> RawTable:
    """Read a table's rows as they are: of a CSV file, a sheet of a workbook, or a listing of files.

    ``among`` is the folder's listing. What ``join`` names is beside each row. Rows of a file hold the
    columns that are ``kept``; thousands of others would fill the memory. Raises StudyError when a file,
    sheet or column is not there, nothing matches, or a file cannot be read.
    """
    if ("file" in table) == ("files" in table):
        raise StudyError(f"{folder}: a table in the cohort file needs either file or files.")
    rows = _listed(folder, table["files"], among) if "files" in table else _tabulated(folder, table, kept)
    return _joined(rows, raw_table(folder, table["join"], among), table["join"]) if "join" in table else rows


def table_file(folder: str | Path, table: Mapping[str, Any]) -> str:
    """Name where a table comes from: its file, or the folder that is listed."""
    return str(folder) if "files" in table else f"{folder}/{table['file']}"


def table_files(folder: str | Path, table: Mapping[str, Any]) -> list[str]:
    """Return the files that a table is read from, its join's among them; a listing has none."""
    parts = [table, *([table["join"]] if "join" in table else [])]
    return [table_file(folder, part) for part in parts if "file" in part]


def first_of(names: Sequence[str], most: int) -> str:
    """List at most that many names, with dots where there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def number_text(value: float) -> str:
    """Write a number as a person would type it: 1 and not 1.0, 0.3 and not 0.30000000000000004."""
    return decimal_text(Decimal(format(value, ".15g")))


def decimal_text(value: Decimal) -> str:
    """Write a decimal number without exponent and without zeros at its end."""
    return format(value.normalize() if value else Decimal(0), "f")


def _matches(name: str, part: str, plain: str) -> bool:
    if plain == part:
        return True
    # The common case: compiling a pattern for each of many thousand rows would take longer than the rest.
    suffix = part[len(plain) + 1 :]
    if part[len(plain)] == "*" and not re.search(r"[*?[]", suffix):
        return name.endswith(suffix) and len(name) >= len(plain) + len(suffix)
    return fnmatch.fnmatchcase(name, part)


def _listed(folder: str | Path, pattern: str, among: Folder) -> RawTable:
    if not Path(folder).is_dir():
        raise _missing(folder, "folder")
    expression = compiled(pattern, "files")
    rows = []
    for path in among.candidates(pattern):
        found = expression.fullmatch(path)
        if found:
            short = path.removesuffix("/")
            groups = {name: text or "" for name, text in found.groupdict().items()}
            rows.append({"_row": short, **groups, PATH: short})
    if not rows:
        kind = "folders" if pattern.endswith("/") else "files"
        paths = among.everything[kind == "folders"]
        examples = f" (such as {' and '.join(paths[:2])})" if paths else ""
        raise StudyError(
            f"{folder}: none of the {len(paths)} {kind} below it{examples} fits files: {pattern!r} in the "
            "cohort file. Compare it with how the data were unpacked, or set the cohort's folder."
        )
    return RawTable(str(folder), tuple(dict.fromkeys((*expression.groupindex, PATH))), rows)


def _tabulated(folder: str | Path, table: Mapping[str, Any], kept: Callable[[str], bool]) -> RawTable:
    path = Path(folder) / table["file"]
    if not path.is_file():
        raise _missing_file(path)
    header, name = table.get("header_row", 1), str(path)
    cells: Iterable[list[str]]
    if path.suffix.lower() in WORKBOOKS:
        if "decimal" in table:
            raise StudyError(
                f"{path}: decimal in the cohort file is for CSV. Make the cells of the workbook numbers."
            )
        sheet, cells = _sheet(path, table.get("sheet"))
        name = f"{path}, sheet {sheet}"
    else:
        cells = read_delimited(path, header)
    lines = enumerate(cells, start=1)
    above = list(islice(lines, header))
    columns = _unique(above[-1][1]) if len(above) == header else []
    if not any(columns):
        raise _no_names(name, header, len(above), any(any(line) for _, line in (*above, *lines)))
    first = table.get("first_row", header + 1)
    used = [(at, column) for at, column in enumerate(columns) if column and kept(column)]
    rows, longer = [], list[int]()
    for number, line in lines:
        if number < first or not any(line):
            continue
        if any(line[len(columns) :]):
            longer.append(number)
        rows.append(
            {"_row": str(number)} | {column: line[at] if at < len(line) else "" for at, column in used}
        )
    if longer:
        raise _longer_rows(name, longer, len(columns))
    named = tuple(filter(None, columns))
    return RawTable(name, named, rows, frozenset(named if table.get("decimal") == "," else ()))


def _no_names(name: str, header: int, rows: int, filled: bool) -> StudyError:
    if not filled:
        return StudyError(f"{name}: it is empty. Fill it in, or name another file in the cohort file.")
    if rows < header:
        return StudyError(f"{name}: it has {rows} rows, so there is no header_row {header}.")
    return StudyError(
        f"{name}, row {header}: it holds no names of columns. Set header_row in the cohort file to the row "
        "that does."
    )


def _longer_rows(name: str, rows: Sequence[int], columns: int) -> StudyError:
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    return StudyError(
        f"{name}, row {rows[0]}{more}, column {columns + 1}: the row has more cells than there are names of "
        f"columns ({columns}). Put a cell that holds the separator, such as 12,5, in quotation marks, or "
        "name the column."
    )


def _sheet(path: Path, sheet: str | None) -> tuple[str, list[list[str]]]:
    try:
        from python_calamine import CalamineError, load_workbook
    except ImportError:
        raise StudyError(
            f"{path}: reading a workbook needs python-calamine. Install it, or save the sheet as CSV."
        ) from None
    try:
        with load_workbook(str(path)) as workbook:
            name = workbook.sheet_names[0] if sheet is None else sheet
            if name not in workbook.sheet_names:
                raise StudyError(
                    f"{path}: it has no sheet {name!r}. Its sheets are {', '.join(workbook.sheet_names)}."
                )
            cells = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except CalamineError as error:
        raise StudyError(
            f"{path}: it cannot be read as a workbook ({error}). Save it again, or as CSV."
        ) from None
    return name, [[_cell(value) for value in line] for line in cells]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(sep=" ")
    return str(value).strip()


def _unique(header: Sequence[str]) -> list[str]:
    """Return column names with single blanks; the second of a name is called ``name (2)``."""
    names, taken = list[str](), set[str]()
    for cell in header:
        name = " ".join(cell.split())
        number = 1
        while name and _numbered(name, number) in taken:
            number += 1
        names.append(_numbered(name, number))
        taken.add(names[-1])
    return names


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} ({number})"


def _joined(table: RawTable, other: RawTable, join: Mapping[str, Any]) -> RawTable:
    ours, theirs = list(join["match"]), list(join["match"].values())
    table.require(ours, "names in join.match")
    other.require(theirs, "names in join.match")
    columns = _unique([*table.columns, *other.columns])
    added = columns[len(table.columns) :]
    by_key: dict[tuple[str, ...], Row] = {}
    for row in other.rows:
        key = tuple(row[name] for name in theirs)
        if key in by_key:
            raise StudyError(
                f"{other.name}: rows {by_key[key]['_row']} and {row['_row']} both have "
                f"{' and '.join(theirs)} {' and '.join(map(repr, key))}, so join cannot choose between them."
            )
        by_key[key] = row
    keys = [tuple(row[name] for name in ours) for row in table.rows]
    if table.rows and not any(key in by_key for key in keys):
        raise StudyError(
            f"{table.name}: no row fits one of {other.name}; join.match compares {' and '.join(ours)}, here "
            f"{' and '.join(map(repr, keys[0]))}, with {' and '.join(theirs)}, there "
            f"{' and '.join(map(repr, next(iter(by_key), ('no row',))))}."
        )
    empty = dict.fromkeys(other.columns, "")
    rows = [
        row | {new: by_key.get(key, empty)[old] for new, old in zip(added, other.columns, strict=True)}
        for row, key in zip(table.rows, keys, strict=True)
    ]
    comma = table.comma | {new for new, old in zip(added, other.columns, strict=True) if old in other.comma}
    return RawTable(table.name, tuple(columns), rows, comma)


def compiled(pattern: str, key: str) -> re.Pattern[str]:
    """Compile a regular expression of a cohort file; raises StudyError naming its key."""
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise StudyError(
            f"{key}: {pattern!r} in the cohort file is no regular expression ({error})."
        ) from None


def _missing(path: str | Path, kind: str, near: str = "") -> StudyError:
    return StudyError(
        f"{path}: there is no such {kind}{near}. Set the cohort's folder, in its file in "
        "config/cohorts/ or with --config cohort_folder=PLACE."
    )


def _missing_file(path: Path) -> StudyError:
    if not path.parent.is_dir():
        return _missing(path, "file")
    near = nearest(path.name, sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()))
    return _missing(path, "file", f"{near}. Correct its name in the cohort file" if near else "")
