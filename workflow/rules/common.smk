# The study that is run: its configuration, patients and chunks. Functions only; rules are elsewhere.

import copy
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError


def project_folder():
    """Return the folder of the project; a version that was imported from GitHub is unpacked first.

    Snakemake fetches single files of it, but the library, schemas and designs are found as folders.
    """
    here = workflow.current_basedir
    if not hasattr(here, "hosted_repo"):
        return Path(str(here)).parent.parent
    repository = here.hosted_repo.repo
    commit = repository.commit(here.ref).hexsha
    folder = Path(".snakemake", "annulus", commit).absolute()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpacked = tempfile.mkdtemp(dir=folder.parent)
        files = repository.git.archive(commit, "config", "scripts", "workflow", stdout_as_string=False)
        tarfile.open(fileobj=io.BytesIO(files)).extractall(unpacked, filter="data")
        os.rename(unpacked, folder)
    return folder


ROOT = project_folder()
LIBRARY = str(ROOT / "scripts")
# The library beside the scripts is the one whose code is hashed, so it is the one that jobs must use,
# even where another copy is installed.
sys.path.insert(0, LIBRARY)
# What the rules of an importing workflow find there stays behind it.
FURTHER = [
    place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in ("", LIBRARY)
]
os.environ.update(PYTHONPATH=os.pathsep.join([LIBRARY, *FURTHER]))
# Snakemake sets the other libraries' threads to a rule's (1) but does not know ITK's.
os.environ.update(ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="1")

from annulus import assumptions, codehash, columns, external
from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables, take_in
from annulus.cohort import checks, chunks, feature_table, files, listing, sources
from annulus.cohort.dictionary import digest_of
from annulus.config import Folders, load
from annulus.errors import StudyError
from annulus.evaluation import plan as evaluation_plan
from annulus.modelling import plan as planned
from annulus.modelling.front_end import SECTIONS
from annulus.modelling.plan import PRESPECIFIED, step_names, step_settings
from annulus.simulation import roster

if Path(codehash.PACKAGE).parent.resolve() != Path(LIBRARY).resolve():
    raise WorkflowError(
        f"annulus: two copies of it are imported, {codehash.PACKAGE} and {LIBRARY}/annulus, and Python holds "
        "one. Import all modules from the same folder and version, and nothing of annulus in the Snakefile itself."
    )

# Whether this is another hospital's cohort, scored by the frozen models of a finished study (external.smk).
EXTERNAL = "external_cohort" in config


def read_study():
    """Load the configuration; its mistakes end the run with their words alone."""
    settings = {key: value for key, value in config.items() if key != "external_cohort"}
    settings |= {"cohort": config["external_cohort"]} if EXTERNAL else {}
    try:
        # load fills in a copy: the configuration of an importing workflow is not ours to complete.
        study = load(copy.deepcopy(settings), Folders(working=Path.cwd(), workflow=ROOT))
        return external.as_external(study) if EXTERNAL else study
    except StudyError as error:
        raise WorkflowError(str(error)) from None


STUDY = read_study()
DESIGN, COHORT = STUDY.design, STUDY.cohort
STUDY_RESULTS = f"results/{DESIGN['name']}"
MODELS = f"{STUDY_RESULTS}/models"
RESULTS = f"{STUDY_RESULTS}/external/{COHORT['name']}" if EXTERNAL else STUDY_RESULTS
SIMULATED = COHORT["source"] == "simulated"
IMAGED = bool(DESIGN["images"])
TABLED = bool(DESIGN["feature_groups"])
FEATURED = IMAGED or TABLED
FEATURES = COHORT["features"] if TABLED else None
COHORTS = list(DESIGN["split"]["cohorts"])
TASKS = DESIGN["tasks"]
CASCADES = DESIGN["cascades"]
PATHWAYS = DESIGN["pathways"]
INSTRUMENTS = DESIGN["instruments"]
NEEDED = columns.needed_elsewhere(DESIGN) if EXTERNAL else columns.needed_columns(DESIGN)
HIDDEN = columns.hidden_columns(DESIGN) if EXTERNAL else []
GIVEN = any(task["predictions"] for task in TASKS.values())
TRAINED = not (EXTERNAL or GIVEN)
HABITATS = "habitats" in DESIGN["regions"]
HABITAT_IMAGE = DESIGN["regions"].get("habitats", {}).get("image", "")
STABILITY = "stability" in DESIGN
REGIONS = {key: value for key, value in DESIGN["regions"].items() if key != "habitats"}
OUTCOMES = {
    name: {key: task[key] for key in ("outcome", "positive", "negative")} for name, task in TASKS.items()
}
OUTCOME_CODING = {name: {**OUTCOMES[name], "label": task["label"]} for name, task in TASKS.items()}
SIGNED = sorted({roi for task in TASKS.values() for roi in task["signatures"]}) or ["none"]
COMBINED = sorted({model for task in TASKS.values() for model in task["combined"]})

BATCH = 25
OUTER_FOLDS = max(task["outer_folds"] for task in TASKS.values())
SIZE_MEASURE = "voxels" if DESIGN["regions"].get("unit") in ("px", "fraction") else "volume_mm3"

# Tables of a task: of every evaluation, of one whose models were trained in it, and of one that judges them elsewhere.
EVALUATION_TABLES = [
    "predictions",
    "performance",
    "comparisons",
    "roc",
    "calibration",
    "decision_curve",
    "decision_curve_prevalence",
    "supplement",
    "warnings",
]
TRAINING_TABLES = [
    "subgroups",
    "selection",
    "odds_ratios",
    "repeated_splits",
    "optimism",
    "volume",
    "sample_size",
    "table_one",
]
UPDATING_TABLES = ["recalibration", "updating"]
SIGNATURE_FIGURES = ["lasso_path", "lasso_cv", "coefficients", "correlation_heatmap"]
COHORT_FIGURES = ["roc", "calibration", "decision_curve"]

# Patients with their outcomes, which an external cohort shows only once it has been opened.
PARTICIPANTS = f"{RESULTS}/cohort/participants{'_with_outcomes' if EXTERNAL else ''}.csv"

if SIMULATED:
    COHORT_COUNTS = roster.scaled_counts(COHORT["cohorts"], COHORT.get("patients"))
    IMAGE_FOLDER = f"{RESULTS}/simulation/images"
else:
    IMAGE_FOLDER = COHORT["folder"]

# Masks and pictures made from data that may not be handed on stay out of the results.
KEPT = RESULTS if COHORT["redistribution"] else f"work/{RESULTS.removeprefix('results/')}"
PATHS = {"results": RESULTS, "models": MODELS, "kept": KEPT}
EXTRACTED = {name: image for name, image in DESIGN["images"].items() if "settings" in image}
EXTRACTION = {
    **DESIGN["extraction"],
    "scale_with": {name: image["scale_with"] for name, image in EXTRACTED.items()},
    "seed": DESIGN["seed"],
}
# The names that columns of features begin with.
FEATURE_IMAGES = [feature_table.IMAGE] if TABLED else list(EXTRACTED)
SETTINGS = {name: STUDY.imaging[image["settings"]] for name, image in EXTRACTED.items()}


def if_imaged(*paths):
    """Return the paths in a study with images, and none in another."""
    return list(paths) if IMAGED else []


def if_featured(*paths):
    """Return the paths in a study with features, and none in one of clinical variables alone."""
    return list(paths) if FEATURED else []


def if_trained(*paths):
    """Return the paths in a study that fits models, and none where models are only judged."""
    return list(paths) if TRAINED else []


def lost_patients():
    """Return the table of patients who are lost before the split: at quality control, or without features."""
    return if_imaged(f"{RESULTS}/qc/lost.csv") if IMAGED else if_featured(f"{RESULTS}/features/failures.csv")


def refuse_moved_paths():
    """End the run where an importing workflow moves some of the paths, but cannot move all of them."""
    moved = workflow.modifier.path_modifier.replace_prefix(RESULTS) != RESULTS
    if moved or any(workflow.modifier.pathvars.get(name) != path for name, path in PATHS.items()):
        raise WorkflowError(
            "annulus: prefix, replace_prefix and pathvars of a module would move its rules' files, but not the "
            f"paths in its tables and settings. Leave them out. All results of this study are in {RESULTS}; "
            "another name of the study gives another folder, and --directory moves everything."
        )


def made_by_others(paths):
    """Return those of the paths that rules of an importing workflow make, there or not."""
    ours = ROOT / "workflow"
    others = [made for made in workflow.rules if not Path(str(made.snakefile)).is_relative_to(ours)]
    return [path for path in paths if any(other.is_producer(path) for other in others)]


def table_files():
    """Return the files that a table cohort's participants, images and features are read from, by kind."""
    kinds = ["participants", *if_imaged("images"), *(["features"] if TABLED else [])]
    return {kind: listing.table_files(COHORT["folder"], COHORT[kind]) for kind in kinds}


def tables_to_come():
    """Return the tables that are not there yet, but that rules of an importing workflow make."""
    paths = [path for paths in table_files().values() for path in paths]
    return made_by_others(path for path in paths if not Path(path).is_file())


def cohort_files(wildcards):
    """Return what the cohort's participants and images are read from, and images and masks made before."""
    if SIMULATED:
        return {"participants": f"{RESULTS}/simulation/patients.csv"}
    if IMAGED and TO_COME:
        raise WorkflowError(
            f"{', '.join(TO_COME)}: not there yet. A study with images shares out its patients when Snakemake "
            f"starts, so make it first (snakemake --cores 1 {' '.join(TO_COME)}), then run the same command again."
        )
    made = made_by_others({path for rows in CHUNKS.values() for path in row_paths(rows)})
    return {**table_files(), "made": sorted(made)}


def described_variables(wildcards):
    """Return the variables of a task's Table 1."""
    return columns.described_variables(DESIGN, wildcards.task)


def read_patients():
    """Return the patients of a table cohort; errors in its tables end the run here, before any image."""
    if SIMULATED or TO_COME:
        return []
    folder, groups = COHORT["folder"], DESIGN["feature_groups"]
    tables = CohortTables(
        folder, COHORT["participants"], COHORT.get("images"), features=FEATURES, groups=groups
    )
    try:
        patients, problems = take_in(tables, IMAGED, NEEDED, Instruments(**INSTRUMENTS), HIDDEN, AMONG)
        problems += external.unlike_training(STUDY) if EXTERNAL else []
        checks.refuse_errors(problems, Path(RESULTS) / "cohort" / "problems.csv")
        checks.refuse_empty_cohorts(patients, DESIGN["split"])
    except StudyError as error:
        raise WorkflowError(str(error)) from None
    return patients


def read_manifest():
    """Return the manifest rows of images that the study uses, with paths from here."""
    if not IMAGED or TO_COME:
        return []
    if SIMULATED:
        rows = roster.manifest(
            COHORT["simulator"], list(roster.enrolled(COHORT["simulator"], COHORT_COUNTS)), COHORT["raters"]
        )
    else:
        images = sources.read_source(COHORT["folder"], COHORT["images"], AMONG)
        rows = sources.manifest_rows(images, {patient["patient_id"] for patient in PATIENTS})
    paths = ("image_path", "mask_path")
    placed = [{**row, **{p: files.placed(IMAGE_FOLDER, row[p]) for p in paths if row.get(p)}} for row in rows]
    try:
        return sources.used_rows(placed, DESIGN["images"])
    except StudyError as error:
        raise WorkflowError(str(error)) from None


# A table cohort's folder is looked through once.
AMONG = None if SIMULATED else listing.Folder(COHORT["folder"])
TO_COME = [] if SIMULATED else tables_to_come()
PATIENTS = read_patients()
CHUNKS = chunks.chunked(read_manifest(), COHORT["chunks"])


def has_column(name):
    """Say whether the cohort's participants have a column; an external cohort may lack predictors."""
    return not PATIENTS or name in PATIENTS[0]


PREDICTORS = list(filter(has_column, columns.predictor_columns(DESIGN)))
CENTRE = DESIGN["centre"] if "centre" in DESIGN and has_column(DESIGN["centre"]) else None
SUBGROUPS = {
    name: [subgroup for subgroup in task["subgroups"] if has_column(subgroup["column"])]
    for name, task in TASKS.items()
}


def code_of(script):
    """Hash a rule's script and the library modules behind it, with the study's own variables if any."""
    return codehash.code_of(ROOT / "scripts" / script) + digest_of(DESIGN["variables"])


def chunk_rows(wildcards):
    """Return the manifest rows of a chunk."""
    return CHUNKS[wildcards.chunk]


def row_paths(rows):
    """Return the paths of the images and masks in manifest rows."""
    cells = [row.get(key, "") for row in rows for key in ("image_path", "mask_path")]
    return sorted({path for cell in cells for path in files.listed(cell)})


def chunk_paths(wildcards):
    """Return the paths of a chunk's images and masks."""
    return row_paths(CHUNKS[wildcards.chunk])


def chunk_files(wildcards):
    """Return a chunk's image and mask files; one that is missing is left to quality control."""
    paths = chunk_paths(wildcards)
    if SIMULATED:
        return paths
    there = [path for path in paths if Path(path).is_file()]
    made = [path for path in made_by_others(paths) if path not in there]
    return [str(part) for path in there for part in files.parts_of(path)] + made


def chunk_folders(wildcards):
    """Describe a chunk's folders of DICOM files, whose many files are not inputs one by one."""
    return files.folder_states(chunk_paths(wildcards))


def chunk_patients(chunk):
    """Return the patients of a chunk."""
    return sorted({row["patient_id"] for row in CHUNKS[chunk]})


def simulated_files(chunk):
    """Return the files that simulating a chunk writes."""
    return [
        f"{IMAGE_FOLDER}/{file}"
        for patient in chunk_patients(chunk)
        for file in roster.image_files(COHORT["simulator"], patient, COHORT["raters"]).values()
    ]


def roi_tables(chunk):
    """Return the tables of a chunk's regions."""
    found = [f"{RESULTS}/rois/chunks/{chunk}.csv"]
    return found + ([f"{RESULTS}/rois/chunks/{chunk}_habitats.csv"] if HABITATS else [])


def chunk_rois(wildcards):
    """Return the tables of a chunk's regions."""
    return roi_tables(wildcards.chunk)


def all_rois(wildcards):
    """Return the tables of every chunk's regions."""
    return [table for chunk in CHUNKS for table in roi_tables(chunk)]


def roi_folders(chunk):
    """Return the folders of a chunk's region masks, whose tables have their hashes."""
    found = [f"{KEPT}/rois/masks/{chunk}"]
    return [ancient(folder) for folder in found + ([f"{KEPT}/rois/habitats/{chunk}"] if HABITATS else [])]


def chunk_roi_folders(wildcards):
    """Return the folders of a chunk's region masks."""
    return roi_folders(wildcards.chunk)


def drawn_regions():
    """Name the regions of the study, which keep their colour in every picture."""
    return [*DESIGN["regions"]["rois"], *(f"h{number}" for number in range(1, 10) if HABITATS)]


def imaging_files():
    """Return what a study with images leaves behind of quality control and regions."""
    return if_imaged(
        f"{RESULTS}/cohort/images.csv",
        f"{RESULTS}/qc/masks.csv",
        f"{RESULTS}/qc/findings.csv",
        f"{RESULTS}/qc/agreement.csv",
        f"{RESULTS}/qc/duplicates.csv",
        f"{KEPT}/qc/gallery/{COHORT['name']}.html",
        f"{RESULTS}/rois/rois.csv",
    )


def feature_files():
    """Return what a study with features leaves behind of them."""
    folder = f"{RESULTS}/features"
    stability = [f"{folder}/stability.csv"] if STABILITY else []
    return stability + if_featured(
        f"{folder}/features.parquet", f"{folder}/catalogue.csv", f"{folder}/failures.csv"
    )


def task_tables(task):
    """Name the tables of a task."""
    tables = EVALUATION_TABLES + if_trained(*TRAINING_TABLES)
    tables += [] if TRAINED else UPDATING_TABLES + (["subgroups"] if SUBGROUPS[task] else [])
    tables += ["leak_screen", "duplicates"] if IMAGED and TRAINED else []
    return tables + (["centres"] if CENTRE else [])


def tables_of_tasks():
    """Return every table of every task."""
    return [f"{RESULTS}/tasks/{task}/{table}.csv" for task in TASKS for table in task_tables(task)]


def validated_tables():
    """Return the tables of the whole cohort that the report of a validation shows."""
    names = ["qc/flow.csv", "cohort/problems.csv"] + if_imaged(
        "qc/masks.csv", "qc/findings.csv", "qc/agreement.csv", "rois/rois.csv"
    )
    names += if_featured("features/failures.csv", "features/catalogue.csv")
    if EXTERNAL:
        names += ["case_mix.csv", "membership.csv", "extrapolating.csv", "provenance/openings.csv"]
    found = [f"{RESULTS}/{name}" for name in names]
    return found + ([f"{STUDY_RESULTS}/provenance/freezing.csv"] if EXTERNAL else [])


def own_performance():
    """Return what the frozen models were worth in the study itself, where its tables are at hand."""
    return [path for task in TASKS for path in at_hand(f"tasks/{task}/performance.csv")] if EXTERNAL else []


def frozen_files():
    """Return what a study that trains models leaves behind of them when they are frozen."""
    cards = [card for task in TASKS for card in cards_of(task)] if TRAINED else []
    return cards + if_trained(f"{MODELS}/fingerprints.csv", f"{RESULTS}/provenance/freezing.csv")


def stability_files(wildcards):
    """Return the table of stability of a study that asks for it."""
    return [f"{RESULTS}/features/stability.csv"] if STABILITY else []


def signature_stability(wildcards):
    """Return the table of stability for signatures that are kept to stable features."""
    wanted = "stability" in step_names(TASKS[wildcards.task]["signature"])
    return stability_files(wildcards) if wanted else []


def is_transductive(wildcards):
    """Say whether a task's signatures harmonise unseen centres by their own patients."""
    settings = step_settings(TASKS[wildcards.task]["signature"], "harmonise") or {}
    return settings.get("unseen") == "reference"


def habitat_files(wildcards):
    """Return the frozen habitats of a study that has any."""
    return [f"{MODELS}/habitats.json"] if HABITATS else []


def least_lower_bound():
    """Return the smallest lower bound of a stable feature, the strictest of the tasks that ask for one."""
    settings = [step_settings(task["signature"], "stability") for task in TASKS.values()]
    return max((step.get("least", 0.75) for step in settings if step is not None), default=0.75)


def region_kinds(image):
    """Return the kind of every region that is built in an image, by name."""
    lesion = EXTRACTED[image]["lesion"]
    rois = DESIGN["regions"]["rois"]
    return {roi: region["kind"] for roi, region in rois.items() if region["of"].split("_")[0] == lesion}


def models_of(task):
    """Return a task's models, in the order of tables and figures."""
    return planned.models_of(TASKS[task], IMAGED)


def shown_models(task):
    """Return the models that curves compare: the combined ones, the clinical one and the baselines."""
    return evaluation_plan.shown_models(models_of(task))


def refitted_plan(wildcards):
    """Return what of a task's settings a refit of all its models needs."""
    keys = ("signatures", "signature", "clinical", "combined", "outer_folds")
    settings = {key: TASKS[wildcards.task][key] for key in keys}
    return {**settings, "prespecified": planned.prespecified_models(TASKS[wildcards.task], IMAGED)}


def batch_files(wildcards, kind, count):
    """Return the batches of one kind of refits of a task."""
    folder = f"{RESULTS}/tasks/{wildcards.task}/parts"
    return [f"{folder}/{kind}_{first // BATCH:03d}.csv" for first in range(0, count, BATCH)]


def resample_files(wildcards):
    """Return a task's models refitted on bootstrap resamples, batch by batch."""
    return batch_files(wildcards, "resamples", DESIGN["resamples"])


def split_area_files(wildcards):
    """Return the AUCs of a task's models in repeated splits, batch by batch."""
    return batch_files(wildcards, "splits", DESIGN["repeated_splits"])


def split_selected_files(wildcards):
    """Return what a task's models selected in repeated splits, batch by batch."""
    return batch_files(wildcards, "selected", DESIGN["repeated_splits"])


def batch_numbers(wildcards, count):
    """Return the numbers of the resamples or splits of a batch."""
    first = int(wildcards.batch) * BATCH
    return list(range(first, min(first + BATCH, count)))


def batch_of_resamples(wildcards):
    """Return the numbers of a batch's resamples."""
    return batch_numbers(wildcards, DESIGN["resamples"])


def batch_of_splits(wildcards):
    """Return the numbers of a batch's splits."""
    return batch_numbers(wildcards, DESIGN["repeated_splits"])


def all_cross_fitted(wildcards):
    """Return the cross-fitted Rad-scores of the signatures that are held against the lesion's size."""
    return signature_files(wildcards, "cross_fitted") if IMAGED else []


def sized_signatures(wildcards):
    """Return the regions whose signatures are held against the lesion's size, which only masks tell."""
    return TASKS[wildcards.task]["signatures"] if IMAGED else []


def models_by_size(wildcards):
    """Return a task's models with the combined ones, of which the first is what the task is about, in front."""
    combined = list(TASKS[wildcards.task]["combined"])
    return combined + [model for model in models_of(wildcards.task) if model not in combined]


def main_models(wildcards):
    """Return the models that a figure of one model shows, of which it takes the first that was fitted."""
    nomogram = TASKS[wildcards.task].get("nomogram")
    others = [model for model in models_by_size(wildcards) if model != nomogram]
    return ([nomogram] if nomogram else []) + others


def main_model_files(wildcards):
    """Return the frozen models that a figure of one model shows the first fitted of."""
    return [f"{MODELS}/{wildcards.task}/{model}/model.json" for model in main_models(wildcards)]


def main_training(wildcards):
    """Return the training predictions of the models that a figure of one model shows the first fitted of."""
    folder = f"{RESULTS}/tasks/{wildcards.task}/parts"
    return [f"{folder}/{model}/training.csv" for model in main_models(wildcards)]


def models_with_odds_ratios(wildcards):
    """Return a task's models of few terms, whose odds ratios papers print: all but its signatures."""
    return [model for model in models_by_size(wildcards) if not model.startswith("signature_")]


def model_files(wildcards):
    """Return the frozen models of a task; there are none where only their predictions are given."""
    models = [] if GIVEN else models_of(wildcards.task)
    return [f"{MODELS}/{wildcards.task}/{model}/model.json" for model in models]


def at_hand(table):
    """Return a table of the study's own patients, where it is at hand to compare an external cohort with."""
    own = f"{STUDY_RESULTS}/{table}"
    return [own] if Path(own).is_file() else []


def external_predictions():
    """Return the predictions of every task in an external cohort, which know no outcome."""
    return [f"{RESULTS}/tasks/{task}/parts/predictions_{COHORTS[0]}.csv" for task in TASKS]


def task_models():
    """Return the task and name of every model."""
    return [(task, model) for task in TASKS for model in models_of(task)]


def every_model():
    """Return the frozen models of all tasks."""
    return [f"{MODELS}/{task}/{model}/model.json" for task, model in task_models()]


def every_fitted():
    """Return the fitted models of all tasks, before they are frozen."""
    return [f"{RESULTS}/tasks/{task}/parts/{model}/fitted.json" for task, model in task_models()]


def cards_of(task):
    """Return the Model Cards of a task's models."""
    return [f"{MODELS}/{task}/{model}/card.md" for model in models_of(task)]


def described_study(task):
    """Return what Model Cards of a task say of the study itself."""
    return {
        "title": DESIGN["title"],
        "source": DESIGN.get("source", ""),
        "eligibility": DESIGN["eligibility"],
        "use": TASKS[task]["decision"]["description"],
        "images": EXTRACTED,
        "cohorts": COHORTS,
    }


def held_out_cohorts():
    """Return a pattern of the cohorts that no model is fitted on."""
    return "|".join(cohort for cohort in COHORTS if cohort != "train") or "none"


def front_end_settings():
    """Return what of the design decides how predictors are made."""
    return {key: DESIGN[key] for key in (*SECTIONS, "seed") if key in DESIGN}


def cohort_terms():
    """Return what the cohort's configuration says of who may use the data, and how."""
    keys = ("name", "licence", "citation", "redistribution")
    return {key: COHORT[key] for key in keys if key in COHORT}


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
    """Return the training predictions of every model of a task, where models are trained."""
    return if_trained(*part_files(wildcards, "training"))


def signature_files(wildcards, table):
    """Return one table of every signature of a task."""
    rois = TASKS[wildcards.task]["signatures"]
    return [f"{RESULTS}/tasks/{wildcards.task}/parts/signature_{roi}/{table}.csv" for roi in rois]


def signature_models(wildcards):
    """Return the frozen signatures of a task."""
    rois = TASKS[wildcards.task]["signatures"]
    return [f"{MODELS}/{wildcards.task}/signature_{roi}/model.json" for roi in rois]


def signature_selections(wildcards):
    """Return the selection table of every signature of a task."""
    return signature_files(wildcards, "selection")


def path_files(wildcards):
    """Return the LASSO path of every signature of a task."""
    return signature_files(wildcards, "path")


def cv_files(wildcards):
    """Return the cross-validation of every signature of a task."""
    return signature_files(wildcards, "cv")


def choice_files(wildcards):
    """Return the models that were tried for every signature of a task."""
    return signature_files(wildcards, "choice")


def combined_signatures(wildcards):
    """Return the fitted signatures that a combined model uses."""
    rois = TASKS[wildcards.task]["combined"][wildcards.combined]["signatures"]
    return [f"{RESULTS}/tasks/{wildcards.task}/parts/signature_{roi}/fitted.json" for roi in rois]


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
    return f"{MODELS}/{wildcards.task}/{TASKS[wildcards.task]['nomogram']}/model.json"


def is_combined_signature(wildcards):
    """Say whether some combined model uses a region's signature."""
    models = TASKS[wildcards.task]["combined"].values()
    return any(wildcards.roi in parts["signatures"] for parts in models)


def cascade_levels(wildcards):
    """Return the task and model of every level of a cascade."""
    return CASCADES[wildcards.cascade]["levels"]


def cascade_classes(wildcards):
    """Return the classes that a cascade sorts patients into."""
    return CASCADES[wildcards.cascade]["classes"]


def cascade_predictions(wildcards):
    """Return the predictions of every level's task."""
    return [f"{RESULTS}/tasks/{level['task']}/predictions.csv" for level in cascade_levels(wildcards)]


def cascade_models(wildcards):
    """Return the frozen model of every level."""
    levels = cascade_levels(wildcards)
    return [f"{MODELS}/{level['task']}/{level['model']}/model.json" for level in levels]


def cascade_files(table):
    """Return a table of every cascade."""
    return [f"{RESULTS}/cascades/{cascade}/{table}.csv" for cascade in CASCADES]


def lookup_pathway(wildcards):
    """Return the kind, outcome and its values of a pathway."""
    return PATHWAYS[wildcards.pathway]


def pathway_files(table):
    """Return a table of every pathway."""
    return [f"{RESULTS}/pathways/{pathway}/{table}.csv" for pathway in PATHWAYS]


def figures_by_name():
    """Name the figures of every task and cascade, and of the whole study where there are any."""
    confusion = [f"confusion_{cohort}" for cohort in COHORTS]
    named = {task: task_figures(task) for task in TASKS} | dict.fromkeys(CASCADES, confusion)
    return {**named, "study": study_figures()} if study_figures() else named


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


def if_trained_models(wildcards):
    """Return a task's models in a study that fits them, and none where models are only judged."""
    return if_trained(*models_of(wildcards.task))


def subgroup_tables(wildcards):
    """Return the table of a task's subgroups, of a study that has one."""
    named = "subgroups" in task_tables(wildcards.task)
    return [f"{RESULTS}/tasks/{wildcards.task}/subgroups.csv"] if named else []


def subgroups_of(wildcards):
    """Return a task's subgroups by variables that the cohort has."""
    return SUBGROUPS[wildcards.task]


def given_models_of(wildcards):
    """Return a task's models of which only predictions are known."""
    return list(TASKS[wildcards.task]["predictions"])


def given_cut_off(wildcards):
    """Return the cut-off of models of which only predictions are known."""
    return TASKS[wildcards.task]["cut_off"].get("at") if GIVEN else None


def unscored_files(wildcards):
    """Return, for every cohort, which of a task's models could not score it."""
    folder = f"{RESULTS}/tasks/{wildcards.task}/parts"
    return [] if GIVEN else [f"{folder}/unscored_{cohort}.csv" for cohort in COHORTS]


def models_of_task(wildcards):
    """Return a task's models."""
    return models_of(wildcards.task)


def task_figures(task):
    """Name the figures of a task."""
    names = ([] if GIVEN else ["flowchart"]) + (if_imaged("roi_overlay") if COHORT["redistribution"] else [])
    names += if_trained(*SIGNATURE_FIGURES) if TASKS[task]["signatures"] else []
    names += if_trained("signature_waterfall", "forest_odds_ratios")
    names += [f"{figure}_{cohort}" for figure in COHORT_FIGURES for cohort in COHORTS]
    names += ["forest_subgroups"] if SUBGROUPS[task] else []
    names += if_trained("habitat_fractions") if HABITATS else []
    return names + (if_trained("nomogram") if "nomogram" in TASKS[task] else [])


def study_figures():
    """Name the figures of the study that belong to no task."""
    maps = ["habitat_map"] if COHORT["redistribution"] else []
    names = ["cluster_validity", *maps] if HABITATS and TRAINED else []
    return names + (["feature_stability"] if STABILITY else [])


def all_figures():
    """Return the PNG of every figure of the study; PDF and CSV come with it."""
    return [
        f"{RESULTS}/figures/{name}/{f}.png" for name, figures in figures_by_name().items() for f in figures
    ]


def centre_files(wildcards=None):
    """Return how well features tell the centre, of a study with signatures that names one."""
    signed = any(task["signatures"] for task in TASKS.values())
    return [f"{RESULTS}/features/centre_prediction.csv"] if "centre" in DESIGN and signed else []


def task_files(table):
    """Return a table of the results contract for every task."""
    return [f"{RESULTS}/tasks/{task}/{table}.csv" for task in TASKS]


pathvars:
    results=RESULTS,
    models=MODELS,
    kept=KEPT,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


refuse_moved_paths()


wildcard_constraints:
    chunk=r"\d{4}",
    cohort="|".join(COHORTS),
    task="|".join(TASKS),
    roi="|".join(SIGNED),
    combined="|".join(COMBINED) or "none",
    prespecified="|".join(PRESPECIFIED),
    batch=r"\d{3}",
    cascade="|".join(CASCADES) or "none",
    pathway="|".join(PATHWAYS) or "none",
