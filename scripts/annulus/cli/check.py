"""``annulus check``: a study's configuration and tables, without any image and without any test outcome."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from annulus.cli.places import workflow_root
from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables, take_in
from annulus.cohort.checks import Problem, error_lines
from annulus.cohort.dictionary import Value, columns_of, with_derived
from annulus.cohort.files import listed
from annulus.cohort.listing import Folder
from annulus.cohort.sources import UNMAPPED, manifest_rows, read_source, used_rows
from annulus.columns import (
    hidden_columns,
    needed_columns,
    needed_elsewhere,
    predictor_columns,
    task_variables,
)
from annulus.config import Folders, Settings, StudyConfig, load, problems, read_yaml
from annulus.errors import StudyError
from annulus.external import models_folder, refuse_other_front_end, unlike_training
from annulus.modelling.plan import models_of
from annulus.modelling.split import admit, allocate, outcomes_of, refuse_small_classes
from annulus.simulation.roster import enrolled, manifest, scaled_counts

CLOSED = "outcomes are not looked at before models are frozen"


@dataclass
class Checked:
    """What a check has to say: facts, warnings and errors, one line each."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Return the last line: whether the study can be run."""
        counted = f"{_count(self.errors, 'error')}, {_count(self.warnings, 'warning')}"
        return f"{counted}. {'Mend the errors first.' if self.errors else 'Ready to run.'}"

    def refuse(self, error: StudyError) -> None:
        """Take the lines of an error."""
        self.errors += str(error).splitlines()

    def take(self, found: Iterable[Problem]) -> None:
        """Take the problems of tables, those of one kind together."""
        problems = list(found)
        self.errors += error_lines(problem for problem in problems if problem.severity == "error")
        self.warnings += error_lines(problem for problem in problems if problem.severity != "error")


def check_study(study: str | None, cohort: str | None) -> Checked:
    """Check a study, by name or file, and an external cohort where one is given."""
    found = Checked()
    folders = Folders(working=Path.cwd(), workflow=workflow_root())
    try:
        config = load({"study": study or default_study(folders)}, folders)
        _check_design(config, found)
        if config.cohort["source"] == "simulated":
            _check_simulated(config, found)
        else:
            _check_tables(config, found)
    except StudyError as error:
        found.refuse(error)
        return found
    if cohort is not None:
        try:
            _check_external(config, folders, cohort, found)
        except StudyError as error:
            found.refuse(error)
    return found


def default_study(folders: Folders) -> str:
    """Return the study that config/config.yaml names; raises StudyError where there is none."""
    for folder in (folders.working, folders.workflow):
        path = folder / "config" / "config.yaml"
        if path.is_file() and "study" in (content := read_yaml(path)):
            return str(content["study"])
    raise StudyError("config/config.yaml names no study. Say which one is meant.")


def _check_design(config: StudyConfig, found: Checked) -> None:
    design = config.design
    found.lines.append(f"study {design['name']}: {design['title']}")
    for task, plan in design["tasks"].items():
        models = models_of(plan, bool(design["images"]))
        found.lines.append(
            f"task {task}: outcome {plan['outcome']}; {_count(models, 'model')}: {', '.join(models)}"
        )
    for kind in ("cascades", "pathways"):
        if design[kind]:
            found.lines.append(f"{kind}: {', '.join(design[kind])}")


def _check_simulated(config: StudyConfig, found: Checked) -> None:
    cohort = config.cohort
    counts = scaled_counts(cohort["cohorts"], cohort.get("patients"))
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    found.lines.append(f"cohort {cohort['name']}: SYNTHETIC, {sum(counts.values())} patients ({shown})")
    if config.design["images"]:
        rows = manifest(cohort["simulator"], list(enrolled(cohort["simulator"], counts)), cohort["raters"])
        used = used_rows(rows, config.design["images"])
        found.lines.append(f"{_images(used)} will be simulated")


def _check_tables(config: StudyConfig, found: Checked) -> None:
    design, cohort = config.design, config.cohort
    among = Folder(cohort["folder"])
    patients, wrong = _taken_in(design, cohort, needed_columns(design), (), among)
    found.take(wrong)
    found.lines.append(f"cohort {cohort['name']}: {len(patients)} patients in {cohort['folder']}")
    with_images = None
    if design["images"]:
        with_images = _check_images(design, cohort, patients, among, found)
    if not found.errors:
        _check_split(design, patients, with_images, found)


def _check_images(
    design: Settings, cohort: Settings, patients: list[dict[str, Value]], among: Folder, found: Checked
) -> set[str]:
    rows = read_source(cohort["folder"], cohort["images"], among)
    used = used_rows(manifest_rows(rows, (str(p["patient_id"]) for p in patients)), design["images"])
    paths = {p for row in used for key in ("image_path", "mask_path") for p in listed(row.get(key, ""))}
    missing = [
        path for path in paths if not path.startswith(UNMAPPED) and not Path(cohort["folder"], path).exists()
    ]
    without = sum(not row.get("mask_path") for row in used)
    found.lines.append(f"{_images(used)}; {without} without a mask; {_count(missing, 'missing file')}")
    return {row["patient_id"] for row in used}


def _check_split(
    design: Settings, patients: list[dict[str, Value]], with_images: set[str] | None, found: Checked
) -> None:
    """Share patients out as the study will, where all images pass, and count events of training patients."""
    people = pd.DataFrame(patients, dtype=object)
    lost = None
    if with_images is not None:
        gone = [str(patient) for patient in people["patient_id"] if patient not in with_images]
        lost = pd.DataFrame({"patient_id": gone, "reason": "no image"})
    tasks = design["tasks"]
    given = any(plan["predictions"] for plan in tasks.values())
    if given:
        allocation, flow = admit(people, lost, None, design["eligibility"], design["split"])
    else:
        plan = (design["eligibility"], design["split"], tasks, design["seed"])
        allocation, flow = allocate(people, lost, *plan)
    for step in flow.to_dict("records"):
        if step["n_out"] < step["n_in"]:
            found.lines.append(f"left out: {step['n_in'] - step['n_out']} ({step['reason']})")
    cohort = allocation.set_index("patient_id")["cohort"]
    outcomes = outcomes_of(people.set_index("patient_id").loc[cohort.index], tasks)
    for name in design["split"]["cohorts"]:
        members = outcomes[cohort == name]
        looked_at = given or name == "train" or _is_opened(design["name"], tasks)
        events = "; ".join(_events(members[task], task, looked_at) for task in tasks)
        found.lines.append(f"{name}: {len(members)} patients; {events}")
    for task in () if given else tasks:
        try:
            refuse_small_classes(outcomes[[task]], cohort, tasks[task]["outer_folds"])
        except StudyError as error:
            found.refuse(error)


def _is_opened(study: str, tasks: Iterable[str]) -> bool:
    """Say whether predictions of frozen models stand beside outcomes already."""
    return all(Path("results", study, "tasks", task, "predictions.csv").is_file() for task in tasks)


def _events(outcome: pd.Series, task: str, looked_at: bool) -> str:
    if not looked_at:
        return f"{task}: {CLOSED}"
    return f"{task}: {int((outcome == 1).sum())} events of {int(outcome.notna().sum())}"


def _check_external(config: StudyConfig, folders: Folders, name: str, found: Checked) -> None:
    """Check an external cohort's tables against a study whose models are, or will be, frozen."""
    design = config.design
    path = folders.find("cohorts", name)
    cohort = read_yaml(path)
    wrong = problems(cohort, read_yaml(folders.workflow / "workflow" / "schemas" / "cohort.schema.yaml"))
    if wrong:
        raise StudyError("\n".join(f"{path}: {line}" for line in wrong))
    if cohort["source"] != "table":
        raise StudyError(f"{path}: an external cohort is of patients' tables; source must be table.")
    if design["images"] and "images" not in cohort:
        raise StudyError(f"{path}: the study has images, so the cohort needs its image manifest: images.")
    among, hidden = Folder(cohort["folder"]), hidden_columns(design)
    patients, taken = _taken_in(design, cohort, needed_elsewhere(design), hidden, among)
    found.take(taken)
    found.lines.append(f"external cohort {cohort['name']}: {len(patients)} patients; {CLOSED}")
    if design["images"]:
        _check_images(design, cohort, patients, among, found)
    _name_missing_predictors(design, patients, cohort["name"], found)
    for task, plan in design["tasks"].items():
        _check_coding(task, plan, cohort, among, found)
    study = replace(config, cohort=cohort)
    if not (models_folder(study) / "front_end.json").is_file():
        found.warnings.append(
            f"study {design['name']}: no frozen models yet, with which units and patients are compared."
        )
        return
    refuse_other_front_end(study)
    found.take(unlike_training(study))


def _taken_in(
    design: Settings, cohort: Settings, needed: Iterable[str], hidden: Iterable[str], among: Folder
) -> tuple[list[dict[str, Value]], list[Problem]]:
    tables = CohortTables(
        cohort["folder"],
        cohort["participants"],
        cohort.get("images"),
        features=cohort.get("features") if design["feature_groups"] else None,
        groups=design["feature_groups"],
    )
    instruments = Instruments(**design["instruments"])
    return take_in(tables, bool(design["images"]), needed, instruments, list(hidden), among)


def _name_missing_predictors(
    design: Settings, patients: list[dict[str, Value]], name: str, found: Checked
) -> None:
    present = with_derived(patients[0] if patients else (), columns_of("participants"))
    for column in sorted(set(predictor_columns(design)) - present):
        tasks = [task for task, plan in design["tasks"].items() if column in task_variables(plan)]
        meant = (
            f"models of task {', '.join(tasks)} that need it" if tasks else "what needs it, such as centres,"
        )
        found.warnings.append(f"external cohort {name}: it lacks {column}; {meant} cannot be judged there.")


def _check_coding(
    task: str, plan: Mapping[str, Any], cohort: Settings, among: Folder, found: Checked
) -> None:
    """Hold the set of an outcome's values against what the study counts; nobody's value is looked at."""
    outcome, source = plan["outcome"], cohort["participants"]
    mapping = source.get("columns")
    if mapping is not None and outcome not in mapping:
        found.lines.append(
            f"task {task}: {outcome} is derived; its coding is checked when outcomes are opened"
        )
        return
    table = {**source, "columns": {outcome: mapping[outcome] if mapping else outcome}}
    texts = {row[outcome] for row in read_source(cohort["folder"], table, among)}
    column, values = columns_of("participants")[outcome], set[str]()
    where = f"external cohort {cohort['name']}: {outcome}"
    for text in sorted(texts - {""}):
        try:
            if text.startswith(UNMAPPED):
                raise ValueError("the cohort file's mapping does not know it; add it there")
            values.add(str(column.read(text)))
        except ValueError as error:
            found.errors.append(f"{where} has the value {text.removeprefix(UNMAPPED)!r}: {error}.")
    coded = {key: set(map(str, plan[key])) for key in ("positive", "negative")}
    for key, wanted in coded.items():
        if values and not values & wanted:
            found.errors.append(
                f"{where} has {', '.join(sorted(values))} and none of the study's {key} values "
                f"({', '.join(sorted(wanted))}). Map its coding in the cohort file."
            )
    if other := values - coded["positive"] - coded["negative"]:
        found.warnings.append(f"{where}: {', '.join(sorted(other))} counts as unknown.")
    found.lines.append(f"task {task}: {outcome} has the values {', '.join(sorted(values)) or 'none'}")


def _images(rows: list[dict[str, str]]) -> str:
    images = {(row["patient_id"], row["timepoint"], row["image_id"]) for row in rows}
    patients = {row["patient_id"] for row in rows}
    return f"{len(images)} images of {len(patients)} patients"


def _count(things: Iterable[object], name: str) -> str:
    count = len(list(things))
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
