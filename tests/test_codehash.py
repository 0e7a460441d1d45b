"""The hash of a rule's code: it changes with the code's meaning and with nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from annulus import codehash

ROOT = Path(__file__).parents[1]
CACHED = ("_tree", "_imported", "_meaning")


def clear_caches():
    for name in CACHED:
        getattr(codehash, name).cache_clear()


class Copy:
    """A copy of ``scripts/`` whose files can be changed and whose rules can be hashed."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        shutil.copytree(ROOT / "scripts", folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))

    def path(self, name):
        return self.folder / name

    def edit(self, name, change):
        text = self.path(name).read_text(encoding="utf-8")
        changed = change(text)
        assert changed != text, "the edit did nothing"
        self.path(name).write_text(changed, encoding="utf-8")

    def append(self, name, text):
        self.edit(name, lambda old: old + text)

    def hash(self, script="check_masks.py"):
        """Hash a script as a fresh process would."""
        self.monkeypatch.setattr(codehash, "PACKAGE", self.folder / "annulus")
        clear_caches()
        return codehash.code_of(self.path(script))


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    yield Copy(tmp_path / "scripts", monkeypatch)
    clear_caches()


SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


def test_every_script_of_the_project_has_a_hash_of_its_own():
    clear_caches()
    found = {codehash.code_of(ROOT / "scripts" / name) for name in SCRIPTS}
    assert len(found) == len(SCRIPTS) > 20
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in found)


def test_the_place_of_the_files_does_not_count(scripts, tmp_path, monkeypatch):
    other = Copy(tmp_path / "far" / "away" / "scripts", monkeypatch)
    assert scripts.hash() == other.hash()
    clear_caches()
    monkeypatch.setattr(codehash, "PACKAGE", ROOT / "scripts" / "annulus")
    assert codehash.code_of(ROOT / "scripts" / "check_masks.py") == scripts.hash()


def test_modification_times_do_not_count(scripts):
    before = scripts.hash()
    for path in scripts.folder.rglob("*"):
        os.utime(path, (1, 1))
    assert scripts.hash() == before


def test_comments_blank_lines_and_layout_do_not_count(scripts):
    before = scripts.hash()
    scripts.append("check_masks.py", "\n\n# A remark.\n")
    scripts.append("annulus/imaging/qc.py", "\n\n# A remark.\n")
    scripts.edit(
        "annulus/imaging/reading.py",
        lambda text: text.replace("LUMINANCE = (0.299, 0.587, 0.114)",
                                  "LUMINANCE = (\n    0.299,  # red\n    0.587,\n    0.114,\n)"),
    )  # fmt: skip
    assert scripts.hash() == before


@pytest.mark.parametrize(
    "old",
    [
        '"""Quality control of images and masks',
        '"""How a study controls its images',
        '"""Put the manifest rows of each image together',
        '"""Append another report',
    ],
)
def test_docstrings_of_modules_classes_functions_and_methods_do_not_count(scripts, old):
    before = scripts.hash()
    scripts.edit("annulus/imaging/qc.py", lambda text: text.replace(old, f'"""Other. {old[3:]}'))
    assert scripts.hash() == before


def test_a_docstring_that_is_added_or_removed_does_not_count(scripts):
    before = scripts.hash()
    scripts.edit(
        "annulus/imaging/qc.py",
        lambda text: text.replace(
            "def _sentence(error: UnreadableError) -> str:\n",
            'def _sentence(error: UnreadableError) -> str:\n    """Say it."""\n',
        ),
    )
    assert scripts.hash() == before


def test_a_string_that_is_no_docstring_counts(scripts):
    before = scripts.hash()
    scripts.edit("annulus/imaging/qc.py", lambda text: text.replace('"empty_mask"', '"empty"'))
    assert scripts.hash() != before


def test_an_edit_of_the_script_counts(scripts):
    before = scripts.hash()
    scripts.append("check_masks.py", "\nprint(1)\n")
    assert scripts.hash() != before


@pytest.mark.parametrize(
    "module",
    [
        "annulus/imaging/qc.py",
        "annulus/imaging/reading.py",
        "annulus/cohort/chunks.py",
        "annulus/errors.py",
        "annulus/job.py",
        "annulus/tables.py",
    ],
)
def test_an_edit_of_a_module_that_is_imported_directly_or_not_counts(scripts, module):
    before = scripts.hash()
    scripts.append(module, "\nADDED = 1\n")
    after = scripts.hash()
    assert after != before
    scripts.edit(module, lambda text: text.replace("ADDED = 1", "ADDED = 2"))
    assert scripts.hash() not in (before, after)


@pytest.mark.parametrize(
    "module",
    [
        "annulus/modelling/lasso.py",
        "annulus/imaging/regions.py",
        "annulus/features/extraction.py",
        "annulus/codehash.py",
        "extract_features.py",
    ],
)
def test_an_edit_of_a_module_that_is_not_imported_does_not_count(scripts, module):
    before = scripts.hash()
    scripts.append(module, "\nADDED = 1\n")
    assert scripts.hash() == before


def test_code_of_a_package_that_import_runs_on_the_way_counts(scripts):
    before = scripts.hash()
    scripts.append("annulus/imaging/__init__.py", "\nADDED = 1\n")
    assert scripts.hash() != before


def test_a_new_version_number_alone_reruns_nothing(scripts):
    before = scripts.hash()
    scripts.append("annulus/__init__.py", '\n__version__ = "9"\n')
    assert scripts.hash() == before


def test_an_edit_undone_gives_the_old_hash(scripts):
    before = scripts.hash()
    scripts.append("annulus/errors.py", "\nADDED = 1\n")
    scripts.edit("annulus/errors.py", lambda text: text.replace("\nADDED = 1\n", ""))
    assert scripts.hash() == before


def test_a_new_import_brings_in_what_it_reaches(scripts):
    scripts.append("annulus/errors.py", "\nfrom annulus.modelling import lasso\n")
    before = scripts.hash()
    scripts.append("annulus/modelling/lasso.py", "\nADDED = 1\n")
    assert scripts.hash() != before


def test_an_import_inside_a_function_counts(scripts):
    scripts.append("annulus/errors.py", "\ndef late():\n    import annulus.modelling.threshold\n")
    before = scripts.hash()
    scripts.append("annulus/modelling/threshold.py", "\nADDED = 1\n")
    assert scripts.hash() != before


def test_modules_that_import_each_other_come_to_an_end(scripts):
    scripts.append("annulus/errors.py", "\nimport annulus.tables\n")
    scripts.append("annulus/tables.py", "\nimport annulus.errors\n")
    assert len(scripts.hash()) == 16


@pytest.mark.parametrize(
    ("script", "data"),
    [
        ("read_cohort.py", "annulus/cohort/dictionary.yaml"),
        ("join_features.py", "annulus/features/ibsi_codes.yaml"),
        ("write_report.py", "annulus/reporting/report.html.jinja"),
    ],
)
def test_a_data_file_beside_a_module_is_part_of_it(scripts, script, data):
    before, elsewhere = scripts.hash(script), scripts.hash("check_masks.py")
    scripts.append(data, "\n# one more line\n")
    assert scripts.hash(script) != before
    assert scripts.hash("check_masks.py") == elsewhere


def test_compiled_files_and_other_data_beside_a_module_do_not_count(scripts):
    before = scripts.hash()
    scripts.path("annulus/imaging/qc.pyc").write_bytes(b"\x00\xff")
    scripts.path("annulus/imaging/other.yaml").write_text("a: 1\n")
    assert scripts.hash() == before
