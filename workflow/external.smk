# Patients of other hospitals against a finished study: the target external. Each cohort is a module of its own
# (external_cohort.smk), which knows no rule that fits anything, and a mistake in one cohort's patients stops no
# other's. At the end all cohorts stand side by side.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


ROOT = Path(str(workflow.current_basedir)).parent
sys.path.insert(0, str(ROOT / "scripts"))

from annulus import codehash
from annulus.config import Folders, load_external
from annulus.errors import StudyError
from annulus.evaluation.plan import shown_models
from annulus.modelling.plan import models_of


def read_external():
    """Return the study and the files of its external cohorts; mistakes end the run with their words alone."""
    try:
        return load_external(config, Folders(working=Path.cwd(), workflow=ROOT))
    except StudyError as error:
        raise WorkflowError(str(error)) from None


EXTERNAL_STUDY, EXTERNAL_FILES = read_external()
OWN_SETTINGS = {key: value for key, value in config.items() if key != "cohort" or "tasks" in config}

for NAME, PLACE in EXTERNAL_FILES.items():
    MODULE = f"external_{NAME}_"

    module:
        name: MODULE
        snakefile:
            "external_cohort.smk"
        config:
            {**OWN_SETTINGS, "external_cohort": PLACE}

    use rule * from MODULE as MODULE*


STUDY = EXTERNAL_STUDY.design
RESULTS = f"results/{STUDY['name']}"
IMAGED = bool(STUDY["images"])
MODELS = {task: models_of(plan, IMAGED) for task, plan in STUDY["tasks"].items()}


def measured(table):
    """Return the task and file of a table in the study itself, where it is at hand, and in every external cohort."""
    own = [(task, f"{RESULTS}/tasks/{task}/{table}.csv") for task in MODELS]
    folders = [f"{RESULTS}/external/{name}" for name in EXTERNAL_FILES]
    elsewhere = [(task, f"{folder}/tasks/{task}/{table}.csv") for folder in folders for task in MODELS]
    return [(task, path) for task, path in own if Path(path).is_file()] + elsewhere


def left_out():
    """Return the task and file of results by centre, of a study that left each centre out in turn."""
    if STUDY["split"]["by"] != "leave_one_out":
        return []
    own = [(task, f"{RESULTS}/tasks/{task}/centres.csv") for task in MODELS]
    return [(task, path) for task, path in own if Path(path).is_file()]


def shown_models_of(wildcards):
    """Return the models that a task's curves compare."""
    return shown_models(MODELS[wildcards.task])


def code_of(script):
    """Hash a rule's script and the library modules behind it."""
    return codehash.code_of(ROOT / "scripts" / script)


SIMULATED = EXTERNAL_STUDY.cohort["source"] == "simulated"


rule external_pool_cohorts:
    input:
        performance=[path for _, path in measured("performance")],
        centres=[path for _, path in left_out()],
    output:
        cohorts=f"{RESULTS}/external/cohorts.csv",
        pooled=f"{RESULTS}/external/pooled.csv",
    log:
        f"{RESULTS}/external/logs/pool_cohorts.log",
    conda:
        "../envs/annulus.yaml"
    params:
        tasks=[task for task, _ in measured("performance")],
        left_out=[task for task, _ in left_out()],
        synthetic=SIMULATED,
        code=code_of("pool_cohorts.py"),
    script:
        "../scripts/pool_cohorts.py"


rule external_figure_forest_cohorts:
    input:
        cohorts=f"{RESULTS}/external/cohorts.csv",
        pooled=f"{RESULTS}/external/pooled.csv",
    output:
        pdf=f"{RESULTS}/external/figures/{{task}}/forest_cohorts.pdf",
        png=report(
            f"{RESULTS}/external/figures/{{task}}/forest_cohorts.png",
            caption="report/forest_cohorts.rst",
            category="{task}",
        ),
        csv=f"{RESULTS}/external/figures/{{task}}/forest_cohorts.csv",
    log:
        f"{RESULTS}/external/logs/figure_forest_cohorts/{{task}}.log",
    conda:
        "../envs/annulus.yaml"
    params:
        models=shown_models_of,
        synthetic=SIMULATED,
        code=code_of("figure_forest_cohorts.py"),
    script:
        "../scripts/figure_forest_cohorts.py"


rule external:
    default_target: True
    input:
        [getattr(rules, f"external_{name}_all").input for name in EXTERNAL_FILES],
        collect(f"{RESULTS}/external/figures/{{task}}/forest_cohorts.png", task=MODELS),
