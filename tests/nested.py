"""Nested cross-validation, for tests and benchmarks: the mean AUC of folds that a model never saw.

Scores of different folds come from models with different intercepts, which run against the outcomes held
out; pooled they would put the AUC of pure noise below 0.5.
"""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import roc_auc_score

from annulus.modelling.folds import stratified_folds


def fold_auc(
    estimator: BaseEstimator, X: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> float:
    """Fit a clone on one part and return its AUC in the other."""
    fitted = clone(estimator).fit(X.iloc[train], y[train])
    return float(roc_auc_score(y[test], fitted.predict_proba(X.iloc[test])[:, 1]))


def nested_auc(estimator: BaseEstimator, X: pd.DataFrame, y: np.ndarray, folds: int, seed: int) -> float:
    """Mean AUC over stratified folds."""
    return float(np.mean([fold_auc(estimator, X, y, *split) for split in stratified_folds(y, folds, seed)]))
