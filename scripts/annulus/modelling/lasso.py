"""LASSO and elastic-net logistic regression along a path of penalties, equal to R's glmnet.

Objective: mean negative log-likelihood + penalty * sum (l1_ratio |b| + (1 - l1_ratio) b^2 / 2) over the
coefficients b, the intercept unpenalised (Friedman, Hastie & Tibshirani, J Stat Softw 2010;33(1), where
l1_ratio is alpha; 1 is the LASSO). :mod:`annulus.modelling.descent` solves it; liblinear penalises the
intercept and is not the same model.
"""

from dataclasses import dataclass

import numpy as np

# Largest gradient left by the final fit, which then equals glmnet's to 1e-6 or better, and by fits
# inside cross-validation, which only rank penalties and take about half the time this way.
FINAL, RANKING = 1e-9, 1e-6

# Where glmnet clips probabilities before it takes their deviance.
CLIP = 1e-5


@dataclass(frozen=True)
class Path:
    """Coefficients (penalty x feature) and intercepts along decreasing penalties."""

    penalties: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    def linear_predictors(self, features: np.ndarray) -> np.ndarray:
        """Linear predictor of every row at every penalty, as row x penalty."""
        scores: np.ndarray = features @ self.coefficients.T + self.intercepts
        return scores


@dataclass(frozen=True)
class CrossValidation:
    """Cross-validated deviance along a path, and the penalties that it chooses."""

    penalties: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray

    @property
    def minimum(self) -> int:
        """Index of the penalty with the least mean deviance."""
        return int(self.mean.argmin())

    @property
    def one_se(self) -> int:
        """Index of the largest penalty within one standard error of the least deviance."""
        limit = self.mean[self.minimum] + self.standard_error[self.minimum]
        return int(np.flatnonzero(self.mean <= limit)[0])


def penalties_for(
    features: np.ndarray, outcome: np.ndarray, count: int, smallest_ratio: float, l1_ratio: float = 1.0
) -> np.ndarray:
    """Return ``count`` penalties, falling geometrically from the smallest that selects nothing.

    ``features`` (patient x feature) are z-scores by the population standard deviation.
    """
    largest = np.abs(features.T @ (outcome - outcome.mean())).max() / len(outcome) / l1_ratio
    return float(largest) * np.geomspace(1.0, smallest_ratio, count)


def deviance(outcome: np.ndarray, linear_predictors: np.ndarray) -> np.ndarray:
    """Mean binomial deviance (-2 log-likelihood / n) of each column of linear predictors."""
    p = np.clip(1.0 / (1.0 + np.exp(-linear_predictors)), CLIP, 1.0 - CLIP)
    y = outcome[:, None]
    loss: np.ndarray = -2.0 * (y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=0)
    return loss


def summarise(penalties: np.ndarray, deviances: np.ndarray, fold_sizes: np.ndarray) -> CrossValidation:
    """Average fold x penalty deviances by fold size, with cv.glmnet's standard error."""
    mean = np.average(deviances, axis=0, weights=fold_sizes)
    spread = np.average((deviances - mean) ** 2, axis=0, weights=fold_sizes)
    return CrossValidation(penalties, mean, np.sqrt(spread / (len(fold_sizes) - 1)))
