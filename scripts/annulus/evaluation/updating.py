"""How a frozen model would be updated for a new cohort, and how many patients each update needs.

Updates are reported beside the frozen model's predictions and never put in their place: a model that was
updated on a cohort has not been validated there. Methods after Steyerberg, Clinical Prediction Models,
2nd ed., chapter 20, and Vergouwe et al., Stat Med 2017;36:4529-4539.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from sklearn.model_selection import StratifiedKFold

from annulus.evaluation.calibration import calibration, calibration_in_the_large
from annulus.evaluation.discrimination import Interval, delong
from annulus.evaluation.predictions import by_cohort_and_model, known
from annulus.evaluation.sample_size import (
    cox_snell_r2_of_auc,
    development_size,
    size_for_calibration_slope,
    size_for_observed_expected,
)
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.logistic import NotEstimable, fit_logistic, intercept_given
from annulus.modelling.odds import logit

RECALIBRATION_COLUMNS = [
    "model", "cohort", "update", "n", "events", "intercept", "intercept_lower", "intercept_upper", "slope",
    "slope_lower", "slope_upper", "brier", "brier_cross_validated", "calibration_in_the_large",
    "calibration_slope", "observed_expected", "note", "synthetic",
]  # fmt: skip
UPDATING_COLUMNS = [
    "model", "cohort", "action", "parameters", "n", "events", "patients_needed", "patients_here_enough",
    "advice", "note", "synthetic",
]  # fmt: skip
WHOLE = ("parameters", "patients_needed", "patients_here_enough")

AS_FROZEN, INTERCEPT, BOTH, REFIT = "as frozen", "intercept", "intercept and slope", "refit"
UPDATES = (AS_FROZEN, INTERCEPT, BOTH)

CALIBRATED = ("calibration_in_the_large", "calibration_slope", "observed_expected")

FOLDS = 10
ALPHA = 0.05

# Full widths of 95 % intervals of O:E and of the calibration slope, as pmvalsampsize aims at.
WIDTH = 0.2

APPARENT = "apparent: judged on the patients that it was fitted on, read brier_cross_validated"


@dataclass(frozen=True)
class Update:
    """A line on the log-odds of a frozen model's predictions: new log-odds = intercept + slope * log-odds."""

    intercept: Interval
    slope: Interval

    def of(self, log_odds: np.ndarray) -> np.ndarray:
        """Updated probabilities."""
        probabilities: np.ndarray = expit(self.intercept.estimate + self.slope.estimate * log_odds)
        return probabilities


@dataclass(frozen=True)
class ClosedTest:
    """Which update the closed testing procedure proposes.

    ``p_both`` compares intercept and slope with the frozen model (2 degrees of freedom), ``p_slope`` with
    the intercept alone (1); the second is missing where the first ended the procedure.
    """

    proposed: str
    p_both: float
    p_slope: float


def fit_update(outcome: np.ndarray, probability: np.ndarray, update: str) -> Update:
    """Fit one of ``UPDATES`` by maximum likelihood, with Wald's 95 % intervals of what it fits.

    Raises NotEstimable where every patient has the same outcome, every prediction is exactly 0 or 1, or
    predictions do not vary or separate the outcomes.
    """
    y, log_odds = np.asarray(outcome, dtype=float), logit(np.asarray(probability, dtype=float))
    if update == AS_FROZEN:
        return Update(_fixed(0.0), _fixed(1.0))
    if update == INTERCEPT:
        found = calibration_in_the_large(y, probability)
        if np.isnan(found.estimate):
            raise NotEstimable(found.note.removeprefix("not estimable: "))
        return Update(found, _fixed(1.0))
    fit = fit_logistic(pd.DataFrame({"linear_predictor": log_odds}), y)
    slope = float(fit.coefficients[0])
    weight = expit(fit.intercept + slope * log_odds)
    weight = weight * (1.0 - weight)
    design = np.column_stack([np.ones(len(y)), log_odds])
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ (weight[:, None] * design))))
    return Update(_wald(fit.intercept, errors[0]), _wald(slope, errors[1]))


def recalibration_table(predictions: pd.DataFrame, seed: int, synthetic: bool) -> pd.DataFrame:
    """Every update of every model in every cohort, with Brier score and calibration after it.

    ``predictions`` is a task's table of predictions with ``y``. After an update those numbers are apparent;
    ``brier_cross_validated`` fits the update in nine tenths of the patients and judges it in the tenth
    (stratified by outcome, shuffled with ``seed``), so that updating does not flatter itself.
    """
    rows = [
        {
            "model": model, "cohort": cohort, "update": update, "n": len(group),
            "events": int(group["y"].sum()), **_recalibrated(group, update, seed),
        }
        for cohort, model, group in by_cohort_and_model(known(predictions))
        for update in UPDATES
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=RECALIBRATION_COLUMNS).assign(synthetic=int(synthetic))


def cross_validated_brier(outcome: np.ndarray, probability: np.ndarray, update: str, seed: int) -> Interval:
    """Brier score of patients whose update was fitted without them, in 10 folds, or why there is none."""
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    method = f"{FOLDS}-fold cross-validation"
    if min(y.sum(), len(y) - y.sum()) < FOLDS:
        return Interval(
            np.nan, np.nan, np.nan, method, f"no cross-validation: fewer than {FOLDS} of one outcome"
        )
    updated = np.empty(len(y))
    for rest, fold in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(p, y):
        try:
            updated[fold] = fit_update(y[rest], p[rest], update).of(logit(p[fold]))
        except NotEstimable as error:
            return Interval(np.nan, np.nan, np.nan, method, f"no cross-validation: in a fold {error}")
    return Interval(float(((y - updated) ** 2).mean()), np.nan, np.nan, method)


def closed_test(outcome: np.ndarray, probability: np.ndarray) -> ClosedTest:
    """Choose between frozen, intercept, and intercept and slope by likelihood-ratio tests at 5 %.

    The closed testing procedure of Vergouwe et al. without its refitted model, so its largest is
    intercept and slope: the frozen model stays unless that fits better than it, and the intercept alone
    is proposed unless the slope adds to it. Raises NotEstimable as ``fit_update``.
    """
    y, log_odds = np.asarray(outcome, dtype=float), logit(np.asarray(probability, dtype=float))
    both = fit_logistic(pd.DataFrame({"linear_predictor": log_odds}), y).log_likelihood
    p_both = float(stats.chi2.sf(2.0 * (both - _log_likelihood(y, log_odds)), 2))
    if p_both >= ALPHA:
        return ClosedTest(AS_FROZEN, p_both, np.nan)
    moved = _log_likelihood(y, log_odds + intercept_given(y, log_odds))
    p_slope = float(stats.chi2.sf(2.0 * (both - moved), 1))
    return ClosedTest(INTERCEPT if p_slope >= ALPHA else BOTH, p_both, p_slope)


def parameters_of(models: list[FrozenModel]) -> dict[str, int]:
    """Count, by model, the terms of those that are a regression; others cannot be refitted term by term."""
    return {m.name: len(m.linear.terms) for m in models if isinstance(m.linear, Linear)}


def updating_table(predictions: pd.DataFrame, parameters: Mapping[str, int], synthetic: bool) -> pd.DataFrame:
    """Patients that each update of each model needs in each cohort, and the update that is proposed.

    ``parameters`` counts the terms of models that can be refitted. Needed are, for the intercept, a 95 %
    interval of O:E of width 0.2 (Riley et al., Stat Med 2021;40:4230-4251); for intercept and slope,
    that, the same width of the calibration slope, and an expected shrinkage of 0.9 of two parameters; to
    refit, Riley's criteria for a new model of as many parameters (BMJ 2020;368:m441), its AUC that of
    this cohort.
    """
    rows = [
        {"model": model, "cohort": cohort, "n": len(group), "events": int(group["y"].sum()), **row}
        for cohort, model, group in by_cohort_and_model(known(predictions))
        for row in _advice(
            group["y"].to_numpy(dtype=float), group["evaluated"].to_numpy(), parameters.get(model)
        )
    ]
    table = pd.DataFrame(rows).reindex(columns=UPDATING_COLUMNS)
    return table.astype(dict.fromkeys(WHOLE, "Int64")).assign(synthetic=int(synthetic))


def _fixed(value: float) -> Interval:
    return Interval(value, np.nan, np.nan, "not fitted")


def _wald(estimate: float, error: float) -> Interval:
    reach = float(stats.norm.ppf(0.975)) * float(error)
    return Interval(estimate, estimate - reach, estimate + reach, "Wald")


def _log_likelihood(y: np.ndarray, log_odds: np.ndarray) -> float:
    return float((y * log_odds - np.logaddexp(0.0, log_odds)).sum())


def _recalibrated(group: pd.DataFrame, update: str, seed: int) -> dict[str, object]:
    y, p = group["y"].to_numpy(dtype=float), group["evaluated"].to_numpy()
    try:
        fitted = fit_update(y, p, update)
    except NotEstimable as error:
        return {"note": f"not estimable: {error}"}
    # Predictions that stay as they are keep those of exactly 0 or 1.
    updated = p if update == AS_FROZEN else fitted.of(logit(p))
    measured = calibration(y, updated)
    crossed = cross_validated_brier(y, p, update, seed)
    apparent = "" if update == AS_FROZEN else APPARENT
    return {
        "intercept": fitted.intercept.estimate,
        "intercept_lower": fitted.intercept.lower,
        "intercept_upper": fitted.intercept.upper,
        "slope": fitted.slope.estimate,
        "slope_lower": fitted.slope.lower,
        "slope_upper": fitted.slope.upper,
        "brier_cross_validated": crossed.estimate,
        **{name: measured[name].estimate for name in ("brier", *CALIBRATED)},
        "note": "; ".join(part for part in (apparent, crossed.note) if part),
    }


def _advice(y: np.ndarray, p: np.ndarray, parameters: int | None) -> Iterator[dict[str, object]]:
    try:
        tested: ClosedTest | str = closed_test(y, p)
    except NotEstimable as error:
        tested = f"not tested: {error}"
    counts: Mapping[str, int | None] = {AS_FROZEN: 0, INTERCEPT: 1, BOTH: 2, REFIT: parameters}
    for action, count in counts.items():
        row: dict[str, object] = {"action": action, "advice": _judged(action, tested)}
        if count is not None:
            row["parameters"] = count
        try:
            needed, note = _needed(action, y, p, parameters)
        except ValueError as error:
            yield {**row, "note": f"size not known: {error}"}
            continue
        if needed is None:
            yield {**row, "note": note}
            continue
        yield {**row, "patients_needed": needed, "patients_here_enough": int(len(y) >= needed), "note": note}


def _needed(action: str, y: np.ndarray, p: np.ndarray, parameters: int | None) -> tuple[int | None, str]:
    """Return how many patients an update needs, and what for."""
    if action == AS_FROZEN:
        return None, "nothing is fitted"
    prevalence = float(y.mean())
    if not 0.0 < prevalence < 1.0:
        raise ValueError("only one outcome is present")
    ratio = size_for_observed_expected(prevalence, WIDTH)
    if action == INTERCEPT:
        return ratio, f"{ratio} for a 95 % interval of observed/expected of width {WIDTH}"
    r2 = cox_snell_r2_of_auc(float(delong(y, p[None, :])[0][0]), prevalence)
    if action == BOTH:
        slope = size_for_calibration_slope(logit(p), WIDTH)
        shrinkage = development_size(2, prevalence, r2).for_shrinkage
        parts = (
            f"{ratio} for a 95 % interval of observed/expected of width {WIDTH}, {slope} for one of the "
            f"calibration slope of the same width, {shrinkage} for an expected shrinkage of 0.9"
        )
        return max(ratio, slope, shrinkage), parts
    if parameters is None:
        return None, "not a regression: it has no number of parameters to refit"
    if not parameters:
        return None, "the model has no term to refit"
    size = development_size(parameters, prevalence, r2)
    return size.patients, "the model's own terms; choosing predictors anew counts every candidate"


def _judged(action: str, tested: ClosedTest | str) -> str:
    if action == REFIT:
        return "not tested here: a refit needs the predictors, and is a new model to be validated elsewhere"
    if isinstance(tested, str):
        return tested
    if action != tested.proposed:
        return f"not proposed by the closed test, which proposes: {tested.proposed}"
    found = f"intercept and slope against frozen p {_p(tested.p_both)}"
    if action == AS_FROZEN:
        return f"proposed by the closed test: {found}; with few patients it misses what there is"
    return f"proposed by the closed test: {found}, against the intercept alone p {_p(tested.p_slope)}"


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
