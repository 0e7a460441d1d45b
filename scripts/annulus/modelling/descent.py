"""The path of :mod:`annulus.modelling.lasso`, many times faster where features are many.

Between the penalties at which a feature enters or leaves the model the path is smooth, and Newton steps on
the features in the model follow it. A feature enters where its gradient exceeds the penalty, and leaves where
its coefficient reaches zero: an active-set method (Nocedal & Wright, Numerical Optimization, 2nd ed. 2006,
16.5). Should that not settle, a round of coordinate descent on the weighted least squares around the present
fit follows, as in glmnet (Friedman, Hastie & Tibshirani, J Stat Softw 2010;33(1)), by scikit-learn. Several
penalties at a time are solved on those features alone whose gradients reach the last of them; then all
features are checked at once, and the penalties at which one of them was missed are solved anew with it (Qian
et al., PLoS Genet 2020;16:e1009141).
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dposv
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from annulus.modelling.lasso import FINAL, Path

# Steps per penalty, after which the fit is taken as it is, with a warning.
MOST_STEPS = 100

# Penalties solved before all features are checked.
BATCH = 6

# Features that may enter in one step; none whose correlation with one before it is above the limit, as the
# first of two that are alike mostly leaves nothing to the second.
MOST_ENTERING, ALIKE = 30, 0.5

# Ridge of Newton steps as a share of the mean curvature, so that copies of a feature have a step too. It
# makes no difference to where the steps end.
RIDGE = 1e-10

# Least variance of an outcome given its probability, as in glmnet.
LEAST_VARIANCE = 1e-5


@dataclass(frozen=True)
class _Fit:
    """Coefficients and intercept, with what judges them.

    ``signs`` are those of the features in the model, 0 of those outside; one in the model may still have no
    coefficient. ``slope`` is the gradient by the coefficients without the absolute penalty, uphill in the
    likelihood; ``inside`` is the largest gradient left in the model, intercept included, and ``excess`` by
    how much the slope of a feature outside is above the penalty.
    """

    coefficients: np.ndarray
    intercept: float
    signs: np.ndarray
    linear: np.ndarray
    probability: np.ndarray
    residual: np.ndarray
    slope: np.ndarray
    inside: float
    excess: np.ndarray

    @property
    def gap(self) -> float:
        """How far from optimal: the largest gradient left of all."""
        return max(self.inside, float(self.excess.max(initial=0.0)))


@dataclass(frozen=True)
class _Problem:
    """Features (patient x feature), outcome, patients' shares (sum 1), and the two parts of the penalty."""

    features: np.ndarray
    outcome: np.ndarray
    shares: np.ndarray
    absolute: float
    squared: float

    def judge(self, coefficients: np.ndarray, intercept: float, signs: np.ndarray) -> _Fit:
        """Judge coefficients by the optimality conditions."""
        linear = self.features @ coefficients + intercept
        p = expit(linear)
        residual = self.shares * (self.outcome - p)
        slope = residual @ self.features - self.squared * coefficients
        left = np.abs(slope - self.absolute * signs)
        inside = left[signs != 0].max(initial=abs(float(residual.sum())))
        excess = np.where(signs == 0, left - self.absolute, 0.0)
        return _Fit(coefficients, intercept, signs, linear, p, residual, slope, float(inside), excess)

    def solve(self, coefficients: np.ndarray, intercept: float, tolerance: float) -> _Fit:
        """Step from these coefficients until the largest gradient left is ``tolerance``."""
        fit = self.judge(coefficients, intercept, np.sign(coefficients))
        for _ in range(MOST_STEPS):
            if fit.gap <= tolerance:
                break
            fit = self.step(fit)
        return fit

    def step(self, fit: _Fit) -> _Fit:
        """Newton, with new features if they are what is furthest from optimal; else coordinate descent."""
        if fit.excess.max(initial=0.0) > fit.inside:
            wider = self.newton(self.admit(fit))
            if wider is not None and (wider.coefficients != fit.coefficients).any():
                return wider
        near = self.newton(fit)
        if near is not None and (near.inside < 0.5 * fit.inside or (near.signs != fit.signs).any()):
            return near
        return self.descend(fit)

    def admit(self, fit: _Fit) -> _Fit:
        """Take features into the model that want in at least half as much as the first of them."""
        wanting = np.argsort(-fit.excess, kind="stable")[:MOST_ENTERING]
        wanting = wanting[fit.excess[wanting] > 0.5 * fit.excess[wanting[0]]]
        if len(wanting) > 1:
            columns = self.features[:, wanting]
            alike = np.abs(columns.T @ (columns * self.shares[:, None])) > ALIKE
            wanting = wanting[~np.tril(alike, -1).any(axis=1)]
        signs = fit.signs.copy()
        signs[wanting] = np.sign(fit.slope[wanting])
        return self.judge(fit.coefficients, fit.intercept, signs)

    def newton(self, fit: _Fit) -> _Fit | None:
        """Step on the features in the model, at most to where the first of them loses its coefficient.

        That one leaves the model. None where the curvature allows no step.
        """
        own = np.flatnonzero(fit.signs)
        held, here = fit.signs[own], fit.coefficients[own]
        uphill = np.concatenate([[fit.residual.sum()], fit.slope[own] - self.absolute * held])
        _, change, failed = dposv(self._curvature(fit, own), uphill)
        if failed:
            return None
        there, part = here + change[1:], 1.0
        turned = np.flatnonzero(there * held <= 0.0)
        if len(turned):
            parts = here[turned] / (here[turned] - there[turned])
            part = float(parts.min())
            there = here + part * change[1:]
            leaving = turned[parts == part]
            there[leaving] = held[leaving] = 0.0
        coefficients, signs = fit.coefficients.copy(), fit.signs.copy()
        coefficients[own], signs[own] = there, held
        return self.judge(coefficients, fit.intercept + part * float(change[0]), signs)

    def descend(self, fit: _Fit) -> _Fit:
        """Coordinate descent on the weighted least squares around ``fit``."""
        p = fit.probability
        variance = np.maximum(p * (1.0 - p), LEAST_VARIANCE)
        working = fit.linear + (self.outcome - p) / variance
        variance *= self.shares
        share, root = variance / variance.sum(), np.sqrt(variance)
        mean, level = share @ self.features, float(share @ working)
        whole = self.absolute + self.squared
        with warnings.catch_warnings():
            # Its own tolerance is not ours: what counts is the gap.
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, found, _ = enet_path(
                np.asfortranarray((self.features - mean) * root[:, None]),
                (working - level) * root,
                alphas=[whole / len(p)],
                l1_ratio=self.absolute / whole,
                coef_init=fit.coefficients.copy(),
                tol=max(1e-16, min(1e-6, 0.01 * fit.gap**2)),
                max_iter=20_000,
                check_input=False,
                precompute=False,
            )
        coefficients = found[:, 0]
        return self.judge(coefficients, level - float(mean @ coefficients), np.sign(coefficients))

    def _curvature(self, fit: _Fit, own: np.ndarray) -> np.ndarray:
        """Second derivatives by the intercept and the coefficients ``own``, with a very small ridge."""
        root = np.sqrt(self.shares * fit.probability * (1.0 - fit.probability))
        design = np.empty((len(own) + 1, len(root)))
        design[0] = root
        np.multiply(self.features[:, own].T, root, out=design[1:])
        curvature: np.ndarray = design @ design.T
        diagonal = curvature.ravel()[:: len(curvature) + 1]
        diagonal[1:] += self.squared
        diagonal += RIDGE * diagonal.mean()
        return curvature


def fit_path(
    features: np.ndarray,
    outcome: np.ndarray,
    penalties: np.ndarray,
    tolerance: float = FINAL,
    l1_ratio: float = 1.0,
    weights: np.ndarray | None = None,
) -> Path:
    """Fit the LASSO (or elastic net, ``l1_ratio`` below 1) at every one of the decreasing ``penalties``.

    ``features`` is patient x feature, in z-scores; ``tolerance`` is the largest gradient at which a fit is
    good enough.

    A patient counts as often as ``weights`` says, once by default; rows that are repeated, as in a bootstrap
    sample, are fitted as one with the sum of their weights. Warns (ConvergenceWarning) where ``tolerance``,
    the largest gradient left, is not reached. Raises ValueError for a weight below 0.
    """
    x, y, shares = _distinct(features, outcome, weights)
    absolute, squared = penalties * l1_ratio, penalties * (1.0 - l1_ratio)
    coefficients, intercepts = np.zeros((len(penalties), x.shape[1])), np.zeros(len(penalties))
    mean = float(shares @ y)
    b, a = np.zeros(x.shape[1]), float(np.log(mean / (1.0 - mean)))
    gradient = np.abs((shares * (y - mean)) @ x)
    missed, reached, done = np.zeros(x.shape[1], dtype=bool), np.zeros(len(penalties), dtype=bool), 0
    while done < len(penalties):
        batch = np.arange(done, min(done + BATCH, len(penalties)))
        let_through = (gradient >= absolute[batch[-1]]) | (b != 0) | missed
        kept = np.flatnonzero(let_through)
        columns, b, residuals = np.asfortranarray(x[:, kept]), b[kept], []
        for k in batch:
            fit = _Problem(columns, y, shares, absolute[k], squared[k]).solve(b, a, tolerance)
            b, a, reached[k] = fit.coefficients, fit.intercept, fit.gap <= tolerance
            coefficients[k], intercepts[k] = 0.0, a
            coefficients[k, kept] = b
            residuals.append(fit.residual)
        gradients = np.abs(np.array(residuals) @ x)
        wrong = (gradients > absolute[batch, None] + tolerance) & ~let_through
        right = int(np.argmax(np.r_[wrong.any(axis=1), True]))
        missed |= wrong.any(axis=0)
        if right:
            gradient = gradients[right - 1]
        done += right
        nearest = min(done, batch[-1])
        b, a = coefficients[nearest].copy(), float(intercepts[nearest])
    if not reached.all():
        warnings.warn(
            f"{(~reached).sum()} of {len(penalties)} penalties not to tolerance",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Path(penalties, coefficients, intercepts)


def _distinct(
    features: np.ndarray, outcome: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that differ, their outcomes, and the share of all weights that falls on each."""
    x, y = np.asarray(features, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if (w < 0).any():
        raise ValueError("a weight is below 0")
    # Few columns tell which rows may be the same, and only those are compared whole.
    few = np.column_stack([y, x[:, :: x.shape[1] // 50 + 1]])
    first: dict[bytes, int] = {}
    alike = np.array([first.setdefault(row.tobytes(), number) for number, row in enumerate(few)])
    for row in np.flatnonzero(alike != np.arange(len(y))):
        if (x[row] != x[alike[row]]).any():
            alike[row] = row
    own, share = np.unique(alike), np.bincount(alike, w) / w.sum()
    return (x, y, share) if len(own) == len(y) else (x[own], y[own], share[own])
