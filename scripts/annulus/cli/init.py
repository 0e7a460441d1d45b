"""``annulus init``: the configuration of a new study, written from a folder of images or a table."""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from annulus.cli.found_images import PATIENT_PARTS, FoundImages, find_images, patient_part
from annulus.cli.found_tables import (
    FoundTable,
    Outcome,
    feature_columns,
    feature_groups,
    find_outcome,
    find_table,
    known_columns,
    likely_outcome,
    plain_name,
    probability_columns,
    settle_outcome,
)
from annulus.cli.places import workflow_root
from annulus.cohort.dictionary import columns_of
from annulus.errors import StudyError
from annulus.tables import write_text

WAYS = ("images", "features", "predictions")
MODALITIES = ("US", "CEM", "MRI")
SERIES = {"US": "bmode", "CEM": "rc", "MRI": "dce_1"}

# The outcome that images' folders are.
FOLDER = "folder"

# Images of one batch: pictures are quick, volumes are not.
PER_CHUNK = {True: 150, False: 20}

# Where comments behind values begin.
COMMENTS_AT = 36

# Names of unused columns that are listed in the cohort's file.
LISTED = 20


@dataclass(frozen=True)
class Wishes:
    """What the command was given; what is None or empty is asked for, where somebody can answer."""

    way: str
    place: Path | None
    participants: Path | None
    modality: str | None
    patient: str | None
    outcome: str | None
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    name: str | None
    force: bool


@dataclass(frozen=True)
class Plan:
    """The files of a study that is begun, by path, and what to say about them."""

    files: Mapping[Path, str]
    remarks: tuple[str, ...]
    name: str


def begin(wishes: Wishes) -> Iterator[str]:
    """Write the configuration that is wished for; yields what to tell.

    Raises StudyError when something is missing that nobody can be asked, nothing usable is found, or a file
    is there already; no file has been written then.
    """
    wishes = _completed(wishes)
    assert wishes.place is not None
    plan = {"images": _of_images, "features": _of_features, "predictions": _of_predictions}[wishes.way](
        wishes
    )
    there = [str(path) for path in plan.files if path.exists()]
    if there and not wishes.force:
        raise StudyError(
            f"{', '.join(there)}: there already. Choose another --name, or overwrite with --force."
        )
    for path, text in plan.files.items():
        write_text(path, text)
        yield f"written: {path}"
    yield from plan.remarks
    yield "Read the files, change what does not fit, and then:"
    yield f"  annulus check {plan.name}"
    yield f"  uv run snakemake --cores all --config study={plan.name}"


def interactive() -> bool:
    """Say whether somebody is there to answer."""
    return sys.stdin.isatty()


def _ask(question: str, flag: str, default: str | None = None) -> str:
    if not interactive():
        hint = f" The likeliest is {default}." if default else ""
        raise StudyError(f"{flag} must be given ({question}).{hint}")
    answer: str = typer.prompt(question, default=default)
    return answer.strip()


def _completed(wishes: Wishes) -> Wishes:
    if not wishes.way:
        way = _ask(f"Start from {', '.join(WAYS)}", "--images, --features or --predictions")
        if way not in WAYS:
            raise StudyError(f"{way!r} is not one of {', '.join(WAYS)}.")
        where = "Folder of images and masks" if way == "images" else "File of the table"
        wishes = replace(wishes, way=way, place=Path(_ask(where, f"--{way}")))
    if wishes.way == "images" and wishes.modality is None:
        wishes = replace(wishes, modality=_ask(f"Modality ({', '.join(MODALITIES)})", "--modality"))
    if wishes.modality is not None:
        wishes = replace(wishes, modality=wishes.modality.upper())
        if wishes.modality not in MODALITIES:
            raise StudyError(f"--modality: {wishes.modality} is not one of {', '.join(MODALITIES)}.")
    return wishes


def _of_images(wishes: Wishes) -> Plan:
    assert wishes.place is not None and wishes.modality is not None
    found = find_images(wishes.place)
    pictures = found.pictures
    table = find_table(wishes.participants, wishes.patient) if wishes.participants else None
    if table is None:
        outcome, folders = _folder_outcome(wishes, found)
        part = PATIENT_PARTS[0]
        found = found.within(folders)
        _refuse_doubled(found)
    else:
        outcome, folders = _table_outcome(wishes, table), ()
        part = patient_part(found, table.cells[table.patient])
    known = known_columns(table, (table.patient, outcome.column)) if table else []
    name = _name(wishes)
    ring, outer = ("ptr25", 0.25) if pictures else ("ptr5", 5)
    count = len(found.matched(part, folders))
    values = {
        "images": True,
        "files": found.rule.files(part, folders),
        "pattern": found.rule.pattern,
        "replacement": found.rule.replacement,
        "several": found.rule.several,
        "folder": str(wishes.place),
        "table": _relative(wishes.participants, wishes.place) if wishes.participants else "",
        "patient": table.patient if table else "patient",
        "known": known,
        "unused": _unused(table, outcome, known),
        "modality": wishes.modality,
        "series": SERIES[wishes.modality],
        "image": wishes.modality.lower(),
        "unit": "fraction" if pictures else "mm",
        "unit_words": "of the lesion's diameter, since pictures carry no pixel size"
        if pictures
        else "needs a pixel size",
        "ring": ring,
        "outer": outer,
        "chunks": max(1, math.ceil(count / PER_CHUNK[pictures])),
        "signatures": ["itr", ring, f"itr{ring}"],
        "radiomics": ["itr", ring],
    }
    files = _texts(name, outcome, values)
    template, settings = _settings(name, wishes.modality, found)
    files[Path("config") / "imaging" / f"{name}.yaml"] = settings
    remarks = [
        f"{count} images; {len(found.without_mask)} of {len(found.images)} have no mask"
        + (f", such as {found.without_mask[0]}" if found.without_mask else ""),
        f"extraction settings are those of config/imaging/{template}.yaml",
    ]
    return Plan(files, tuple(remarks), name)


def _of_features(wishes: Wishes) -> Plan:
    assert wishes.place is not None
    table = find_table(wishes.place, wishes.patient)
    outcome = _table_outcome(wishes, table)
    known = known_columns(table, (table.patient, outcome.column))
    features = feature_columns(table, (table.patient, outcome.column, *known))
    if not features:
        raise StudyError(f"{wishes.place}: no column of numbers is left that could be a feature.")
    groups = feature_groups(features)
    name = _name(wishes)
    values = {
        **_of_table(wishes.place, table, known),
        "features": wishes.place.name,
        "groups": groups,
        "signatures": list(groups),
        "radiomics": list(groups),
    }
    remark = (
        f"{len(table.cells[table.patient])} patients, {len(features)} features in groups: {', '.join(groups)}"
    )
    return Plan(_texts(name, outcome, values), (remark,), name)


def _of_predictions(wishes: Wishes) -> Plan:
    assert wishes.place is not None
    table = find_table(wishes.place, wishes.patient)
    outcome = _table_outcome(wishes, table)
    columns = probability_columns(table, (table.patient, outcome.column))
    if not columns:
        raise StudyError(
            f"{wishes.place}: no column has numbers from 0 to 1, as predicted probabilities are. Percentages "
            "must be divided by 100, and scores turned into probabilities by the model that they are of."
        )
    models = {_variable(column): column for column in columns}
    known = known_columns(table, (table.patient, outcome.column, *columns))
    name = _name(wishes)
    values = {
        **_of_table(wishes.place, table, known),
        "models": models,
        "unused": _unused(table, outcome, [*known, *columns]),
    }
    remark = f"{len(table.cells[table.patient])} patients, predicted by {', '.join(models)}"
    return Plan(_texts(name, outcome, values), (remark,), name)


def _of_table(place: Path, table: FoundTable, known: Sequence[str]) -> dict[str, Any]:
    return {"folder": str(place.parent), "table": place.name, "patient": table.patient, "known": known}


def _name(wishes: Wishes) -> str:
    assert wishes.place is not None
    return plain_name(wishes.name or (wishes.place.name if wishes.way == "images" else wishes.place.stem))


def _table_outcome(wishes: Wishes, table: FoundTable) -> Outcome:
    column = wishes.outcome or _ask("Column with the outcome", "--outcome", likely_outcome(table))
    table.require(column)
    positive = wishes.positive or _positive(column, table.values(column))
    return find_outcome(table, column, positive, wishes.negative)


def _folder_outcome(wishes: Wishes, found: FoundImages) -> tuple[Outcome, tuple[str, ...]]:
    """Take the outcome from the folders that images lie in, where there is no table of participants."""
    folders = found.folders()
    if len(folders) < 2:
        raise StudyError(
            f"{found.folder}: nothing says what the outcome is. Give a table with --participants; only "
            "images in folders named after it (such as benign and malignant) need none."
        )
    named = wishes.outcome or _ask("Outcome (folder: that of the image)", "--outcome", FOLDER)
    if named != FOLDER:
        raise StudyError(f"--outcome {named}: without --participants it can only be {FOLDER}.")
    positive = wishes.positive or _positive(FOLDER, folders)
    outcome = settle_outcome(str(found.folder), FOLDER, folders, positive, wishes.negative)
    malignant = set(map(str.lower, outcome.positive)) == {"malignant"}
    outcome = replace(outcome, name="malignant" if malignant else "label", known=True, others=())
    return outcome, (*outcome.negative, *outcome.positive)


def _positive(column: str, values: Sequence[str]) -> tuple[str, ...]:
    shown = ", ".join(values[:8])
    return (_ask(f"Value of {column} that is the event, of {shown}", "--positive"),)


def _refuse_doubled(found: FoundImages) -> None:
    counts = Counter(row["patient"] for row in found.matched(PATIENT_PARTS[0]))
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise StudyError(
            f"{found.folder}: {count} images are called {name}, so names cannot stand for patients. Rename "
            "them, or give a table with --participants."
        )


def _variable(column: str) -> str:
    name = plain_name(column)
    return f"risk_{name}" if name in columns_of("participants") else name


def _unused(table: FoundTable | None, outcome: Outcome, used: Sequence[str]) -> str:
    if table is None:
        return ""
    left = [c for c in table.columns if c not in (table.patient, outcome.column, *used)]
    return ", ".join(left[:LISTED]) + (", ..." if len(left) > LISTED else "")


def _relative(path: Path, folder: Path) -> str:
    """Return a table's path as seen from the cohort's folder."""
    try:
        return str(path.resolve().relative_to(folder.resolve()))
    except ValueError:
        return str(path.resolve())


def _texts(name: str, outcome: Outcome, values: Mapping[str, Any]) -> dict[Path, str]:
    """Fill in the templates of the cohort's and the study's file."""
    models, event = values.get("models", {}), " or ".join(outcome.positive)
    label = event if outcome.column == FOLDER else f"{outcome.column} {event}"
    number = {"type": "number", "minimum": 0, "maximum": 1}
    variables = {model: {**number, "description": f"Probability predicted by {model}"} for model in models}
    if not outcome.known:
        variables[outcome.name] = {"type": "boolean", "description": f"{outcome.column} is {event}"}
    coding: dict[str, int | None] = dict.fromkeys(outcome.others)
    coding |= dict.fromkeys(outcome.positive, 1) | dict.fromkeys(outcome.negative, 0)
    known = list(values.get("known", ()))
    filled = {
        "images": False, "models": {}, "groups": {}, "features": "", "unused": "",
        **values,
        "name": name,
        "title": f"{outcome.name} predicted from {_what(values)}",
        "outcome": outcome,
        "coding": coding,
        "variables": variables,
        "positive": f"{outcome.column} is {event}",
        "negative": f"{outcome.column} is {' or '.join(outcome.negative)}",
        "label": label,
        "decision": f"act as on {label}",
        "candidates": f", such as {', '.join(known[:5])}" if known else "",
    }  # fmt: skip
    kinds = {"cohorts": "cohort.yaml.jinja", "studies": "study.yaml.jinja"}
    environment = Environment(
        loader=PackageLoader("annulus", "cli"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters["flow"] = _flow
    return {
        Path("config") / kind / f"{name}.yaml": _aligned(environment.get_template(file).render(filled))
        for kind, file in kinds.items()
    }


def _aligned(text: str) -> str:
    """Let the comments behind values begin at one place."""
    lines = (re.fullmatch(r"( *[^# ].*?) {2,}(# .*)", line) or line for line in text.split("\n"))
    return "\n".join(
        line if isinstance(line, str) else f"{line[1].ljust(COMMENTS_AT - 2)}  {line[2]}" for line in lines
    )


def _what(values: Mapping[str, Any]) -> str:
    if values.get("images"):
        return f"{values['modality']} images"
    return "a table of features" if values.get("features") else "published models"


def _flow(value: object) -> str:
    """Write a value as YAML in one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _settings(name: str, modality: str, found: FoundImages) -> tuple[str, str]:
    """Copy the extraction settings that suit the images: their template's name, and the text."""
    volumes = modality == "MRI" and not found.pictures
    if not found.pictures and found.rule.image_type.lower() != ".dcm":
        volumes = _depth(found.folder / found.images[0]) > 1
    template = (
        "us_bmode" if found.pictures else {"US": "us_bmode", "CEM": "cem_recombined", "MRI": "dce"}[modality]
    )
    text = (workflow_root() / "config" / "imaging" / f"{template}.yaml").read_text(encoding="utf-8")
    # Shape is measured in the plane or in space, whatever the template was for.
    text = re.sub(r"^  shape(2D)?:", "  shape:" if volumes else "  shape2D:", text, flags=re.MULTILINE)
    if not volumes:
        text = re.sub(r"(resampledPixelSpacing: \[[^,\]]+, [^,\]]+), [^,\]]+\]", r"\1]", text)
    copied = (
        f"# Extraction settings of {name}, copied from config/imaging/{template}.yaml; see docs/features.md."
    )
    return template, f"{copied}\n{text}"


def _depth(path: Path) -> int:
    """Return the number of slices that an image's header says."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise StudyError(f"{path}: its header cannot be read. Replace the file, or take it away.") from None
    return math.prod(reader.GetSize()[2:])
