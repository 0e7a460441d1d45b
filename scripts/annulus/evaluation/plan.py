"""What an evaluation's numbers are called, and which of them a published number can be held against.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annulus.cohort.dictionary import columns_of, terms_of
from annulus.errors import nearest
from annulus.modelling.plan import LESION_SIZE, rad_score

AT_CUT_OFF = ("sensitivity", "specificity", "accuracy", "ppv", "npv")
AT_RISK = ("sensitivity", "specificity", "ppv", "npv")
OF_CALIBRATION = (
    "brier", "scaled_brier", "observed_expected", "calibration_in_the_large", "calibration_slope",
    "spiegelhalter_z", "spiegelhalter_p", "ici", "e50", "e90", "emax",
)  # fmt: skip
CORRECTED = ("auc", "brier", "calibration_slope")
APPARENT_AUC = "auc_apparent"
THRESHOLD = "threshold"

# The cohort of a pathway's performance, and the class of a cascade's, that is everybody.
EVERYBODY = "all"

# Classes that a reading of a pathway calls positive, by what it adds to the pathway's name.
READINGS: Mapping[str, tuple[str, ...]] = {
    "": ("suspicious",),
    "_not_normal": ("suspicious", "indeterminate", "limited_or_discordant"),
}
ODDS_RATIO = "odds_ratio"

# A cascade has one model: all of its levels. Its classes are named where subgroups of patients are.
CASCADE = "cascade"
CLASS = "class"
OF_EVERYBODY = ("accuracy", "weighted_kappa")
OF_CLASS = ("sensitivity", "ppv", "auc")


def at_risk(metric: str, risk: float) -> str:
    """Name a metric of calling positive whoever has at least this predicted risk."""
    text = f"{risk:.2f}"
    return f"{metric}_at_{text if float(text) == risk else f'{risk:g}'}"


def corrected(measure: str) -> str:
    """Name a measure of training patients less the optimism of having been fitted on them."""
    return f"{measure}_optimism_corrected"


def metrics_of(risks: Sequence[float], cohort: str) -> list[str]:
    """Name the metrics that ``performance.csv`` has of a cohort."""
    everywhere = ["auc", *AT_CUT_OFF, *OF_CALIBRATION, THRESHOLD]
    everywhere += [at_risk(metric, risk) for risk in risks for metric in AT_RISK]
    return everywhere + ([APPARENT_AUC, *map(corrected, CORRECTED)] if cohort == "train" else [])


def shown_models(models: Sequence[str]) -> list[str]:
    """Return the models that curves and subgroups compare: the combined ones, the clinical one, baselines."""
    return [model for model in models if not model.startswith("signature_") and model != "clinical_full"]


def terms_of_model(plan: Mapping[str, Any], model: str) -> list[str]:
    """Name the terms that a task's model can have, whatever is selected; none for a signature."""
    candidates = plan["clinical"]["candidates"]
    sized = [LESION_SIZE] if model in ("volume", "size_clinical") else []
    if model in plan["combined"]:
        parts = plan["combined"][model]
        return [*map(rad_score, parts["signatures"]), *_terms(parts["clinical"])]
    return [*sized, *_terms(candidates if model in ("clinical", "clinical_full", "size_clinical") else [])]


def published_contradictions(design: Mapping[str, Any], models: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with published numbers: names of what a study cannot have, with the nearest name.

    ``models`` are the models of every task.
    """
    # Everybody trains where centres are left out one at a time.
    cohorts = list(design["split"].get("cohorts", ["train"]))
    for place, number in enumerate(design["published"]):
        key = f"published.{place}"
        places = [*design["tasks"], *design["cascades"], *design["pathways"]]
        yield from _unknown(f"{key}.task", "task, cascade or pathway", number["task"], places)
        everybody = [EVERYBODY] if number["task"] in design["pathways"] else []
        yield from _unknown(f"{key}.cohort", "cohort", number["cohort"], [*everybody, *cohorts])
        if number["task"] in design["tasks"]:
            plan = design["tasks"][number["task"]]
            yield from _of_task(key, number, plan, list(models[number["task"]]))
        elif number["task"] in design["pathways"]:
            yield from _of_pathway(key, number)
        elif number["task"] in design["cascades"]:
            yield from _of_cascade(key, number, design["cascades"][number["task"]]["classes"])


def _of_task(
    key: str, number: Mapping[str, Any], plan: Mapping[str, Any], models: list[str]
) -> Iterator[str]:
    yield from _unknown(f"{key}.model", "model", number["model"], models)
    if number["model"] not in models:
        return
    if "term" in number and number["metric"] != ODDS_RATIO:
        yield f"{key}.term: only the metric {ODDS_RATIO} has a term."
    if "subgroup" in number:
        yield from _of_subgroup(key, number, plan["subgroups"], shown_models(models))
    elif number["metric"] == ODDS_RATIO:
        yield from _of_odds_ratio(key, number, terms_of_model(plan, number["model"]))
    else:
        known = metrics_of(plan["decision"]["at"], number["cohort"])
        yield from _unknown(
            f"{key}.metric", f"metric of {number['cohort']}", number["metric"], [*known, ODDS_RATIO]
        )


def _of_odds_ratio(key: str, number: Mapping[str, Any], terms: list[str]) -> Iterator[str]:
    if number["cohort"] != "train":
        yield f"{key}.cohort: odds ratios are of training patients; {number['cohort']} has none. Put train."
    if not terms:
        yield f"{key}.model: {number['model']} is made of features and has no odds ratios."
    elif "term" not in number:
        yield f"{key}.term: the metric {ODDS_RATIO} needs one of: {', '.join(terms)}."
    else:
        yield from _unknown(f"{key}.term", f"term of {number['model']}", number["term"], terms)


def _of_subgroup(
    key: str, number: Mapping[str, Any], subgroups: Sequence[Mapping[str, Any]], shown: list[str]
) -> Iterator[str]:
    column, level = number["subgroup"]["column"], str(number["subgroup"]["level"])
    by_column = {plan["column"]: plan for plan in subgroups}
    if number["metric"] != "auc":
        yield f"{key}.metric: in subgroups there is the auc alone, not {number['metric']}."
    yield from _unknown(f"{key}.model", "model shown in subgroups", number["model"], shown)
    yield from _unknown(f"{key}.subgroup.column", "subgroup of the task", column, list(by_column))
    if column in by_column:
        levels = _levels(by_column[column])
        yield from _unknown(f"{key}.subgroup.level", f"level of {column}", level, levels or [level])


def _of_pathway(key: str, number: Mapping[str, Any]) -> Iterator[str]:
    readings = [f"{number['task']}{suffix}" for suffix in READINGS]
    yield from _unknown(f"{key}.model", "reading of the pathway", number["model"], readings)
    yield from _unknown(f"{key}.metric", "metric of a pathway", number["metric"], list(AT_CUT_OFF))
    for extra in ("term", "subgroup"):
        if extra in number:
            yield f"{key}.{extra}: a pathway has no {extra}s."


def _of_cascade(key: str, number: Mapping[str, Any], classes: list[str]) -> Iterator[str]:
    yield from _unknown(f"{key}.model", "model of a cascade", number["model"], [CASCADE])
    if "term" in number:
        yield f"{key}.term: a cascade has no terms."
    if "subgroup" not in number:
        yield from _unknown(
            f"{key}.metric", "metric of a whole cascade", number["metric"], list(OF_EVERYBODY)
        )
        return
    yield from _unknown(f"{key}.metric", "metric of a class", number["metric"], list(OF_CLASS))
    yield from _unknown(
        f"{key}.subgroup.column", "division of a cascade", number["subgroup"]["column"], [CLASS]
    )
    yield from _unknown(f"{key}.subgroup.level", "class", str(number["subgroup"]["level"]), classes)


def _unknown(key: str, kind: str, name: str, known: list[str]) -> Iterator[str]:
    if name not in known:
        listed = f" Known: {', '.join(known)}." if known else " There is none."
        yield f"{key}: the {kind} {name!r} is not known{nearest(name, known)}.{listed}"


def _terms(variables: Sequence[str]) -> list[str]:
    columns = columns_of("participants")
    return [term for name in variables if name in columns for term in terms_of(columns[name])]


def _levels(subgroup: Mapping[str, Any]) -> list[str]:
    """Return the levels of a subgroup's variable; none where only the patients can tell."""
    if "cut" in subgroup:
        return [f"below {subgroup['cut']:g}", f"{subgroup['cut']:g} or above"]
    column = columns_of("participants").get(subgroup["column"])
    return list(column.levels) if column else []
