"""Optimism of a model on its own patients, by bootstrapping everything that made it.

Harrell, Regression Modeling Strategies, 2nd ed. 2015, 5.3.4 (R's ``rms::validate``): a model refitted on a
resample is better there than on the patients themselves, and by the mean of that difference the model's
own performance on its own patients is too good. All of the pipeline must be refitted, selection and
penalty included, or the correction is for the last step alone. Where features are many and patients few some
optimism remains even so, as a resample and the cohort share two patients in three; nested cross-validation,
which shares none, stands beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from annulus.evaluation.calibration import logit
from annulus.modelling.logistic import NotEstimable, fit_logistic

MEASURES = ("auc", "brier", "calibration_slope", "calibration_in_the_large", "calibration_intercept")

OPTIMISM_COLUMNS = [
    "model", "measure", "apparent", "optimism", "corrected", "resamples", "synthetic",
]  # fmt: skip

# What fits a model on (table, outcome) and returns what predicts probabilities of a table.
Predict = Callable[[pd.DataFrame], np.ndarray]
Refit = Callable[[pd.DataFrame, np.ndarray], Predict]


@dataclass(frozen=True)
class Optimism:
    """Performance on a model's own patients, corrected for optimism.

    ``table`` has one row per measure: ``measure``, ``apparent``, ``optimism``, ``corrected``, and
    ``resamples``, the number of those in which the measure was defined. ``by_resample`` has the optimism of
    every resample; one whose model could not be fitted is a row of NaN, ``failed`` counts those.
    """

    table: pd.DataFrame
    by_resample: pd.DataFrame
    failed: int


@dataclass(frozen=True)
class RefitClone:
    """Refit an sklearn classifier whole: an unfitted clone, fitted anew."""

    estimator: BaseEstimator

    def __call__(self, X: pd.DataFrame, y: np.ndarray) -> Predict:
        """Fit a clone and return its probabilities of the event."""
        fitted = clone(self.estimator).fit(X, y)
        return lambda table: fitted.predict_proba(table)[:, 1]


def resamples(outcome: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw ``count`` bootstrap samples of patients, as resample x patient of row numbers.

    A sample with fewer than two different patients of either outcome is drawn again.
    """
    rng, y = np.random.default_rng(seed), np.asarray(outcome, dtype=bool)
    if min(y.sum(), (~y).sum()) < 2:
        raise ValueError("two patients of either outcome are needed to resample")
    drawn: list[np.ndarray] = []
    while len(drawn) < count:
        rows = rng.integers(0, len(y), len(y))
        different = y[np.unique(rows)]
        if min(different.sum(), (~different).sum()) >= 2:
            drawn.append(rows)
    return np.array(drawn)


def bootstrap_optimism(
    refit: Refit, X: pd.DataFrame, outcome: np.ndarray, indices: np.ndarray, jobs: int = 1
) -> Optimism:
    """Correct the apparent performance of what ``refit`` fits, patients being the rows of ``X``.

    ``indices`` (resample x patient) are row numbers, from :func:`resamples`; the result is theirs alone,
    whatever the number of ``jobs``. With ``jobs`` above 1 ``refit`` goes to other processes.
    """
    y = np.asarray(outcome, dtype=float)
    apparent = performance(y, refit(X, y)(X))
    work = (delayed(_one)(refit, X, y, rows) for rows in indices)
    by_resample = pd.DataFrame(Parallel(n_jobs=jobs)(work), columns=list(MEASURES))
    failed = int(by_resample.isna().all(axis=1).sum())
    return Optimism(corrected(apparent, by_resample), by_resample, failed)


def corrected(apparent: Mapping[str, float], by_resample: pd.DataFrame) -> pd.DataFrame:
    """Correct apparent performance by the mean optimism of the resamples in which a measure was defined.

    ``by_resample`` (resample x measure) is performance in the resample less that on all patients.
    """
    table = pd.DataFrame(
        {
            "measure": MEASURES,
            "apparent": [apparent[name] for name in MEASURES],
            "optimism": [by_resample[name].mean() for name in MEASURES],
            "resamples": [int(by_resample[name].notna().sum()) for name in MEASURES],
        }
    )
    table.insert(3, "corrected", table["apparent"] - table["optimism"])
    return table


def apparent_performance(
    training: Mapping[str, pd.DataFrame], outcome: pd.Series
) -> dict[str, dict[str, float]]:
    """Performance of every model on its own patients.

    ``training`` is each model's ``training.csv``, empty where there is no model; ``outcome`` is by patient.
    """
    return {
        model: performance(outcome.loc[table["patient_id"]].to_numpy(), table["probability"].to_numpy())
        for model, table in training.items()
        if len(table)
    }


def optimism_table(apparent: Mapping[str, Mapping[str, float]], rounds: pd.DataFrame) -> pd.DataFrame:
    """Correct every model: ``model, measure, apparent, optimism, corrected, resamples``.

    ``apparent`` is performance by model; ``rounds`` what
    :func:`annulus.modelling.refitting.optimism_rounds` returned. Without a model there is no row.
    """
    parts = []
    for model, own in apparent.items():
        drawn = rounds[rounds["model"] == model].pivot(index="resample", columns="measure")
        table = corrected(own, drawn["there"] - drawn["here"])
        table.insert(0, "model", model)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def performance(outcome: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """AUC, Brier score, calibration slope with its intercept, and calibration-in-the-large.

    NaN where not defined: slope and intercept of one and the same probability for all, or of separated
    outcomes.
    """
    y, p = np.asarray(outcome, dtype=float), np.asarray(probability, dtype=float)
    linear = logit(p)
    slope = intercept = np.nan
    try:
        fit = fit_logistic(pd.DataFrame({"linear_predictor": linear}), y)
        slope, intercept = float(fit.coefficients[0]), fit.intercept
    except NotEstimable:
        pass
    return {
        "auc": float(roc_auc_score(y, p)),
        "brier": float(((p - y) ** 2).mean()),
        "calibration_slope": slope,
        "calibration_in_the_large": _in_the_large(y, linear),
        "calibration_intercept": intercept,
    }


def _one(refit: Refit, X: pd.DataFrame, y: np.ndarray, rows: np.ndarray) -> list[float]:
    with threadpool_limits(1):
        try:
            predict = refit(X.iloc[rows], y[rows])
        except NotEstimable:
            return [np.nan] * len(MEASURES)
        there = performance(y[rows], predict(X.iloc[rows]))
        here = performance(y, predict(X))
    return [there[name] - here[name] for name in MEASURES]


def _in_the_large(y: np.ndarray, linear: np.ndarray) -> float:
    widest = float(np.abs(linear).max()) + 50.0
    return float(brentq(lambda a: float((y - expit(linear + a)).sum()), -widest, widest, xtol=1e-12))
