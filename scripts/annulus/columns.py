"""Which columns of the participants table a study's design uses, and for what.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

from collections.abc import Mapping
from typing import Any

from annulus.cohort.dictionary import columns_of
from annulus.contradictions import tells_any
from annulus.modelling.plan import carried_columns

Design = Mapping[str, Any]


def needed_columns(design: Design) -> list[str]:
    """Return every column that a study needs of the patients it is developed on."""
    by_column = {"column": ["column"], "leave_one_out": ["column"]}.get(design["split"]["by"], [])
    needed = [*admitting_columns(design), *outcome_columns(design), *predictor_columns(design)]
    needed += [subgroup["column"] for task in design["tasks"].values() for subgroup in task["subgroups"]]
    needed += pathway_columns(design)
    needed += [
        column for task in design["tasks"].values() for column in design["table_one"] + task["table_one"]
    ]
    needed += [design["split"][key] for key in by_column]
    needed += ["exam_date"] if design["split"]["by"] == "date" else []
    return sorted(set(needed))


def needed_elsewhere(design: Design) -> list[str]:
    """Return every column that a study needs of patients whom its frozen models only score.

    Predictors are not among them: a model that needs one that is not there is absent, and the tables say so.
    """
    return sorted({*admitting_columns(design), *outcome_columns(design), *pathway_columns(design)})


def admitting_columns(design: Design) -> list[str]:
    """Return the columns that say who is eligible."""
    return sorted({condition["column"] for condition in design["eligibility"]})


def outcome_columns(design: Design) -> list[str]:
    """Return the outcomes of a study's tasks and pathways."""
    plans = [*design["tasks"].values(), *design["pathways"].values()]
    return sorted({plan["outcome"] for plan in plans})


def hidden_columns(design: Design) -> list[str]:
    """Return the columns that stay closed until models are frozen: outcomes and what tells them.

    What says who is eligible is open, since patients are admitted before.
    """
    outcomes, open_ones = outcome_columns(design), {*admitting_columns(design), *predictor_columns(design)}
    columns = columns_of("participants")
    return sorted(name for name in columns if name not in open_ones and tells_any(name, outcomes))


def pathway_columns(design: Design) -> list[str]:
    """Return the columns that a study's pathways and their evaluation use."""
    derived = columns_of("participants")["axilla_us_class"].derived
    inputs = derived.needed if design["pathways"] and derived else ()
    return [*inputs, *(pathway["outcome"] for pathway in design["pathways"].values())]


def clinical_variables(design: Design) -> list[str]:
    """Return every clinical variable that some model may use."""
    return sorted({variable for plan in design["tasks"].values() for variable in task_variables(plan)})


def predictor_columns(design: Design) -> list[str]:
    """Return the columns of participants that stand beside the features.

    They are clinical variables, covariates, the centre, and predictions that somebody else made.
    """
    carried = {name for task in design["tasks"].values() for name in carried_columns(task["signature"])}
    given = {column for task in design["tasks"].values() for column in task["predictions"].values()}
    centre = [design["centre"]] if "centre" in design else []
    return sorted(carried.union(clinical_variables(design), given, centre))


def task_variables(plan: Mapping[str, Any]) -> list[str]:
    """Return the clinical variables of a task's models."""
    used = [variable for parts in plan["combined"].values() for variable in parts["clinical"]]
    return sorted({*plan["clinical"]["candidates"], *used})


def described_variables(design: Design, task: str) -> list[str]:
    """Return the variables of a task's Table 1, among which outcomes have no place."""
    plan = design["tasks"][task]
    subgroups = [subgroup["column"] for subgroup in plan["subgroups"]]
    named = [*plan["clinical"]["candidates"], *subgroups, *design["table_one"], *plan["table_one"]]
    outcomes = {other["outcome"] for other in design["tasks"].values()}
    return [column for column in dict.fromkeys(named) if not tells_any(column, outcomes)]
