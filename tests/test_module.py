"""annulus imported into a workflow of somebody else's, as docs/module.md shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, copy_project, planned_jobs, run, write_study

from annulus.tables import read_csv

DOCUMENT = (ROOT / "docs" / "module.md").read_text(encoding="utf-8")
PATIENTS = 60


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    return run([sys.executable, "-m", "snakemake", *arguments], folder, check)


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    return planned_jobs(snakemake(folder, "-n", "--quiet", "rules", *arguments))


def documented_files() -> dict[str, str]:
    """Return the files of the document's example by name, with this clone for the path to annulus."""
    blocks = re.findall(r"^`(\S+)`[^\n]*:\n\n```\w+\n(.*?)^```", DOCUMENT, flags=re.DOTALL | re.MULTILINE)
    return {name: text.replace("/path/to/annulus", str(ROOT)) for name, text in blocks}


def write_exports(folder: Path) -> None:
    """Write made-up patients as two exports of a hospital."""
    rng = np.random.default_rng(5)
    ids = [f"P{number:03d}" for number in range(PATIENTS)]
    age, size = rng.integers(30, 80, PATIENTS), rng.integers(6, 45, PATIENTS)
    metastasis = (size + rng.normal(0, 12, PATIENTS) > 25).astype(int)
    exports = folder / "exports"
    exports.mkdir()
    patients = pd.DataFrame({"patient_id": ids, "age_years": age, "tumor_diameter_mm": size})
    findings = {"us_microcalcification": rng.integers(0, 2, PATIENTS), "aln_metastasis": metastasis}
    patients.to_csv(exports / "patients.csv", index=False)
    pd.DataFrame({"patient_id": ids, **findings}).to_csv(exports / "pathology.csv", index=False)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The document's example, in a folder that has nothing of annulus."""
    for name, text in documented_files().items():
        (tmp_path / name).write_text(text)
    write_exports(tmp_path)
    return tmp_path


def test_the_documented_example_is_planned_whole_before_its_table_exists(example):
    assert sorted(documented_files()) == ["Snakefile", "cohort.yaml", "study.yaml"]
    jobs = planned(example)
    own = {"merge_exports", "pick_aucs", "all"}
    assert own <= set(jobs)
    assert all(name.startswith("annulus_") for name in set(jobs) - own - {"total"})
    assert jobs["annulus_read_cohort"] == jobs["annulus_evaluate"] == jobs["annulus_write_report"] == 1


def test_the_documented_example_runs_from_its_own_rule_to_models_in_its_own_folder(example):
    model = "results/axilla/models/metastasis/clinical/model.json"
    snakemake(example, "--cores", "1", "--workflow-profile", str(ROOT / "profiles/default"), "--", model)
    assert (example / model).is_file()
    people = read_csv(example / "results/axilla/cohort/participants.csv")
    assert list(people["patient_id"]) == [f"P{number:03d}" for number in range(PATIENTS)]
    assert (people["cohort_source"] == "our_hospital").all()
    found = {path.name for path in example.iterdir() if not path.name.startswith(".")}
    assert found == {"Snakefile", "cohort.yaml", "data", "exports", "results", "study.yaml"}
    assert planned(example, "--", model) == {}


def test_a_mistake_in_a_table_that_a_rule_makes_is_told_by_the_first_job(example):
    exports = pd.read_csv(example / "exports/patients.csv")
    exports.loc[3, "age_years"] = 4000
    exports.to_csv(example / "exports/patients.csv", index=False)
    text = snakemake(
        example, "--cores", "1", "--show-failed-logs", "results/axilla/cohort/participants.csv", check=False
    )
    assert "4000" in text and "age_years" in text and "data/participants.csv" in text
    assert not (example / "results/axilla/cohort/participants.csv").exists()


@pytest.mark.parametrize("statement", ['prefix:\n        "arm_a"', 'pathvars:\n        results="elsewhere"'])
def test_paths_that_cannot_all_be_moved_are_refused_in_words(example, statement):
    snakefile = example / "Snakefile"
    given = "    config:\n        config\n"
    snakefile.write_text(snakefile.read_text().replace(given, f"{given}    {statement}\n"))
    text = snakemake(example, "-n", check=False)
    assert "prefix, replace_prefix and pathvars of a module" in text and "results/axilla" in text
    assert "Traceback" not in text


def test_a_study_by_path_leaves_the_configuration_of_the_importing_workflow_as_it_is(example):
    snakefile = example / "Snakefile"
    text = snakefile.read_text().replace("configfile:", "OWN = {'study': 'study.yaml', 'seed': 3}\n#")
    text = text.replace("    config:\n        config\n", "    config:\n        OWN\n")
    snakefile.write_text(text + "\nassert OWN == {'study': 'study.yaml', 'seed': 3}, OWN\n")
    assert planned(example)["annulus_write_report"] == 1


IMAGED = """
configfile: "small.yaml"


rule outline:
    input:
        "drawn/{name}",
    output:
        "data/masks/{name}",
    shell:
        "cp {input} {output}"


rule enrol:
    input:
        "participants.csv",
    output:
        "data/participants.csv",
    shell:
        "cp {input} {output}"


module annulus:
    snakefile:
        "ROOT/workflow/Snakefile"
    config:
        config


use rule * from annulus as annulus_*
"""


@pytest.fixture(scope="module")
def imaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workflow whose own rules outline the lesions and write the participants table."""
    folder = tmp_path_factory.mktemp("imaged")
    write_study(folder, {"train": 3, "internal_test": 2})
    images = read_csv(folder / "data/images.csv")
    (folder / "drawn").mkdir()
    for path in set(images["mask_path"]):
        (folder / "data" / path).rename(folder / "drawn" / Path(path).name)
    moved = [f"masks/{Path(path).name}" for path in images["mask_path"]]
    images.assign(mask_path=moved).to_csv(folder / "data/images.csv", index=False)
    (folder / "data/participants.csv").rename(folder / "participants.csv")
    (folder / "Snakefile").write_text(IMAGED.replace("ROOT", str(ROOT)))
    return folder


def test_quality_control_waits_for_masks_and_patients_for_their_table(imaged):
    text = snakemake(imaged, "-n", "--", "annulus_all", check=False)
    assert "data/participants.csv: not there yet" in text
    snakemake(imaged, "--cores", "1", "--", "data/participants.csv")
    jobs = planned(imaged, "--", "annulus_join_masks")
    assert jobs["outline"] == len([*(imaged / "drawn").iterdir()]) >= 5 and jobs["annulus_check_masks"] >= 1
    problems = imaged / "results/small/cohort/problems.csv"
    snakemake(imaged, "--cores", "1", "--", str(problems.relative_to(imaged)))
    assert "missing_file" not in set(read_csv(problems)["rule"])
    assert "outline" not in planned(imaged, "--", "annulus_join_masks")


@pytest.mark.slow
def test_a_version_from_a_git_host_is_unpacked_whole(example, monkeypatch):
    clone, cache = example / "clone", example / "cache"
    clone.mkdir()
    copy_project(clone)
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"], ["tag", "v0"]):
        subprocess.run([*git, *command], cwd=clone, check=True)
    bare = cache / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/owner/annulus"
    subprocess.run(["git", "clone", "-q", "--bare", str(clone), str(bare)], check=True)
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(cache))
    snakefile = example / "Snakefile"
    hosted = 'github("owner/annulus", path="workflow/Snakefile", tag="v0")'
    snakefile.write_text(snakefile.read_text().replace(f'"{ROOT}/workflow/Snakefile"', hosted))
    table = "results/axilla/cohort/participants.csv"
    snakemake(example, "--cores", "1", "--", table)
    assert len(read_csv(example / table)) == PATIENTS
    assert len([*(example / ".snakemake/annulus").iterdir()]) == 1
