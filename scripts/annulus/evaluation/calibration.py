"""Calibration of frozen probabilities: Brier score, slope, calibration-in-the-large and curves.

Definitions after Van Calster et al., BMC Med 2019;17:230.
"""

import logging

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit
from skmisc.loess import loess

from annulus.evaluation.discrimination import Interval
from annulus.modelling.logistic import NotEstimable, fit_logistic

CURVE_COLUMNS = ["model", "cohort", "predicted", "observed", "lower", "upper", "smoother"]

logger = logging.getLogger(__name__)

# Probabilities of 0 and 1 have no log-odds; this is the least step away that double precision tells from 1.
CERTAIN = float(np.finfo(float).eps)

# A flexible curve through fewer patients of either outcome shows noise.
LEAST_FOR_LOESS = 20


def calibration(outcome: np.ndarray, probability: np.ndarray, level: float = 0.95) -> dict[str, Interval]:
    """Brier score, scaled Brier score, calibration slope, calibration-in-the-large and O:E.

    The slope is that of a logistic regression on the linear predictor; calibration-in-the-large is
    its intercept with the slope held at 1 (so not the intercept of the slope's own model).
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    errors = (y - p) ** 2
    brier, prevalence, z = float(errors.mean()), y.mean(), stats.norm.ppf(0.5 + level / 2.0)
    reach = z * float(errors.std(ddof=1)) / np.sqrt(len(y))
    ratio = float(y.sum() / p.sum())
    # Standard error of log O:E (Debray et al., BMJ 2017;356:i6460).
    factor = float(np.exp(z * np.sqrt((1.0 - prevalence) / y.sum())))
    scaled = 1.0 - brier / (prevalence * (1.0 - prevalence))
    found = {
        "brier": Interval(brier, max(0.0, brier - reach), min(1.0, brier + reach), "normal"),
        "scaled_brier": Interval(scaled, np.nan, np.nan, "1 - Brier / p(1-p)"),
        "observed_expected": Interval(ratio, ratio / factor, ratio * factor, "log-normal"),
    }
    linear = logit(p)
    found["calibration_in_the_large"] = _in_the_large(y, linear, level)
    found["calibration_slope"] = _slope(y, linear, level)
    return found


def calibration_curves(outcome: np.ndarray, probability: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """Curves of observed against predicted probability, on a grid over the predicted range.

    Always the logistic recalibration line with its Wald band; the loess curve (span 0.75, degree 2,
    as R's) only with at least 20 patients of either outcome.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    curves = [_logistic_curve(y, p, level)]
    if min(y.sum(), len(y) - y.sum()) >= LEAST_FOR_LOESS and len(np.unique(p)) > 10:
        try:
            curves.append(_loess_curve(y, p, level))
        except ValueError as error:
            # Many tied predictions leave the local regression without enough distinct neighbours.
            logger.info("no loess curve: %s", error)
    return pd.concat(curves, ignore_index=True)


def logit(probability: np.ndarray) -> np.ndarray:
    """Log-odds, with probabilities of exactly 0 or 1 moved inwards by the same least step."""
    p = np.clip(probability, CERTAIN, 1.0 - CERTAIN)
    odds: np.ndarray = np.log(p) - np.log1p(-p)
    return odds


def _in_the_large(y: np.ndarray, linear: np.ndarray, level: float) -> Interval:
    """Solve for the intercept that makes as many events expected as were observed."""

    def excess(intercept: float) -> float:
        return float((y - expit(linear + intercept)).sum())

    widest = float(np.abs(linear).max()) + 50.0
    intercept = float(brentq(excess, -widest, widest, xtol=1e-12))
    p = expit(linear + intercept)
    reach = stats.norm.ppf(0.5 + level / 2.0) / np.sqrt((p * (1.0 - p)).sum())
    return Interval(intercept, intercept - reach, intercept + reach, "Wald, slope held at 1")


def _slope(y: np.ndarray, linear: np.ndarray, level: float) -> Interval:
    try:
        fit = fit_logistic(pd.DataFrame({"linear_predictor": linear}), y)
    except NotEstimable as error:
        return Interval(np.nan, np.nan, np.nan, "Wald", f"not estimable: {error}")
    reach = stats.norm.ppf(0.5 + level / 2.0) * fit.standard_errors[0]
    slope = float(fit.coefficients[0])
    return Interval(slope, slope - reach, slope + reach, "Wald")


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
    fit = sm.Logit(y, sm.add_constant(logit(p))).fit(disp=0, tol=1e-12)
    design = sm.add_constant(logit(grid), has_constant="add")
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
