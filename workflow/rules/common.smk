# The study that is run: its configuration, patients and chunks. Functions only; rules are elsewhere.

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(str(workflow.current_basedir)).parent.parent
# The library beside the scripts is the one whose code is hashed, so it is the one that jobs must use,
# even where another copy is installed.
sys.path.insert(0, str(ROOT / "scripts"))
os.environ.update(PYTHONPATH=str(ROOT / "scripts"))
# Snakemake sets the other libraries' threads to a rule's (1) but does not know ITK's.
os.environ.update(ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

from annulus import codehash
from annulus.cohort import checks, sources
from annulus.config import Folders, load
from annulus.errors import StudyError
from annulus.simulation import roster


def read_study():
    """Load the configuration; its mistakes end the run with their words alone."""
    try:
        return load(config, Folders(working=Path.cwd(), workflow=ROOT))
    except StudyError as error:
        raise WorkflowError(str(error)) from None


STUDY = read_study()
DESIGN, COHORT = STUDY.design, STUDY.cohort
RESULTS = f"results/{DESIGN['name']}"
SIMULATED = COHORT["source"] == "simulated"
COHORTS = list(DESIGN["split"]["cohorts"])
TASKS = DESIGN["tasks"]
COMBINED = sorted({model for task in TASKS.values() for model in task["combined"]})

MODEL_TABLES = ["selection", "odds_ratios", "predictions"]
EVALUATION_TABLES = [
    "performance",
    "comparisons",
    "roc",
    "calibration",
    "decision_curve",
]
SHARED_FIGURES = ["flowchart", "roi_overlay", "lasso_path", "lasso_cv"]
COHORT_FIGURES = ["roc", "calibration", "decision_curve"]

if SIMULATED:
    COHORT_COUNTS = roster.scaled_counts(COHORT["cohorts"], COHORT.get("patients"))
    IMAGE_FOLDER = f"{RESULTS}/simulation/images"
else:
    IMAGE_FOLDER = COHORT["folder"]


def cohort_tables(wildcards=None):
    """Return the tables that the cohort's participants and images are read from."""
    if SIMULATED:
        return {"participants": f"{RESULTS}/simulation/patients.csv"}
    return {kind: f"{COHORT['folder']}/{COHORT[kind]['file']}" for kind in ("participants", "images")}


def needed_columns():
    """Return the columns of the participants table that the study uses."""
    split = DESIGN["split"]
    needed = [condition["column"] for condition in DESIGN["eligibility"]]
    needed += [task["outcome"] for task in TASKS.values()] + clinical_variables()
    needed += {"column": [split["column"]], "date": ["exam_date"], "random": []}[split["by"]]
    return sorted(set(needed))


def clinical_variables():
    """Return every clinical variable that some model may use."""
    return sorted({variable for task in TASKS for variable in task_variables(task)})


def task_variables(task):
    """Return the clinical variables of a task's models."""
    plan = TASKS[task]
    used = [variable for parts in plan["combined"].values() for variable in parts["clinical"]]
    return sorted({*plan["clinical"]["candidates"], *used})


def read_tables():
    """Return the manifest rows of a table cohort's patients; errors in its tables end the run here."""
    files = cohort_tables()
    try:
        patients, problems = checks.check_cohort(
            files["participants"],
            COHORT["participants"],
            files["images"],
            COHORT["images"],
            COHORT["folder"],
            needed_columns(),
        )
        checks.refuse_errors(problems, Path(RESULTS) / "cohort" / "problems.csv")
        checks.refuse_empty_cohorts(patients, DESIGN["split"])
        images = sources.read_source(COHORT["folder"], COHORT["images"])
    except StudyError as error:
        raise WorkflowError(str(error)) from None
    return sources.manifest_rows(images, {patient["patient_id"] for patient in patients})


def read_manifest():
    """Return the manifest rows of images that the study uses, with paths from here."""
    if SIMULATED:
        rows = roster.manifest(roster.patient_ids(sum(COHORT_COUNTS.values())))
    else:
        rows = read_tables()
    paths = ("image_path", "mask_path")
    placed = [{**row, **{p: f"{IMAGE_FOLDER}/{row[p]}" for p in paths if row.get(p)}} for row in rows]
    try:
        return sources.used_rows(placed, DESIGN["images"])
    except StudyError as error:
        raise WorkflowError(str(error)) from None


CHUNKS = sources.chunked(read_manifest(), COHORT["chunks"])


def code_of(script):
    """Hash a rule's script and the library modules behind it."""
    return codehash.code_of(ROOT / "scripts" / script)


def chunk_rows(wildcards):
    """Return the manifest rows of a chunk."""
    return CHUNKS[wildcards.chunk]


def chunk_files(wildcards):
    """Return a chunk's image and mask files; one that is missing is left to quality control."""
    rows = CHUNKS[wildcards.chunk]
    files = {row.get(key, "") for row in rows for key in ("image_path", "mask_path")} - {""}
    return sorted(file for file in files if SIMULATED or Path(file).is_file())


def chunk_patients(chunk):
    """Return the patients of a chunk."""
    return sorted({row["patient_id"] for row in CHUNKS[chunk]})


def simulated_files(chunk):
    """Return the files that simulating a chunk writes."""
    names = [name for patient in chunk_patients(chunk) for name in roster.image_files(patient).values()]
    return [f"{IMAGE_FOLDER}/{name}" for name in names]


def models_of(task):
    """Return a task's models, in the order of tables and figures."""
    plan = TASKS[task]
    clinical = ["clinical"] if plan["clinical"]["candidates"] else []
    return [
        *(f"signature_{roi}" for roi in plan["signatures"]),
        *clinical,
        *plan["combined"],
    ]


def shown_models(task):
    """Return the models that curves compare: the combined ones and the clinical one."""
    return [model for model in models_of(task) if not model.startswith("signature_")]


def model_files(wildcards):
    """Return the frozen models of a task."""
    models = models_of(wildcards.task)
    return [f"{RESULTS}/models/{wildcards.task}/{model}/model.json" for model in models]


def part_files(wildcards, table):
    """Return one table of every model of a task."""
    models = models_of(wildcards.task)
    return [f"{RESULTS}/tasks/{wildcards.task}/parts/{model}/{table}.csv" for model in models]


def selection_files(wildcards):
    """Return the selection table of every model of a task."""
    return part_files(wildcards, "selection")


def odds_ratio_files(wildcards):
    """Return the odds ratio table of every model of a task."""
    return part_files(wildcards, "odds_ratios")


def training_files(wildcards):
    """Return the training predictions of every model of a task."""
    return part_files(wildcards, "training")


def signature_files(wildcards, table):
    """Return one table of every signature of a task."""
    rois = TASKS[wildcards.task]["signatures"]
    return [f"{RESULTS}/tasks/{wildcards.task}/parts/signature_{roi}/{table}.csv" for roi in rois]


def path_files(wildcards):
    """Return the LASSO path of every signature of a task."""
    return signature_files(wildcards, "path")


def cv_files(wildcards):
    """Return the cross-validation of every signature of a task."""
    return signature_files(wildcards, "cv")


def combined_signatures(wildcards):
    """Return the frozen signatures that a combined model uses."""
    rois = TASKS[wildcards.task]["combined"][wildcards.combined]["signatures"]
    return [f"{RESULTS}/models/{wildcards.task}/signature_{roi}/model.json" for roi in rois]


def combined_scores(wildcards):
    """Return the cross-fitted Rad-scores that a combined model uses."""
    rois = TASKS[wildcards.task]["combined"][wildcards.combined]["signatures"]
    folder = f"{RESULTS}/tasks/{wildcards.task}/parts"
    return [f"{folder}/signature_{roi}/cross_fitted.csv" for roi in rois]


def combined_plan(wildcards):
    """Return the signatures and clinical variables of a combined model."""
    return TASKS[wildcards.task]["combined"][wildcards.combined]


def lookup_nomogram(wildcards):
    """Return the frozen model that is drawn as a nomogram."""
    return f"{RESULTS}/models/{wildcards.task}/{TASKS[wildcards.task]['nomogram']}/model.json"


def is_combined_signature(wildcards):
    """Say whether some combined model uses a region's signature."""
    models = TASKS[wildcards.task]["combined"].values()
    return any(wildcards.roi in parts["signatures"] for parts in models)


def from_task(*keys):
    """Return a params function that looks up a value of the wildcard's task."""

    def look_up(wildcards):
        value = TASKS[wildcards.task]
        for key in keys:
            value = value[key]
        return value

    return look_up


def shown_models_of(wildcards):
    """Return the models that a task's curves compare."""
    return shown_models(wildcards.task)


def models_of_task(wildcards):
    """Return a task's models."""
    return models_of(wildcards.task)


def task_figures(task):
    """Name the figures of a task."""
    names = [f for f in SHARED_FIGURES if f != "roi_overlay" or COHORT["redistribution"]]
    names += [f"{figure}_{cohort}" for figure in COHORT_FIGURES for cohort in COHORTS]
    return names + (["nomogram"] if "nomogram" in TASKS[task] else [])


def all_figures():
    """Return the PNG of every figure of the study; PDF and CSV come with it."""
    return [f"{RESULTS}/figures/{task}/{name}.png" for task in TASKS for name in task_figures(task)]


def task_files(table):
    """Return a table of the results contract for every task."""
    return [f"{RESULTS}/tasks/{task}/{table}.csv" for task in TASKS]
