"""How far a smooth calibration curve is from the predictions, on average and at worst.

The integrated calibration index and E50, E90, Emax of Austin & Steyerberg, Stat Med 2019;38:4051-4065.
They depend on the smoother, which therefore is part of every result: ``lowess`` is that of rms's
val.prob (span 2/3, no robustness iterations), ``loess`` that of CalibrationCurves' val.prob.ci.2
(span 0.75, degree 2).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from skmisc.loess import loess
from statsmodels.nonparametric.smoothers_lowess import lowess

from annulus.evaluation.discrimination import Interval
from annulus.evaluation.predictions import refuse_missing

Smoother = Literal["lowess", "loess"]

SPAN_OF_LOWESS = 2.0 / 3.0


@dataclass(frozen=True)
class CalibrationErrors:
    """Differences between the smoothed outcome and the predictions over the patients (probabilities).

    ``ici`` is their mean, ``e50`` and ``e90`` their median and 90th percentile, ``emax`` the largest.
    ``eci`` is 100 times the mean of their squares (Van Hoorde et al., J Biomed Inform 2015;54:283-293).
    """

    ici: float
    e50: float
    e90: float
    emax: float
    eci: float
    smoother: Smoother


def smoothed_outcome(outcome: np.ndarray, probability: np.ndarray, smoother: Smoother) -> np.ndarray:
    """Observed proportion at every patient's predicted probability, by the smoother; not cut to 0-1.

    Raises ValueError where one is missing, where predictions do not vary, or where they are too few or tied
    so often that a local regression is not defined.
    """
    refuse_missing(outcome, probability)
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    if np.ptp(p) == 0.0:
        raise ValueError("every patient has the same predicted probability: there is no calibration curve")
    if smoother == "lowess":
        if np.unique(p, return_counts=True)[1].max() >= int(SPAN_OF_LOWESS * len(p)):
            # Every neighbour of a tied patient is at distance 0, and what comes out is no smooth.
            raise ValueError("predictions are tied too often for a lowess curve")
        # R interpolates between points a hundredth of the range apart.
        delta = 0.01 * float(np.ptp(p))
        fitted: np.ndarray = lowess(y, p, frac=SPAN_OF_LOWESS, it=0, delta=delta, return_sorted=False)
        return fitted
    model = loess(p, y, span=0.75, degree=2)
    try:
        model.fit()
    except ValueError as error:
        raise ValueError("predictions are too few or tied too often for a loess curve") from error
    values: np.ndarray = np.asarray(model.outputs.fitted_values)
    return values


def calibration_errors(outcome: np.ndarray, probability: np.ndarray, smoother: Smoother) -> CalibrationErrors:
    """ICI, E50, E90, Emax and ECI by the named smoother; raises ValueError as ``smoothed_outcome``."""
    difference = np.abs(
        smoothed_outcome(outcome, probability, smoother) - np.asarray(probability, dtype=float)
    )
    e50, e90 = np.quantile(difference, [0.5, 0.9])
    return CalibrationErrors(
        ici=float(difference.mean()),
        e50=float(e50),
        e90=float(e90),
        emax=float(difference.max()),
        eci=float(100.0 * (difference**2).mean()),
        smoother=smoother,
    )


def ici_interval(
    outcome: np.ndarray,
    probability: np.ndarray,
    smoother: Smoother,
    bootstraps: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """ICI with the percentile interval of ``bootstraps`` resamples of patients.

    The ICI cannot be negative, so that of a perfectly calibrated model is above 0 in every sample and
    in its resamples more so. Resamples without a curve (one outcome, tied predictions) are left out
    and counted in the note. Raises ValueError as ``smoothed_outcome``.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    found = calibration_errors(y, p, smoother)
    rng = np.random.default_rng(seed)
    drawn = []
    for rows in rng.integers(len(y), size=(bootstraps, len(y))):
        try:
            drawn.append(calibration_errors(y[rows], p[rows], smoother).ici)
        except ValueError:
            continue
    method = f"bootstrap of patients, {smoother}"
    left_out = bootstraps - len(drawn)
    if left_out > bootstraps // 2:
        return Interval(
            found.ici, np.nan, np.nan, method, f"{left_out} of {bootstraps} resamples had no curve"
        )
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(drawn, [tail, 1.0 - tail])
    note = f"{left_out} of {bootstraps} resamples had no curve" if left_out else ""
    return Interval(found.ici, float(lower), float(upper), method, note)


@dataclass(frozen=True)
class GoodnessOfFit:
    """A test of the hypothesis that the predicted probabilities are right."""

    test: str
    statistic: float
    degrees_of_freedom: int | None
    p: float
    groups: int | None = None


def spiegelhalter(outcome: np.ndarray, probability: np.ndarray) -> GoodnessOfFit:
    """Test whether the Brier score is what the predictions themselves expect; ``statistic`` is a z.

    Spiegelhalter, Stat Med 1986;5:421-433. Raises ValueError where the score has no variance (every
    prediction is 0, 1/2 or 1).
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    variance = float(((1.0 - 2.0 * p) ** 2 * p * (1.0 - p)).sum())
    if variance == 0.0:
        raise ValueError("Spiegelhalter's test needs predictions other than 0, 1/2 and 1")
    z = float(((y - p) * (1.0 - 2.0 * p)).sum() / np.sqrt(variance))
    return GoodnessOfFit("Spiegelhalter", z, None, 2.0 * float(stats.norm.sf(abs(z))))


def hosmer_lemeshow(
    outcome: np.ndarray, probability: np.ndarray, on_training: bool, groups: int = 10
) -> GoodnessOfFit:
    """Compare observed with expected events by tenths of the predicted probability.

    For a supplement only: it says nothing of the size or direction of miscalibration and depends on the
    grouping. Groups are cut at quantiles of the probability, so that patients with the same prediction
    stay together; groups that ties leave empty are dropped. ``on_training`` says whether the model was
    fitted on these patients: degrees of freedom are then two fewer than groups, else as many as groups
    (Hosmer & Lemeshow, Applied Logistic Regression, section 5.2.2). Raises ValueError where fewer
    than three groups are left.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    edges = np.quantile(p, np.linspace(0.0, 1.0, groups + 1)[1:-1])
    group = np.unique(np.searchsorted(edges, p, side="left"), return_inverse=True)[1]
    size, observed, expected = (np.bincount(group, w) for w in (np.ones_like(p), y, p))
    if len(size) < 3:
        raise ValueError(f"ties leave {len(size)} groups for the Hosmer-Lemeshow test; it needs 3")
    spread = expected * (1.0 - expected / size)
    if (spread <= 0.0).any():
        raise ValueError("a group of the Hosmer-Lemeshow test has only predictions of exactly 0 or 1")
    statistic = float(((observed - expected) ** 2 / spread).sum())
    freedom = len(size) - 2 if on_training else len(size)
    return GoodnessOfFit(
        "Hosmer-Lemeshow", statistic, freedom, float(stats.chi2.sf(statistic, freedom)), len(size)
    )
