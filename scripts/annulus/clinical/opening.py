"""Participants of an external cohort with their outcomes, read once models are frozen."""

from collections.abc import Iterable, Mapping
from typing import Any

from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables, take_in
from annulus.cohort.checks import Problem
from annulus.cohort.dictionary import Value, columns_of
from annulus.cohort.plausibility import endpoint_problems


def open_participants(
    tables: CohortTables,
    needed: Iterable[str],
    instruments: Instruments,
    tasks: Mapping[str, Mapping[str, Any]],
    shares: Mapping[str, float],
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Return participants with outcomes, and what is wrong with how these are coded.

    ``tasks`` have the outcome of each and its positive and negative values; ``shares`` are the training
    shares of events by task. Other levels of an outcome that the data dictionary knows leave a patient out.
    """
    patients, problems = take_in(tables, False, needed, instruments)
    rows = [{"_row": "", **patient} for patient in patients]
    for name, task in tasks.items():
        others = columns_of("participants")[task["outcome"]].levels
        problems += endpoint_problems(
            tables.participants_file,
            rows,
            task["outcome"],
            task["positive"],
            task["negative"],
            shares.get(name),
            others,
        )
    return patients, problems
