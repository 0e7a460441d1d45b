"""Folds of patients, drawn by outcome, and the prior log-odds that each is counted from."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

# Rows that train and rows that are held out, by position.
Split = tuple[np.ndarray, np.ndarray]


def stratified_folds(outcome: np.ndarray, folds: int, seed: int) -> list[Split]:
    """Share patients over folds with the outcome balanced; fewer folds when a class is small."""
    smaller = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if smaller < 2:
        raise ValueError(f"{smaller} patients in the smaller class; 2 are needed to cross-validate")
    splitter = StratifiedKFold(min(folds, smaller), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(outcome)), outcome))


def patient_folds(patients: pd.Index, outcome: np.ndarray, folds: int, seed: int) -> list[Split]:
    """Share rows over folds, all rows of a patient to the same; a resample has some patients repeatedly.

    As :func:`stratified_folds` where every patient has one row.
    """
    number = pd.factorize(patients)[0]
    first = np.unique(number, return_index=True)[1]
    return [
        (np.flatnonzero(np.isin(number, train)), np.flatnonzero(np.isin(number, test)))
        for train, test in stratified_folds(outcome[first], folds, seed)
    ]


def centre_folds(centre: np.ndarray) -> list[Split]:
    """Hold out the patients of one centre (by row) at a time."""
    return [(np.flatnonzero(centre != name), np.flatnonzero(centre == name)) for name in np.unique(centre)]


def log_odds(outcome: np.ndarray) -> float:
    """Log-odds of the event in ``outcome`` (0 or 1)."""
    prevalence = float(np.mean(outcome))
    return float(np.log(prevalence / (1.0 - prevalence)))
