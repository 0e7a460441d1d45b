"""Every guard of ``annulus.evaluation.warnings`` that applies to a task, as one table."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from annulus.evaluation import warnings as guards
from annulus.evaluation.comparing import LIKELIHOOD_RATIO, PAIRED
from annulus.evaluation.discrimination import Interval
from annulus.evaluation.predictions import by_cohort_and_model, known
from annulus.evaluation.sample_size import SIZE_COLUMNS, DevelopmentSize, ExpectedWidths
from annulus.evaluation.subgroups import SUBGROUP_COLUMNS
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS
from annulus.modelling.plan import rad_score
from annulus.modelling.volume import VOLUME_COLUMNS

# The tables that guards look at: those of every evaluation, and those that some lack, with their columns.
TABLES = ("predictions", "performance", "comparisons", "supplement")
OPTIONAL: Mapping[str, Sequence[str]] = {
    "subgroups": SUBGROUP_COLUMNS,
    "sample_size": SIZE_COLUMNS,
    "odds_ratios": ODDS_RATIO_COLUMNS,
    "volume": VOLUME_COLUMNS,
}

WARNING_COLUMNS = ["guard", "model", "cohort", "message", "synthetic"]

TRAINING = guards.TRAINING


@dataclass(frozen=True)
class Evaluated:
    """A task's tables, by their name in the results contract, and what was declared before them.

    ``shown`` are the models that curves compare; the task is about the first of ``order`` that there is.
    ``terms`` are each fitted model's. ``splits`` is how many random splits of the patients were repeated,
    ``cut_off_chosen`` whether training predictions chose the cut-offs, ``transductive`` whether harmonisation
    estimates unseen centres from their own patients.
    """

    predictions: pd.DataFrame
    performance: pd.DataFrame
    comparisons: pd.DataFrame
    supplement: pd.DataFrame
    subgroups: pd.DataFrame
    sample_size: pd.DataFrame
    odds_ratios: pd.DataFrame
    volume: pd.DataFrame
    shown: Sequence[str]
    order: Sequence[str]
    terms: Mapping[str, Collection[str]]
    decision: str
    thresholds: np.ndarray
    at: Sequence[float]
    splits: int
    cut_off_chosen: bool
    transductive: bool

    @property
    def main(self) -> str:
        """The model that the task is about; empty where none was fitted."""
        return next((model for model in self.order if model in self.terms), "")


@dataclass(frozen=True)
class Warned:
    """One guard's sentence, if it applies, and what it is about."""

    guard: str
    message: str | None
    model: str = ""
    cohort: str = ""


def warnings_table(evaluated: Evaluated, synthetic: bool) -> pd.DataFrame:
    """One row per guard that applies: those of cohorts first, then of models, comparisons and the rest."""
    found = [
        *_of_cohorts(evaluated),
        *_of_models(evaluated),
        *_of_decisions(evaluated),
        *_of_comparisons(evaluated),
        *_of_sizes(evaluated),
        *_of_supplement(evaluated),
        *_of_subgroups(evaluated),
    ]
    rows = [
        {"guard": w.guard, "model": w.model, "cohort": w.cohort, "message": w.message}
        for w in found
        if w.message
    ]
    return pd.DataFrame(rows).reindex(columns=WARNING_COLUMNS).assign(synthetic=int(synthetic))


def _of_cohorts(of: Evaluated) -> Iterator[Warned]:
    table = known(of.predictions)
    cohorts = list(table["cohort"].drop_duplicates())
    yield Warned("no_held_out_cohort", guards.no_held_out_cohort(cohorts))
    yield Warned("single_split", guards.single_split(of.splits))
    yield Warned("harmonised_by_own_patients", guards.harmonised_by_own_patients(of.transductive))
    for cohort in cohorts:
        y = table[table["cohort"] == cohort].drop_duplicates("patient_id")["y"]
        counts = int(y.sum()), int(len(y) - y.sum())
        yield Warned("one_outcome_only", guards.one_outcome_only(cohort, *counts), cohort=cohort)
        if cohort != TRAINING:
            yield Warned("few_events", guards.few_events(cohort, *counts), cohort=cohort)
        if min(counts) > 0:
            left_out = guards.calibration_curve_left_out(cohort, *counts)
            yield Warned("calibration_curve_left_out", left_out, cohort=cohort)
        apparent = guards.training_is_apparent(
            "The rows auc_apparent and Hosmer-Lemeshow of training", cohort
        )
        yield Warned("training_is_apparent", apparent, cohort=cohort)
        own = guards.same_patients_chose_the_cut_off(cohort, TRAINING if of.cut_off_chosen else "")
        yield Warned("same_patients_chose_the_cut_off", own, cohort=cohort)


def _of_models(of: Evaluated) -> Iterator[Warned]:
    rows = of.performance
    for row in _records(rows[rows["metric"].isin(["auc", "auc_apparent"])]):
        message = guards.complete_separation(row["model"], row["cohort"], row["estimate"])
        yield Warned("complete_separation", message, row["model"], row["cohort"])
    for row in _records(of.odds_ratios.drop_duplicates(["model", "term"])):
        message = guards.training_p_is_apparent(
            row["term"], row["term"].startswith(rad_score("")), "cross-fitted" in str(row["note"])
        )
        yield Warned("training_p_is_apparent", message, row["model"], TRAINING)
    for row in _records(of.volume[of.volume["column"].str.startswith(rad_score(""))]):
        message = guards.signature_follows_volume(row["model"], row["spearman"])
        yield Warned("signature_follows_volume", message, row["model"], TRAINING)


def _of_decisions(of: Evaluated) -> Iterator[Warned]:
    low, high = float(of.thresholds.min()), float(of.thresholds.max())
    yield Warned("threshold_range_too_wide", guards.threshold_range_too_wide(of.decision, low, high))
    for cohort, model, group in by_cohort_and_model(known(of.predictions)):
        if model in of.shown:
            message = guards.thresholds_beyond_largest_risk(
                model, cohort, of.thresholds, group["evaluated"].to_numpy()
            )
            yield Warned("thresholds_beyond_largest_risk", message, model, cohort)


def _of_comparisons(of: Evaluated) -> Iterator[Warned]:
    paired = of.comparisons[of.comparisons["method"] == PAIRED]
    names = {f"{row['model_a']} against {row['model_b']}": row["declared"] for row in _records(paired)}
    declared = [name for name, flag in names.items() if flag == 1]
    extra = guards.undeclared_comparisons(names, declared)
    yield Warned("undeclared_comparisons", extra)
    ratios = of.comparisons[of.comparisons["method"] == LIKELIHOOD_RATIO]
    tested = {frozenset((row["model_a"], row["model_b"])) for row in _records(ratios)}
    for first, second in combinations([model for model in of.shown if model in of.terms], 2):
        if set(of.terms[first]) & set(of.terms[second]):
            message = guards.nested_models_in_training(
                first, second, TRAINING, frozenset((first, second)) in tested
            )
            yield Warned("nested_models_in_training", message, f"{first} against {second}", TRAINING)


def _of_sizes(of: Evaluated) -> Iterator[Warned]:
    for row in _records(of.sample_size):
        if row["purpose"] == "development" and row["parameters"] >= 1:
            events, parameters = int(row["events"]), int(row["parameters"])
            message = guards.few_events_per_parameter(
                events, int(row["n"]) - events, parameters, _needed(row)
            )
            yield Warned("few_events_per_parameter", _about(row["model"], message), row["model"], TRAINING)
        if row["purpose"] == "validation" and row["model"] == of.main and not np.isnan(row["auc_width"]):
            widths = ExpectedWidths(
                n=int(row["n"]),
                events=row["events"],
                auc=row["auc_width"],
                calibration_slope=row["calibration_slope_width"],
                observed_expected=row["observed_expected_width"],
            )
            message = guards.imprecise_validation(row["cohort"], widths)
            yield Warned("imprecise_validation", message, row["model"], row["cohort"])


def _of_supplement(of: Evaluated) -> Iterator[Warned]:
    table = of.supplement
    for row in _records(table[table["measure"] == "hosmer_lemeshow"]):
        message = guards.hosmer_lemeshow_says_little(row["p"])
        where = f"{row['model']}, {row['cohort']}"
        yield Warned("hosmer_lemeshow_says_little", _about(where, message), row["model"], row["cohort"])
    reclassified = table[table["against"].notna()]
    if reclassified.empty:
        return
    yield Warned("nri_has_many_categories", guards.nri_has_many_categories(of.at))
    for (cohort, new, old), group in reclassified.groupby(["cohort", "model", "against"], sort=False):
        yield from _of_reclassification(of, group, str(cohort), str(new), str(old))


def _of_reclassification(
    of: Evaluated, group: pd.DataFrame, cohort: str, new: str, old: str
) -> Iterator[Warned]:
    about, estimates = f"{new} against {old}", group.set_index("measure")["estimate"]
    for model in (new, old):
        slope = _interval(of.performance, model, cohort, "calibration_slope")
        if slope is not None:
            yield Warned("nri_blocked", guards.nri_blocked(model, cohort, slope), about, cohort)
    if estimates[["nri_events", "nri_non_events"]].notna().all():
        message = guards.nri_can_mislead(estimates["nri_events"], estimates["nri_non_events"])
        yield Warned("nri_can_mislead", _about(f"{about}, {cohort}", message), about, cohort)


def _of_subgroups(of: Evaluated) -> Iterator[Warned]:
    levels = of.subgroups[["variable", "level"]].dropna().drop_duplicates()
    message = guards.subgroups_were_examined(len(levels), levels["variable"].nunique())
    yield Warned("subgroups_were_examined", message)


def _about(what: str, message: str | None) -> str | None:
    """Say first what a sentence is about that does not say it itself."""
    return message and f"{what}: {message}"


def _needed(row: Mapping[str, Any]) -> DevelopmentSize | None:
    if np.isnan(row["patients_needed"]):
        return None
    patients, prevalence = int(row["patients_needed"]), row["events"] / row["n"]
    return DevelopmentSize(
        for_shrinkage=int(row["for_shrinkage"]),
        for_optimism=int(row["for_optimism"]),
        for_risk=int(row["for_risk"]),
        patients=patients,
        events=patients * prevalence,
        events_per_parameter=patients * prevalence / row["parameters"],
    )


def _interval(performance: pd.DataFrame, model: str, cohort: str, metric: str) -> Interval | None:
    rows = performance[
        (performance["model"] == model)
        & (performance["cohort"] == cohort)
        & (performance["metric"] == metric)
    ]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return Interval(row["estimate"], row["lower"], row["upper"], row["method"])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")
