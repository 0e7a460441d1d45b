"""A study's configuration: read, merged, and checked against its schemas.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from annulus.assumptions import Sources, assumption_contradictions
from annulus.cohort.dictionary import know, variable_contradictions
from annulus.contradictions import contradictions
from annulus.errors import StudyError
from annulus.errors import nearest as _nearest

Settings = dict[str, Any]

# Z-scores of nearly all voxels, and the grey levels below which there is no texture.
SPREAD_OF_SCORES = 3.0
LEAST_GREY_LEVELS = 8


@dataclass(frozen=True)
class StudyConfig:
    """One study's design, its cohort and the extraction settings of its images."""

    design: Settings
    cohort: Settings
    imaging: dict[str, Settings]


@dataclass(frozen=True)
class Folders:
    """Where configuration is looked for: the working directory first, then the workflow itself."""

    working: Path
    workflow: Path

    def find(self, kind: str, name: str) -> Path:
        """Return the file of a configuration given by path, or by name in ``config/<kind>/``.

        Raises StudyError, naming the files that exist, when there is none.
        """
        places = [
            folder / place
            for folder in (self.working, self.workflow)
            for place in (Path(name), Path("config") / kind / f"{name}.yaml")
        ]
        for place in places:
            if place.is_file():
                return place
        known = sorted(path.stem for path in (self.workflow / "config" / kind).glob("*.yaml"))
        raise StudyError(
            f"config/{kind}: there is no file {name!r}{_nearest(name, known)}. "
            f"Give a path, or one of: {', '.join(known)}."
        )


def load(config: Settings, folders: Folders) -> StudyConfig:
    """Put together the study that ``config`` (Snakemake's) asks for, and check all of it.

    ``config`` either holds a study design itself (``--configfile config/studies/x.yaml``) or names
    one under ``study``; its other keys are laid over that file. Raises StudyError with every
    mistake found in the first file that has any. The study's own variables are known from here on, to this
    process and to those that it starts.
    """
    schemas = folders.workflow / "workflow" / "schemas"
    design = _design(config, folders)
    _refuse(design, schemas / "study.schema.yaml", f"study {design.get('name', '?')}")
    _refuse_lines(design, variable_contradictions(design["variables"]))
    know(design["variables"])
    if not isinstance(design["cohort"], str):
        raise StudyError(f"cohort: {design['cohort']!r} is not the name or path of a cohort file.")
    cohort_path = folders.find("cohorts", design["cohort"])
    cohort = read_yaml(cohort_path)
    if "cohort_folder" in design and cohort.get("source") == "table":
        cohort["folder"] = design["cohort_folder"]
    if cohort.get("source") == "simulated":
        cohort |= {key: design[key] for key in ("patients", "null") if key in design}
    _refuse(cohort, schemas / "cohort.schema.yaml", str(cohort_path))
    if cohort["source"] == "table" and design["images"] and "images" not in cohort:
        raise StudyError(
            f"{cohort_path}: the study has images, so the cohort needs its image manifest: images."
        )
    if design["feature_groups"] and "features" not in cohort:
        raise StudyError(
            f"{cohort_path}: the study has feature_groups, so the cohort needs its feature table: features."
        )
    imaging = {}
    for name in sorted({image["settings"] for image in design["images"].values() if "settings" in image}):
        path = folders.find("imaging", name)
        imaging[name] = read_yaml(path)
        _refuse_vanishing(imaging[name], str(path))
        _refuse(imaging[name], schemas / "imaging.schema.yaml", str(path))
        _refuse_unsound(imaging[name], design["extraction"]["mode"], str(path))
    lines = contradictions(design)
    # Everybody trains where there is no split, or centres are left out one at a time; nobody does where
    # predictions are given.
    given = any(plan["predictions"] for plan in design["tasks"].values())
    design["split"].setdefault("cohorts", {f"external_{cohort['name']}" if given else "train": []})
    lines += assumption_contradictions(Sources(design, cohort, imaging))
    _refuse_lines(design, lines)
    return StudyConfig(design, cohort, imaging)


def load_external(config: Settings, folders: Folders) -> tuple[StudyConfig, dict[str, str]]:
    """Return a study and the files of its external cohorts by their names, as ``config`` asks for them.

    They are those of ``--config cohort=...`` (several with commas between them), or the study's own list
    ``external``. Raises StudyError when there is none, or two have one name.
    """
    given = None if "tasks" in config else config.get("cohort")
    own = {key: value for key, value in config.items() if key != "cohort" or given is None}
    study = load(own, folders)
    wanted = study.design["external"] if given is None else str(given).split(",")
    if not wanted:
        raise StudyError(
            "external: say which cohort, with --config study=NAME cohort=config/cohorts/MINE.yaml, or list "
            f"cohorts under external in the study {study.design['name']}."
        )
    files: dict[str, str] = {}
    for place in wanted:
        name = str(read_yaml(folders.find("cohorts", place)).get("name"))
        if name == study.cohort["name"]:
            raise StudyError(
                f"external: {place} is the cohort that the study was developed on; give another."
            )
        if name in files:
            raise StudyError(f"external: {files[name]} and {place} are both named {name}; rename one.")
        files[name] = place
    return study, files


def read_yaml(path: Path) -> Settings:
    """Read a YAML mapping; raises StudyError with the line when it is not one."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: this is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise StudyError(f"{path}: a mapping of keys to values is expected.")
    return content


def problems(content: Settings, schema: Settings) -> list[str]:
    """List every place where ``content`` breaks ``schema``, in words, with the value shown.

    Defaults of the schema are filled into ``content`` first.
    """
    _fill_defaults(content, schema)
    validator = Draft202012Validator(schema)
    found = sorted(validator.iter_errors(content), key=lambda error: [str(p) for p in error.path])
    return [line for error in found for line in _in_words(error)]


def _design(config: Settings, folders: Folders) -> Settings:
    # Snakemake leaves true and false of --config as words.
    words = {"true": True, "false": False}
    overrides = {
        key: words.get(value, value) if isinstance(value, str) else value
        for key, value in config.items()
        if key != "study"
    }
    if "tasks" in overrides:
        return overrides
    if "study" not in config:
        raise StudyError("config: say which study to run, for example study: cem_her2.")
    return _laid_over(read_yaml(folders.find("studies", str(config["study"]))), overrides)


def _laid_over(below: Settings, above: Mapping[str, Any]) -> Settings:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _laid_over(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
        )
    return merged


def _refuse(content: Settings, schema_path: Path, where: str) -> None:
    lines = problems(content, read_yaml(schema_path))
    if lines:
        raise StudyError("\n".join(f"{where}: {line}" for line in lines))


def _refuse_lines(design: Settings, lines: Sequence[str]) -> None:
    if lines:
        raise StudyError("\n".join(f"study {design['name']}: {line}" for line in lines))


def _fill_defaults(content: Any, schema: Settings) -> None:
    if not isinstance(content, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if key not in content and "default" in part:
            content[key] = part["default"]
        if key in content:
            _fill_defaults(content[key], part)
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        for value in content.values():
            _fill_defaults(value, others)


def _in_words(error: ValidationError) -> Iterator[str]:
    key = ".".join(str(part) for part in error.absolute_path) or "top level"
    shown = repr(error.instance)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    allowed: Any = error.validator_value
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(schema.get("properties", {}))
        for extra in sorted(set(map(str, error.instance)) - set(known)):
            yield (
                f"{key}: the key {extra!r} is not known{_nearest(extra, known)}. Allowed: {', '.join(known)}."
            )
    elif error.validator == "required" and isinstance(error.instance, dict):
        missing = [name for name in allowed if name not in error.instance]
        yield f"{key}: {', '.join(missing)} must be given."
    elif error.validator == "enum":
        hint = _nearest(str(error.instance), [str(value) for value in allowed])
        yield f"{key}: {shown} is not allowed{hint}. Allowed: {', '.join(map(str, allowed))}."
    elif error.validator == "type":
        yield f"{key}: {shown} is not of type {allowed}."
    elif error.validator == "pattern":
        words = schema.get("allowed", f"it must match {allowed}")
        yield f"{key}: {shown} is not allowed: {words}."
    elif error.validator in ("if", "oneOf", "anyOf") and error.context:
        for part in error.context:
            yield from _in_words(part)
    else:
        yield f"{key}: {shown} is not allowed ({error.validator}: {allowed})."


def _refuse_vanishing(content: Settings, where: str) -> None:
    if "LBP3D" in (content.get("imageType") or {}):
        raise StudyError(
            f"{where}: imageType.LBP3D: with the pinned SciPy pyradiomics yields no such image and says "
            "nothing. Leave it out, or take LBP2D."
        )


def _refuse_unsound(content: Settings, mode: str, where: str) -> None:
    """Refuse settings that leave no texture, or that do not go together."""
    setting, lines = content["setting"], []
    within = "image" if setting["normalize"] else content["normalise_within"]
    if setting["normalize"] and content["normalise_within"] == "tissue":
        lines.append("normalise_within: tissue contradicts setting.normalize, which means the whole image.")
    if mode == "compatible" and within == "tissue":
        lines.append("normalise_within: tissue is not pyradiomics' own; the mode compatible cannot have it.")
    if within != "none" and setting.get("binCount") is None:
        spread = 2 * min(setting.get("removeOutliers") or SPREAD_OF_SCORES, SPREAD_OF_SCORES)
        levels = int(spread * setting["normalizeScale"] / setting["binWidth"]) + 1
        if levels < LEAST_GREY_LEVELS:
            lines.append(
                f"setting.binWidth: z-scores times normalizeScale ({setting['normalizeScale']:g}) span about "
                f"{spread * setting['normalizeScale']:g}, so bins of {setting['binWidth']:g} leave {levels} "
                f"grey level{'s' * (levels > 1)}; {LEAST_GREY_LEVELS} are needed. Set normalizeScale to 100, "
                f"or a binWidth of {spread * setting['normalizeScale'] / 24:.2g}."
            )
    spacing = setting.get("resampledPixelSpacing") or []
    across = len(spacing) - 1 - setting["force2Ddimension"]
    if setting["force2D"] and len(spacing) == 3 and spacing[across] != 0:
        lines.append(
            f"setting.resampledPixelSpacing: with force2D slices are never mixed; {spacing[across]:g} "
            "must be 0."
        )
    if lines:
        raise StudyError("\n".join(f"{where}: {line}" for line in lines))
