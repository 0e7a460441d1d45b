"""Tables as other hospitals send them: each mistake is told once, with its place and what to do."""

import csv
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from test_adapters import workbook

from annulus.cohort import plausibility
from annulus.cohort.checks import check_cohort, error_lines, refuse_errors
from annulus.cohort.listing import table_file
from annulus.cohort.sources import read_source, read_table
from annulus.cohort.units import ANY, KNOWN
from annulus.config import problems as schema_problems
from annulus.config import read_yaml
from annulus.errors import StudyError

ROOT = Path(__file__).parents[1]
NEEDED = ("malignant", "age_years", "tumor_diameter_mm", "exam_date")
HEADER = ("patient_id", "center", *NEEDED)
PATIENTS = 40


def good_rows():
    """Return a cohort without fault: ages of 40 to 79 and diameters of 10.5 to 49.5."""
    return [
        [f"P{i:02d}", "Köln", str(i % 2), str(40 + i), f"{10 + i}.5", f"2024-01-{i % 28 + 1:02d}"]
        for i in range(PATIENTS)
    ]


def with_column(name, values):
    """Return the good cohort with other values in a column."""
    at, rows = HEADER.index(name), good_rows()
    for row, value in zip(rows, values, strict=False):
        row[at] = value
    return rows


def written(rows, header=HEADER, separator=","):
    """Write rows as CSV text."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def text_of(name, value):
    """Return the good cohort as CSV with one value in a whole column."""
    return written(with_column(name, [value] * PATIENTS))


def place(folder, content, name="participants.csv"):
    """Write a file, in UTF-8 where it is text."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def check(folder, severity="error", **table):
    """Return the lines in which a cohort's table is told to be wrong, and its patients."""
    source = {"file": "participants.csv", **table}
    patients, problems = check_cohort(table_file(folder, source), source, None, None, str(folder), NEEDED)
    if severity == "warning":
        assert refuse_errors(problems, folder / "problems.csv") is None
        return error_lines(problem for problem in problems if problem.severity == "warning"), patients
    try:
        refuse_errors(problems, folder / "problems.csv")
    except StudyError as error:
        first, *lines = str(error).splitlines()
        assert first.startswith("The cohort has ")
        return lines, patients
    return [], patients


def told(folder, severity="error", **table):
    """Return the one line that comes out."""
    try:
        lines, _ = check(folder, severity, **table)
    except StudyError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def columns_without(name):
    return [column for column in HEADER if column != name]


def without(name):
    at = HEADER.index(name)
    return [row[:at] + row[at + 1 :] for row in good_rows()]


GOOD = written(good_rows())
EXTRA = [f"f{i}" for i in range(20_000)]

# Name: the file, row, column, value and words of the remedy.
WRONG = {
    "missing column": (
        written(without("age_years"), columns_without("age_years")),
        "row 1, column age_years, value ''", "Add it, or map it in the cohort file",
    ),
    "column of a similar name": (
        GOOD.replace("age_years", "Age (years)"),
        "row 1, column age_years", "is it 'Age (years)' of the table?",
    ),
    "age in days": (
        written(with_column("age_years", [str((40 + i) * 365) for i in range(PATIENTS)])),
        "row 2 (and 39 more rows), column age_years, value '14600'",
        "days (factor: 1/365.25); if so, set columns.age_years.factor in the cohort file",
    ),
    "diameter in metres": (
        written(with_column("tumor_diameter_mm", [f"0.0{i % 9 + 1}" for i in range(PATIENTS)])),
        "row 2 (and 39 more rows), column tumor_diameter_mm, value '0.01'", "m (factor: 1000)",
    ),
    "one value out of range": (
        written(with_column("age_years", ["50", "999"])),
        "row 3, column age_years, value '999'", "leave the cell empty where the value is missing",
    ),
    "patient twice": (
        GOOD + ",".join(good_rows()[0]), "row 42, column patient_id, value 'P00'", "Keep one row per patient",
    ),
    "yes and no": (
        written(with_column("malignant", ["yes", "no"] * 20)),
        "row 2 (and 39 more rows), column malignant, value 'yes'",
        "what each value means in the cohort file (columns.malignant.values); the column has 'yes', 'no'",
    ),
    "1 and 2": (
        written(with_column("malignant", ["1", "2"] * 20)),
        "row 3 (and 19 more rows), column malignant, value '2'", "the column has '1', '2'",
    ),
    # Excel shows 45292 as 1 January 2024.
    "days of Excel": (
        written(with_column("exam_date", [str(45292 + i) for i in range(PATIENTS)])),
        "row 2 (and 39 more rows), column exam_date, value '45292'",
        "45292 is 2024-01-01). Format the cells as yyyy-mm-dd",
    ),
    "day first": (
        written(with_column("exam_date", [f"{i % 28 + 1:02d}.01.2024" for i in range(PATIENTS)])),
        "row 2 (and 39 more rows), column exam_date, value '01.01.2024'",
        "The day comes first here. Format the cells as yyyy-mm-dd",
    ),
    "month first": (
        written(with_column("exam_date", [f"12/{i % 28 + 1}/2024" for i in range(PATIENTS)])),
        "column exam_date, value '12/1/2024'", "The month comes first here",
    ),
    "day or month first": (
        text_of("exam_date", "03/04/2024"), "value '03/04/2024'", "cannot be told and is not guessed",
    ),
    "day and month first": (
        written(with_column("exam_date", ["31/12/2024", "12/31/2024"])),
        "row 2 (and 1 more row), column exam_date", "Some dates of the column begin with the day",
    ),
    "semicolons and decimal commas": (
        GOOD.replace(",", ";").replace(".5;", ",5;"),
        "row 2 (and 39 more rows), column tumor_diameter_mm, value '10,5'",
        "set decimal: ',' for the table in the cohort file",
    ),
    "decimal commas without quotation marks": (
        GOOD.replace(".5,", ",5,"), "row 2 (and 39 more rows), column 7", "12,5, in quotation marks",
    ),
    "a code for missing": (
        written(with_column("age_years", ["NA", "50", "NA"])),
        "row 2 (and 1 more row), column age_years, value 'NA'", "list it under missing in the cohort file",
    ),
    "Windows-1252": (
        GOOD.encode("cp1252"), "row 2, column center, value 'Köln'", "Windows-1252, as which the value is",
    ),
    "UTF-16": (GOOD.encode("utf-16"), "row 1", "probably in UTF-16. Save it as CSV in UTF-8"),
    "UTF-16 without its mark": (GOOD.encode("utf-16-le"), "row 1", "Save it as CSV in UTF-8"),
    "no bytes": (b"", "it is empty", "Fill it in, or name another file in the cohort file"),
    "blank lines alone": ("\n\n,,\n", "it is empty", "Fill it in"),
    "header alone": (written([]), "column patient_id", "no patient in it. Fill in a row per patient"),
    "header and blank rows": (written([[""] * 6] * 5), "column patient_id", "Fill in a row per patient"),
    "names in a later row": ("\n" + GOOD, "row 1", "Set header_row in the cohort file"),
    "commas or semicolons": (
        "patient_id;age_years;a, b\nP1;50;1\n", "row 1", "Put names that hold such a mark in quotation marks",
    ),
    "a quotation mark that is not closed": (
        GOOD.replace("P03", '"P03'), "row 5", "A quotation mark must be closed",
    ),
    "a workbook named CSV": (b"PK\x03\x04more", "it is a workbook, not CSV", "Give it the ending .xlsx"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_told_in_one_line_with_file_place_and_remedy(tmp_path, name):
    content, where, remedy = WRONG[name]
    place(tmp_path, content)
    line = told(tmp_path)
    assert line.startswith(f"{tmp_path}/participants.csv")
    assert where in line
    assert remedy in line


@pytest.mark.parametrize(
    ("content", "where", "remedy"),
    [
        (GOOD + "p 00" + GOOD.splitlines()[1][3:], "row 42, column patient_id, value 'p 00': Row 2 has 'P00'",
         "keep one row"),
        (written([[*row, *["1"] * 20_000] for row in good_rows()], [*HEADER, *EXTRA]),
         "row 1, column f0, value '': 20000 columns are not in the data dictionary and are ignored, among "
         "them f0, f1, f2.", "Map those that the study needs in the cohort file"),
    ],
    ids=["ids that differ in capitals and blanks", "thousands of other columns"],
)  # fmt: skip
def test_what_may_be_right_is_one_warning(tmp_path, content, where, remedy):
    place(tmp_path, content)
    line = told(tmp_path, "warning")
    assert line.startswith(f"{tmp_path}/participants.csv")
    assert where in line
    assert remedy in line


def test_a_file_that_is_not_there_is_told_with_one_of_nearly_its_name(tmp_path):
    place(tmp_path, GOOD, "participant.csv")
    assert "participants.csv: there is no such file (did you mean 'participant.csv'?). Correct" in told(
        tmp_path
    )
    assert "Set the cohort's folder" in told(tmp_path / "elsewhere")


def test_a_needed_column_that_the_mapping_forgets_is_told_to_be_there(tmp_path):
    place(tmp_path, GOOD)
    mapping = {name: name for name in HEADER if name != "age_years"}
    line = told(tmp_path, columns=mapping)
    assert "column age_years" in line
    assert "the table has it, but columns in the cohort file does not name it" in line


def test_the_table_of_problems_has_every_cell_of_a_mistake_that_is_told_once(tmp_path):
    place(tmp_path, written(with_column("malignant", ["yes", "no"] * 20)))
    told(tmp_path)
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["value"]) for row in rows] == [
        (str(i + 2), "no" if i % 2 else "yes") for i in range(PATIENTS)
    ]


# --- images ----------------------------------------------------------------------------------


def images(folder, content):
    place(folder, GOOD)
    place(folder, content, "images.csv")
    people, pictures = {"file": "participants.csv"}, {"file": "images.csv"}
    _, problems = check_cohort(
        table_file(folder, people), people, table_file(folder, pictures), pictures, str(folder), NEEDED
    )
    return error_lines(problem for problem in problems if problem.severity == "error")


def test_an_image_table_of_a_header_alone_is_one_line(tmp_path):
    (line,) = images(tmp_path, "patient_id,image_id,modality,series,image_path\n")
    assert line.startswith(f"{tmp_path}/images.csv")
    assert "There is no image in it. Fill in a row per image" in line


def test_images_of_an_id_in_other_letters_are_told_with_the_right_one(tmp_path):
    rows = "".join(f"p{i:02d},{i},US,bmode,{i}.png\n" for i in range(PATIENTS))
    (line,) = images(tmp_path, "patient_id,image_id,modality,series,image_path\n" + rows)
    assert "row 2 (and 39 more rows), column patient_id, value 'p00'" in line
    assert "which has 'P00'. Add the patient there, or correct the id" in line


# --- tables that are read --------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "sep=;\n" + GOOD.replace(",", ";"),
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n"),
        written([[*row[:1], "Köln", *row[2:]] for row in good_rows()], separator=";").encode("utf-8-sig"),
    ],
    ids=["semicolons", "tabs", "separator line", "byte order mark", "Windows line ends", "German Excel"],
)
def test_what_is_clear_is_read_as_the_same_cohort(tmp_path, content):
    place(tmp_path, GOOD)
    expected = read_source(tmp_path, {"file": "participants.csv"})
    assert check(tmp_path)[0] == []
    place(tmp_path, content)
    assert read_source(tmp_path, {"file": "participants.csv"}) == expected
    assert check(tmp_path)[0] == []


def test_a_semicolon_in_a_cell_or_name_of_a_comma_table_separates_nothing(tmp_path):
    place(tmp_path, "patient_id,mask;s\nP1,a;b\n")
    rows = read_source(tmp_path, {"file": "participants.csv"})
    assert rows == [{"_row": "2", "patient_id": "P1", "mask;s": "a;b"}]


def test_a_table_that_is_said_to_have_decimal_commas_is_read_with_them(tmp_path):
    place(tmp_path, GOOD.replace(",", ";").replace(".5;", ",5;").replace("P00", "1,5"))
    lines, patients = check(tmp_path, decimal=",")
    assert lines == []
    assert [patient["tumor_diameter_mm"] for patient in patients[1:]] == [
        i + 10.5 for i in range(1, PATIENTS)
    ]
    # An id is no number, whatever it looks like.
    assert patients[0]["patient_id"] == "1,5"


def test_decimal_commas_come_before_a_change_of_unit_and_after_a_pattern(tmp_path):
    place(tmp_path, "id;d;e\nP1;1,25;2,5 cm\n")
    columns = {
        "patient_id": "id",
        "tumor_diameter_mm": {"from": "d", "factor": 10},
        "aln_long_axis_mm": {"from": "e", "pattern": "(.*) cm", "replacement": r"\1", "factor": 10},
    }
    (row,) = read_source(tmp_path, {"file": "participants.csv", "decimal": ",", "columns": columns})
    assert (row["tumor_diameter_mm"], row["aln_long_axis_mm"]) == ("12.5", "25")


@pytest.mark.parametrize("value", ["1.234", "1.234,5", "10.5"])
def test_a_point_in_a_table_of_decimal_commas_is_not_guessed(tmp_path, value):
    place(tmp_path, written(with_column("tumor_diameter_mm", ["10,5", value, *["10,5"] * 38]), separator=";"))
    line = told(tmp_path, decimal=",")
    assert f"row 3, column tumor_diameter_mm, value '{value}'" in line
    assert "correct the cell" in line


def test_a_joined_table_has_its_own_decimal_mark(tmp_path):
    place(tmp_path, "id,d\nP1,12.5\n")
    place(tmp_path, "who;a\nP1;50,5\n", "more.csv")
    table = {"file": "participants.csv", "join": {"file": "more.csv", "match": {"id": "who"}, "decimal": ","}}
    columns = {"patient_id": "id", "tumor_diameter_mm": "d", "age_years": "a"}
    (row,) = read_source(tmp_path, {**table, "columns": columns})
    assert (row["tumor_diameter_mm"], row["age_years"]) == ("12.5", "50.5")


def test_a_workbook_holds_numbers_and_needs_no_decimal_mark(tmp_path):
    cells = [[*row[:3], int(row[3]), row[4].replace(".", ","), row[5]] for row in good_rows()]
    workbook(tmp_path / "p.xlsx", one=[list(HEADER), *cells])
    line = told(tmp_path, file="p.xlsx")
    assert "p.xlsx, row 2 (and 39 more rows), column tumor_diameter_mm, value '10,5'" in line
    assert "make the cells of the workbook numbers" in line
    assert "Make the cells of the workbook numbers" in told(tmp_path, file="p.xlsx", decimal=",")


def test_rows_of_a_wide_table_hold_the_known_columns_alone(tmp_path):
    place(tmp_path, "patient_id,a,b,c\nP1,1,2,3\n")
    source = {"file": "participants.csv"}
    table = read_table(tmp_path, source, known="patient_id".__eq__)
    assert table.rows == [{"_row": "2", "patient_id": "P1"}]
    assert table.columns == ("patient_id", "a", "b", "c")
    mapped = read_table(tmp_path, {**source, "columns": {"grade": "b"}, "leave_out": {"c": [4]}})
    assert mapped.rows == [{"_row": "2", "grade": "2"}]
    assert mapped.unmapped == ("patient_id", "a", "c")


def test_a_cohort_file_may_say_that_ids_are_its_own_and_commas_decimal():
    schema = read_yaml(ROOT / "workflow/schemas/cohort.schema.yaml")
    table = {"file": "p.csv", "decimal": ",", "join": {"file": "q.csv", "match": {"a": "b"}, "decimal": ","}}
    cohort = {"name": "mine", "source": "table", "folder": "f", "own_ids": True, "participants": table}
    assert schema_problems(cohort, schema) == []
    table["decimal"] = "."
    assert len(schema_problems(cohort, schema)) == 1


# --- beside training -------------------------------------------------------------------------


def rows_of(column, values):
    return [{"_row": str(row), column: value} for row, value in enumerate(values, start=2)]


def only_line(problems, severity="error"):
    (line,) = error_lines(problems)
    assert {problem.severity for problem in problems} == {severity}
    assert line.startswith("mine.csv, row ")
    return line


def endpoint(values, share=None, others=()):
    rows = rows_of("breast_pcr", values)
    return plausibility.endpoint_problems("mine.csv", rows, "breast_pcr", [1], [0], share, others)


@pytest.mark.parametrize(
    ("values", "place_and_value"),
    [
        (["1", "2", "1", "2"], "row 3 (and 1 more row), column breast_pcr, value '2'"),
        (["alive", "", "dead"], "row 2 (and 1 more row), column breast_pcr, value 'alive'"),
        (["yes", "no"], "row 2 (and 1 more row), column breast_pcr, value 'yes'"),
        ([1, 0, 9], "row 4, column breast_pcr, value '9'"),
    ],
)
def test_another_coding_of_the_endpoint_is_one_line(values, place_and_value):
    line = only_line(endpoint(values, 0.5))
    assert place_and_value in line
    assert "(1 is the event). Say what the value means in the cohort file (columns.breast_pcr.values)" in line


def test_one_as_alive_is_told_by_the_share_of_events():
    # 90 of 100 died elsewhere; here 1 may stand for alive.
    line = only_line(endpoint(["1"] * 90 + ["0"] * 10, 0.1), "warning")
    assert "row 2, column breast_pcr, value '1': 90 of 100 patients (90%) have the event (1), but 10%" in line
    assert "the other way round here, such as 1 for alive. If so, say what each value means" in line


@pytest.mark.parametrize(
    ("events", "n", "share"),
    [
        (12, 100, 0.1),
        (40, 100, 0.1),  # Rare by chance, but nearer to 0.1 than to 0.9.
        (4, 4, 0.1),  # Nearer to 0.9, but not rare enough: p = 1e-4.
        (95, 100, 0.5),  # Both codings are as far away.
        (0, 0, 0.1),
        (100, 100, 0.0),
    ],
)
def test_other_shares_of_events_are_no_reason_to_doubt_the_coding(events, n, share):
    assert endpoint([1.0] * events + [0.0] * (n - events) + [None, float("nan"), ""], share) == []


def test_values_that_leave_a_patient_out_of_a_task_are_no_mistake():
    assert endpoint(["1", "0", "equivocal"], others=["equivocal"]) == []
    assert len(endpoint(["1", "0", "equivocal"])) == 1


def test_the_binomial_test_is_the_exact_one():
    # The example of R's help page: binom.test(682, 682 + 243, p = 3/4).
    assert plausibility.binomial_p(682, 925, 0.75) == pytest.approx(0.3825, abs=5e-5)


@given(st.integers(1, 300), st.floats(0.01, 0.99), st.data())
def test_the_binomial_test_is_that_of_scipy(n, share, data):
    events = data.draw(st.integers(0, n))
    expected = binomtest(events, n, share).pvalue
    assert plausibility.binomial_p(events, n, share) == pytest.approx(expected, rel=1e-6, abs=1e-12)


# Smallest value, 5 % quantile, median, 95 % quantile and largest.
TRAINING = {
    "age_years": (24.0, 34.0, 52.0, 74.0, 88.0),
    "tumor_diameter_mm": (4.0, 8.0, 21.0, 52.0, 90.0),
    "er_pct": (0.0, 0.0, 80.0, 95.0, 100.0),
    "adc_mean_e6": (500.0, 700.0, 950.0, 1400.0, 1900.0),
    "crp": (0.5, 0.8, 4.0, 60.0, 90.0),
}


@pytest.mark.parametrize(
    ("name", "values", "severity", "unit"),
    [
        ("age_years", [600, 500, 700], "error", "months (factor: 1/12): set columns.age_years.factor: 1/12"),
        ("age_years", [19000, 20000], "error", "days (factor: 1/365.25): set"),
        ("tumor_diameter_mm", ["2.1", "1.4", "3.0", ""], "error", "cm (factor: 10): set"),
        ("tumor_diameter_mm", [0.021, 0.02], "error", "m (factor: 1000): set"),
        ("tumor_diameter_mm", [0.8, 0.85], "error", "inches (factor: 25.4): set"),
        ("tumor_diameter_mm", [21000.0, 9000.0], "error", "micrometres (factor: 0.001): set"),
        ("adc_mean_e6", [0.9, 1.1], "error", "1e-3 mm2/s (factor: 1000): set"),
        ("crp", [410.0, 390.0], "error", "another unit (factor: 0.01): set"),
        ("tumor_diameter_mm", ["5", "4", "4.5"], "warning", "cm (factor: 10): set"),
        ("er_pct", ["0.9"] * 9 + ["0"], "warning", "shares from 0 to 1 (factor: 100): set"),
    ],
)
def test_a_unit_other_than_in_training_is_one_line(name, values, severity, unit):
    line = only_line(plausibility.unit_problems("mine.csv", rows_of(name, values), TRAINING), severity)
    assert f"row 2, column {name}, value '{float(values[0]):g}'" in line
    assert unit in line
    assert "in the cohort file" in line


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age_years", [78, 80, 81]),
        ("tumor_diameter_mm", ["12", "", "x", "30"]),
        ("tumor_diameter_mm", [95.0, 1e9, 1e9]),  # No factor leads back.
        ("er_pct", [0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1]),
        ("er_pct", [0.5, 0.9]),  # Too few to tell.
        ("crp", []),
        ("bmi", [5000.0]),  # Training has nothing to compare with.
    ],
)
def test_other_patients_in_the_same_unit_raise_no_doubt(name, values):
    assert plausibility.unit_problems("mine.csv", rows_of(name, values), TRAINING) == []


@given(st.sampled_from(["mm", "years"]), st.data())
def test_any_usual_unit_is_recognised_by_its_factor(unit, data):
    name, summary = {"mm": ("tumor_diameter_mm", (9.0, 12.0, 20.0, 30.0, 40.0)),
                     "years": ("age_years", (35.0, 40.0, 52.0, 65.0, 80.0))}[unit]  # fmt: skip
    factor = data.draw(st.sampled_from(KNOWN[unit]))
    median = data.draw(st.floats(0.85, 1.15)) * summary[2]
    rows = rows_of(name, [median / factor.value])
    (problem,) = plausibility.unit_problems("mine.csv", rows, {name: summary})
    assert f"factor: {factor.text} in the cohort file" in problem.message


def test_factors_are_written_as_a_cohort_file_takes_them(tmp_path):
    place(tmp_path, "x\n1000\n")
    for factor in (*ANY, *(factor for factors in KNOWN.values() for factor in factors)):
        columns = {"bmi": {"from": "x", "factor": factor.text}}
        (row,) = read_source(tmp_path, {"file": "participants.csv", "columns": columns})
        assert float(row["bmi"]) == pytest.approx(1000 * factor.value)


def digest(text):
    return hashlib.sha256(f"salt {text}".encode()).hexdigest()


def test_patients_of_training_are_one_line_by_their_id():
    rows = rows_of("patient_id", ["A1", "A2", "B1", "A2", "A3"])
    hashed = {digest(patient) for patient in ("A2", "A3", "C9")}
    problems = plausibility.known_patients_problems("mine.csv", rows, hashed, digest)
    assert [(problem.row, problem.value) for problem in problems] == [("3", "A2"), ("6", "A3")]
    line = only_line(problems)
    assert "row 3 (and 1 more row), column patient_id, value 'A2'" in line
    assert "Leave the patient out (leave_out in the cohort file), or set own_ids: true there" in line
    assert plausibility.known_patients_problems("mine.csv", rows, {digest("a2")}, digest) == []


def test_images_of_training_are_one_line_whatever_the_id():
    table = [
        {"_row": "2", "patient_id": "X1", "image_id": "i", "content_sha256": "aa"},
        {"_row": "3", "patient_id": "X2", "image_id": "i", "content_sha256": "bb"},
        {"_row": "4", "patient_id": "X2", "image_id": "i", "content_sha256": "bb"},
        {"_row": "5", "patient_id": "X3", "image_id": "j", "content_sha256": ""},
        {"_row": "6", "patient_id": "X3", "image_id": "k", "content_sha256": "cc"},
    ]
    problems = plausibility.known_images_problems("mine.csv", table, {"bb", "cc", ""})
    line = only_line(problems)
    assert "row 3 (and 1 more row), column image_id, value 'i': Patient X2" in line
    assert "Leave the patient out (leave_out in the cohort file)" in line
