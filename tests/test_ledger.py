"""Ledgers: rows are only ever added, and whatever else happens to them is found."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from annulus.errors import StudyError
from annulus.ledger import (
    FREEZING_COLUMNS,
    OPENING_COLUMNS,
    append,
    frozen_since,
    models_sha256,
    read,
    record_freezing,
    record_opening,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLINICAL, NOMOGRAM = ("her2", "clinical", "a" * 64), ("her2", "nomogram", "b" * 64)
CHANGED = ("her2", "nomogram", "c" * 64)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "provenance" / "ledger.csv"


@pytest.fixture
def filled(path):
    for number in range(4):
        append(path, {"number": str(number), "word": f'a, "quoted"\nword {number}'})
    return path


def lines_of(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def write_lines(path, lines):
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)


def events(path):
    return [row["event"] for row in read(path)]


# ---- the chain ----


def test_rows_come_back_as_they_were_added(filled):
    rows = read(filled)
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[2]["word"] == 'a, "quoted"\nword 2'
    assert rows[0]["previous_sha256"] == "0" * 64
    assert [row["previous_sha256"] for row in rows[1:]] == [row["sha256"] for row in rows[:-1]]


def test_a_rows_hash_is_that_of_its_cells_and_the_row_before(path):
    append(path, {"number": "1"})
    cells = json.dumps([["number", "1"], ["previous_sha256", "0" * 64]], separators=(",", ":"))
    assert read(path)[0]["sha256"] == hashlib.sha256(cells.encode()).hexdigest()


def test_adding_changes_nothing_that_is_there(filled):
    before = filled.read_bytes()
    append(filled, {"number": "4", "word": "more"})
    assert filled.read_bytes().startswith(before) and len(read(filled)) == 5
    assert [file.name for file in filled.parent.iterdir()] == ["ledger.csv"]


@pytest.mark.parametrize("line", [1, 2, 4])
@pytest.mark.parametrize("cell", [0, 1, 2, 3])
def test_an_edit_breaks_the_chain_at_its_row(filled, line, cell):
    lines = lines_of(filled)
    lines[line][cell] += "1"
    write_lines(filled, lines)
    with pytest.raises(StudyError, match=f"ledger.csv, row {line + 1}: the ledger was changed"):
        read(filled)


def test_an_edit_with_a_new_hash_breaks_the_chain_at_the_next_row(filled):
    lines = lines_of(filled)
    lines[2][0] = "7"
    cells = [list(pair) for pair in zip(lines[0][:3], lines[2][:3], strict=True)]
    lines[2][3] = hashlib.sha256(json.dumps(cells, separators=(",", ":")).encode()).hexdigest()
    write_lines(filled, lines)
    with pytest.raises(StudyError, match="row 4"):
        read(filled)


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_removed_row_breaks_the_chain_where_it_was(filled, line):
    lines = lines_of(filled)
    del lines[line]
    write_lines(filled, lines)
    with pytest.raises(StudyError, match=f"row {line + 1}"):
        read(filled)


def test_another_order_breaks_the_chain_at_the_first_row_that_moved(filled):
    lines = lines_of(filled)
    lines[2], lines[3] = lines[3], lines[2]
    write_lines(filled, lines)
    with pytest.raises(StudyError, match="row 3"):
        read(filled)


def test_nothing_is_added_to_a_broken_chain(filled):
    filled.write_text(filled.read_text().replace("word 1", "word x"))
    before = filled.read_bytes()
    with pytest.raises(StudyError, match="row 3"):
        append(filled, {"number": "4", "word": ""})
    assert filled.read_bytes() == before


def test_a_row_of_other_columns_is_refused(filled):
    with pytest.raises(ValueError, match="columns"):
        append(filled, {"number": "4", "note": ""})


def test_a_ledger_that_is_not_there_has_no_rows(path):
    assert read(path) == []


# ---- freezing ----


def test_models_are_recorded_once_and_again_only_when_they_change(path):
    record_freezing(path, [CLINICAL, NOMOGRAM], NOON)
    first = path.read_bytes()
    record_freezing(path, [CLINICAL, NOMOGRAM], NOON + timedelta(hours=1))
    assert path.read_bytes() == first
    record_freezing(path, [CLINICAL, CHANGED], NOON + timedelta(hours=2))
    assert path.read_bytes().startswith(first)
    rows = read(path)
    assert list(rows[0])[:5] == list(FREEZING_COLUMNS)
    assert [(row["model"], row["event"], row["frozen_at"][11:19]) for row in rows] == [
        ("clinical", "frozen", "12:00:00"),
        ("nomogram", "frozen", "12:00:00"),
        ("nomogram", "frozen again", "14:00:00"),
    ]


def test_a_model_changed_back_is_frozen_again(path):
    for number, model in enumerate((NOMOGRAM, CHANGED, NOMOGRAM)):
        record_freezing(path, [model], NOON + timedelta(hours=number))
    assert events(path) == ["frozen", "frozen again", "frozen again"]
    assert frozen_since(path, [NOMOGRAM]) == "2026-03-01T14:00:00+00:00"


def test_models_of_one_name_in_two_tasks_are_two_models(path):
    record_freezing(path, [NOMOGRAM, ("grade", *NOMOGRAM[1:])], NOON)
    assert events(path) == ["frozen", "frozen"]


def test_times_are_in_utc(path):
    record_freezing(path, [NOMOGRAM], datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=8))))
    assert read(path)[0]["frozen_at"] == "2026-03-01T04:00:00+00:00"


def test_a_study_without_models_has_an_empty_ledger(path):
    record_freezing(path, [], NOON)
    assert path.read_text() == ",".join([*FREEZING_COLUMNS, "previous_sha256", "sha256"]) + "\n"


def test_a_model_that_is_not_the_last_frozen_one_opens_nothing(path):
    record_freezing(path, [CLINICAL, NOMOGRAM], NOON)
    record_freezing(path, [CLINICAL, CHANGED], NOON + timedelta(hours=2))
    assert frozen_since(path, [CLINICAL]) == "2026-03-01T12:00:00+00:00"
    assert frozen_since(path, [CLINICAL, CHANGED]) == "2026-03-01T14:00:00+00:00"
    for stranger in (NOMOGRAM, ("her2", "volume", "d" * 64)):
        with pytest.raises(StudyError, match=f"model {stranger[1]} of task her2 is not the one"):
            frozen_since(path, [CLINICAL, stranger])


# ---- opening ----


def test_every_opening_is_recorded_with_what_changed_since_the_last(path):
    steps = [
        ("o1", "m1", "first opening"),
        ("o1", "m1", "opened again: nothing changed"),
        ("o1", "m2", "opened again: models changed"),
        ("o2", "m2", "opened again: outcomes changed"),
        ("o1", "m1", "opened again: models and outcomes changed"),
        ("o1", "m1", "opened again: nothing changed"),
    ]
    for number, (outcomes, models, _) in enumerate(steps):
        record_opening(path, "test", outcomes, models, "then", NOON + timedelta(minutes=number))
    assert events(path) == [event for _, _, event in steps]
    rows = read(path)
    assert list(rows[0])[:6] == list(OPENING_COLUMNS)
    assert [row["opened_at"][14:16] for row in rows] == ["00", "01", "02", "03", "04", "05"]
    assert {row["frozen_at"] for row in rows} == {"then"}


def test_cohorts_in_one_ledger_are_opened_apart(path):
    for cohort in ("one", "two", "one"):
        record_opening(path, cohort, "o", "m", "then", NOON)
    assert events(path) == ["first opening", "first opening", "opened again: nothing changed"]


def test_models_have_one_hash_in_any_order():
    assert models_sha256([CLINICAL, NOMOGRAM]) == models_sha256([NOMOGRAM, CLINICAL])
    assert models_sha256([CLINICAL, NOMOGRAM]) != models_sha256([CLINICAL, CHANGED])
    assert models_sha256([CLINICAL]) != models_sha256([CLINICAL, NOMOGRAM])
