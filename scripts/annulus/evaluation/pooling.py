"""One model in several cohorts: random-effects estimates, and what to expect of the next cohort.

The AUC is pooled as its log-odds, observed/expected as its logarithm, calibration slope and
calibration-in-the-large as they are (Snell et al., Stat Methods Med Res 2018;27:3505-3522; Debray et al.,
BMJ 2017;356:i6460). Patients that a model was fitted on, or that were split from them at random, are
shown and never pooled: they are not other patients from elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

COHORT_COLUMNS = [
    "task", "model", "metric", "cohort", "kind", "n", "events", "estimate", "lower", "upper", "method",
    "note", "synthetic",
]  # fmt: skip
POOLED_COLUMNS = [
    "task", "model", "metric", "kind", "cohorts", "estimate", "lower", "upper", "prediction_lower",
    "prediction_upper", "tau2", "i2", "method", "note", "synthetic",
]  # fmt: skip

TRAINING, INTERNAL, EXTERNAL = "training out of fold", "internal", "external"
LEFT_OUT = "centre left out"

# Cohorts of these kinds are pooled, each kind by itself: a left-out centre's model is not the frozen one.
POOLED_KINDS = (EXTERNAL, LEFT_OUT)

ON_ITS_SCALE = ("estimate", "lower", "upper", "prediction_lower", "prediction_upper")

FEWEST_TO_POOL, FEWEST_TO_PREDICT = 2, 3

Z_95 = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class RandomEffects:
    """A random-effects summary of ``cohorts`` estimates, on the scale on which they were given.

    ``standard_error`` is Hartung's and Knapp's, ``tau2`` the variance between cohorts, ``i2`` the share of
    variance that is between cohorts, in per cent, ``q`` Cochran's. The prediction interval is missing for
    fewer than 3 cohorts.
    """

    cohorts: int
    estimate: float
    standard_error: float
    lower: float
    upper: float
    prediction_lower: float
    prediction_upper: float
    tau2: float
    i2: float
    q: float


@dataclass(frozen=True)
class Scale:
    """The scale on which a metric is pooled: to it, and back from it."""

    name: str
    to: Callable[[float], float]
    back: Callable[[float], float]


def _same(value: float) -> float:
    return value


IDENTITY = Scale("as it is", _same, _same)
LOG_ODDS = Scale("log-odds", lambda a: float(logit(a)), lambda x: float(expit(x)))
LOGARITHM = Scale("logarithm", lambda r: float(np.log(r)), lambda x: float(np.exp(x)))
SCALES: Mapping[str, Scale] = {
    "auc": LOG_ODDS,
    "calibration_slope": IDENTITY,
    "calibration_in_the_large": IDENTITY,
    "observed_expected": LOGARITHM,
}


def cohort_rows(task: str, performance: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """AUC and calibration of a task's models by cohort, from ``performance.csv`` of a study or a cohort."""
    measured = performance[performance["metric"].isin(SCALES)]
    return _rows(task, measured.assign(kind=measured["cohort"].map(kind_of)), synthetic)


def centre_rows(task: str, centres: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """AUC of every model in every centre, from ``centres.csv`` of a split that leaves one out at a time.

    Training rows of such a split are of models that never saw the centre. There is no calibration by centre.
    """
    held_out = centres[centres["cohort"] == "train"].drop(columns="cohort")
    named = held_out.rename(columns={"centre": "cohort", "auc": "estimate"})
    return _rows(task, named.assign(metric="auc", kind=LEFT_OUT, method="DeLong"), synthetic)


def kind_of(cohort: str) -> str:
    """Say whether a cohort is training (out of fold), internal or external, by its name."""
    if cohort == "train":
        return TRAINING
    return EXTERNAL if cohort.startswith("external_") else INTERNAL


def pooled(cohorts: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Pool external cohorts, and centres left out, of ``cohort_rows`` by task, model and metric.

    Estimates and intervals are on the metric's own scale, ``tau2`` on the scale that ``method`` names,
    ``i2`` in per cent. What cannot be pooled has a row that says why.
    """
    rows = [
        {"task": task, "model": model, "metric": metric, "kind": kind, **_pooled(str(metric), group)}
        for (task, model, metric, kind), group in cohorts[cohorts["kind"].isin(POOLED_KINDS)].groupby(
            ["task", "model", "metric", "kind"], sort=False
        )
    ]
    table = pd.DataFrame(rows).reindex(columns=POOLED_COLUMNS)
    return table.astype({"cohorts": "Int64"}).assign(synthetic=int(synthetic))


def random_effects(estimates: np.ndarray, variances: np.ndarray) -> RandomEffects:
    """Pool estimates with their variances by restricted maximum likelihood, with 95 % intervals.

    As :func:`summarise` with the variance between cohorts from :func:`between_cohorts`. Raises ValueError
    for fewer than 2 estimates or a variance that is not above 0.
    """
    return summarise(estimates, variances, between_cohorts(estimates, variances))


def between_cohorts(estimates: np.ndarray, variances: np.ndarray) -> float:
    """Variance between cohorts (tau2) by restricted maximum likelihood.

    Fisher scoring, cut at 0 (Viechtbauer, J Educ Behav Stat 2005;30:261-293), as R's metafor. Raises
    ValueError for fewer than 2 estimates or a variance that is not above 0.
    """
    y, v = _checked(estimates, variances)
    tau2 = max(0.0, float(np.var(y, ddof=1) - v.mean()))
    for _ in range(1000):
        weight = 1.0 / (v + tau2)
        total = weight.sum()
        # P = W - W 1 (1'W1)^-1 1'W, of one column of ones.
        projected = weight * (y - weight @ y / total)
        trace = total - (weight**2).sum() / total
        trace_of_square = (
            (weight**2).sum() - 2.0 * (weight**3).sum() / total + ((weight**2).sum() / total) ** 2
        )
        step = float((projected @ projected - trace) / trace_of_square)
        moved = max(0.0, tau2 + step)
        if abs(moved - tau2) < 1e-12 * (1.0 + tau2):
            return moved
        tau2 = moved
    raise ValueError("the variance between cohorts did not converge")


def summarise(estimates: np.ndarray, variances: np.ndarray, tau2: float) -> RandomEffects:
    """Summarise estimates given the variance between cohorts.

    The interval is Hartung's, Knapp's (Stat Med 2001;20:3875-3889), Sidik's and Jonkman's
    (2002;21:3153-3159), with t on k - 1 degrees of freedom and its factor not below 1, so that a few
    cohorts that happen to agree do not look certain (Röver et al., BMC Med Res Methodol 2015;15:99;
    metafor's test "adhoc"). The prediction interval has t on k - 2 degrees of freedom (Higgins et al., J
    R Stat Soc A 2009;172:137-159; Debray et al., BMJ 2017;356:i6460), where metafor has k - 1; of few
    cohorts it still holds less than 95 % (Nagashima et al., Stat Methods Med Res 2019;28:1689-1702). I2
    is Higgins' and Thompson's (Stat Med 2002;21:1539-1558) from tau2, as metafor's. Raises ValueError for
    fewer than 2 estimates or a variance that is not above 0.
    """
    y, v = _checked(estimates, variances)
    k, weight, fixed = len(y), 1.0 / (v + tau2), 1.0 / v
    estimate = float(weight @ y / weight.sum())
    factor = float(weight @ (y - estimate) ** 2) / (k - 1)
    error = float(np.sqrt(max(factor, 1.0) / weight.sum()))
    reach = float(stats.t.ppf(0.975, k - 1)) * error
    ahead = np.nan
    if k >= FEWEST_TO_PREDICT:
        ahead = float(stats.t.ppf(0.975, k - 2) * np.sqrt(tau2 + error**2))
    typical = float((k - 1) * fixed.sum() / (fixed.sum() ** 2 - (fixed**2).sum()))
    middle = float(fixed @ y / fixed.sum())
    return RandomEffects(
        cohorts=k,
        estimate=estimate,
        standard_error=error,
        lower=estimate - reach,
        upper=estimate + reach,
        prediction_lower=estimate - ahead,
        prediction_upper=estimate + ahead,
        tau2=tau2,
        i2=100.0 * tau2 / (tau2 + typical),
        q=float(fixed @ (y - middle) ** 2),
    )


def standard_error(metric: str, estimate: float, lower: float, upper: float) -> float:
    """Standard error on the metric's scale, from its 95 % interval; missing where that says nothing.

    DeLong's interval of an AUC is symmetric but cut to 0-1, so the end that is not cut tells the width; its
    standard error on the log-odds scale is that over AUC (1 - AUC), by the delta method.
    """
    if not np.isfinite([estimate, lower, upper]).all():
        return float("nan")
    if metric == "auc":
        if not 0.0 < estimate < 1.0:
            return float("nan")
        width = estimate - lower if lower > 0.0 else upper - estimate
        return float(width / Z_95 / (estimate * (1.0 - estimate)))
    scale = SCALES[metric]
    if scale is LOGARITHM and min(estimate, lower) <= 0.0:
        return float("nan")
    return float((scale.to(upper) - scale.to(lower)) / (2.0 * Z_95))


def _rows(task: str, rows: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    return rows.assign(task=task, synthetic=int(synthetic))[COHORT_COLUMNS].reset_index(drop=True)


def _pooled(metric: str, group: pd.DataFrame) -> dict[str, object]:
    errors = np.array([
        standard_error(metric, row.estimate, row.lower, row.upper) for row in group.itertuples()
    ])  # fmt: skip
    usable = errors > 0.0
    remarks = list(_left_out(group[~usable]))
    used = group[usable]
    if len(used) < FEWEST_TO_POOL:
        fewer = "no cohort has" if used.empty else "only one cohort has"
        return {
            "cohorts": len(used),
            "method": "none",
            "note": "; ".join([f"{fewer} an estimate with an interval: nothing to pool", *remarks]),
        }
    scale = SCALES[metric]
    found = random_effects(np.array([scale.to(value) for value in used["estimate"]]), errors[usable] ** 2)
    if len(used) < FEWEST_TO_PREDICT:
        remarks.insert(0, f"no prediction interval: it needs {FEWEST_TO_PREDICT} cohorts")
    return {
        "cohorts": found.cohorts,
        **{name: scale.back(getattr(found, name)) for name in ON_ITS_SCALE},
        "tau2": found.tau2,
        "i2": found.i2,
        "method": f"REML, {scale.name}; Hartung-Knapp-Sidik-Jonkman, t on k - 1, factor at least 1; "
        "prediction: t on k - 2",
        "note": "; ".join(remarks),
    }


def _left_out(group: pd.DataFrame) -> Iterator[str]:
    for row in group.itertuples():
        reason = "" if pd.isna(row.note) or not row.note else f": {row.note}"
        yield f"{row.cohort} left out, it has no interval on this scale{reason}"


def _checked(estimates: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if len(y) < FEWEST_TO_POOL:
        raise ValueError("at least two estimates are needed to pool")
    if not (v > 0.0).all():
        raise ValueError("every estimate needs a variance above 0")
    return y, v
