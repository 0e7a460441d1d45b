"""Cohort tables: the data dictionary, the checks and the mapping of foreign columns."""

import csv
import re
import string

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annulus.cohort.checks import (
    check_cohort,
    check_manifest,
    check_participants,
    refuse_empty_cohorts,
    refuse_errors,
)
from annulus.cohort.chunks import chunk_of, chunked, image_stem
from annulus.cohort.dictionary import Column, columns_of
from annulus.cohort.sources import manifest_rows, read_source, used_rows
from annulus.errors import StudyError

PEOPLE = columns_of("participants")
IMAGES = columns_of("images")

ids = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=8)


def numbered(rows):
    return [{"_row": str(number), **row} for number, row in enumerate(rows, start=2)]


def people(*rows, needed=(), several_rows=False):
    return check_participants("people.csv", numbered(rows), PEOPLE, needed, several_rows)


def rules(problems):
    return [(p.rule, p.row, p.column, p.value) for p in problems]


def table(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- dictionary ------------------------------------------------------------------------------


def test_every_column_of_the_dictionary_has_a_type_and_a_description():
    for column in (*PEOPLE.values(), *IMAGES.values()):
        assert column.description
        assert column.type in {
            "text", "number", "integer", "boolean", "date", "category", "ordinal",
        }  # fmt: skip
        assert bool(column.levels) == (column.type in {"category", "ordinal"}), column.name
        assert column.minimum < column.maximum
    required = [name for name, column in PEOPLE.items() if column.required]
    assert required == ["patient_id"]


def test_scores_of_an_ordinal_column_are_of_its_levels_and_ascend():
    for column in PEOPLE.values():
        if column.type == "ordinal":
            scores = [column.scores[level] for level in column.levels if level in column.scores]
            assert set(column.scores) <= set(column.levels)
            assert len(scores) >= len(column.levels) - 1
    density = PEOPLE["breast_density"].scores
    assert [density[level] for level in "abcd"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("age_years", "54.5", 54.5),
        ("age_years", "", None),
        ("grade", "3", 3),
        ("grade", "3.0", 3),
        ("malignant", "1", 1),
        ("malignant", "0.0", 0),
        ("exam_date", "2024-02-29", "2024-02-29"),
        ("her2_ihc", "2+", "2+"),
        ("us_birads", "4A", "4A"),
        ("center", "any words", "any words"),
    ],
)
def test_a_cell_is_read_as_its_column_says(column, text, value):
    found = PEOPLE[column].read(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("age_years", "17", "18 to 100 years is expected"),
        ("age_years", "-1", "leave the cell empty"),
        ("age_years", "999", "leave the cell empty"),
        ("age_years", "nan", "18 to 100 years"),
        ("age_years", "forty", "a number is expected"),
        ("age_years", "54,5", "a number is expected"),
        ("grade", "2.5", "a whole number"),
        ("grade", "4", "1 to 3 is expected"),
        ("malignant", "2", "0 or 1"),
        ("malignant", "yes", "0 or 1 is expected"),
        ("exam_date", "29.02.2024", "YYYY-MM-DD"),
        ("exam_date", "2023-02-29", "YYYY-MM-DD"),
        ("her2_ihc", "2", r"allowed are 0, 1\+, 2\+, 3\+"),
        ("us_birads", "4a", "allowed are"),
        ("her2_ish_ratio", "-0.1", "is expected"),
    ],
)
def test_a_cell_that_its_column_does_not_allow_is_refused_with_what_it_allows(column, text, message):
    with pytest.raises(ValueError, match=message):
        PEOPLE[column].read(text)


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999"])
def test_what_is_not_finite_is_no_number_even_without_limits(text):
    with pytest.raises(ValueError, match="expected"):
        PEOPLE["her2_ish_ratio"].read(text)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_number_is_read_exactly_within_its_limits_and_refused_beyond(value, one, two):
    column = Column("x", "number", "", minimum=min(one, two), maximum=max(one, two))
    if min(one, two) <= value <= max(one, two):
        assert column.read(repr(value)) == value
    else:
        with pytest.raises(ValueError, match="is expected"):
            column.read(repr(value))


# --- participants ----------------------------------------------------------------------------


def test_patients_are_read_in_order_of_their_id():
    patients, problems = people(
        {"patient_id": "p2", "age_years": "60"}, {"patient_id": "p1", "age_years": ""}
    )
    assert patients == [
        {"patient_id": "p1", "age_years": None},
        {"patient_id": "p2", "age_years": 60.0},
    ]
    assert problems == []


def test_all_wrong_cells_are_told_at_once_with_row_column_and_value():
    _, problems = people(
        {"patient_id": "p1", "age_years": "999", "grade": "x"},
        {"patient_id": "", "age_years": "50", "grade": "2"},
        {"patient_id": "p3", "age_years": "50", "grade": "7"},
    )
    assert sorted(rules(problems)) == [
        ("empty", "3", "patient_id", ""),
        ("value", "2", "age_years", "999"),
        ("value", "2", "grade", "x"),
        ("value", "4", "grade", "7"),
    ]
    assert {p.file for p in problems} == {"people.csv"}
    assert {p.severity for p in problems} == {"error"}


def test_a_column_that_the_study_needs_and_lacks_is_an_error():
    _, problems = people({"patient_id": "p1"}, needed=["her2_ish", "age_years"])
    assert rules(problems) == [
        ("missing_column", "1", "age_years", ""),
        ("missing_column", "1", "her2_ish", ""),
    ]
    assert all(p.severity == "error" for p in problems)


def test_an_unknown_column_is_a_warning_with_the_nearest_known_one():
    _, problems = people({"patient_id": "p1", "age_year": "50", "age_years_missing_reason": "x"})
    assert rules(problems) == [("unknown_column", "1", "age_year", "")]
    assert problems[0].severity == "warning"
    assert "did you mean 'age_years'?" in problems[0].message


def test_a_table_without_patients_is_an_error():
    patients, problems = people()
    assert patients == []
    assert "no_patients" in {p.rule for p in problems if p.severity == "error"}


def test_rows_of_one_patient_that_agree_are_one_patient():
    same = {"patient_id": "p1", "age_years": "50"}
    patients, problems = people(same, {**same, "age_years": "50.0"}, same, several_rows=True)
    assert patients == [{"patient_id": "p1", "age_years": 50.0}]
    assert problems == []


def test_rows_of_one_patient_that_disagree_are_told_with_both_values():
    patients, problems = people(
        {"patient_id": "p1", "age_years": "50", "grade": "2"},
        {"patient_id": "p2", "age_years": "70", "grade": "2"},
        {"patient_id": "p1", "age_years": "51", "grade": ""},
        several_rows=True,
    )
    assert rules(problems) == [
        ("patient_disagrees", "4", "age_years", "51.0"),
        ("patient_disagrees", "4", "grade", "None"),
    ]
    assert "Row 2 of the same patient says 50.0" in problems[0].message
    assert [p["age_years"] for p in patients] == [50.0, 70.0]


def test_a_patient_on_two_rows_of_a_participants_table_is_refused():
    row = {"patient_id": "p1", "age_years": "50"}
    patients, problems = people(row, row)
    assert rules(problems) == [("duplicate_patient", "3", "patient_id", "p1")]
    assert len(patients) == 1


def test_a_cohort_without_patients_is_told_with_what_there_is():
    plan = {"by": "column", "column": "center", "cohorts": {"train": ["a"], "external_b": ["bb"]}}
    patients = [{"center": "a"}, {"center": "b"}]
    with pytest.raises(StudyError, match=r"split.cohorts.external_b: no patient has center bb. .* has a, b"):
        refuse_empty_cohorts(patients, plan)
    plan["cohorts"]["external_b"] = ["b"]
    refuse_empty_cohorts(patients, plan)


# --- manifest --------------------------------------------------------------------------------


def image(patient="p1", **more):
    return {
        "patient_id": patient, "image_id": "i1", "timepoint": "baseline", "modality": "US",
        "series": "bmode", "image_path": "i.png", "mask_path": "m.png", "mask_role": "tumour",
        "rater": "1", **more,
    }  # fmt: skip


@pytest.fixture
def manifest(tmp_path):
    for name in ("i.png", "m.png"):
        (tmp_path / name).write_text("")

    def check(*rows, patients=("p1",)):
        return check_manifest("images.csv", str(tmp_path), numbered(rows), IMAGES, set(patients))

    return check


def test_a_manifest_without_fault_has_no_problem(manifest):
    assert manifest(image(), image(mask_role="breast"), image(image_id="i2")) == []


def test_an_image_of_an_unknown_patient_is_an_error(manifest):
    problems = manifest(image(), image("p9"))
    assert rules(problems) == [("unknown_patient", "3", "patient_id", "p9")]
    assert problems[0].severity == "error"


def test_a_patient_without_an_image_is_a_warning(manifest):
    problems = manifest(image(), patients=("p1", "p3", "p2"))
    assert rules(problems) == [
        ("patient_without_image", "", "patient_id", "p2"),
        ("patient_without_image", "", "patient_id", "p3"),
    ]
    assert {p.severity for p in problems} == {"warning"}


def test_a_doubled_row_is_an_error_even_where_defaults_are_left_out(manifest):
    problems = manifest(image(), image("p1", timepoint="", rater=""), image(rater="2"))
    assert rules(problems) == [("duplicate_image", "3", "image_id", "i1")]
    assert "Row 2 has the same patient" in problems[0].message


@pytest.mark.parametrize(("name", "own", "other"), [("image_path", "i.png", "m.png"),
                                                    ("series_uid", "1.2", "1.3")])  # fmt: skip
def test_one_image_id_of_two_files_or_series_is_an_error(manifest, name, own, other):
    first, second = image(**{name: own}), image(mask_role="breast", timepoint="", **{name: other})
    problems = manifest(first, second, image(mask_role="node", **{name: own}))
    assert rules(problems) == [("image_disagrees", "3", name, other)]
    assert problems[0].severity == "error"
    assert f"Row 2 has the same patient, timepoint and image_id, but '{own}'" in problems[0].message
    assert "its own image_id" in problems[0].message
    apart = image(timepoint="post_nst", **{name: other})
    assert manifest(first, apart) == manifest(first, image(image_id="i2", **{name: other})) == []


def test_a_file_that_is_not_there_is_a_warning(manifest):
    problems = manifest(image(image_path="no.png", mask_path="none.png"))
    assert rules(problems) == [
        ("missing_file", "2", "image_path", "no.png"),
        ("missing_file", "2", "mask_path", "none.png"),
    ]
    assert {p.severity for p in problems} == {"warning"}


def test_wrong_and_empty_cells_of_a_manifest_are_all_told(manifest):
    problems = manifest(image(modality="XR", mask_role="", pixel_spacing_x_mm="0"), image(image_id=""))
    assert sorted(rules(problems)) == [
        ("empty", "2", "mask_role", ""),
        ("empty", "3", "image_id", ""),
        ("value", "2", "modality", "XR"),
        ("value", "2", "pixel_spacing_x_mm", "0"),
    ]


def test_a_manifest_that_lacks_a_column_is_told(manifest):
    row = image()
    del row["mask_role"]
    assert rules(manifest(row)) == [("missing_column", "1", "mask_role", "")]


def test_errors_are_refused_all_at_once_with_file_row_column_and_value(tmp_path):
    _, problems = people(
        {"patient_id": "p1", "age_years": "999", "odd": ""},
        {"patient_id": "p2", "age_years": "x", "odd": ""},
        needed=["grade"],
    )
    with pytest.raises(StudyError) as error:
        refuse_errors(problems, tmp_path / "problems.csv")
    text = str(error.value)
    assert "has 3 errors" in text
    assert "people.csv, row 2, column age_years, value '999'" in text
    assert "people.csv, row 3, column age_years, value 'x'" in text
    assert "people.csv, row 1, column grade" in text
    assert "odd" not in text


def test_warnings_alone_are_let_be(tmp_path):
    _, problems = people({"patient_id": "p1", "odd": "1"})
    assert [p.severity for p in problems] == ["warning"]
    assert refuse_errors(problems, tmp_path / "problems.csv") is None


def test_a_cohort_is_checked_across_both_of_its_tables(tmp_path):
    file = table(tmp_path / "all.csv", "Case,Age,File", "a,50,x", "b,5,y", "a,50,z")
    source = {"columns": {"patient_id": "Case", "age_years": "Age"}}
    constant = {k: {"constant": v} for k, v in image().items() if k in ("modality", "series")}
    pictures = {
        "columns": {
            "patient_id": "Case", "image_id": "File", "mask_role": {"constant": "tumour"},
            "image_path": {"from": "File", "pattern": "(.*)", "replacement": r"I/\1.png"},
            "mask_path": "File", **constant,
        }
    }  # fmt: skip
    patients, problems = check_cohort(str(file), source, str(file), pictures, str(tmp_path), ["age_years"])
    assert patients == [
        {"patient_id": "a", "age_years": 50.0},
        {"patient_id": "b", "age_years": None},
    ]
    assert [p.row for p in problems if p.rule == "value"] == ["3"]
    missing = [p.value for p in problems if p.rule == "missing_file"]
    assert missing == ["I/x.png", "x", "I/y.png", "y", "I/z.png", "z"]


def test_a_simulated_cohort_is_checked_without_images(tmp_path):
    file = table(tmp_path / "p.csv", "patient_id,grade", "a,1")
    patients, problems = check_cohort(str(file), {}, None, None, "", ["grade"])
    assert patients == [{"patient_id": "a", "grade": 1}]
    assert problems == []


# --- mapping ---------------------------------------------------------------------------------


def mapped(tmp_path, columns, *lines):
    file = table(tmp_path / "t.csv", *lines)
    return read_source(tmp_path, {"file": file.name, "columns": columns})


def test_columns_are_renamed_and_rows_carry_their_line(tmp_path):
    rows = mapped(tmp_path, {"patient_id": "Case"}, "Case,More", " a ,1", "b,2")
    assert rows == [{"_row": "2", "patient_id": "a"}, {"_row": "3", "patient_id": "b"}]


def test_without_a_mapping_columns_stay_as_they_are(tmp_path):
    rows = mapped(tmp_path, None, "patient_id,grade", "a,1")
    assert rows == [{"_row": "2", "patient_id": "a", "grade": "1"}]


def test_values_patterns_and_constants_are_applied(tmp_path):
    columns = {
        "malignant": {"from": "Path", "values": {"benign": 0, "malignant": 1}},
        "image_id": {"from": "ID", "pattern": "bus_([0-9]+)", "replacement": r"n\1"},
        "modality": {"constant": "US"},
        "grade": {"constant": 2},
        "center": {"from": "ID"},
    }
    (row,) = mapped(tmp_path, columns, "Path,ID", "malignant,bus_12")
    assert row == {
        "_row": "2", "malignant": "1", "image_id": "n12", "modality": "US", "grade": "2",
        "center": "bus_12",
    }  # fmt: skip


def test_values_of_yaml_numbers_match_what_the_file_says(tmp_path):
    columns = {"malignant": {"from": "Code", "values": {1: 0, 2: 1}}}
    rows = mapped(tmp_path, columns, "Code", "2", "1")
    assert [r["malignant"] for r in rows] == ["1", "0"]


def test_an_empty_cell_stays_empty_through_a_value_mapping(tmp_path):
    columns = {"malignant": {"from": "Path", "values": {"benign": 0}}, "patient_id": "Case"}
    (row,) = mapped(tmp_path, columns, "Case,Path", "a,")
    assert row["malignant"] == ""


def test_an_empty_cell_stays_empty_through_a_pattern(tmp_path):
    columns = {"exam_date": {"from": "D", "pattern": "([0-9]{4})/([0-9]{2})/([0-9]{2})",
                             "replacement": r"\1-\2-\3"}, "patient_id": "Case"}  # fmt: skip
    rows = mapped(tmp_path, columns, "Case,D", "a,", "b,2024/05/06")
    assert [r["exam_date"] for r in rows] == ["", "2024-05-06"]


@pytest.mark.parametrize(
    ("ours", "spec"),
    [
        ("malignant", {"from": "X", "values": {"benign": 0}}),
        ("exam_date", {"from": "X", "pattern": "[0-9-]+", "replacement": r"\g<0>"}),
        ("center", {"from": "X", "values": {"benign": "A"}}),
        ("device", {"from": "X", "pattern": "[0-9-]+", "replacement": r"\g<0>"}),
    ],
)
def test_a_value_that_the_mapping_does_not_know_is_an_error_that_shows_it(tmp_path, ours, spec):
    rows = mapped(tmp_path, {"patient_id": "Case", ours: spec}, "Case,X", "a,weird")
    _, problems = check_participants("t.csv", rows, PEOPLE, ())
    errors = [p for p in problems if p.severity == "error"]
    assert [(p.row, p.column) for p in errors] == [("2", ours)]
    assert "weird" in errors[0].value


def test_a_series_that_the_mapping_does_not_know_is_an_error(tmp_path, manifest):
    columns = {key: {"constant": value} for key, value in image().items()}
    columns["series"] = {"from": "S", "values": {"B": "bmode"}}
    columns["image_id"] = "ID"
    rows = mapped(tmp_path, columns, "ID,S", "i1,B", "i2,Doppler")
    problems = check_manifest("t.csv", str(tmp_path), rows, IMAGES, {"p1"})
    assert [(p.row, p.column, p.severity) for p in problems] == [("3", "series", "error")]


def test_a_mapped_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(StudyError, match=r"no column 'Cas', which.*Its columns are Case, Age"):
        mapped(tmp_path, {"patient_id": "Cas"}, "Case,Age", "a,1")


def test_a_table_that_is_not_there_is_told_with_what_to_set(tmp_path):
    with pytest.raises(StudyError, match=r"none\.csv: there is no such file.*cohort_folder"):
        read_source(tmp_path, {"file": "none.csv"})


def test_a_table_that_is_not_utf_8_is_told_in_words(tmp_path):
    (tmp_path / "t.csv").write_bytes("patient_id,center\na,Köln\n".encode("cp1252"))
    with pytest.raises(StudyError, match=r"t\.csv"):
        read_source(tmp_path, {"file": "t.csv"})


def test_a_byte_order_mark_and_short_rows_do_no_harm(tmp_path):
    text = "patient_id,grade,center\na,1\nb,2,x\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
    rows = read_source(tmp_path, {"file": "t.csv"})
    assert rows[0] == {"_row": "2", "patient_id": "a", "grade": "1", "center": ""}


@given(st.lists(st.tuples(ids, st.text('abc,"\n é', max_size=5)), max_size=5))
@settings(deadline=None)
def test_any_quoted_cell_is_read_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("patient_id", "center"), *cells])
    rows = read_source(path.parent, {"file": "t.csv"})
    assert [(r["patient_id"], r["center"]) for r in rows] == [(a, b.strip()) for a, b in cells]


def test_manifest_rows_are_those_of_known_patients_with_defaults():
    rows = numbered([image("p1", rater="", timepoint=""), image("p9"), image("p1", image_id="")])
    (row,) = manifest_rows(rows, ["p1"])
    assert (row["rater"], row["timepoint"], row["view"]) == ("1", "baseline", "na")
    assert "_row" not in row


def test_used_rows_are_those_of_the_studys_images_under_its_names():
    rows = [
        image(modality="CEM", series=series, view=view, image_id=f"{series}{view}")
        for series in ("le", "rc", "other")
        for view in ("CC", "MLO")
    ]
    wanted = {
        "low": {"modality": "CEM", "series": "le", "view": "CC"},
        "iodine": {"modality": "CEM", "series": "rc"},
    }
    found = [(r["image"], r["image_id"]) for r in used_rows(rows, wanted)]
    assert found == [("low", "leCC"), ("iodine", "rcCC"), ("iodine", "rcMLO")]
    with pytest.raises(StudyError, match=r"images.us: no row of the image manifest .* CEM le CC; CEM le MLO"):
        used_rows(rows, {"us": {"modality": "US", "series": "rc"}})


# --- names and chunks ------------------------------------------------------------------------


def stem(patient, image_id="i1", timepoint="baseline"):
    return image_stem({"patient_id": patient, "timepoint": timepoint, "image_id": image_id})


def test_a_plain_id_is_kept_in_the_name_of_a_file():
    assert stem("BUS-001.a", "l_2").startswith("BUS-001.a_baseline_l_2-")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_id_makes_a_safe_file_name(patient, image_id):
    name = stem(patient, image_id)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
    assert name == stem(patient, image_id)


@given(st.text(max_size=6), st.text(max_size=6))
def test_ids_that_differ_make_names_that_differ(one, two):
    assert (stem(one) == stem(two)) is (one == two)
    assert (stem("p", one) == stem("p", two)) is (one == two)


def test_ids_with_underscores_are_not_mixed_up():
    assert stem("a_baseline", "x") != stem("a", "baseline_x")


def test_the_chunk_of_a_patient_never_changes():
    # Written down once: a change would recompute every imaging stage of every user.
    assert [chunk_of(p, 18) for p in ("001", "p1", "SIM-0001")] == ["0017", "0004", "0001"]


@given(st.lists(ids, unique=True, min_size=1, max_size=30), ids, st.integers(1, 12))
@settings(deadline=None)
def test_adding_a_patient_moves_no_other(patients, newcomer, chunks):
    before = chunked([image(p) for p in patients], chunks)
    after = chunked([image(p) for p in [newcomer, *patients]], chunks)
    where = {row["patient_id"]: name for name, rows in before.items() for row in rows}
    then = {row["patient_id"]: name for name, rows in after.items() for row in rows}
    assert {p: then[p] for p in where} == where
    unchanged = set(before) - {chunk_of(newcomer, chunks)}
    assert {name: after[name] for name in unchanged} == {n: before[n] for n in unchanged}


@given(st.lists(st.tuples(ids, ids), unique=True, max_size=20), st.randoms(), st.integers(1, 9))
@settings(deadline=None)
def test_chunks_hold_every_row_once_in_an_order_of_their_own(pairs, random, chunks):
    rows = [image(patient, image_id=name) for patient, name in pairs]
    shuffled = random.sample(rows, len(rows))
    shares = chunked(rows, chunks)
    assert chunked(shuffled, chunks) == shares
    assert sum(map(len, shares.values())) == len(rows)
    assert len(shares) <= chunks
    assert list(shares) == sorted(shares)
    for patient, _ in pairs:
        homes = {n for n, part in shares.items() if any(r["patient_id"] == patient for r in part)}
        assert homes == {chunk_of(patient, chunks)}


def test_patients_are_spread_evenly_over_chunks():
    counts = pd.Series([chunk_of(f"p{n:04d}", 10) for n in range(2000)]).value_counts()
    assert len(counts) == 10
    # Binomial with mean 200 and deviation 13.4.
    assert counts.between(200 - 4 * 13.4, 200 + 4 * 13.4).all()
    assert all(re.fullmatch("[0-9]{4}", name) for name in counts.index)
