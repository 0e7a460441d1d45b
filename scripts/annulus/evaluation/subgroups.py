"""A model in the subgroups of a cohort: AUC and odds ratio of each, and whether they differ.

Subgroups are compared by the interaction test only. A p-value per subgroup says how large the subgroup
is (Wang et al., N Engl J Med 2007;357:2189-2194), so there is none here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from annulus.evaluation.discrimination import Interval, auc_interval
from annulus.evaluation.predictions import refuse_missing
from annulus.modelling.logistic import LogisticFit, NotEstimable, fit_logistic


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
    except NotEstimable as error:
        return Interval(np.nan, np.nan, np.nan, "Wald", f"not estimable: {error}")
    return Interval(float(found["odds_ratio"]), float(found["lower"]), float(found["upper"]), "Wald")
