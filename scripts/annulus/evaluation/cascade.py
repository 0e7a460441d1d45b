"""Cascades: models of successive questions that sort patients into ordered classes.

A patient whom the first level calls positive goes on to the second, and so on; the class is the number of
levels passed. Level 2 and later are developed in patients who truly passed, but asked of those who were
called to have passed, so that errors of one level are carried into the next: as it would be in use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from annulus.evaluation.classification import proportion
from annulus.evaluation.discrimination import Interval, auc_interval

# Resamples of patients behind the interval of kappa.
RESAMPLES = 1000

TRAINED = "out-of-fold; cut-offs that were not fixed beforehand were chosen on these predictions"

CONFUSION_COLUMNS = [
    "cohort", "observed_class", "predicted_class", "n", "share_of_observed", "synthetic",
]  # fmt: skip
CASCADE_COLUMNS = [
    "cohort", "class", "n", "events", "metric", "estimate", "lower", "upper", "method", "note", "synthetic",
]  # fmt: skip


@dataclass(frozen=True)
class Level:
    """One level: its task's predictions (``tasks/<task>/predictions.csv``), model and frozen cut-off."""

    predictions: pd.DataFrame
    model: str
    cut_off: float


def absent_levels(levels: Sequence[Level]) -> list[str]:
    """Name the levels' models that were not fitted; without one of them nobody can be sorted."""
    return [level.model for level in levels if level.model not in set(level.predictions["model"])]


def sort_patients(levels: Sequence[Level], classes: Sequence[str]) -> pd.DataFrame:
    """Sort every patient into observed and predicted class, with a probability of each.

    One row per patient: ``patient_id, cohort, observed, predicted`` (numbers of levels passed; observed is
    missing where a level's outcome is not known) and ``p_0``, ``p_1`` and so on by class. The probability of
    a class is the product of passing the levels before it and failing at its own. Out of fold in training;
    a training patient who took no part in a level's training is scored by its frozen model. No rows where
    a level has no model.
    """
    if absent_levels(levels):
        return pd.DataFrame(columns=["patient_id", "cohort", "observed", "predicted"])
    tables = [_of_level(level) for level in levels]
    base = tables[0][["cohort"]]
    passed, called = pd.Series(0.0, index=base.index), pd.Series(0, index=base.index)
    reached, through = pd.Series(1.0, index=base.index), pd.Series(True, index=base.index)
    probabilities = {}
    for number, (level, table) in enumerate(zip(levels, tables, strict=True)):
        own = table.loc[base.index]
        # A patient who truly failed before is not asked for the outcome of later levels.
        passed = passed.where(passed < number, passed + own["y"])
        probabilities[f"p_{number}"] = reached * (1.0 - own["risk"])
        reached = reached * own["risk"]
        through &= own["risk"] >= level.cut_off
        called += through.astype(int)
    probabilities[f"p_{len(levels)}"] = reached
    if len(classes) != len(levels) + 1:
        raise ValueError(f"{len(levels)} levels sort into {len(levels) + 1} classes, not {len(classes)}")
    return base.assign(observed=passed, predicted=called, **probabilities).reset_index()


def with_names(sorted_patients: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Write classes by their names in place of the number of levels passed."""
    names = dict(enumerate(classes))
    named = {f"{key}_class": sorted_patients[key].map(names) for key in ("observed", "predicted")}
    return sorted_patients.drop(columns=["observed", "predicted"]).assign(**named)


def confusion_table(sorted_patients: pd.DataFrame, classes: Sequence[str], synthetic: bool) -> pd.DataFrame:
    """Count patients by cohort, observed and predicted class, empty cells included."""
    known = sorted_patients.dropna(subset="observed")
    rows = []
    for cohort, group in known.groupby("cohort", sort=False):
        for i, observed in enumerate(classes):
            own = group[group["observed"] == i]
            for j, predicted in enumerate(classes):
                n = int((own["predicted"] == j).sum())
                share = n / len(own) if len(own) else np.nan
                rows.append((cohort, observed, predicted, n, share, int(synthetic)))
    return pd.DataFrame(rows, columns=CONFUSION_COLUMNS)


def cascade_table(
    sorted_patients: pd.DataFrame,
    classes: Sequence[str],
    absent: Sequence[str],
    seed: int,
    synthetic: bool,
) -> pd.DataFrame:
    """Accuracy and weighted kappa of every cohort; sensitivity, PPV and AUC (against the rest) of each class.

    Kappa is weighted linearly (Cohen, Psychol Bull 1968;70:213-220) with a percentile bootstrap interval;
    proportions are Clopper-Pearson's, AUCs DeLong's, of the class's probability. Where models are ``absent``,
    one row says so.
    """
    rows: list[dict[str, object]] = []
    if absent:
        rows.append({"class": "all", "metric": "accuracy", "note": f"no model: {', '.join(absent)}"})
    for cohort, everybody in sorted_patients.groupby("cohort", sort=False):
        group = everybody.dropna(subset="observed")
        observed, predicted = (group[key].to_numpy(dtype=int) for key in ("observed", "predicted"))
        unknown = len(everybody) - len(group)
        right = observed == predicted
        facts = {"cohort": cohort, "n": len(group)}
        whole = {
            "accuracy": proportion(int(right.sum()), len(group)),
            "weighted_kappa": _kappa(observed, predicted, seed),
        }
        notes = [
            f"{unknown} patients of unknown class left out" if unknown else "",
            TRAINED if cohort == "train" else "",
        ]
        left_out = "; ".join(note for note in notes if note)
        rows += [
            {**facts, "class": "all", "metric": name, **_columns(found, left_out)}
            for name, found in whole.items()
        ]
        for i, name in enumerate(classes):
            own = {**facts, "class": name, "events": int((observed == i).sum())}
            measured = _of_class(observed == i, predicted == i, group[f"p_{i}"].to_numpy())
            of_training = TRAINED if cohort == "train" else ""
            rows += [
                {**own, "metric": metric, **_columns(found, of_training)}
                for metric, found in measured.items()
            ]
    return pd.DataFrame(rows).reindex(columns=CASCADE_COLUMNS).assign(synthetic=int(synthetic))


def _of_level(level: Level) -> pd.DataFrame:
    rows = level.predictions[level.predictions["model"] == level.model].set_index("patient_id")
    training = rows["cohort"] == "train"
    risk = rows["probability_out_of_fold"].where(training).fillna(rows["probability"])
    return rows[["cohort", "y"]].assign(risk=risk)


def _of_class(observed: np.ndarray, predicted: np.ndarray, risk: np.ndarray) -> Mapping[str, Interval]:
    both = int((observed & predicted).sum())
    found = {
        "sensitivity": proportion(both, int(observed.sum())),
        "ppv": proportion(both, int(predicted.sum())),
    }
    if 0 < observed.sum() < len(observed):
        found["auc"] = auc_interval(observed, risk)
    else:
        found["auc"] = Interval(
            np.nan, np.nan, np.nan, "DeLong", "no patient, or everybody, is of this class"
        )
    return found


def _kappa(observed: np.ndarray, predicted: np.ndarray, seed: int) -> Interval:
    method = "linear weights, bootstrap of patients"
    if len(np.unique(np.r_[observed, predicted])) < 2:
        return Interval(np.nan, np.nan, np.nan, method, "only one class is present")
    rng = np.random.default_rng(seed)
    drawn = [
        _weighted_kappa(observed[rows], predicted[rows])
        for rows in rng.integers(len(observed), size=(RESAMPLES, len(observed)))
    ]
    lower, upper = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(_weighted_kappa(observed, predicted), float(lower), float(upper), method)


def _weighted_kappa(observed: np.ndarray, predicted: np.ndarray) -> float:
    if len(np.unique(np.r_[observed, predicted])) < 2:
        return float("nan")
    return float(cohen_kappa_score(observed, predicted, weights="linear"))


def _columns(found: Interval, note: str = "") -> dict[str, object]:
    notes = "; ".join(part for part in (found.note, note) if part)
    return {
        "estimate": found.estimate,
        "lower": found.lower,
        "upper": found.upper,
        "method": found.method,
        "note": notes,
    }
