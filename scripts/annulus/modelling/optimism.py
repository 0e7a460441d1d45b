"""Optimism of models on their own patients, by bootstrapping everything that made them.

Harrell, Regression Modeling Strategies, 2nd ed. 2015, 5.3.4 (R's ``rms::validate``): a model refitted on a
resample is better there than on the patients themselves, and by the mean of that difference the model's
own performance on its own patients is too good. All of the pipeline must be refitted, selection and
penalty included, or the correction is for the last step alone. Where features are many and patients few some
optimism remains even so, as a resample and the cohort share two patients in three; out-of-fold predictions,
which share none, stand beside it.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from annulus.modelling.logistic import NotEstimable, fit_logistic, intercept_given
from annulus.modelling.odds import logit

MEASURES = ("auc", "brier", "calibration_slope", "calibration_in_the_large", "calibration_intercept")

ROUND_COLUMNS = ["model", "resample", "measure", "there", "here"]
OPTIMISM_COLUMNS = [
    "model", "measure", "apparent", "optimism", "corrected", "resamples", "synthetic",
]  # fmt: skip

# What predicts the probabilities of a table's patients, by model; and what fits it on (table, outcome,
# number of the resample).
Predict = Callable[[pd.DataFrame], Mapping[str, np.ndarray]]
Refit = Callable[[pd.DataFrame, np.ndarray, int], Predict]


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


def optimism_rounds(
    refit: Refit, table: pd.DataFrame, outcome: np.ndarray, drawn: Mapping[int, np.ndarray]
) -> pd.DataFrame:
    """Refit on every resample (its rows, by number) and judge the models there and on all patients here.

    Patients are the rows of ``table``. Columns as :data:`ROUND_COLUMNS`, ``measure`` as of
    :func:`performance`. What a resample gives depends on its number alone, whatever others are drawn.
    """
    y = np.asarray(outcome, dtype=float)
    rounds = []
    for number, rows in drawn.items():
        predict = refit(table.iloc[rows], y[rows], number)
        there, here = predict(table.iloc[rows]), predict(table)
        for model, own in there.items():
            inside, whole = performance(y[rows], own), performance(y, here[model])
            rounds += [(model, number, measure, inside[measure], whole[measure]) for measure in MEASURES]
    return pd.DataFrame(rounds, columns=ROUND_COLUMNS)


def optimism_table(apparent: Mapping[str, Mapping[str, float]], rounds: pd.DataFrame) -> pd.DataFrame:
    """Correct every model by its mean optimism: ``model, measure, apparent, optimism, corrected, resamples``.

    ``apparent`` is performance by model, ``rounds`` of :func:`optimism_rounds`. ``resamples`` counts those
    in which the measure was defined.
    """
    parts = []
    for model, own in apparent.items():
        mine = rounds[rounds["model"] == model]
        differences = (mine["there"] - mine["here"]).groupby(mine["measure"])
        optimism, counts = differences.mean(), differences.count()
        table = pd.DataFrame(
            {
                "model": model,
                "measure": MEASURES,
                "apparent": [own[name] for name in MEASURES],
                "optimism": [float(optimism[name]) for name in MEASURES],
                "resamples": [int(counts[name]) for name in MEASURES],
            }
        )
        table.insert(4, "corrected", table["apparent"] - table["optimism"])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


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
        "calibration_in_the_large": intercept_given(y, linear),
        "calibration_intercept": intercept,
    }
