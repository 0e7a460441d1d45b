"""What a schema cannot refuse: keys of a study's design that contradict each other or name what is not there.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

import re
from collections.abc import Iterable
from typing import Any

from annulus.cohort.dictionary import Column, columns_of, origins
from annulus.cohort.feature_table import IMAGE
from annulus.errors import nearest as _nearest
from annulus.evaluation.plan import published_contradictions
from annulus.modelling.plan import (
    KEPT_NAMES,
    LESION_SIZE,
    carried_columns,
    models_of,
    rad_score,
    step_names,
    step_settings,
)

Settings = dict[str, Any]

# Columns that stand beside those of the participants table.
OUR_COLUMNS = ("cohort_source", "synthetic", LESION_SIZE)


def contradictions(design: Settings) -> list[str]:
    """List in words what contradicts itself in a study's design, whose keys a schema has checked."""
    tasks, imaged = design["tasks"], bool(design["images"])
    lines = _region_contradictions(design) + _image_contradictions(design) + _timepoint_contradictions(design)
    lines += _without_images(design) + _group_contradictions(design) + _named_like_ours(design)
    lines += _column_contradictions(design) + _prediction_contradictions(design)
    for task in tasks:
        lines += _task_contradictions(task, design)
    lines += _table_one_contradictions("table_one", design["table_one"], tasks)
    lines += _split_contradictions(design["split"], list(tasks))
    lines += _cascade_contradictions(design["cascades"], tasks, imaged)
    lines += _pathway_contradictions(design)
    lines += _eligibility_contradictions(design["eligibility"])
    lines += published_contradictions(design, {task: models_of(plan, imaged) for task, plan in tasks.items()})
    return lines


def signed_regions(design: Settings) -> list[str]:
    """Name all that may have a signature: groups; regions, habitats and controls at every time and change."""
    regions = [
        *design["regions"]["rois"],
        *design["feature_groups"],
        *(["habitats"] if "habitats" in design["regions"] else []),
        *(f"{roi}{control}" for control, named in design["extraction"]["controls"].items() for roi in named),
    ]
    times = [*design["timepoints"], *design["changes"]]
    return [f"{region}{time}" for region in regions for time in times] if times else regions


def _without_images(design: Settings) -> list[str]:
    """Refuse keys that need images in a study that has none."""
    if design["images"]:
        return []
    given = [key for key in ("stability", "timepoints", "changes") if design.get(key)]
    given += ["regions.habitats"] if "habitats" in design["regions"] else []
    return [f"{key}: the study has no images; leave it out." for key in given]


def _group_contradictions(design: Settings) -> list[str]:
    groups = design["feature_groups"]
    lines = [
        f"feature_groups.{group}: this name is kept for habitats."
        for group in groups
        if re.fullmatch(r"h\d+|habitats?", group)
    ]
    if groups and design["images"]:
        lines.append("feature_groups and images contradict each other: give the one that features come from.")
    return lines


def _named_like_ours(design: Settings) -> list[str]:
    """Refuse variables of the study's own with the names of columns that are made here."""
    images = [*design["images"], *([IMAGE] if design["feature_groups"] else [])]
    starts = [f"{image}_{region}_" for image in images for region in signed_regions(design)]
    return [
        f"variables.{name}: a column that is made here has such a name; choose another."
        for name in design["variables"]
        if name in OUR_COLUMNS or name.startswith((rad_score(""), *starts))
    ]


def _prediction_contradictions(design: Settings) -> list[str]:
    """Refuse to fit and to judge somebody else's predictions in one study."""
    given = [task for task, plan in design["tasks"].items() if plan["predictions"]]
    if not given:
        return []
    lines = [
        f"tasks.{task}.predictions: the task has none, but {given[0]} has; in a study of given predictions "
        "every task has them."
        for task, plan in design["tasks"].items()
        if not plan["predictions"]
    ]
    if design["images"]:
        lines.append(f"images: {given[0]} has given predictions, which need no images; leave them out.")
    if design["feature_groups"]:
        lines.append(
            f"feature_groups: {given[0]} has given predictions, which need no features; leave it out."
        )
    if design["pathways"]:
        lines.append(f"pathways: {given[0]} has given predictions; make the pathway a study of its own.")
    if design["split"]["by"] not in ("none", "column"):
        lines.append("split.by: nothing is trained on given predictions; choose none, or column.")
    if "train" in design["split"].get("cohorts", {}):
        lines.append("split.cohorts.train: nothing is trained on given predictions; give it another name.")
    for task in given:
        plan = design["tasks"][task]
        fitted = [key for key in ("signatures", "combined") if plan[key]]
        fitted += ["clinical.candidates"] if plan["clinical"]["candidates"] else []
        lines += [f"tasks.{task}.{key}: given predictions are not fitted; leave it out." for key in fitted]
        if plan["cut_off"]["rule"] != "fixed":
            lines.append(
                f"tasks.{task}.cut_off: no training patients choose it; give rule: fixed and at: the "
                "probability from which on patients are positive."
            )
    return lines


def _column_contradictions(design: Settings) -> list[str]:
    """Refuse columns that the data dictionary does not have, and predictors that are no numbers or levels."""
    columns, lines = columns_of("participants"), list[str]()
    named = [(f"eligibility.{i}.column", rule["column"]) for i, rule in enumerate(design["eligibility"])]
    named += [("centre", design["centre"])] if "centre" in design else []
    if design["split"]["by"] in ("column", "leave_one_out"):
        named.append(("split.column", design["split"]["column"]))
    predictors = list[tuple[str, str]]()
    for task, plan in design["tasks"].items():
        named.append((f"tasks.{task}.outcome", plan["outcome"]))
        named += [(f"tasks.{task}.signature.steps", name) for name in carried_columns(plan["signature"])]
        predictors += [(f"tasks.{task}.clinical.candidates", name) for name in plan["clinical"]["candidates"]]
        for model, parts in plan["combined"].items():
            predictors += [(f"tasks.{task}.combined.{model}.clinical", name) for name in parts["clinical"]]
        predictors += [(f"tasks.{task}.predictions.{m}", name) for m, name in plan["predictions"].items()]
    for key, name in [*named, *predictors]:
        if name not in columns:
            lines.append(f"{key}: the column {name!r} is not known{_nearest(name, list(columns))}.")
    for key, name in predictors:
        if name in columns and columns[name].type in ("date", "text"):
            lines.append(
                f"{key}: {name} is a {columns[name].type} and cannot be a term of a model. Use a number, a "
                "boolean, an ordinal or a category of the data dictionary."
            )
    return lines


def _image_contradictions(design: Settings) -> list[str]:
    rois, images = design["regions"]["rois"], design["images"]
    lines = [
        f"extraction.controls.{control}: the region {roi!r} is not known{_nearest(roi, list(rois))}. "
        f"Known: {', '.join(rois)}."
        for control, named in design["extraction"]["controls"].items()
        for roi in named
        if roi not in rois
    ]
    lines += [
        f"images.{name}.scale_with: the image {other!r} is not known{_nearest(other, list(images))}."
        for name, image in images.items()
        for other in image["scale_with"]
        if other not in images
    ]
    if design["extraction"]["mode"] == "compatible" and any(i["scale_with"] for i in images.values()):
        lines.append("images: scale_with is not pyradiomics' own; the mode compatible cannot have it.")
    return lines


def _task_contradictions(task: str, design: Settings) -> list[str]:
    plan, lines = design["tasks"][task], list[str]()
    both = set(map(str, plan["positive"])) & set(map(str, plan["negative"]))
    if both:
        lines.append(f"tasks.{task}: {', '.join(sorted(both))} is both positive and negative.")
    signed = signed_regions(design)
    kind = "feature group" if design["feature_groups"] else "region"
    lines += [
        f"tasks.{task}.signatures: the {kind} {roi!r} is not known{_nearest(roi, signed)}. "
        f"Known: {', '.join(signed)}."
        for roi in plan["signatures"]
        if roi not in signed
    ]
    lines += _signature_contradictions(task, plan["signature"], "stability" in design)
    lines += [f"tasks.{task}.{line}" for line in _combined_contradictions(plan)]
    if not models_of(plan, bool(design["images"])):
        lines.append(f"tasks.{task}: it has no model; give it signatures, candidates or a combined model.")
    lines += [f"tasks.{task}.{line}" for line in _evaluation_contradictions(plan, bool(design["images"]))]
    lines += _cut_off_contradictions(task, plan["cut_off"])
    lines += _outcomes_among_predictors(task, design["tasks"], design.get("centre"))
    lines += _harmonised_out(task, plan["signature"], design["split"])
    return lines + _table_one_contradictions(f"tasks.{task}.table_one", plan["table_one"], design["tasks"])


def _combined_contradictions(plan: Settings) -> list[str]:
    lines, combined = [], plan["combined"]
    for model, parts in combined.items():
        lines += [
            f"combined.{model}.signatures: {roi!r} is not among the task's signatures "
            f"({', '.join(plan['signatures'])})."
            for roi in parts["signatures"]
            if roi not in plan["signatures"]
        ]
        if not parts["signatures"] and not parts["clinical"]:
            lines.append(f"combined.{model}: it has no terms.")
        if model in KEPT_NAMES or model.startswith("signature_"):
            lines.append(f"combined: the name {model!r} is taken; choose another.")
    lines += [
        f"predictions: the name {model!r} is taken; choose another."
        for model in plan["predictions"]
        if model in KEPT_NAMES or model.startswith("signature_")
    ]
    nomogram = plan.get("nomogram")
    if nomogram is not None and nomogram not in combined:
        lines.append(
            f"nomogram: {nomogram!r} is not a combined model{_nearest(nomogram, list(combined))}. "
            f"Known: {', '.join(combined)}."
        )
    return lines


def _outcomes_among_predictors(task: str, tasks: Settings, centre: str | None) -> list[str]:
    """Refuse every task's outcome as a predictor, covariate or centre: none may be in a predictors table."""
    plan = tasks[task]
    outcomes = {other["outcome"] for other in tasks.values()}
    used = {
        "clinical.candidates": plan["clinical"]["candidates"],
        "signature.steps": list(carried_columns(plan["signature"])),
        "signatures (centre)": [centre] if centre is not None else [],
        **{f"combined.{name}.clinical": parts["clinical"] for name, parts in plan["combined"].items()},
    }
    lines = []
    for key, names in used.items():
        for name in names:
            shared = _shared_knowledge(name, plan["outcome"])
            if name in outcomes:
                lines.append(
                    f"tasks.{task}.{key}: {name} is the outcome of a task and cannot be a predictor."
                )
            elif shared:
                lines.append(
                    f"tasks.{task}.{key}: {name} and the outcome {plan['outcome']} both rest on "
                    f"{shared}, so it cannot be a predictor."
                )
    return lines


def tells_any(name: str, outcomes: Iterable[str]) -> bool:
    """Say whether a column is one of the outcomes, or rests on what one of them rests on."""
    return any(_shared_knowledge(name, outcome) for outcome in outcomes)


def _shared_knowledge(name: str, outcome: str) -> str:
    """Say what a column and an outcome both rest on: columns they are derived from, or the same operation."""
    columns = columns_of("participants")
    ours, theirs = origins(name, columns), origins(outcome, columns)
    if ours & theirs:
        return ", ".join(sorted(ours & theirs))
    after = [any(columns[part].known for part in parts if part in columns) for parts in (ours, theirs)]
    return "what only surgery tells" if all(after) else ""


def _timepoint_contradictions(design: Settings) -> list[str]:
    times, lines = design["timepoints"], list[str]()
    if times and "stability" in design:
        lines.append(
            "stability: it is judged of regions, and signatures are of regions at a time; leave one of "
            "stability and timepoints out."
        )
    if design["changes"] and not times:
        lines.append("changes: they are between timepoints; name those.")
    regions = list(design["regions"]["rois"])
    lines += [
        f"regions.rois.{roi}: with the time {time} the region {other} has this name too; choose another."
        for roi in regions
        for other in regions
        for time in (*times, *design["changes"])
        if roi == f"{other}{time}"
    ]
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
        if origins(outcome, columns) & origins("axilla_us_class", columns):
            lines.append(f"{key}.outcome: the pathway itself reads {outcome}, so it cannot judge it.")
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
        elif tells_any(name, outcomes):
            lines.append(f"{key}: {name} tells the outcome of a task; leave it out of Table 1.")
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
