"""``annulus explain``: what happened to one patient at each step of a study, in plain sentences."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from annulus.cli.bundles import OpenedModel, open_model
from annulus.cli.check import default_study
from annulus.cli.places import results_of, workflow_root
from annulus.cohort.listing import Folder, Row
from annulus.cohort.sources import read_source
from annulus.config import Folders, StudyConfig, load, read_yaml
from annulus.errors import StudyError
from annulus.modelling.attribution import Contribution, contributions, missing_values
from annulus.modelling.frozen import Linear
from annulus.modelling.scorers import probability
from annulus.modelling.split import Flow, eligible
from annulus.tables import read_csv, read_text_csv

# Terms of a model that are told, of most contribution.
TOLD = 5


@dataclass(frozen=True)
class Results:
    """The results of a study, or of an external cohort that its models were tested on.

    ``folder`` has the patients' tables and ``models`` the frozen models; ``external`` names the cohort.
    """

    study: str
    folder: Path
    models: Path
    external: str = ""

    def rows(self, table: str, patient: str) -> list[dict[str, Any]] | None:
        """Return a patient's rows of a CSV; None where the step that writes it has not been done."""
        path = self.folder / table
        if not path.is_file():
            return None
        content = read_csv(path)
        mine = content[content["patient_id"] == patient]
        return [{str(k): v for k, v in row.items() if pd.notna(v)} for row in mine.to_dict("records")]

    @cached_property
    def participants(self) -> pd.DataFrame:
        """Return the participants that were accepted, every cell as it is written."""
        path = self.folder / "cohort" / "participants.csv"
        if not path.is_file():
            raise StudyError(f"{path}: there is no such file; the study has not been begun. Run it first.")
        return read_text_csv(path)

    @cached_property
    def config(self) -> StudyConfig | None:
        """Return the study's present configuration; None where there is none any more."""
        try:
            return load({"study": self.study}, Folders(Path.cwd(), workflow_root()))
        except StudyError:
            return None


def explain_patient(patient: str, study: str | None, external: str | None, by_row: bool) -> list[str]:
    """Say what happened to a patient, given by id or by the row of the participants table.

    Raises StudyError when there are no results, or no such patient, naming the nearest ids.
    """
    name = study or default_study(Folders(Path.cwd(), workflow_root()))
    name = Path(name).stem if name.endswith(".yaml") else name
    base = results_of(name)
    results = Results(name, base, base / "models")
    if external:
        folder = base / "external" / external
        if not folder.is_dir():
            raise StudyError(f"{folder}: there are no results of this external cohort.")
        results = Results(name, folder, base / "models", external)
    known = list(results.participants["patient_id"])
    found = _by_row(results, patient) if by_row else patient
    if found not in known:
        near = difflib.get_close_matches(found, known, n=5, cutoff=0.4)
        hint = (
            f" The nearest ids are {', '.join(near)}." if near else f" Ids look like {', '.join(known[:3])}."
        )
        raise StudyError(f"{found}: no participant of {results.folder} has this id.{hint}")
    steps = list(_steps(results, found))
    verdict = next((step.left_out for step in steps if step.left_out), "") or steps[-1].verdict
    return [f"{found}: {verdict}", *(f"  {line}" for step in steps for line in step.lines)]


@dataclass(frozen=True)
class Step:
    """What is to be said of one step; ``left_out`` says that the patient's way ended there, and why."""

    lines: tuple[str, ...]
    left_out: str = ""
    verdict: str = "still in the study; later steps have not been run"


def _steps(results: Results, patient: str) -> Iterator[Step]:
    for step in (_table, _eligibility, _images, _regions, _features, _cohort):
        said = step(results, patient)
        yield said
        if said.left_out:
            return
    yield _predictions(results, patient)


def _source(results: Results) -> tuple[str, list[Row]]:
    """Return the name of the cohort's own participants table and its rows, only their patients' ids.

    Empty where it cannot be read any more, or its patients are simulated.
    """
    simulated = results.folder / "simulation" / "patients.csv"
    if simulated.is_file():
        ids = read_csv(simulated)["patient_id"]
        return str(simulated), [{"_row": str(n), "patient_id": id_} for n, id_ in enumerate(ids, start=2)]
    if results.config is None:
        return "", []
    try:
        cohort = results.config.cohort
        if results.external:
            folders = Folders(Path.cwd(), workflow_root())
            cohort = read_yaml(folders.find("cohorts", results.external))
        table = cohort["participants"]
        ids = {"patient_id": table.get("columns", {}).get("patient_id", "patient_id")}
        return cohort["folder"], read_source(
            cohort["folder"], {**table, "columns": ids}, Folder(cohort["folder"])
        )
    except (StudyError, KeyError):
        return "", []


def _by_row(results: Results, row: str) -> str:
    name, rows = _source(results)
    if not rows:
        raise StudyError("The cohort's own participants table cannot be read here. Give the patient's id.")
    found = next((line["patient_id"] for line in rows if line["_row"] == row), None)
    if found is None:
        raise StudyError(f"{name}: there is no row {row}; rows are {rows[0]['_row']} to {rows[-1]['_row']}.")
    return found


def _table(results: Results, patient: str) -> Step:
    person = results.participants.set_index("patient_id").loc[patient]
    lines = []
    rows = [row["_row"] for row in _source(results)[1] if row["patient_id"] == patient]
    lines.append(
        f"Participants table: row {', '.join(rows) or 'unknown'} of cohort {person.get('cohort_source', '')}."
    )
    if str(person.get("synthetic")) == "1":
        lines.append("SYNTHETIC: no patient is behind this.")
    path = results.folder / "cohort" / "problems.csv"
    problems = read_text_csv(path) if path.is_file() else pd.DataFrame(columns=["row", "value"])
    mine = problems[problems["row"].isin(rows) | (problems["value"] == patient)]
    lines += [
        f"{p['severity'].capitalize()} in column {p['column']}: {p['message']}" for _, p in mine.iterrows()
    ]
    return Step(tuple(lines))


def _eligibility(results: Results, patient: str) -> Step:
    if results.config is None:
        return Step(("Eligibility: the study's configuration is not here, so it cannot be told.",))
    person = results.participants[results.participants["patient_id"] == patient]
    for condition in results.config.design["eligibility"]:
        if not len(eligible(person, [condition], Flow())[0]):
            value = person[condition["column"]].iloc[0]
            shown = "missing" if pd.isna(value) else value
            why = f"{condition['reason']} ({condition['column']} is {shown})"
            return Step((f"Eligibility: {why}.",), f"left out, not eligible: {why}")
    count = len(results.config.design["eligibility"])
    return Step(
        (f"Eligibility: all {count} conditions are met." if count else "Eligibility: no conditions.",)
    )


def _images(results: Results, patient: str) -> Step:
    masks = results.rows("qc/masks.csv", patient)
    if masks is None:
        return Step(())
    findings = results.rows("qc/findings.csv", patient) or []
    lines = []
    for mask in masks:
        lines.append(
            f"Image {mask['image_id']}, mask of the {mask.get('mask_role', 'lesion')}"
            f" (rater {mask.get('rater', '1')}): {_decision(mask)}."
        )
    for finding in findings:
        done = f" Repaired: {finding['repair']}." if "repair" in finding else ""
        lines.append(f"Finding {finding['code']} ({finding['action']}): {finding.get('message', '')}{done}")
    if not masks:
        lines.append("Images: none of this patient in quality control.")
    lost = results.rows("qc/lost.csv", patient) or []
    gone = f"left out at quality control: {lost[0].get('reason', 'no usable image')}" if lost else ""
    return Step(tuple(lines), gone)


def _decision(mask: Mapping[str, Any]) -> str:
    words = {"pass": "passed quality control", "repaired": "repaired", "excluded": "excluded"}
    reasons = f" ({mask['reasons'].replace(';', ', ')})" if "reasons" in mask else ""
    return words.get(mask["decision"], mask["decision"]) + reasons


def _regions(results: Results, patient: str) -> Step:
    regions = results.rows("rois/rois.csv", patient)
    if regions is None:
        return Step(())
    built: dict[str, list[str]] = {}
    for r in regions:
        if r["status"] == "ok":
            built.setdefault(r["image_id"], []).append(f"{r['roi']} ({_whole(r.get('voxels', 0))} voxels)")
    said = [f"Regions of image {image}: {', '.join(names)}." for image, names in built.items()]
    others = [
        f"Region {r['roi']} of image {r['image_id']}: {str(r['status']).replace('_', ' ')}"
        + (f", {r['reason']}" if "reason" in r else "") + "."
        for r in regions
        if r["status"] != "ok"
    ]  # fmt: skip
    return Step((*(said or ["Regions: none was built."]), *others))


def _features(results: Results, patient: str) -> Step:
    path = results.folder / "features" / "features.parquet"
    if not path.is_file():
        return Step(())
    table = pd.read_parquet(path, filters=[("patient_id", "==", patient)])
    failures = results.rows("features/failures.csv", patient) or []
    failed = [
        f"Not extracted: region {f.get('roi', '')} of image {f.get('image_id', '')}, {f.get('reason', '')}."
        for f in failures
    ]
    if table.empty:
        why = failed[0] if failed else "no feature could be extracted."
        return Step(tuple(failed), f"left out at extraction: {why}")
    values = table.drop(columns=[c for c in ("patient_id", "timepoint") if c in table])
    missing = int(values.isna().all().sum())
    said = f"Features: {values.shape[1] - missing} extracted" + (f", {missing} missing." if missing else ".")
    return Step((said, *failed))


def _cohort(results: Results, patient: str) -> Step:
    split = results.rows("split/split.csv", patient)
    if split:
        cohort = split[0]["cohort"]
        return Step((f"Split: cohort {cohort}.",), verdict=f"in the study, in cohort {cohort}")
    allocated = results.rows("split/allocation.csv", patient)
    if allocated == [] or (allocated is None and split == []):
        why = _without_cohort(results, patient)
        return Step((f"Split: {why}.",), f"left out at the split: {why}")
    if split == []:
        return Step(("Split: no feature could be extracted.",), "left out at the split: no features")
    return Step(())


def _without_cohort(results: Results, patient: str) -> str:
    plan = results.config.design["split"] if results.config else {}
    if plan.get("by") != "column":
        return "no task's outcome is known, or the split's cohorts do not take the patient"
    person = results.participants.set_index("patient_id").loc[patient]
    value = person.get(plan["column"])
    if str(value) in {str(v) for values in plan["cohorts"].values() for v in values}:
        return "no task's outcome is known"
    return f"none of the split's cohorts takes {plan['column']} {'missing' if pd.isna(value) else value}"


def _predictions(results: Results, patient: str) -> Step:
    predictors = _predictors(results, patient)
    split = results.rows("split/split.csv", patient)
    cohort = split[0]["cohort"] if split else f"external_{results.external}"
    verdict = f"in the study, in cohort {cohort}" if split or results.external else Step(()).verdict
    lines = []
    for task in sorted(path.name for path in results.models.glob("*") if path.is_dir()):
        rows = results.rows(f"tasks/{task}/predictions.csv", patient) or []
        lines.append(f"Task {task}: {_outcome(results, task, patient, cohort, rows)}.")
        if predictors is None:
            continue
        for path in sorted((results.models / task).glob("*/model.json")):
            lines += _model_lines(path, predictors, rows)
    if not lines and verdict.startswith("in the study"):
        lines.append("Models: none is frozen yet.")
    return Step(tuple(lines), verdict=verdict)


def _predictors(results: Results, patient: str) -> pd.DataFrame | None:
    for path in sorted((results.folder / "split").glob("*/predictors.parquet")):
        table = pd.read_parquet(path, filters=[("patient_id", "==", patient)])
        if len(table):
            return table
    return None


def _outcome(
    results: Results, task: str, patient: str, cohort: str, predictions: list[dict[str, Any]]
) -> str:
    """Tell an outcome of training, or one that stands beside predictions of frozen models already."""
    # Predictions stand beside outcomes only where these have been opened.
    opened = bool(predictions)
    if cohort == "train":
        known = [row[task] for row in results.rows("split/train/outcomes.csv", patient) or [] if task in row]
    elif opened:
        known = [row["y"] for row in predictions[:1] if "y" in row]
    else:
        return "the outcome is not looked at before models are frozen and its cohort is opened"
    return (
        f"the outcome is {'the event' if known[0] == 1 else 'no event'}"
        if known
        else "the outcome is not known"
    )


def _model_lines(path: Path, predictors: pd.DataFrame, rows: list[dict[str, Any]]) -> Iterator[str]:
    name = path.parent.name
    try:
        opened = open_model(path)
    except StudyError as error:
        yield f"Model {name}: no prediction. {error}"
        return
    absent = [column for column in opened.columns if column not in predictors]
    if absent:
        yield f"Model {name}: no prediction, since {', '.join(absent[:5])} is not there."
        return
    model, variables = opened.model, opened.variables
    score = float(model.score(predictors, variables)[0])
    risk = float(probability(model.score(predictors, variables))[0])
    yield f"Model {name}: predicted risk {risk:.3f} (linear predictor {score:.4g}){_class(opened, risk)}."
    written = [row for row in rows if row.get("model") == name and "probability_out_of_fold" in row]
    if written:
        held_out = written[0]["probability_out_of_fold"]
        yield f"  Out of fold, by models that had not seen the patient: {held_out:.3f}."
    if isinstance(model.linear, Linear):
        yield from _term_lines(model.linear.intercept, contributions(model, predictors, variables))
    missing = missing_values(model, predictors, variables).iloc[0]
    if missing.any():
        yield f"  Missing and filled in from training: {', '.join(missing[missing].index)}."


def _class(opened: OpenedModel, risk: float) -> str:
    cut_off = opened.model.cut_off
    if cut_off is None:
        return ""
    side = "at or above" if risk >= cut_off.value else "below"
    return f", {side} the cut-off of {cut_off.value:.3f}"


def _term_lines(intercept: float, parts: tuple[Contribution, ...]) -> Iterator[str]:
    yield f"  Intercept {intercept:+.4g}."
    for part in parts[:TOLD]:
        value = "missing" if part.filled else f"{part.value:.4g}"
        yield f"  {part.term} = {value} (z {part.z:+.2f}) adds {part.contribution:+.4g}."
    if len(parts) > TOLD:
        rest = sum(part.contribution for part in parts[TOLD:])
        yield f"  {len(parts) - TOLD} other terms add {rest:+.4g} together."
    for part in parts:
        if part.out_of_range:
            yield f"  {part.term} is outside the training range of {part.lowest:.4g} to {part.highest:.4g}."


def _whole(value: object) -> str:
    return f"{float(str(value)):g}"
