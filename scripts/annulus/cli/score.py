"""``annulus score``: patients of a table scored by a frozen model."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from annulus.cli.bundles import OpenedModel, open_model
from annulus.cohort.listing import Folder, Row, number_text, raw_table
from annulus.errors import StudyError, nearest
from annulus.evaluation.shift import ModelTraining, extrapolating
from annulus.modelling.attribution import missing_values
from annulus.modelling.scorers import probability

# Cells that are wrong and are told one by one.
TOLD = 20

NOT_A_DEVICE = "not a medical device: for research, not for decisions about patients"


@dataclass(frozen=True)
class Scored:
    """A row per patient, and what must be said beside it."""

    table: pd.DataFrame
    remarks: tuple[str, ...]


def score_file(bundle: Path, table: Path) -> Scored:
    """Score the patients of a table; raises StudyError naming all columns and cells that are wrong."""
    opened = open_model(bundle)
    predictors = read_predictors(table, opened)
    scored = score_table(opened, predictors)
    return Scored(scored, tuple(_remarks(opened, scored)))


def score_table(opened: OpenedModel, predictors: pd.DataFrame) -> pd.DataFrame:
    """Score patients; returns the table that the command prints.

    ``class`` is 1 at or above the frozen cut-off and missing where the model has none. ``missing_filled``
    counts the predictors that the model filled in, ``out_of_range`` those outside the training range;
    ``extrapolates`` also says who combines them as no training patient did.
    """
    model, variables = opened.model, opened.variables
    scores = model.score(predictors, variables)
    risk = probability(scores)
    beyond = extrapolating([ModelTraining.of(opened.content)], predictors, opened.synthetic)
    called = (risk >= model.cut_off.value).astype(int) if model.cut_off else np.full(len(risk), np.nan)
    return pd.DataFrame(
        {
            "patient_id": predictors["patient_id"],
            "linear_predictor": scores,
            "probability": risk,
            "class": called,
            "missing_filled": missing_values(model, predictors, variables).sum(axis=1),
            "out_of_range": beyond["out_of_range"].to_numpy(),
            "extrapolates": beyond["extrapolates"].to_numpy(),
            "model": model.name,
            "synthetic": int(opened.synthetic),
        }
    )


def read_predictors(path: Path, opened: OpenedModel) -> pd.DataFrame:
    """Read the columns that a model needs of a table, with ``patient_id``; an empty cell is missing.

    Raises StudyError naming every column that is missing, patients that stand there twice or have no id, and
    cells that are not what their column holds.
    """
    rows = _rows(path)
    if not rows:
        raise StudyError(f"{path}: there is no patient in it.")
    _refuse_missing_columns(path, list(rows[0]), ("patient_id", *opened.columns))
    wrong = list(_wrong_patients(rows))
    table: dict[str, list[object]] = {"patient_id": [row["patient_id"] for row in rows]}
    for name in opened.columns:
        column = opened.variables.get(name)
        values, unread = _read(rows, name, column.read if column else _number)
        table[name] = values
        wrong += unread
    _refuse_cells(path, wrong)
    frame = pd.DataFrame(table)
    numbers = [name for name in opened.columns if name not in opened.variables]
    return frame.astype(dict.fromkeys(numbers, float))


def _rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file. Give a CSV, a workbook or a Parquet file.")
    if path.suffix.lower() != ".parquet":
        return raw_table(path.parent, {"file": path.name}, Folder(str(path.parent))).rows
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: it cannot be read as Parquet ({error}).") from None
    records = table.to_dict("records")
    return [
        {"_row": str(number)} | {str(name): _cell(value) for name, value in record.items()}
        for number, record in enumerate(records, start=1)
    ]


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    # repr keeps every bit of a number; a whole one is written as an id is.
    if isinstance(value, float):
        return number_text(value) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
    return str(value)


def _refuse_missing_columns(path: Path, present: list[str], wanted: Iterable[str]) -> None:
    there = set(present)
    missing = [name for name in wanted if name not in there]
    if missing:
        named = ", ".join(
            f"{name}{nearest(name, present)}" if len(missing) <= TOLD else name for name in missing
        )
        count = "1 column" if len(missing) == 1 else f"{len(missing)} columns"
        raise StudyError(f"{path}: it lacks {count} that the model needs: {named}. Add or rename them.")


def _wrong_patients(rows: Iterable[Row]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for row in rows:
        patient = row["patient_id"]
        if not patient:
            yield f"row {row['_row']}, column patient_id: the cell must not be empty"
        elif patient in seen:
            yield f"row {row['_row']}, column patient_id: {patient!r} stands in row {seen[patient]} already"
        seen.setdefault(patient, row["_row"])


def _read(rows: Iterable[Row], name: str, read: Callable[[str], object]) -> tuple[list[object], list[str]]:
    values, wrong = list[object](), []
    for row in rows:
        try:
            values.append(read(row[name]))
        except ValueError as error:
            values.append(None)
            wrong.append(f"row {row['_row']}, column {name}, value {row[name]!r}: {error}")
    return values, wrong


def _number(text: str) -> float:
    if not text:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a number is expected, with a point; leave the cell empty where it is missing")
    return number


def _refuse_cells(path: Path, wrong: list[str]) -> None:
    if wrong:
        more = [f"and {len(wrong) - TOLD} more"] if len(wrong) > TOLD else []
        raise StudyError("\n".join(f"{path}: {line}" for line in [*wrong[:TOLD], *more]))


def _remarks(opened: OpenedModel, scored: pd.DataFrame) -> Iterator[str]:
    if opened.synthetic:
        yield "SYNTHETIC: the model was trained on simulated patients; its scores mean nothing for real ones."
    yield NOT_A_DEVICE
    if filled := int((scored["missing_filled"] > 0).sum()):
        yield f"{filled} of {len(scored)} patients had missing predictors, now filled in (missing_filled)."
    if outside := int(scored["extrapolates"].sum()):
        yield f"{outside} of {len(scored)} patients lie outside the training range (out_of_range)."
