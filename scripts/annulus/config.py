"""A study's configuration: read, merged, and checked against its schemas.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from annulus.assumptions import Sources, assumption_contradictions
from annulus.cohort.dictionary import Column, columns_of, origins
from annulus.errors import StudyError
from annulus.errors import nearest as _nearest
from annulus.evaluation.plan import published_contradictions
from annulus.modelling.plan import (
    KEPT_NAMES,
    PRESPECIFIED,
    carried_columns,
    step_names,
    step_settings,
)

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
    mistake found in the first file that has any.
    """
    schemas = folders.workflow / "workflow" / "schemas"
    design = _design(config, folders)
    _refuse(design, schemas / "study.schema.yaml", f"study {design.get('name', '?')}")
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
    imaging = {}
    for name in sorted({image["settings"] for image in design["images"].values() if "settings" in image}):
        path = folders.find("imaging", name)
        imaging[name] = read_yaml(path)
        _refuse_vanishing(imaging[name], str(path))
        _refuse(imaging[name], schemas / "imaging.schema.yaml", str(path))
        _refuse_unsound(imaging[name], design["extraction"]["mode"], str(path))
    _refuse_contradictions(design)
    # Everybody trains where there is no split, or centres are left out one at a time.
    design["split"].setdefault("cohorts", {"train": []})
    lines = list(assumption_contradictions(Sources(design, cohort, imaging)))
    if lines:
        raise StudyError("\n".join(f"study {design['name']}: {line}" for line in lines))
    return StudyConfig(design, cohort, imaging)


def models_of(plan: Settings, imaged: bool) -> list[str]:
    """Name a task's models, in the order of tables and figures; ``imaged`` is whether there are images."""
    return [
        *(f"signature_{roi}" for roi in plan["signatures"]),
        *(["clinical"] if plan["clinical"]["candidates"] else []),
        *prespecified_models(plan, imaged),
        *plan["combined"],
    ]


def signed_regions(design: Settings) -> list[str]:
    """Name everything that may have a signature: regions, habitats and controls, at every time and change."""
    regions = [
        *design["regions"]["rois"],
        *(["habitats"] if "habitats" in design["regions"] else []),
        *(f"{roi}{control}" for control, named in design["extraction"]["controls"].items() for roi in named),
    ]
    times = [*design["timepoints"], *design["changes"]]
    return [f"{region}{time}" for region in regions for time in times] if times else regions


def prespecified_models(plan: Settings, imaged: bool) -> list[str]:
    """Name a task's models without selection: of all clinical candidates, of the lesion's size, of both."""
    needs = {"clinical_full": (True, False), "volume": (False, True), "size_clinical": (True, True)}
    has = (bool(plan["clinical"]["candidates"]), imaged)
    return [name for name in PRESPECIFIED if all(h or not n for h, n in zip(has, needs[name], strict=True))]


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


def _refuse_contradictions(design: Settings) -> None:
    """Refuse what a schema cannot say: names that refer to nothing."""
    rois, imaged, lines = design["regions"]["rois"], bool(design["images"]), list[str]()
    lines += _region_contradictions(design)
    controls = design["extraction"]["controls"]
    lines += [
        f"extraction.controls.{control}: the region {roi!r} is not known{_nearest(roi, list(rois))}. "
        f"Known: {', '.join(rois)}."
        for control, named in controls.items()
        for roi in named
        if roi not in rois
    ]
    lines += [
        f"images.{name}.scale_with: the image {other!r} is not known"
        f"{_nearest(other, list(design['images']))}."
        for name, image in design["images"].items()
        for other in image["scale_with"]
        if other not in design["images"]
    ]
    if design["extraction"]["mode"] == "compatible" and any(
        i["scale_with"] for i in design["images"].values()
    ):
        lines.append("images: scale_with is not pyradiomics' own; the mode compatible cannot have it.")
    lines += _timepoint_contradictions(design)
    signed = signed_regions(design)
    for task, plan in design["tasks"].items():
        for roi in plan["signatures"]:
            if roi not in signed:
                lines.append(
                    f"tasks.{task}.signatures: the region {roi!r} is not known"
                    f"{_nearest(roi, signed)}. Known: {', '.join(signed)}."
                )
        lines += _signature_contradictions(task, plan["signature"], "stability" in design)
        for model, parts in plan["combined"].items():
            for roi in parts["signatures"]:
                if roi not in plan["signatures"]:
                    lines.append(
                        f"tasks.{task}.combined.{model}.signatures: {roi!r} is not among the "
                        f"task's signatures ({', '.join(plan['signatures'])})."
                    )
            if not parts["signatures"] and not parts["clinical"]:
                lines.append(f"tasks.{task}.combined.{model}: it has no terms.")
        both = set(map(str, plan["positive"])) & set(map(str, plan["negative"]))
        if both:
            lines.append(f"tasks.{task}: {', '.join(sorted(both))} is both positive and negative.")
        if plan.get("nomogram", None) not in (None, *plan["combined"]):
            lines.append(
                f"tasks.{task}.nomogram: {plan['nomogram']!r} is not a combined model"
                f"{_nearest(plan['nomogram'], list(plan['combined']))}. Known: {', '.join(plan['combined'])}."
            )
        lines += [f"tasks.{task}.{line}" for line in _evaluation_contradictions(plan, imaged)]
        lines += [
            f"tasks.{task}.combined: the name {name!r} is taken; choose another."
            for name in plan["combined"]
            if name in KEPT_NAMES or name.startswith("signature_")
        ]
        lines += _cut_off_contradictions(task, plan["cut_off"])
        lines += _outcomes_among_predictors(task, design["tasks"])
        lines += _harmonised_out(task, plan["signature"], design["split"])
        lines += _table_one_contradictions(f"tasks.{task}.table_one", plan["table_one"], design["tasks"])
    lines += _table_one_contradictions("table_one", design["table_one"], design["tasks"])
    lines += _split_contradictions(design["split"], list(design["tasks"]))
    lines += _cascade_contradictions(design["cascades"], design["tasks"], imaged)
    lines += _pathway_contradictions(design)
    lines += _eligibility_contradictions(design["eligibility"])
    lines += published_contradictions(
        design, {task: models_of(plan, imaged) for task, plan in design["tasks"].items()}
    )
    if lines:
        raise StudyError("\n".join(f"study {design['name']}: {line}" for line in lines))


def _outcomes_among_predictors(task: str, tasks: Settings) -> list[str]:
    """Refuse every task's outcome as a predictor, covariate or centre: none may be in a predictors table."""
    plan = tasks[task]
    outcomes = {other["outcome"] for other in tasks.values()}
    used = {
        "clinical.candidates": plan["clinical"]["candidates"],
        "signature.steps": list(carried_columns(plan["signature"])),
        **{f"combined.{name}.clinical": parts["clinical"] for name, parts in plan["combined"].items()},
    }
    lines = []
    for key, names in used.items():
        for name in names:
            shared = _shared_origins(name, plan["outcome"])
            if name in outcomes:
                lines.append(
                    f"tasks.{task}.{key}: {name} is the outcome of a task and cannot be a predictor."
                )
            elif shared:
                lines.append(
                    f"tasks.{task}.{key}: {name} and the outcome {plan['outcome']} both rest on "
                    f"{', '.join(shared)}, so it cannot be a predictor."
                )
    return lines


def _shared_origins(name: str, outcome: str) -> list[str]:
    """Name the columns from which both are derived; a predictor that shares any knows the outcome."""
    columns = columns_of("participants")
    return sorted(origins(name, columns) & origins(outcome, columns))


def _timepoint_contradictions(design: Settings) -> list[str]:
    times, lines = design["timepoints"], list[str]()
    if times and "habitats" in design["regions"]:
        lines.append("timepoints: habitats are of one time; leave one of the two out.")
    for name, change in design["changes"].items():
        if name in times:
            lines.append(f"changes.{name}: a time has this name; choose another.")
        lines += [
            f"changes.{name}.{end}: the time {change[end]!r} is not known"
            f"{_nearest(change[end], list(times))}. Known: {', '.join(times) or 'none; see timepoints'}."
            for end in ("from", "to")
            if change[end] not in times
        ]
    return lines


def _harmonised_out(task: str, signature: Settings, split: Settings) -> list[str]:
    """Refuse to hold out centres that harmonisation then does not know."""
    settings = step_settings(signature, "harmonise")
    if settings is None or split["by"] != "leave_one_out" or settings["centre"] != split["column"]:
        return []
    if settings.get("unseen", "refuse") != "refuse":
        return []
    return [
        f"tasks.{task}.signature.steps: harmonise refuses centres that training did not have, which every "
        f"centre left out is ({split['column']}); choose what happens to unseen ones: leave or reference."
    ]


def _cut_off_contradictions(task: str, cut_off: Settings) -> list[str]:
    if (cut_off["rule"] == "youden") == ("at" not in cut_off):
        return []
    if "at" in cut_off:
        return [f"tasks.{task}.cut_off.at: the rule youden has none; choose another rule or leave it out."]
    return [f"tasks.{task}.cut_off.at: the rule {cut_off['rule']} needs it, for example 0.9."]


def _cascade_contradictions(cascades: Settings, tasks: Settings, imaged: bool) -> list[str]:
    lines = []
    for name, cascade in cascades.items():
        key, levels = f"cascades.{name}", cascade["levels"]
        if name in tasks:
            lines.append(f"{key}: a task has this name; choose another.")
        if len(cascade["classes"]) != len(levels) + 1:
            lines.append(
                f"{key}.classes: {len(levels)} levels sort into {len(levels) + 1} classes; "
                f"{len(cascade['classes'])} are named."
            )
        for level in levels:
            if level["task"] not in tasks:
                near = _nearest(level["task"], list(tasks))
                lines.append(f"{key}.levels: the task {level['task']!r} is not known{near}.")
                continue
            models = models_of(tasks[level["task"]], imaged)
            if level["model"] not in models:
                lines.append(
                    f"{key}.levels: {level['task']} has no model {level['model']!r}"
                    f"{_nearest(level['model'], models)}. Known: {', '.join(models)}."
                )
    return lines


def _pathway_contradictions(design: Settings) -> list[str]:
    columns, lines = columns_of("participants"), list[str]()
    for name, pathway in design["pathways"].items():
        key, outcome = f"pathways.{name}", pathway["outcome"]
        if name in design["tasks"] or name in design["cascades"]:
            lines.append(f"{key}: a task or cascade has this name; choose another.")
        if outcome not in columns:
            lines.append(
                f"{key}.outcome: the column {outcome!r} is not known{_nearest(outcome, list(columns))}."
            )
        both = set(map(str, pathway["positive"])) & set(map(str, pathway["negative"]))
        if both:
            lines.append(f"{key}: {', '.join(sorted(both))} is both positive and negative.")
    return lines


def _eligibility_contradictions(conditions: list[Settings]) -> list[str]:
    columns, lines = columns_of("participants"), list[str]()
    for number, condition in enumerate(conditions):
        key, column = f"eligibility.{number}", columns.get(condition["column"])
        bounds = [bound for bound in ("minimum", "below") if bound in condition]
        if not bounds and "values" not in condition:
            lines.append(f"{key}: values, minimum or below must be given, or it excludes nobody.")
        if bounds and column is not None and column.type not in ("number", "integer"):
            lines.append(
                f"{key}: {column.name} is not a number, so it takes no {' and no '.join(bounds)}; name "
                "values."
            )
        if len(bounds) == 2 and condition["minimum"] >= condition["below"]:
            lines.append(f"{key}: nobody is at least {condition['minimum']} and below {condition['below']}.")
    return lines


def _split_contradictions(split: Settings, tasks: list[str]) -> list[str]:
    unknown = [task for task in split.get("stratify", []) if task not in tasks]
    if unknown:
        return [f"split.stratify: the task {unknown[0]!r} is not known{_nearest(unknown[0], tasks)}."]
    if split["by"] in ("leave_one_out", "none"):
        left = f"split.cohorts: {split['by']} has no cohorts, since everybody trains; leave it out."
        return [left] if "cohorts" in split else []
    if "cohorts" not in split:
        return [f"split.cohorts: a split by {split['by']} needs cohorts, one of them called train."]
    return [] if "train" in split["cohorts"] else ["split.cohorts: one of them must be called train."]


def _signature_contradictions(task: str, signature: Settings, judged: bool) -> list[str]:
    names = step_names(signature)
    key, lines = f"tasks.{task}.signature.steps", []
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        lines.append(f"{key}: {', '.join(doubled)} stands there twice.")
    if [name for name in names if name != "stability"][:1] != ["impute"]:
        lines.append(
            f"{key}: impute must come first; stability alone may stand before it. The others and the model "
            "cannot do with missing features."
        )
    if "stability" in names and not judged:
        lines.append(f"{key}: stability needs the study's key stability, which says how it is judged.")
    return lines


def _evaluation_contradictions(plan: Settings, imaged: bool) -> list[str]:
    decision, models, lines = plan["decision"], models_of(plan, imaged), list[str]()
    low, high = decision["thresholds"]
    if low >= high:
        lines.append(f"decision.thresholds: {low} is not below {high}.")
    if decision["at"] != sorted(decision["at"]):
        lines.append(f"decision.at: {', '.join(map(str, decision['at']))} are not in increasing order.")
    pairs = [frozenset(pair) for pair in plan["comparisons"]]
    for number, pair in enumerate(plan["comparisons"]):
        lines += [
            f"comparisons: the model {model!r} is not known{_nearest(model, models)}. "
            f"Known: {', '.join(models)}."
            for model in pair
            if model not in models
        ]
        if pairs.index(pairs[number]) != number:
            lines.append(f"comparisons: {pair[0]} and {pair[1]} are compared twice.")
    return lines + _subgroup_contradictions(plan["subgroups"])


def _subgroup_contradictions(subgroups: list[Settings]) -> list[str]:
    columns, lines = columns_of("participants"), list[str]()
    for subgroup in subgroups:
        name = subgroup["column"]
        if name not in columns:
            lines.append(f"subgroups: the column {name!r} is not known{_nearest(name, list(columns))}.")
            continue
        lines += _cut_contradictions(columns[name], "cut" in subgroup)
    names = [subgroup["column"] for subgroup in subgroups]
    return lines + [
        f"subgroups: {name} is given twice; choose one cut."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _table_one_contradictions(key: str, named: list[str], tasks: Settings) -> list[str]:
    """Refuse columns without anything to describe, and outcomes, which test cohorts keep to themselves."""
    columns, lines = columns_of("participants"), list[str]()
    outcomes = {plan["outcome"] for plan in tasks.values()}
    for name in named:
        if name not in columns:
            lines.append(f"{key}: the column {name!r} is not known{_nearest(name, list(columns))}.")
        elif name in outcomes:
            lines.append(f"{key}: {name} is the outcome of a task; leave it out of Table 1.")
        elif columns[name].type == "date":
            lines.append(f"{key}: {name} is a date, which has no levels.")
    return lines


def _cut_contradictions(column: Column, cut: bool) -> list[str]:
    if column.type == "date":
        return [f"subgroups: {column.name} is a date, which has no levels."]
    if column.type == "number" and not cut:
        unit = f" in {column.unit}" if column.unit else ""
        return [f"subgroups: {column.name} is a number, so it needs a cut{unit}."]
    if column.type not in ("number", "integer") and cut:
        return [f"subgroups: {column.name} has levels of its own, so it takes no cut."]
    return []


def _region_contradictions(design: Settings) -> list[str]:
    regions, images, lines = design["regions"], design["images"], []
    extracted = {name: image for name, image in images.items() if "settings" in image}
    if images and not extracted:
        lines.append("images: one of them at least needs settings, or there is nothing to extract.")
    if bool(images) != bool(regions["rois"]):
        lines.append("images and regions.rois go together: give both, or neither for a study without images.")
    for roi, region in regions["rois"].items():
        ring = region["kind"] in ("ring", "union")
        if ring and region.get("outer", 0) <= region["inner"]:
            lines.append(f"regions.rois.{roi}: outer must be greater than inner.")
        if region["kind"] == "union" and region["inner"] != 0:
            lines.append(f"regions.rois.{roi}: a union reaches from the lesion, so it has no inner.")
        if ring and "unit" not in regions:
            lines.append(f"regions.unit: a ring ({roi}) needs a unit: mm, px or fraction.")
        if region["kind"] == "node" and region["of"] == "tumour":
            lines.append(f"regions.rois.{roi}: a node is built from node or node_cortex; set of.")
        if region["kind"] == "tumour" and region["of"] != "tumour":
            lines.append(f"regions.rois.{roi}: a tumour is built from its own mask; use the kind node.")
        lesion = region["of"].split("_")[0]
        if lesion not in {image["lesion"] for image in extracted.values()}:
            lines.append(f"regions.rois.{roi}: no image has the lesion {lesion}; see images.*.lesion.")
        if re.fullmatch(r"h\d+|habitats?", roi):
            lines.append(f"regions.rois.{roi}: this name is kept for habitats.")
    rims = regions["skin_rim_mm"] > 0 or regions["chest_wall_mm"] > 0
    if rims and regions.get("unit") != "mm":
        lines.append("regions: skin_rim_mm and chest_wall_mm need the unit mm.")
    if "habitats" in regions:
        lines += _habitat_contradictions(regions["habitats"], images)
    return lines


def _habitat_contradictions(habitats: Settings, images: Settings) -> list[str]:
    lines = []
    needs = {
        "value": ("image",),
        "early_enhancement": ("pre", "early"),
        "late_enhancement": ("pre", "late"),
        "signal_enhancement_ratio": ("pre", "early", "late"),
        "wash_in": ("pre", "early"),
        "wash_out": ("early", "late"),
        "delayed_change": ("early", "late"),
    }
    if habitats["image"] not in images or "settings" not in images[habitats["image"]]:
        lines.append(f"regions.habitats.image: {habitats['image']!r} is not an image with settings.")
    for name, channel in habitats["channels"].items():
        given = {key for key in channel if key != "map"}
        wanted = set(needs[channel["map"]])
        if given != wanted:
            lines.append(
                f"regions.habitats.channels.{name}: {channel['map']} needs {', '.join(sorted(wanted))} "
                f"and nothing else; it has {', '.join(sorted(given)) or 'none'}."
            )
        for key in sorted(given):
            if channel[key] not in images:
                lines.append(
                    f"regions.habitats.channels.{name}.{key}: the image {channel[key]!r} is not known"
                    f"{_nearest(str(channel[key]), list(images))}."
                )
    if habitats["clusters"][0] > habitats["clusters"][1]:
        lines.append("regions.habitats.clusters: the first number must not be above the second.")
    return lines
