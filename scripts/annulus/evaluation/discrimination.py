"""Area under the ROC curve with DeLong's variance, by mid-ranks.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837-845; ranks after Sun & Xu, IEEE Signal
Process Lett 2014;21:1389-1393.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_curve


# A variance below this is rounding.
NO_VARIANCE = 1e-15


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval and how they were obtained."""

    estimate: float
    lower: float
    upper: float
    method: str
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """A difference of two AUCs in the same patients."""

    difference: float
    lower: float
    upper: float
    z: float
    p: float


def auc_interval(outcome: np.ndarray, score: np.ndarray, level: float = 0.95) -> Interval:
    """AUC with its DeLong interval, cut to 0-1.

    Where the AUC is 0 or 1 the DeLong variance is 0 and says nothing; the interval then is the exact
    binomial one for the smaller class, which no separation of so few patients can beat. Raises
    ValueError unless both outcomes are present.
    """
    y = np.asarray(outcome, dtype=bool)
    if y.all() or not y.any():
        raise ValueError("the AUC needs patients with and without the event")
    areas, covariance = delong(y, np.asarray(score, dtype=float)[None, :])
    area = float(areas[0])
    if area in (0.0, 1.0):
        smaller = int(min(y.sum(), (~y).sum()))
        bounds = stats.binomtest(round(area) * smaller, smaller).proportion_ci(level, "exact")
        note = "complete separation: DeLong has no width"
        return Interval(area, bounds.low, bounds.high, "exact binomial, smaller class", note)
    if not covariance[0, 0] > NO_VARIANCE:
        note = "constant score, or a single patient of one outcome: no interval"
        return Interval(area, np.nan, np.nan, "DeLong", note)
    reach = stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(covariance[0, 0])
    return Interval(area, max(0.0, area - reach), min(1.0, area + reach), "DeLong")


def compare_aucs(
    outcome: np.ndarray, first: np.ndarray, second: np.ndarray, level: float = 0.95
) -> Comparison:
    """Compare two AUCs in the same patients by DeLong's test.

    Scores that rank everyone alike do not differ (p is 1). Where the variance of the difference is 0 or
    not defined otherwise (two AUCs of 1, a single patient of one outcome), there is no test.
    """
    if np.array_equal(stats.rankdata(first), stats.rankdata(second)):
        return Comparison(0.0, 0.0, 0.0, 0.0, 1.0)
    areas, covariance = delong(np.asarray(outcome, dtype=bool), np.array([first, second]))
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    if not variance > NO_VARIANCE:
        return Comparison(difference, np.nan, np.nan, np.nan, np.nan)
    z = difference / np.sqrt(variance)
    reach = stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(variance)
    return Comparison(
        difference, difference - reach, difference + reach, float(z), 2.0 * stats.norm.sf(abs(z))
    )


def roc_points(outcome: np.ndarray, score: np.ndarray) -> pd.DataFrame:
    """Points of the ROC curve, with the threshold at or above which a patient is positive."""
    false_positive_rate, sensitivity, thresholds = roc_curve(outcome, score, drop_intermediate=False)
    return pd.DataFrame(
        {
            "threshold": np.where(np.isinf(thresholds), np.nan, thresholds),
            "false_positive_rate": false_positive_rate,
            "sensitivity": sensitivity,
        }
    )


def delong(outcome: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of several scores (score x patient) in the same patients, and their covariance matrix."""
    y = np.asarray(outcome, dtype=bool)
    positives, negatives = int(y.sum()), int((~y).sum())
    areas, of_positives, of_negatives = [], [], []
    for score in np.atleast_2d(scores):
        ranks = stats.rankdata(np.r_[score[y], score[~y]])
        high, low = ranks[:positives], ranks[positives:]
        areas.append((high.sum() - positives * (positives + 1) / 2.0) / (positives * negatives))
        of_positives.append((high - stats.rankdata(score[y])) / negatives)
        of_negatives.append(1.0 - (low - stats.rankdata(score[~y])) / positives)
    covariance = _covariance(of_positives) / positives + _covariance(of_negatives) / negatives
    return np.array(areas), covariance


def _covariance(placements: list[np.ndarray]) -> np.ndarray:
    if len(placements[0]) < 2:
        return np.full((len(placements), len(placements)), np.nan)
    return np.atleast_2d(np.cov(placements))
