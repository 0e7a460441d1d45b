"""Honest performance of a whole pipeline: nested cross-validation and repeated splits.

The pipeline tunes itself inside whatever patients it is given, so leaving a fold out of all of it is the
outer loop of nested cross-validation (Varma & Simon, BMC Bioinformatics 2006;7:91). The AUC is the mean
of the folds' own: scores of different folds come from different models, whose intercepts run against the
outcomes held out, and pooling them is biased.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from annulus.errors import StudyError
from annulus.modelling.pipeline import selected_features
from annulus.modelling.signature import stratified_folds

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class NestedCv:
    """Predictions of patients by models that never saw them.

    ``predictions``: ``patient_id``, ``repeat``, ``fold``, ``outcome``, ``probability``; ``folds``:
    ``repeat``, ``fold``, ``auc``; ``frequency``: ``column``, ``selection_frequency`` over all folds.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    frequency: pd.DataFrame

    @property
    def auc(self) -> float:
        """Mean AUC over folds and repeats."""
        return float(self.folds["auc"].mean())


@dataclass(frozen=True)
class RepeatedSplits:
    """What chance in the split alone does: ``aucs`` (``split``, ``auc``) and ``frequency`` as above."""

    aucs: pd.DataFrame
    frequency: pd.DataFrame


def nested_cv(
    estimator: BaseEstimator,
    X: pd.DataFrame,
    outcome: np.ndarray,
    folds: int,
    repeats: int,
    seed: int,
    jobs: int = 1,
) -> NestedCv:
    """Cross-validate ``estimator``, cloned and fitted whole for every fold of every repeat.

    ``X`` has one row per patient, whose id is its index. Folds are stratified by outcome and drawn from
    ``seed``; the result does not depend on ``jobs``. Raises StudyError when a patient has two rows.
    """
    y = np.asarray(outcome, dtype=float)
    _refuse_doubled(X)
    splits = [
        (repeat, fold, split)
        for repeat in range(repeats)
        for fold, split in enumerate(stratified_folds(y, folds, seed + repeat))
    ]
    fitted = _fit_all(estimator, X, y, [split for _, _, split in splits], jobs)
    predictions, areas = [], []
    for (repeat, fold, (_, test)), (probability, _) in zip(splits, fitted, strict=True):
        areas.append((repeat, fold, roc_auc_score(y[test], probability)))
        columns = {"patient_id": X.index[test], "repeat": repeat, "fold": fold}
        predictions.append(pd.DataFrame(columns | {"outcome": y[test], "probability": probability}))
    return NestedCv(
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(areas, columns=["repeat", "fold", "auc"]),
        _frequency([names for _, names in fitted]),
    )


def repeated_splits(
    estimator: BaseEstimator,
    X: pd.DataFrame,
    outcome: np.ndarray,
    test_share: float,
    repeats: int,
    seed: int,
    jobs: int = 1,
) -> RepeatedSplits:
    """Split ``repeats`` times at random (stratified), fit on one part and take the AUC in the other.

    The spread shows how much of a single split's AUC is luck. ``X`` as in :func:`nested_cv`.
    """
    y = np.asarray(outcome, dtype=float)
    _refuse_doubled(X)
    splitter = StratifiedShuffleSplit(repeats, test_size=test_share, random_state=seed)
    splits = list(splitter.split(np.zeros(len(y)), y))
    fitted = _fit_all(estimator, X, y, splits, jobs)
    areas = [
        (number, roc_auc_score(y[test], probability))
        for number, ((_, test), (probability, _)) in enumerate(zip(splits, fitted, strict=True))
    ]
    return RepeatedSplits(
        pd.DataFrame(areas, columns=["split", "auc"]), _frequency([names for _, names in fitted])
    )


def _fit_all(
    estimator: BaseEstimator, X: pd.DataFrame, y: np.ndarray, splits: Sequence[Split], jobs: int
) -> list[tuple[np.ndarray, tuple[str, ...]]]:
    work = (delayed(_fit_one)(estimator, X, y, train, test) for train, test in splits)
    return list(Parallel(n_jobs=jobs)(work))


def _fit_one(
    estimator: BaseEstimator, X: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    with threadpool_limits(1):
        fitted = clone(estimator).fit(X.iloc[train], y[train])
        return fitted.predict_proba(X.iloc[test])[:, 1], selected_features(fitted)


def _frequency(selections: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Share of the models that selected a feature, the most frequent first, then by name."""
    counts: dict[str, int] = {}
    for names in selections:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [(name, count / len(selections)) for name, count in ordered]
    return pd.DataFrame(rows, columns=["column", "selection_frequency"])


def _refuse_doubled(X: pd.DataFrame) -> None:
    if not X.index.is_unique:
        doubled = X.index[X.index.duplicated()][0]
        raise StudyError(
            f"Patient {doubled} has several rows, which could fall on either side of a split. Keep one row "
            "per patient."
        )
