"""A model in the subgroups of a cohort: AUC and odds ratio of each, and whether they differ.

Subgroups are compared by the interaction test only. A p-value per subgroup says how large the subgroup
is (Wang et al., N Engl J Med 2007;357:2189-2194), so there is none here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from annulus.cohort.dictionary import columns_of
from annulus.evaluation.discrimination import Interval, auc_interval
from annulus.evaluation.predictions import by_cohort_and_model, known, refuse_missing
from annulus.modelling.logistic import LogisticFit, NotEstimable, Separated, fit_logistic
from annulus.modelling.odds import logit

SUBGROUP_COLUMNS = [
    "variable", "level", "model", "cohort", "n", "events", "auc", "lower", "upper", "p_interaction",
    "odds_ratio", "or_lower", "or_upper", "note", "synthetic",
]  # fmt: skip


@dataclass(frozen=True)
class Subgroup:
    """The patients of one level of a factor; ``odds_ratio`` is per unit of the predictor."""

    level: str
    n: int
    events: int
    auc: Interval
    odds_ratio: Interval


@dataclass(frozen=True)
class SubgroupComparison:
    """Subgroups of one factor, with the p-value of predictor x factor by likelihood ratio.

    ``note`` says why there is no p-value; ``left_out`` counts patients whose level is not known.
    """

    factor: str
    subgroups: tuple[Subgroup, ...]
    degrees_of_freedom: int
    interaction_p: float
    left_out: int
    note: str = ""


def subgroup_table(
    predictions: pd.DataFrame,
    participants: pd.DataFrame,
    subgroups: Sequence[Mapping[str, Any]],
    models: Sequence[str],
    synthetic: bool,
) -> pd.DataFrame:
    """Every model of ``models`` in every subgroup of every cohort, out of fold in training.

    ``subgroups`` name a ``column`` of ``participants``, and a ``cut`` where it is a number. Odds ratios are
    per unit of the model's log-odds. The interaction p-value is one per variable, model and cohort.
    """
    table = known(predictions)
    patients = participants.set_index("patient_id")
    rows: list[dict[str, object]] = []
    for plan in subgroups:
        factor = factor_of(patients[plan["column"]], plan.get("cut"))
        for cohort, model, group in by_cohort_and_model(table[table["model"].isin(models)]):
            found = compare_subgroups(
                group["y"].to_numpy(),
                logit(group["evaluated"].to_numpy()),
                factor.reindex(group["patient_id"]),
            )
            rows += [{"model": model, "cohort": cohort, **row} for row in _rows(found)]
    return pd.DataFrame(rows).reindex(columns=SUBGROUP_COLUMNS).assign(synthetic=int(synthetic))


def factor_of(values: pd.Series, cut: float | None) -> pd.Series:
    """Return the levels of a column of the data dictionary, in the dictionary's order or by size.

    With a ``cut`` (in the column's unit) there are two: below it, and at or above it.
    """
    name = str(values.name)
    if cut is not None:
        numbers = pd.to_numeric(values)
        levels = [f"below {cut:g}", f"{cut:g} or above"]
        found = pd.Series(np.where(numbers >= cut, levels[1], levels[0]), values.index, dtype=object)
        return _ordered(found.where(numbers.notna()), levels, name)
    # Whole numbers with a missing value are read as 1.0, 2.0.
    text = values.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value), "ignore")
    column = columns_of("participants").get(name)
    levels = list(column.levels) if column and column.levels else sorted(text.dropna().unique())
    return _ordered(text, levels, name)


def compare_subgroups(
    outcome: np.ndarray, predictor: np.ndarray, factor: pd.Series, level: float = 0.95
) -> SubgroupComparison:
    """AUC (DeLong) and odds ratio (Wald) of ``predictor`` at every level of ``factor``, and interaction.

    ``predictor`` is the model's log-odds, a score or a term, per patient; ``factor`` is taken as
    unordered categories, in their order if it has one. The interaction test compares the logistic
    regressions with and without predictor x factor. Patients without a level are left out and counted.
    What a subgroup is too small for is missing, with the reason in its note. Raises ValueError where an
    outcome or the predictor is missing.
    """
    refuse_missing(outcome, predictor)
    known = factor.notna().to_numpy()
    y, x = np.asarray(outcome, dtype=float)[known], np.asarray(predictor, dtype=float)[known]
    groups = factor[known].astype("category").cat.remove_unused_categories()
    code, names = groups.cat.codes.to_numpy(), [str(name) for name in groups.cat.categories]
    p, note = _interaction(y, x, code, len(names))
    return SubgroupComparison(
        factor=str(factor.name),
        subgroups=tuple(
            Subgroup(
                level=name,
                n=int((code == i).sum()),
                events=int(y[code == i].sum()),
                auc=_auc(y[code == i], x[code == i], level),
                odds_ratio=_odds_ratio(y[code == i], x[code == i], level),
            )
            for i, name in enumerate(names)
        ),
        degrees_of_freedom=max(len(names) - 1, 0),
        interaction_p=p,
        left_out=int((~known).sum()),
        note=note,
    )


def interaction_p(without: LogisticFit, interaction: LogisticFit) -> float:
    """P-value of the terms that ``interaction`` has beyond the nested fit, by likelihood ratio."""
    extra = len(interaction.terms) - len(without.terms)
    gained = max(0.0, 2.0 * (interaction.log_likelihood - without.log_likelihood))
    return float(stats.chi2.sf(gained, extra))


def _ordered(values: pd.Series, levels: list[str], name: str) -> pd.Series:
    return pd.Series(pd.Categorical(values, categories=levels, ordered=True), values.index, name=name)


def _rows(found: SubgroupComparison) -> list[dict[str, object]]:
    left_out = f"{found.left_out} patients without a value left out" if found.left_out else ""
    if not found.subgroups:
        return [{"variable": found.factor, "n": 0, "events": 0, "note": "no patient has a value"}]
    return [
        {
            "variable": found.factor,
            "level": part.level,
            "n": part.n,
            "events": part.events,
            "auc": part.auc.estimate,
            "lower": part.auc.lower,
            "upper": part.auc.upper,
            "p_interaction": found.interaction_p,
            "odds_ratio": part.odds_ratio.estimate,
            "or_lower": part.odds_ratio.lower,
            "or_upper": part.odds_ratio.upper,
            "note": "; ".join(
                dict.fromkeys(
                    text for text in (part.auc.note, part.odds_ratio.note, found.note, left_out) if text
                )
            ),
        }
        for part in found.subgroups
    ]


def _interaction(y: np.ndarray, x: np.ndarray, code: np.ndarray, levels: int) -> tuple[float, str]:
    if levels < 2:
        return np.nan, "one subgroup only: nothing to compare"
    if y.min() == y.max():
        return np.nan, "every patient has the same outcome"
    dummies = {f"level_{i}": (code == i).astype(float) for i in range(1, levels)}
    main = pd.DataFrame({"predictor": x, **dummies})
    products = {f"predictor_{name}": x * column for name, column in dummies.items()}
    try:
        without = fit_logistic(main, y)
        interaction = fit_logistic(main.assign(**products), y)
    except Separated:
        return np.nan, "no interaction test: a subgroup has one outcome, or the model separates its outcomes"
    except NotEstimable as error:
        return np.nan, f"no interaction test: {error}"
    return interaction_p(without, interaction), ""


def _auc(y: np.ndarray, x: np.ndarray, level: float) -> Interval:
    if y.min() == y.max():
        return Interval(np.nan, np.nan, np.nan, "DeLong", "every patient has the same outcome")
    return auc_interval(y, x, level)


def _odds_ratio(y: np.ndarray, x: np.ndarray, level: float) -> Interval:
    try:
        found = fit_logistic(pd.DataFrame({"predictor": x}), y).odds_ratios(level).iloc[0]
    except Separated:
        return Interval(np.nan, np.nan, np.nan, "Wald", "no odds ratio: the model separates the outcomes")
    except NotEstimable as error:
        return Interval(np.nan, np.nan, np.nan, "Wald", f"no odds ratio: {error}")
    return Interval(float(found["odds_ratio"]), float(found["lower"]), float(found["upper"]), "Wald")
