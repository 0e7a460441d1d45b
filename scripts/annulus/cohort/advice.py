"""What to do about cells that the data dictionary refuses, told from what the whole column looks like.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

import datetime
import re
from collections.abc import Callable, Sequence

from annulus.cohort.dictionary import Column
from annulus.cohort.units import fitting_factors, in_words

# What people write where a value is missing.
MISSING = {
    "na",
    "n/a",
    "n.a.",
    "nan",
    "nd",
    "none",
    "null",
    "nil",
    "missing",
    "unknown",
    "-",
    "--",
    ".",
    "?",
    "#n/a",
}

DECIMAL_COMMA = re.compile(r"[-+]?[\d.]*,\d*")
PARTS_OF_DATE = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})")
DAY_NUMBER = re.compile(r"\d{5}(\.\d+)?")

# Excel counts days from here, but for a setting of old Macintosh computers.
EXCEL_EPOCH = datetime.date(1899, 12, 30)

# Fewer values do not tell a unit.
FEWEST_VALUES = 3

Advice = Callable[[str], str]


def advice_on(column: Column, wrong: Sequence[str], every: Sequence[str], in_workbook: bool) -> Advice:
    """Return what says how to mend one of a column's ``wrong`` cells; it may have nothing to say.

    ``every`` are all filled cells of the column, the wrong ones among them.
    """
    if column.type == "date":
        known = _on_dates(wrong, every)
    elif column.type in ("number", "integer"):
        known = _on_numbers(column, every, in_workbook)
    else:
        known = _on_codes(column, every)

    def advice(text: str) -> str:
        if text.casefold() in MISSING:
            return (
                "If it stands for missing, leave the cell empty, or list it under missing in the cohort file."
            )
        return known(text)

    return advice


def _on_codes(column: Column, every: Sequence[str]) -> Advice:
    found = list(dict.fromkeys(every))
    shown = ", ".join(map(repr, found[:6])) + (" and others" if len(found) > 6 else "")
    return lambda text: (
        f"Say what each value means in the cohort file (columns.{column.name}.values); the column has "
        f"{shown}."
    )


def _on_numbers(column: Column, every: Sequence[str], in_workbook: bool) -> Advice:
    unit = _on_unit(column, every)
    comma = (
        "If the comma is the decimal point, make the cells of the workbook numbers."
        if in_workbook
        else "If the comma is the decimal point, set decimal: ',' for the table in the cohort file."
    )

    def advice(text: str) -> str:
        if DECIMAL_COMMA.fullmatch(text):
            return comma
        return unit if _number(text) is not None else ""

    return advice


def _on_unit(column: Column, every: Sequence[str]) -> str:
    numbers = [number for number in map(_number, every) if number is not None]
    outside = sum(not column.minimum <= number <= column.maximum for number in numbers)
    if len(numbers) < FEWEST_VALUES or 2 * outside < len(numbers):
        return ""
    factors = fitting_factors(
        column.unit, lambda by: all(column.minimum <= by * number <= column.maximum for number in numbers)
    )
    if not factors:
        return ""
    return (
        f"All {len(numbers)} values would fit if they were in {in_words(factors)}; if so, set "
        f"columns.{column.name}.factor in the cohort file."
    )


def _on_dates(wrong: Sequence[str], every: Sequence[str]) -> Advice:
    serial = next((text for text in wrong if DAY_NUMBER.fullmatch(text)), "")
    day = (EXCEL_EPOCH + datetime.timedelta(int(float(serial)))).isoformat() if serial else ""
    on_serial = (
        f"It looks like Excel's number of a day (in its usual calendar {serial} is {day}). Format the cells "
        "as yyyy-mm-dd and save the table again."
    )
    on_parts = (
        f"{_order(every)} Format the cells as yyyy-mm-dd, or set pattern and replacement in the cohort file."
    )

    def advice(text: str) -> str:
        if DAY_NUMBER.fullmatch(text):
            return on_serial
        if PARTS_OF_DATE.fullmatch(text):
            return on_parts
        return ""

    return advice


def _order(every: Sequence[str]) -> str:
    """Say whether the day or the month comes first, where the column proves it."""
    parts = [found for found in map(PARTS_OF_DATE.fullmatch, every) if found]
    day_first, month_first = (any(int(found[at]) > 12 for found in parts) for at in (1, 2))
    if day_first and month_first:
        return "Some dates of the column begin with the day and others with the month."
    if not (day_first or month_first):
        return "Whether the day or the month comes first cannot be told and is not guessed."
    return f"The {'day' if day_first else 'month'} comes first here."


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
