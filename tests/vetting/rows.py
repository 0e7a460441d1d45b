"""The rows of the registry: one number that is known, the number that is found, and what to make of both."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from annulus.features.ibsi_codes import ibsi_code

COLUMNS = (
    "oracle", "case", "mode", "setting", "image_type", "class", "feature", "ibsi_code", "kind",
    "expected", "found", "tolerance", "result", "cause",
)  # fmt: skip
DIGITS = 10

# What a convention's cause ends with, before the value converted to the oracle's definition.
CONVERTED = "; converted: "

# Of a value recorded with so many digits, and over versions of the libraries underneath.
DRIFT = 1e-8


class DataAbsent(Exception):
    """Data of an oracle that are not on this computer; the message says where they are looked for."""


@dataclass(frozen=True)
class About:
    """What all rows of one extraction have in common.

    ``kind`` is ``oracle`` (a number known from elsewhere), ``equality`` (what must be the same bits) or
    ``invariant`` (what must not change, or change by a known factor).
    """

    oracle: str
    case: str
    mode: str
    setting: str
    kind: str


@dataclass(frozen=True)
class Row:
    """One feature under one setting against one oracle.

    ``tolerance`` is the largest difference that passes. ``result`` is ``pass``; ``convention`` where the
    definition differs and the value passes once converted; or ``miss``. ``cause`` says why it did not pass.
    """

    about: About
    image_type: str
    feature_class: str
    feature: str
    expected: float
    found: float
    tolerance: float
    result: str
    cause: str

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row the only one of its kind."""
        return (*astuple(self.about), self.image_type, self.feature_class, self.feature)

    def cells(self) -> list[str]:
        """Return the row as it stands in the file."""
        oracle, case, mode, setting, kind = astuple(self.about)
        code = ibsi_code(self.feature_class, self.feature)
        numbers = [number_text(n) for n in (self.expected, self.found, self.tolerance)]
        head = [oracle, case, mode, setting, self.image_type, self.feature_class, self.feature, code, kind]
        return [*head, *numbers, self.result, self.cause]


@dataclass(frozen=True)
class Convention:
    """A definition that differs from the oracle's, and the value converted to that of the oracle."""

    cause: str
    converted: float


def judged(
    about: About,
    column: tuple[str, str, str],
    expected: float,
    found: float,
    tolerance: float,
    convention: Convention | None = None,
    cause: str = "no cause found",
) -> Row:
    """Compare a value; ``column`` is filter, class and feature. A convention must make up the difference."""
    if abs(found - expected) <= tolerance:
        return Row(about, *column, expected, found, tolerance, "pass", "")
    if convention and abs(convention.converted - expected) <= tolerance:
        cause = f"{convention.cause}{CONVERTED}{convention.converted:.6g}"
        return Row(about, *column, expected, found, tolerance, "convention", cause)
    return Row(about, *column, expected, found, tolerance, "miss", cause)


def columns_of(values: dict[str, float], roi: str) -> dict[tuple[str, str, str], float]:
    """Split the names of one region's values into filter, class and feature."""
    prefix = f"{roi}_"
    return {
        tuple(name.removeprefix(prefix).split("_")): value  # type: ignore[misc]
        for name, value in values.items()
        if name.startswith(prefix)
    }


def number_text(value: float) -> str:
    """Write a number with so many significant digits."""
    return f"{value:.{DIGITS}g}"


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the registry."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.cells() for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read the registry back."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [_row(cells) for cells in csv.DictReader(stream)]


def _row(cells: dict[str, str]) -> Row:
    about = About(*(cells[name] for name in ("oracle", "case", "mode", "setting", "kind")))
    column = [cells[name] for name in ("image_type", "class", "feature")]
    numbers = [float(cells[name]) for name in ("expected", "found", "tolerance")]
    return Row(about, *column, *numbers, cells["result"], cells["cause"])


def drifted(recorded: Row, now: Row) -> str:
    """Say what changed since a row was recorded, or nothing."""
    reasons = [row.cause.partition(CONVERTED)[0] for row in (recorded, now)]
    if recorded.result != now.result or reasons[0] != reasons[1]:
        return f"was {recorded.result} ({recorded.cause}), is {now.result} ({now.cause})"
    for name in ("expected", "found", "tolerance"):
        old, new = getattr(recorded, name), getattr(now, name)
        if abs(new - old) > DRIFT * max(abs(old), abs(recorded.expected)) + 1e-12:
            return f"{name} was {number_text(old)}, is {number_text(new)}"
    return ""
