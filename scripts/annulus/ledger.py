"""Ledgers: tables that are only ever added to, in which every row carries the hash of the row before it.

An edit, a lost row or another order breaks the chain and is found when the ledger is next read. Rows cut off
at the end are not found by the chain itself, but by whoever holds the last row's hash.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from annulus.canonical import sha256_of
from annulus.errors import StudyError
from annulus.tables import write_text

FREEZING_COLUMNS = ("frozen_at", "task", "model", "model_sha256", "event")
OPENING_COLUMNS = ("opened_at", "cohort", "outcomes_sha256", "models_sha256", "frozen_at", "event")

CHAIN = ("previous_sha256", "sha256")

# What the first row has for the one before it.
NOTHING = "0" * 64

FROZEN, FROZEN_AGAIN = "frozen", "frozen again"
FIRST_OPENING = "first opening"

# By whether models and outcomes changed since the last opening.
OPENED_AGAIN: Mapping[tuple[bool, bool], str] = {
    (False, False): "opened again: nothing changed",
    (True, False): "opened again: models changed",
    (False, True): "opened again: outcomes changed",
    (True, True): "opened again: models and outcomes changed",
}

Row = dict[str, str]


def read(path: str | Path) -> list[Row]:
    """Read a ledger; there are no rows where there is no file yet.

    Raises StudyError naming the first row at which the chain is broken.
    """
    if not Path(path).exists():
        return []
    # Quoted line breaks come back as they were written.
    with Path(path).open(encoding="utf-8", newline="") as stream:
        rows: list[Row] = [dict(row) for row in csv.DictReader(stream)]
    previous = NOTHING
    for number, row in enumerate(rows, start=2):
        if row.get("previous_sha256") != previous or row.get("sha256") != _hash_of(row):
            raise StudyError(
                f"{path}, row {number}: the ledger was changed by hand here: the row does not follow from "
                "the one before it. Restore the file from a backup; if there is none, say so in your report, "
                "and put the file aside to begin a new one."
            )
        previous = row["sha256"]
    return rows


def append(path: str | Path, row: Mapping[str, str]) -> None:
    """Add a row, with the hash of the row before it and its own.

    Raises StudyError where the chain is broken already, ValueError where the columns are not the ledger's.
    """
    _write(path, [*read(path), dict(row)], list(row))


def record_freezing(path: str | Path, models: Sequence[tuple[str, str, str]], now: datetime) -> None:
    """Record the models (task, model, SHA-256) that are not as they were last frozen; ``now`` has a zone.

    The file is written anew even where nothing is added. Raises StudyError where its chain is broken.
    """
    rows = read(path)
    last = _last_frozen(rows)
    for task, model, sha256 in models:
        known = last.get((task, model))
        if known is not None and known["model_sha256"] == sha256:
            continue
        event = FROZEN if known is None else FROZEN_AGAIN
        cells = (_utc(now), task, model, sha256, event)
        rows.append(dict(zip(FREEZING_COLUMNS, cells, strict=True)))
    _write(path, rows, FREEZING_COLUMNS)


def frozen_since(path: str | Path, models: Sequence[tuple[str, str, str]]) -> str:
    """Return since when all of these models (task, model, SHA-256) have been frozen as they are.

    Raises StudyError naming a model that is not the one that was last frozen, or was never.
    """
    last = _last_frozen(read(path))
    for task, model, sha256 in models:
        known = last.get((task, model))
        if known is None or known["model_sha256"] != sha256:
            raise StudyError(
                f"{path}: model {model} of task {task} is not the one that was last frozen, so no outcome "
                "may be opened for it. Run the study again, which freezes what was changed."
            )
    return max((last[task, model]["frozen_at"] for task, model, _ in models), default="")


def models_sha256(models: Sequence[tuple[str, str, str]]) -> str:
    """Return one hash of several models (task, model, SHA-256), in whatever order they come."""
    return sha256_of(sorted(models))


def record_opening(
    path: str | Path,
    cohort: str,
    outcomes_sha256: str,
    models_sha256: str,
    frozen_at: str,
    now: datetime,
) -> None:
    """Record that a cohort's outcomes were opened, and what changed since they last were.

    ``models_sha256`` is that of :func:`models_sha256`, ``frozen_at`` that of :func:`frozen_since`; ``now``
    has a zone. Raises StudyError where the ledger's chain is broken.
    """
    before = [row for row in read(path) if row["cohort"] == cohort]
    event = FIRST_OPENING
    if before:
        last = before[-1]
        event = OPENED_AGAIN[
            last["models_sha256"] != models_sha256, last["outcomes_sha256"] != outcomes_sha256
        ]
    cells = (_utc(now), cohort, outcomes_sha256, models_sha256, frozen_at, event)
    append(path, dict(zip(OPENING_COLUMNS, cells, strict=True)))


def _last_frozen(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(row["task"], row["model"]): row for row in rows}


def _utc(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _hash_of(row: Mapping[str, str]) -> str:
    cells = [[name, value] for name, value in row.items() if name != "sha256"]
    return sha256_of(cells)


def _write(path: str | Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write rows, completing the chain of those that have no hash yet."""
    names = list(columns)
    previous, chained = NOTHING, []
    for row in rows:
        if [name for name in row if name not in CHAIN] != names:
            raise ValueError(f"{path}: the ledger's columns are {', '.join(names)}, not {', '.join(row)}.")
        linked = {**{name: row[name] for name in names}, "previous_sha256": previous}
        linked["sha256"] = _hash_of(linked)
        chained.append(linked)
        previous = linked["sha256"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *CHAIN], lineterminator="\n")
    writer.writeheader()
    writer.writerows(chained)
    write_text(path, text.getvalue())
