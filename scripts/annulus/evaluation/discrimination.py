"""Area under the ROC curve with DeLong's variance, by mid-ranks.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837-845; ranks after Sun & Xu, IEEE Signal
Process Lett 2014;21:1389-1393.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from annulus.evaluation.predictions import refuse_missing

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


@dataclass(frozen=True)
class UnpairedComparison:
    """A difference of two AUCs in different patients; ``t`` has ``degrees_of_freedom``."""

    difference: float
    lower: float
    upper: float
    t: float
    degrees_of_freedom: float
    p: float


def auc_interval(outcome: np.ndarray, score: np.ndarray, level: float = 0.95) -> Interval:
    """AUC with its DeLong interval, cut to 0-1.

    Where the AUC is 0 or 1 the DeLong variance is 0 and says nothing; the interval then is the exact
    binomial one for the smaller class, which no separation of so few patients can beat. Raises
    ValueError unless both outcomes are present, and where an outcome or score is missing.
    """
    refuse_missing(outcome, score)
    y = _two_outcomes(outcome)
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


def logit_auc_interval(outcome: np.ndarray, score: np.ndarray, level: float = 0.95) -> Interval:
    """AUC with the interval that DeLong's variance gives on the log-odds scale.

    It never leaves 0-1 and is not symmetric (Pepe, The Statistical Evaluation of Medical Tests, 2003,
    section 5.2.5). Where DeLong's variance says nothing, the interval is that of ``auc_interval``.
    Raises ValueError unless both outcomes are present.
    """
    plain = auc_interval(outcome, score, level)
    if plain.method != "DeLong" or np.isnan(plain.lower):
        return plain
    _, covariance = delong(np.asarray(outcome, dtype=bool), np.asarray(score, dtype=float)[None, :])
    area = plain.estimate
    reach = stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(covariance[0, 0]) / (area * (1.0 - area))
    lower, upper = expit(logit(area) + np.array([-reach, reach]))
    return Interval(area, float(lower), float(upper), "DeLong, log-odds scale")


def bootstrap_auc_interval(
    outcome: np.ndarray, score: np.ndarray, bootstraps: int, seed: int, level: float = 0.95
) -> Interval:
    """AUC with the percentile interval of ``bootstraps`` resamples within each outcome.

    Every resample of completely separated patients is separated again, so there each drawn score gets
    normal noise with the bandwidth of its own outcome (smoothed bootstrap; Silverman & Young, Biometrika
    1987;74:469-479). That bound, unlike the AUC, depends on the scale of the score: give log-odds rather
    than probabilities. Raises ValueError unless both outcomes are present, and where one or a score is
    missing.
    """
    refuse_missing(outcome, score)
    y, values = _two_outcomes(outcome), np.asarray(score, dtype=float)
    area = float(delong(y, values[None, :])[0][0])
    rng = np.random.default_rng(seed)
    separated = area in (0.0, 1.0)
    drawn = []
    for group in (values[y], values[~y]):
        resamples = rng.choice(group, size=(bootstraps, len(group)))
        if separated:
            resamples = resamples + rng.normal(size=resamples.shape) * _bandwidth(group)
        drawn.append(resamples)
    method = "smoothed bootstrap within each outcome" if separated else "bootstrap within each outcome"
    if separated and _bandwidth(values[y]) == _bandwidth(values[~y]) == 0.0:
        return Interval(area, np.nan, np.nan, method, "scores do not vary within the outcomes: no interval")
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(_areas(*drawn), [tail, 1.0 - tail])
    note = "complete separation" if separated else ""
    # The noise moves all resamples of a separated sample inwards; the estimate stays in its interval.
    return Interval(area, min(area, float(lower)), max(area, float(upper)), method, note)


def compare_aucs(
    outcome: np.ndarray, first: np.ndarray, second: np.ndarray, level: float = 0.95
) -> Comparison:
    """Compare two AUCs in the same patients by DeLong's test.

    Scores that rank everyone alike do not differ (p is 1). Where the variance of the difference is 0 or
    not defined otherwise (two AUCs of 1, a single patient of one outcome), there is no test. Raises
    ValueError unless both outcomes are present, and where an outcome or score is missing.
    """
    refuse_missing(outcome, first, second)
    y = _two_outcomes(outcome)
    if np.array_equal(stats.rankdata(first), stats.rankdata(second)):
        return Comparison(0.0, 0.0, 0.0, 0.0, 1.0)
    areas, covariance = delong(y, np.array([first, second]))
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    if not variance > NO_VARIANCE:
        return Comparison(difference, np.nan, np.nan, np.nan, np.nan)
    z = difference / np.sqrt(variance)
    reach = stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(variance)
    return Comparison(
        difference, difference - reach, difference + reach, float(z), 2.0 * stats.norm.sf(abs(z))
    )


def compare_unpaired_aucs(
    first_outcome: np.ndarray,
    first_score: np.ndarray,
    second_outcome: np.ndarray,
    second_score: np.ndarray,
    level: float = 0.95,
) -> UnpairedComparison:
    """Compare the AUCs of two cohorts that share no patient.

    Student's t with Welch-Satterthwaite degrees of freedom, as pROC (Robin et al., BMC Bioinformatics
    2011;12:77). Where DeLong's variance says nothing in either cohort (an AUC of 0 or 1, a constant score,
    one patient of an outcome), there is no test. Raises ValueError unless both cohorts have both outcomes,
    and where an outcome or score is missing.
    """
    areas, variances, sizes = [], [], []
    for outcome, score in ((first_outcome, first_score), (second_outcome, second_score)):
        refuse_missing(outcome, score)
        y = _two_outcomes(outcome)
        found, covariance = delong(y, np.asarray(score, dtype=float)[None, :])
        areas.append(float(found[0]))
        variances.append(float(covariance[0, 0]))
        sizes.append(len(y))
    difference, variance = areas[0] - areas[1], sum(variances)
    if not all(v > NO_VARIANCE for v in variances):
        return UnpairedComparison(difference, np.nan, np.nan, np.nan, np.nan, np.nan)
    freedom = variance**2 / sum(v**2 / (n - 1) for v, n in zip(variances, sizes, strict=True))
    t = difference / np.sqrt(variance)
    reach = float(stats.t.ppf(0.5 + level / 2.0, freedom) * np.sqrt(variance))
    p = 2.0 * float(stats.t.sf(abs(t), freedom))
    return UnpairedComparison(difference, difference - reach, difference + reach, float(t), freedom, p)


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


def _two_outcomes(outcome: np.ndarray) -> np.ndarray:
    y = np.asarray(outcome, dtype=bool)
    if y.all() or not y.any():
        raise ValueError("the AUC needs patients with and without the event")
    return y


def _areas(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """AUC of every row (resample x patient)."""
    m, n = positives.shape[1], negatives.shape[1]
    ranks = stats.rankdata(np.hstack([positives, negatives]), axis=1)
    areas: np.ndarray = (ranks[:, :m].sum(axis=1) - m * (m + 1) / 2.0) / (m * n)
    return areas


def _bandwidth(values: np.ndarray) -> float:
    """Silverman's rule of thumb for a normal kernel, in the unit of the score."""
    if len(values) < 2:
        return 0.0
    upper, lower = np.quantile(values, [0.75, 0.25])
    spreads = [s for s in (float(values.std(ddof=1)), float(upper - lower) / 1.34) if s > 0.0]
    return 0.9 * min(spreads, default=0.0) * len(values) ** -0.2
