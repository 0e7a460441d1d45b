"""The path of :mod:`annulus.modelling.lasso`, several times faster where features are many.

As glmnet does it (Friedman, Hastie & Tibshirani, J Stat Softw 2010;33(1)): weighted least squares around
the present fit, solved by coordinate descent (scikit-learn's), on the features that the strong rules let
through (Tibshirani et al., J R Stat Soc B 2012;74:245-266); all features are checked afterwards. Once the
features with a coefficient are known, Newton steps on those alone reach any tolerance.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from annulus.modelling.lasso import FINAL, Path

# Steps per penalty, after which the fit is taken as it is, with a warning.
MOST_STEPS = 100

# Largest gradient at which the features with a coefficient are taken as known.
NEAR = 1e-3

# Least variance of an outcome given its probability, as in glmnet.
LEAST_VARIANCE = 1e-5


@dataclass(frozen=True)
class _Fit:
    """Coefficients, intercept, and how far from optimal they are (largest gradient left)."""

    coefficients: np.ndarray
    intercept: float
    gap: float


@dataclass(frozen=True)
class _Problem:
    """Features (patient x feature, by column), outcome, and the two parts of the penalty."""

    features: np.ndarray
    outcome: np.ndarray
    absolute: float
    squared: float

    def fit(self, coefficients: np.ndarray, intercept: float) -> _Fit:
        """Judge coefficients by the optimality conditions."""
        residual = self.outcome - expit(self.features @ coefficients + intercept)
        gradient = self.features.T @ residual / len(residual) - self.squared * coefficients
        free = np.maximum(np.abs(gradient) - self.absolute, 0.0)
        held = np.abs(gradient - self.absolute * np.sign(coefficients))
        gap = np.where(coefficients != 0, held, free).max(initial=abs(float(residual.mean())))
        return _Fit(coefficients, intercept, float(gap))

    def descend(self, fit: _Fit) -> _Fit:
        """Coordinate descent on the weighted least squares around ``fit``."""
        linear = self.features @ fit.coefficients + fit.intercept
        p = expit(linear)
        variance = np.maximum(p * (1.0 - p), LEAST_VARIANCE)
        working = linear + (self.outcome - p) / variance
        share, root = variance / variance.sum(), np.sqrt(variance)
        mean, level = share @ self.features, float(share @ working)
        whole = self.absolute + self.squared
        _, found, _ = enet_path(
            np.asfortranarray((self.features - mean) * root[:, None]),
            (working - level) * root,
            alphas=[whole],
            l1_ratio=self.absolute / whole,
            coef_init=fit.coefficients.copy(),
            tol=max(1e-16, min(1e-6, 0.01 * fit.gap**2)),
            max_iter=20_000,
            check_input=False,
            precompute=False,
        )
        return self.fit(found[:, 0], level - float(mean @ found[:, 0]))

    def step(self, fit: _Fit) -> _Fit:
        """Newton on the features that have a coefficient, their signs held; ``fit`` where a sign turns."""
        own = np.flatnonzero(fit.coefficients)
        signs = np.sign(fit.coefficients[own])
        p = expit(self.features @ fit.coefficients + fit.intercept)
        n = len(p)
        design = np.column_stack([np.ones(n), self.features[:, own]])
        ridge = np.diag(np.r_[0.0, np.full(len(own), self.squared)])
        information = design.T @ (design * (p * (1.0 - p))[:, None]) / n + ridge
        penalty = np.r_[0.0, self.absolute * signs + self.squared * fit.coefficients[own]]
        try:
            change = np.linalg.solve(information, design.T @ (self.outcome - p) / n - penalty)
        except np.linalg.LinAlgError:
            return fit
        coefficients = fit.coefficients.copy()
        coefficients[own] += change[1:]
        if (np.sign(coefficients[own]) != signs).any():
            return fit
        return self.fit(coefficients, fit.intercept + float(change[0]))


def fit_path(
    features: np.ndarray,
    outcome: np.ndarray,
    penalties: np.ndarray,
    tolerance: float = FINAL,
    l1_ratio: float = 1.0,
) -> Path:
    """Fit as :func:`annulus.modelling.lasso.fit_path`: same arguments, same minimum.

    Warns (ConvergenceWarning) where ``tolerance``, the largest gradient left, is not reached.
    """
    x, y = np.asfortranarray(features, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    coefficients, intercepts = np.zeros((len(penalties), x.shape[1])), np.zeros(len(penalties))
    b, a = np.zeros(x.shape[1]), float(np.log(y.mean() / (1.0 - y.mean())))
    gradient, last, missed = np.abs(x.T @ (y - y.mean())) / len(y), float(penalties[0]), 0
    for k, penalty in enumerate(penalties):
        absolute, squared = penalty * l1_ratio, penalty * (1.0 - l1_ratio)
        let_through = (gradient >= l1_ratio * (2.0 * penalty - last)) | (b != 0)
        while True:
            kept = np.flatnonzero(let_through)
            fit = _solve(_Problem(x[:, kept], y, absolute, squared), b[kept], a, tolerance)
            b, a = np.zeros(x.shape[1]), fit.intercept
            b[kept] = fit.coefficients
            gradient = np.abs(x.T @ (y - expit(x[:, kept] @ fit.coefficients + a))) / len(y)
            wrong = (gradient > absolute + tolerance) & ~let_through
            if not wrong.any():
                break
            let_through |= wrong
        missed += fit.gap > tolerance
        coefficients[k], intercepts[k], last = b, a, float(penalty)
    if missed:
        warnings.warn(
            f"{missed} of {len(penalties)} penalties not to tolerance", ConvergenceWarning, stacklevel=2
        )
    return Path(penalties, coefficients, intercepts)


def _solve(problem: _Problem, coefficients: np.ndarray, intercept: float, tolerance: float) -> _Fit:
    fit = problem.fit(coefficients, intercept)
    with warnings.catch_warnings():
        # Its own tolerance is not ours: what counts is the gap.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(MOST_STEPS):
            if fit.gap <= tolerance:
                break
            near = problem.step(fit) if fit.gap < NEAR else fit
            fit = near if near.gap < 0.5 * fit.gap else problem.descend(fit)
    return fit
