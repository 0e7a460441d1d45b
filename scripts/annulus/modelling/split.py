"""Which patients a study has, and the one split of them into cohorts."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from annulus.errors import StudyError

# Column of split.csv and of outcomes that names the patients (of a centre) who are held out together.
LEFT_OUT = "left_out_together"

# Patients of either outcome without whom nothing can be cross-validated.
LEAST_REST = 6

SPLIT_COLUMNS = ["patient_id", "cohort", LEFT_OUT]
FLOW_COLUMNS = ["step", "cohort", "n_in", "n_out", "reason"]


@dataclass(frozen=True)
class Flow:
    """The rows of a flow chart, in order."""

    rows: tuple[dict[str, object], ...] = ()

    def step(self, step: str, n_in: int, n_out: int, reason: str, cohort: str = "all") -> "Flow":
        """Return the flow with one more step."""
        row = {"step": step, "cohort": cohort, "n_in": n_in, "n_out": n_out, "reason": reason}
        return Flow((*self.rows, row))


def allocate(
    participants: pd.DataFrame,
    lost: pd.DataFrame | None,
    eligibility: Iterable[Mapping[str, Any]],
    plan: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    seed: int,
    usable: str = "images and masks usable",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every eligible patient with usable images (or given features) and a known outcome a cohort.

    Made before any feature is extracted, because habitats are fitted on training patients. ``lost`` is
    ``qc/lost.csv``, of a feature table ``features/failures.csv``, and None in a study of clinical variables
    alone; ``usable`` is what its step is called. Returns ``split/allocation.csv`` and the first rows of
    ``qc/flow.csv``.
    """
    people = participants.set_index("patient_id")
    people, flow = eligible(people, eligibility, Flow())
    kept = people
    if lost is not None:
        kept = people[~people.index.isin(lost["patient_id"])]
        flow = flow.step(usable, len(people), len(kept), _reasons(people, lost))
    outcomes = outcomes_of(kept, tasks)
    known = outcomes.notna().any(axis=1)
    flow = flow.step("outcome known", len(kept), int(known.sum()), "the outcome is missing")
    people, outcomes = kept[known], outcomes[known]
    balanced = plan.get("stratify", [next(iter(tasks))])
    cohort = split_patients(people, plan, strata_of(outcomes[balanced]), seed)
    placed = cohort.notna()
    flow = flow.step("in a cohort", len(people), int(placed.sum()), "in none of the split's cohorts")
    return _split_table(cohort[placed]), pd.DataFrame(flow.rows, columns=FLOW_COLUMNS)


def finish_split(
    allocation: pd.DataFrame,
    flow: pd.DataFrame,
    extracted: Iterable[str] | None,
    participants: pd.DataFrame,
    plan: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out the patients without features, and count each cohort.

    ``allocation`` and ``flow`` are what ``allocate`` returned, ``extracted`` the patients with features, None
    where none were extracted here.
    Returns ``split/split.csv`` and ``qc/flow.csv``. Raises StudyError when too few are left.
    """
    cohort = allocation.set_index("patient_id")["cohort"]
    kept, steps = cohort, Flow(tuple(flow.to_dict("records")))
    if extracted is not None:
        kept = cohort[cohort.index.isin(set(extracted))]
        steps = steps.step("features extracted", len(cohort), len(kept), "no feature could be extracted")
    people = participants.set_index("patient_id").loc[kept.index]
    outcomes = outcomes_of(people, tasks)
    for task, settings in tasks.items():
        refuse_small_classes(outcomes[[task]], kept, settings["outer_folds"])
    together = pd.Series("", index=kept.index)
    if plan["by"] == "leave_one_out":
        together = people[plan["column"]].map(_text)
        refuse_small_rest(outcomes, together)
    for name in plan["cohorts"]:
        part = outcomes[kept == name]
        if part.empty:
            raise StudyError(
                f"split.cohorts.{name}: none of its patients has features; see features/failures.csv."
            )
        events = "; ".join(
            f"{task}: {int(part[task].sum())} events of {int(part[task].notna().sum())}" for task in tasks
        )
        steps = steps.step("allocation", len(kept), len(part), events, name)
    split = _split_table(kept)
    split[LEFT_OUT] = split["patient_id"].map(together)
    return split, pd.DataFrame(steps.rows, columns=FLOW_COLUMNS)


def admit(
    participants: pd.DataFrame,
    lost: pd.DataFrame | None,
    extracted: Iterable[str] | None,
    eligibility: Iterable[Mapping[str, Any]],
    plan: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put every eligible patient whom models only score into a cohort, without a look at any outcome.

    ``lost`` is ``qc/lost.csv`` and ``extracted`` the patients with features; each is None where the study
    has no such thing; ``plan`` is the study's ``split``, by column or none. Returns ``split/split.csv`` and
    ``qc/flow.csv``. Raises StudyError when nobody is left.
    """
    people, flow = eligible(participants.set_index("patient_id"), eligibility, Flow())
    if lost is not None:
        kept = people[~people.index.isin(lost["patient_id"])]
        flow = flow.step("images and masks usable", len(people), len(kept), _reasons(people, lost))
        people = kept
    if extracted is not None:
        kept = people[people.index.isin(set(extracted))]
        flow = flow.step("features extracted", len(people), len(kept), "no feature could be extracted")
        people = kept
    if people.empty:
        last = flow.rows[-1] if flow.rows else {"step": "participants", "reason": "the table is empty"}
        raise StudyError(f"No patient is left after the step {last['step']!r} ({last['reason']}).")
    cohort = split_patients(people, plan, pd.Series("", index=people.index), seed=0)
    placed = cohort.dropna()
    flow = flow.step("in a cohort", len(people), len(placed), "in none of the split's cohorts")
    for name in plan["cohorts"]:
        flow = flow.step("allocation", len(placed), int((placed == name).sum()), "only scored", name)
    split = _split_table(placed)
    return split.assign(**{LEFT_OUT: ""}), pd.DataFrame(flow.rows, columns=FLOW_COLUMNS)


def _split_table(cohort: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"patient_id": cohort.index, "cohort": cohort.to_numpy()})
    return table.sort_values("patient_id")


def of_cohort(participants: pd.DataFrame, split: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Return the participants of one cohort, in order of their id."""
    members = split.loc[split["cohort"] == cohort, "patient_id"]
    return participants[participants["patient_id"].isin(members)].sort_values("patient_id")


def predictors_of(
    participants: pd.DataFrame,
    clinical: Sequence[str],
    size: pd.Series | None = None,
    features: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put clinical variables, the lesion's size and features together, one row per participant.

    ``size`` is by patient and ``features`` has a row per patient; only a study with images has a size.
    """
    table = participants[["patient_id", *clinical]]
    if size is not None:
        table = table.merge(size, left_on="patient_id", right_index=True, how="left")
    return table if features is None else table.merge(features, on="patient_id")


def _reasons(people: pd.DataFrame, lost: pd.DataFrame) -> str:
    counts = lost.loc[lost["patient_id"].isin(people.index), "reason"].value_counts()
    return "; ".join(f"{reason} ({count})" for reason, count in counts.items()) or "none lost"


def outcomes_of(participants: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return 1, 0 or missing per patient (index) and task."""
    return pd.DataFrame(
        {
            task: _outcome(participants[plan["outcome"]], plan["positive"], plan["negative"])
            for task, plan in tasks.items()
        },
        index=participants.index,
    )


def cohort_outcomes(
    participants: pd.DataFrame, split: pd.DataFrame, cohort: str, tasks: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return ``split/<cohort>/outcomes.csv``: every task's outcome of one cohort's participants.

    With who of them are held out together (:data:`LEFT_OUT`).
    """
    people = of_cohort(participants, split, cohort).set_index("patient_id")
    outcomes = outcomes_of(people, tasks)
    return outcomes.join(split.set_index("patient_id")[LEFT_OUT]).reset_index()


def eligible(
    participants: pd.DataFrame, conditions: Iterable[Mapping[str, Any]], flow: Flow
) -> tuple[pd.DataFrame, Flow]:
    """Keep the patients who meet every condition, counting each step; a missing value meets none.

    Raises StudyError where a column that is held against a number is not of numbers.
    """
    for condition in conditions:
        met = _meets(participants[condition["column"]], condition)
        flow = flow.step("eligibility", len(participants), int(met.sum()), condition["reason"])
        participants = participants[met]
    return participants, flow


def _meets(column: pd.Series, condition: Mapping[str, Any]) -> pd.Series:
    met = column.notna()
    if "values" in condition:
        met &= column.map(_text).isin({_text(value) for value in condition["values"]})
    if "minimum" in condition:
        met &= _numbers(column) >= condition["minimum"]
    if "below" in condition:
        met &= _numbers(column) < condition["below"]
    return met


def _numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    odd = column[column.notna() & numbers.isna()]
    if len(odd):
        raise StudyError(
            f"eligibility: {column.name} is not a number ({odd.iloc[0]!r}), so it has no minimum and nothing "
            "is below it. Name values instead."
        )
    return numbers


def split_patients(
    participants: pd.DataFrame, plan: Mapping[str, Any], strata: pd.Series, seed: int
) -> pd.Series:
    """Give every patient (index) a cohort; a patient whom no cohort takes has none.

    A random split is balanced over ``strata``. Raises StudyError when the plan does not fit the table.
    """
    by = {
        "column": _by_column,
        "date": _by_date,
        "random": _by_random,
        "leave_one_out": _leave_one_out,
        "none": _everybody,
    }[plan["by"]]
    cohort = by(participants, plan, strata, seed)
    empty = [name for name in plan["cohorts"] if not (cohort == name).any()]
    if empty:
        raise StudyError(
            f"split.cohorts: no patient falls into {', '.join(empty)}. Compare its values with the "
            "participants table."
        )
    return cohort


def strata_of(outcomes: pd.DataFrame) -> pd.Series:
    """Join the outcomes of several tasks into one stratum per patient; an unknown outcome counts as one."""
    text = outcomes.fillna(-1.0).astype(int).astype(str)
    return text.agg("/".join, axis="columns")


def refuse_small_classes(outcomes: pd.DataFrame, cohort: pd.Series, folds: int) -> None:
    """Raise StudyError when the training cohort has too few patients of a class to cross-validate."""
    for task in outcomes:
        counts = outcomes.loc[cohort[cohort == "train"].index, task].value_counts()
        fewest = min(int(counts.get(0, 0)), int(counts.get(1, 0)))
        if fewest < 2 * folds:
            raise StudyError(
                f"tasks.{task}: the training cohort has {int(counts.get(1, 0))} patients with and "
                f"{int(counts.get(0, 0))} without the event; {2 * folds} of each are needed for "
                f"{folds} outer folds."
            )


def refuse_small_rest(outcomes: pd.DataFrame, together: pd.Series) -> None:
    """Raise StudyError when patients held out together leave too few others, or there is nobody else."""
    if together.nunique() < 2:
        raise StudyError(
            f"split.column: all patients have the value {together.iloc[0]}; leaving one out needs two values."
        )
    for task in outcomes:
        for name in sorted(set(together)):
            rest = outcomes.loc[together != name, task]
            fewest = int(min((rest == 1).sum(), (rest == 0).sum()))
            if fewest < LEAST_REST:
                raise StudyError(
                    f"split.column: without {name} task {task} has {int((rest == 1).sum())} patients with "
                    f"and {int((rest == 0).sum())} without the event; {LEAST_REST} of each are needed."
                )


def _outcome(values: pd.Series, positive: Sequence[object], negative: Sequence[object]) -> pd.Series:
    both = {_text(v) for v in positive} & {_text(v) for v in negative}
    if both:
        raise StudyError(f"tasks: {', '.join(sorted(both))} is both positive and negative.")
    mapping = {_text(v): 0.0 for v in negative} | {_text(v): 1.0 for v in positive}
    return values.map(_text).map(mapping)


def _text(value: object) -> str:
    """Write 1, 1.0, True and '1' alike, so that config and table values compare."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _by_column(
    participants: pd.DataFrame, plan: Mapping[str, Any], strata: pd.Series, seed: int
) -> pd.Series:
    if plan["column"] not in participants:
        raise StudyError(f"split.column: the participants table has no column {plan['column']!r}.")
    listed = [_text(v) for values in plan["cohorts"].values() for v in values]
    doubled = sorted({v for v in listed if listed.count(v) > 1})
    if doubled:
        raise StudyError(f"split.cohorts: {', '.join(doubled)} stands in more than one cohort.")
    cohort_of = {_text(v): name for name, values in plan["cohorts"].items() for v in values}
    return participants[plan["column"]].map(_text).map(cohort_of)


def _leave_one_out(
    participants: pd.DataFrame, plan: Mapping[str, Any], strata: pd.Series, seed: int
) -> pd.Series:
    """Everybody whose centre is known trains; the folds are the centres."""
    if plan["column"] not in participants:
        raise StudyError(f"split.column: the participants table has no column {plan['column']!r}.")
    known = participants[plan["column"]].notna() & (participants[plan["column"]].map(_text) != "")
    return pd.Series("train", index=participants.index).where(known)


def _everybody(
    participants: pd.DataFrame, plan: Mapping[str, Any], strata: pd.Series, seed: int
) -> pd.Series:
    (only,) = plan["cohorts"]
    return pd.Series(only, index=participants.index)


def _by_date(participants: pd.DataFrame, plan: Mapping[str, Any], outcome: pd.Series, seed: int) -> pd.Series:
    first_days = sorted((str(day), name) for name, day in plan["cohorts"].items())
    if first_days[0][1] != "train":
        raise StudyError("split.cohorts: train must begin first when the split is by date.")
    date = participants["exam_date"].astype("string")
    cohort = pd.Series(pd.NA, index=participants.index, dtype="string")
    for day, name in first_days:
        cohort[(date >= day).fillna(False)] = name
    return cohort


def _by_random(
    participants: pd.DataFrame, plan: Mapping[str, Any], strata: pd.Series, seed: int
) -> pd.Series:
    """Within each stratum, patients in the order of a seeded hash of their id are dealt by share."""
    shares = {name: float(share) for name, share in plan["cohorts"].items()}
    if abs(sum(shares.values()) - 1.0) > 1e-9:
        raise StudyError(f"split.cohorts: the shares add up to {sum(shares.values()):g}, not 1.")
    cohort = pd.Series(pd.NA, index=participants.index, dtype="string")
    for _, group in strata.groupby(strata):
        order = sorted(group.index, key=lambda p: hashlib.sha256(f"{seed}:{p}".encode()).digest())
        start, reached = 0, 0.0
        for name, share in shares.items():
            reached += share
            end = round(reached * len(order))
            cohort[order[start:end]] = name
            start = end
    return cohort
