"""Stability of features between raters or perturbations: the intraclass correlation coefficient.

Single ratings, two-way models: agreement with raters drawn at random, ICC(2,1), and consistency with
these raters only, ICC(3,1) (Shrout & Fleiss, Psychol Bull 1979;86:420-428). Intervals are McGraw & Wong's
(Psychol Methods 1996;1:30-46, with their correction 1996;1:390): exact for ICC(3,1), with Satterthwaite's
degrees of freedom for ICC(2,1).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from annulus.errors import StudyError

STABILITY_COLUMNS = ["column", "icc", "icc_lower", "icc_upper", "n", "source", "reason"]

MODELS = ("2,1", "3,1")

# Fewer patients give an interval that is all but the whole scale.
LEAST_SUBJECTS = 5

# A spread below this share of the values themselves is rounding.
ROUNDING = 1e-12

# Values handled at once, so that the memory needed does not grow with the number of features.
BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation with its 95 % interval, of n subjects with k ratings each.

    Where it cannot be estimated it is NaN and ``reason`` says why. It can be negative.
    """

    estimate: float
    lower: float
    upper: float
    n: int
    k: int
    reason: str = ""


@dataclass(frozen=True)
class _Iccs:
    """Intraclass correlations of many features at once, one array entry each."""

    estimate: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n: np.ndarray
    reason: np.ndarray


@dataclass(frozen=True)
class _MeanSquares:
    """Two-way analysis of variance of many features: between subjects, between raters, and error."""

    subjects: np.ndarray
    raters: np.ndarray
    error: np.ndarray
    n: np.ndarray
    k: int


def icc(values: np.ndarray, model: str) -> Icc:
    """Intraclass correlation of one feature; ``values`` is subject x rater, ``model`` "2,1" or "3,1".

    Subjects with a value that is not finite are left out. Raises StudyError when there are not two
    raters at least.
    """
    ratings = np.asarray(values, dtype=float)
    found = _iccs(ratings[:, :, None], model)
    return Icc(
        float(found.estimate[0]),
        float(found.lower[0]),
        float(found.upper[0]),
        int(found.n[0]),
        ratings.shape[1],
        str(found.reason[0]),
    )


def icc_table(ratings: pd.DataFrame, rater: str, model: str, source: str) -> pd.DataFrame:
    """Intraclass correlation of every feature, as the rows of ``features/stability.csv``.

    ``ratings`` has one row per patient and rating: ``patient_id``, the column named ``rater`` (the rater
    or the perturbation), and the features; ``source`` is ``raters`` or ``perturbation``. Each feature is
    judged on the patients who have a finite value from every rater; their number is ``n``. Raises
    StudyError when a patient has two rows of one rater, a row names no rater, or there are not two.
    """
    keys = ["patient_id", rater]
    doubled = ratings[ratings.duplicated(keys)]
    if len(doubled):
        patient, name = doubled.iloc[0][keys]
        raise StudyError(
            f"Patient {patient} has several rows of features from {rater} {name}. Keep one image per "
            "patient and rater, or average them."
        )
    if ratings[keys].isna().any(axis=None):
        raise StudyError(f"A row of features has no patient_id or no {rater}. Name both in every row.")
    columns = [column for column in ratings.columns if column not in keys]
    subjects, patients = pd.factorize(ratings["patient_id"], sort=True)
    raters, names = pd.factorize(ratings[rater], sort=True)
    values = ratings[columns].to_numpy(dtype=float)
    width = max(1, BLOCK_VALUES // max(1, len(patients) * len(names)))
    blocks = []
    for first in range(0, len(columns), width):
        block = np.full((len(patients), len(names), len(columns[first : first + width])), np.nan)
        block[subjects, raters] = values[:, first : first + width]
        found = _iccs(block, model)
        blocks.append(
            pd.DataFrame(
                {
                    "icc": found.estimate,
                    "icc_lower": found.lower,
                    "icc_upper": found.upper,
                    "n": found.n,
                    "reason": found.reason,
                }
            )
        )
    table = pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame()
    table = table.assign(column=columns, source=source)
    return table.reindex(columns=STABILITY_COLUMNS)


def _iccs(ratings: np.ndarray, model: str) -> _Iccs:
    """Intraclass correlations of ``ratings``, indexed (subject, rater, feature)."""
    if model not in MODELS:
        raise ValueError(f"the model is {' or '.join(MODELS)}, not {model}")
    if ratings.shape[1] < 2:
        raise StudyError(
            f"An intraclass correlation needs two raters or perturbations at least; there is "
            f"{ratings.shape[1]}. Add one, or leave out `stability`."
        )
    complete = np.isfinite(ratings).all(axis=1)
    n = complete.sum(axis=0)
    spread = np.where(complete[:, None], ratings, 0.0)
    largest = np.abs(spread).max(axis=(0, 1), initial=0.0)
    with np.errstate(all="ignore"):
        # In units of the largest value, so that squares neither overflow nor vanish.
        spread /= np.where(largest > 0, largest, 1.0)
        centre = spread.sum(axis=(0, 1)) / (n * ratings.shape[1])
        spread = np.where(complete[:, None], spread - centre, 0.0)
        within = np.where(complete[:, None], spread - spread.sum(axis=0) / n, 0.0)
        constant = np.abs(within).max(axis=(0, 1), initial=0.0) <= ROUNDING
        squares = _mean_squares(spread, complete, n)
        estimate, lower, upper = _agreement(squares) if model == "2,1" else _consistency(squares)
    reason = np.where(
        n < LEAST_SUBJECTS,
        f"fewer than {LEAST_SUBJECTS} patients with every rating",
        np.where(constant, "the same in every patient", ""),
    )
    unknown = reason != ""
    estimate, lower, upper = np.where(unknown, np.nan, [estimate, lower, upper])
    return _Iccs(estimate, lower, upper, n, reason)


def _mean_squares(centred: np.ndarray, complete: np.ndarray, n: np.ndarray) -> _MeanSquares:
    """Two-way mean squares; ``centred`` has mean 0, and 0 throughout for subjects who are not complete."""
    k = centred.shape[1]
    of_subject = centred.mean(axis=1)
    of_rater = centred.sum(axis=0) / n
    residual = np.where(complete[:, None], centred - of_subject[:, None] - of_rater[None], 0.0)
    return _MeanSquares(
        subjects=k * (of_subject**2).sum(axis=0) / (n - 1),
        raters=n * (of_rater**2).sum(axis=0) / (k - 1),
        error=(residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1)),
        n=n,
        k=k,
    )


def _agreement(ms: _MeanSquares) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ICC(2,1), McGraw & Wong's ICC(A,1), with its interval (their table 7)."""
    n, k = ms.n, ms.k
    estimate = (ms.subjects - ms.error) / (ms.subjects + (k - 1) * ms.error + k * (ms.raters - ms.error) / n)
    # Their a and b, each times its mean square and n (1 - ICC), which may be 0.
    a = k * estimate * ms.raters
    b = (n * (1 + (k - 1) * estimate) - k * estimate) * ms.error
    freedom = (a + b) ** 2 / (a**2 / (k - 1) + b**2 / ((n - 1) * (k - 1)))
    low = stats.f.isf(0.025, n - 1, freedom)
    high = stats.f.isf(0.025, freedom, n - 1)
    rest = k * ms.raters + (k * n - k - n) * ms.error
    lower = n * (ms.subjects - low * ms.error) / (low * rest + n * ms.subjects)
    upper = n * (high * ms.subjects - ms.error) / (rest + n * high * ms.subjects)
    # Identical ratings leave no freedom to estimate: the interval is the point.
    same = rest == 0
    return estimate, np.where(same, estimate, lower), np.where(same, estimate, upper)


def _consistency(ms: _MeanSquares) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ICC(3,1), McGraw & Wong's ICC(C,1), with its exact interval."""
    n, k = ms.n, ms.k
    estimate = (ms.subjects - ms.error) / (ms.subjects + (k - 1) * ms.error)
    low = ms.error * stats.f.isf(0.025, n - 1, (n - 1) * (k - 1))
    high = ms.error / stats.f.isf(0.025, (n - 1) * (k - 1), n - 1)
    lower = (ms.subjects - low) / (ms.subjects + (k - 1) * low)
    upper = (ms.subjects - high) / (ms.subjects + (k - 1) * high)
    return estimate, lower, upper
