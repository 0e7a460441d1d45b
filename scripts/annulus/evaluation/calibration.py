"""Calibration of frozen probabilities: Brier score, slope, calibration-in-the-large and curves.

Definitions after Van Calster et al., BMC Med 2019;17:230.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.tools import add_constant
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit
from skmisc.loess import loess

from annulus.evaluation.discrimination import Interval
from annulus.evaluation.predictions import refuse_missing
from annulus.evaluation.smoothing import why_no_loess
from annulus.modelling.logistic import NotEstimable, fit_logistic, intercept_given
from annulus.modelling.odds import logit

CURVE_COLUMNS = ["model", "cohort", "predicted", "observed", "lower", "upper", "smoother"]

logger = logging.getLogger(__name__)

SlopeInterval = Literal["Wald", "profile"]


@dataclass(frozen=True)
class Recalibration:
    """The logistic regression of the outcome on the log-odds of the predictions, as rms's val.prob.

    ``intercept`` and ``slope`` are fitted together, so ``intercept`` is not calibration-in-the-large.
    ``discrimination`` (D), ``unreliability`` (U) and ``quality`` (Q = D - U) are log-likelihoods per
    patient; D and Nagelkerke's R2 are those of the predictions as they stand. ``p`` tests intercept 0
    and slope 1 at once. ``largest_error`` is the greatest difference between the recalibration line and
    a prediction from 0 to 1; CalibrationCurves' val.prob.ci.2 prints it as Emax beside a loess curve.
    """

    intercept: float
    slope: float
    nagelkerke_r2: float
    discrimination: float
    unreliability: float
    quality: float
    p: float
    largest_error: float


def calibration(outcome: np.ndarray, probability: np.ndarray, level: float = 0.95) -> dict[str, Interval]:
    """Brier score, scaled Brier score, calibration slope, calibration-in-the-large and O:E.

    The slope is that of a logistic regression on the linear predictor; calibration-in-the-large is
    its intercept with the slope held at 1 (so not the intercept of the slope's own model). What a single
    outcome, or predictions that expect no event, leave undefined is missing, with the reason in its note.
    Raises ValueError where an outcome or probability is missing.
    """
    refuse_missing(outcome, probability)
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    errors = (y - p) ** 2
    brier, prevalence, z = float(errors.mean()), y.mean(), stats.norm.ppf(0.5 + level / 2.0)
    reach = z * float(errors.std(ddof=1)) / np.sqrt(len(y))
    found = {
        "brier": Interval(brier, max(0.0, brier - reach), min(1.0, brier + reach), "normal"),
        "scaled_brier": _scaled_brier(brier, prevalence),
        "observed_expected": _observed_expected(y, p, z),
    }
    found["calibration_in_the_large"] = calibration_in_the_large(y, p, level)
    found["calibration_slope"] = calibration_slope(y, p, level)
    return found


def calibration_in_the_large(
    outcome: np.ndarray, probability: np.ndarray, level: float = 0.95, method: SlopeInterval = "Wald"
) -> Interval:
    """Intercept on the log-odds scale, slope held at 1, that makes as many events expected as observed.

    The interval is Wald's or that of the profile likelihood (Venzon & Moolgavkar, Appl Stat
    1988;37:87-94). Not estimable where all patients have the same outcome.
    """
    y, linear = np.asarray(outcome, dtype=float), logit(np.asarray(probability, dtype=float))
    name = f"{method}, slope held at 1"
    if y.min() == y.max():
        return Interval(np.nan, np.nan, np.nan, name, "not estimable: every patient has the same outcome")
    if np.isin(probability, (0.0, 1.0)).all():
        return Interval(np.nan, np.nan, np.nan, name, "not estimable: every prediction is exactly 0 or 1")
    intercept = intercept_given(y, linear)
    p = expit(linear + intercept)
    error = float(1.0 / np.sqrt((p * (1.0 - p)).sum()))
    if method == "profile":

        def likelihood(value: float) -> float:
            return _log_likelihood(y, linear + value)

        return Interval(intercept, *_profile(likelihood, intercept, error, level), name)
    reach = float(stats.norm.ppf(0.5 + level / 2.0)) * error
    return Interval(intercept, intercept - reach, intercept + reach, name)


def calibration_slope(
    outcome: np.ndarray, probability: np.ndarray, level: float = 0.95, method: SlopeInterval = "Wald"
) -> Interval:
    """Slope of the logistic regression of the outcome on the log-odds of the predictions.

    The interval is Wald's or that of the profile likelihood. Not estimable where predictions do not
    vary or separate the outcomes.
    """
    y, linear = np.asarray(outcome, dtype=float), logit(np.asarray(probability, dtype=float))
    try:
        fit = fit_logistic(pd.DataFrame({"linear_predictor": linear}), y)
    except NotEstimable as error:
        return Interval(np.nan, np.nan, np.nan, method, f"not estimable: {error}")
    slope, error_of_slope = float(fit.coefficients[0]), float(fit.standard_errors[0])
    if method == "profile":

        def likelihood(value: float) -> float:
            return _log_likelihood(y, value * linear + intercept_given(y, value * linear))

        return Interval(slope, *_profile(likelihood, slope, error_of_slope, level), method)
    reach = float(stats.norm.ppf(0.5 + level / 2.0)) * error_of_slope
    return Interval(slope, slope - reach, slope + reach, method)


def recalibration(outcome: np.ndarray, probability: np.ndarray) -> Recalibration:
    """Fit the logistic recalibration line and its indices.

    Harrell, Regression Modeling Strategies, 2nd ed., section 10.9; R2 after Nagelkerke, Biometrika
    1991;78:691-692. Raises NotEstimable where predictions do not vary or separate the outcomes.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    linear, n = logit(p), len(y)
    fit = fit_logistic(pd.DataFrame({"linear_predictor": linear}), y)
    slope, prevalence = float(fit.coefficients[0]), float(y.mean())
    null = n * (prevalence * np.log(prevalence) + (1.0 - prevalence) * np.log1p(-prevalence))
    as_it_stands = _log_likelihood(y, linear)
    gained, unreliable = 2.0 * (as_it_stands - null), 2.0 * (fit.log_likelihood - as_it_stands)
    discrimination, unreliability = (gained - 1.0) / n, (unreliable - 2.0) / n
    grid = np.arange(0.0005, 1.0, 0.0005)
    return Recalibration(
        intercept=fit.intercept,
        slope=slope,
        nagelkerke_r2=float(np.expm1(-gained / n) / np.expm1(2.0 * null / n)),
        discrimination=float(discrimination),
        unreliability=float(unreliability),
        quality=float(discrimination - unreliability),
        p=float(stats.chi2.sf(unreliable, 2)),
        largest_error=float(np.abs(expit(fit.intercept + slope * logit(grid)) - grid).max()),
    )


def calibration_curves(outcome: np.ndarray, probability: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """Curves of observed against predicted probability, on a grid over the predicted range.

    Always the logistic recalibration line with its Wald band; the loess curve (span 0.75, degree 2,
    as R's) only where ``why_no_loess`` has no reason against it.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    curves = [_logistic_curve(y, p, level)]
    if not why_no_loess(y, p):
        try:
            curves.append(_loess_curve(y, p, level))
        except ValueError as error:
            # Many tied predictions leave the local regression without enough distinct neighbours.
            logger.info("no loess curve: %s", error)
    return pd.concat(curves, ignore_index=True)


def _scaled_brier(brier: float, prevalence: float) -> Interval:
    method = "1 - Brier / p(1-p)"
    if prevalence in (0.0, 1.0):
        return Interval(np.nan, np.nan, np.nan, method, "not defined: every patient has the same outcome")
    return Interval(1.0 - brier / (prevalence * (1.0 - prevalence)), np.nan, np.nan, method)


def _observed_expected(y: np.ndarray, p: np.ndarray, z: float) -> Interval:
    """O:E with the standard error of its logarithm (Debray et al., BMJ 2017;356:i6460)."""
    if p.sum() == 0.0:
        return Interval(np.nan, np.nan, np.nan, "log-normal", "not defined: no event is expected")
    ratio = float(y.sum() / p.sum())
    if y.min() == y.max():
        return Interval(
            ratio, np.nan, np.nan, "log-normal", "every patient has the same outcome: no interval"
        )
    factor = float(np.exp(z * np.sqrt((1.0 - y.mean()) / y.sum())))
    return Interval(ratio, ratio / factor, ratio * factor, "log-normal")


def _log_likelihood(y: np.ndarray, linear: np.ndarray) -> float:
    return float((y * linear - np.logaddexp(0.0, linear)).sum())


def _profile(
    likelihood: Callable[[float], float], estimate: float, error: float, level: float
) -> tuple[float, float]:
    """Both values at which the log-likelihood has fallen by half a chi-square quantile of 1 df."""
    lowest = likelihood(estimate) - stats.chi2.ppf(level, 1) / 2.0

    def above(value: float) -> float:
        return likelihood(value) - lowest

    ends = []
    for side in (-1.0, 1.0):
        reach = 2.0 * error
        while above(estimate + side * reach) > 0.0:
            reach *= 2.0
        ends.append(float(brentq(above, *sorted((estimate, estimate + side * reach)), xtol=1e-10)))
    return ends[0], ends[1]


def _grid(p: np.ndarray) -> np.ndarray:
    return np.linspace(p.min(), p.max(), 101)


def _logistic_curve(y: np.ndarray, p: np.ndarray, level: float) -> pd.DataFrame:
    grid = _grid(p)
    if np.ptp(p) == 0.0:
        return pd.DataFrame(columns=["predicted", "observed", "lower", "upper", "smoother"])
    try:
        fit_logistic(pd.DataFrame({"linear_predictor": logit(p)}), y)
    except NotEstimable:
        return pd.DataFrame(columns=["predicted", "observed", "lower", "upper", "smoother"])
    fit = Logit(y, add_constant(logit(p))).fit(disp=0, tol=1e-12)
    design = add_constant(logit(grid), has_constant="add")
    center = design @ fit.params
    spread = np.sqrt(np.einsum("ij,jk,ik->i", design, fit.cov_params(), design))
    reach = stats.norm.ppf(0.5 + level / 2.0) * spread
    middle, lower, upper = (expit(c) for c in (center, center - reach, center + reach))
    return _curve(grid, middle, lower, upper, "logistic")


def _loess_curve(y: np.ndarray, p: np.ndarray, level: float) -> pd.DataFrame:
    model = loess(p, y, span=0.75, degree=2)
    model.fit()
    grid = _grid(p)
    found = model.predict(grid, stderror=True)
    band = found.confidence(alpha=1.0 - level)
    middle, lower, upper = (np.clip(v, 0.0, 1.0) for v in (found.values, band.lower, band.upper))
    return _curve(grid, middle, lower, upper, "loess")


def _curve(
    predicted: np.ndarray, observed: np.ndarray, lower: np.ndarray, upper: np.ndarray, smoother: str
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "predicted": predicted,
            "observed": observed,
            "lower": lower,
            "upper": upper,
            "smoother": smoother,
        }
    )
