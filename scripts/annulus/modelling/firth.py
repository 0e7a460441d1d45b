"""Firth's penalised logistic regression, which has finite estimates where the outcome is separated.

Firth, Biometrika 1993;80:27-38; Heinze & Schemper, Stat Med 2002;21:2409-2419. Estimates, and intervals
and p-values of single terms by penalised likelihood, are firthmodels'; the joint test of several terms is
here, constrained as R's ``logistftest`` does it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from firthmodels import FirthLogisticRegression
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from annulus.modelling.logistic import LogisticFit, NotEstimable, Separated, fit_logistic

# Gradient and step at which a fit is good enough; far tighter ones are beyond its rounding.
TOLERANCE = 1e-6

MOST_STEPS, LONGEST_STEP = 200, 5.0


@dataclass(frozen=True)
class FirthFit:
    """Penalised-likelihood estimates with 95 % intervals; arrays are in the order of ``terms``.

    ``lower``, ``upper`` and ``p_values`` are by penalised profile likelihood; ``reason`` says why it was
    not ordinary logistic regression.
    """

    terms: tuple[str, ...]
    intercept: float
    coefficients: np.ndarray
    standard_errors: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_values: np.ndarray
    n: int
    events: int
    reason: str

    def odds_ratios(self) -> pd.DataFrame:
        """Odds ratio of one unit of each term, with its penalised profile interval and p-value."""
        return pd.DataFrame(
            {
                "term": self.terms,
                "n": self.n,
                "events": self.events,
                "odds_ratio": np.exp(self.coefficients),
                "lower": np.exp(self.lower),
                "upper": np.exp(self.upper),
                "p": self.p_values,
                "ci_method": "penalised profile likelihood (Firth)",
            }
        )


def fit_or_firth(terms: pd.DataFrame, outcome: np.ndarray) -> LogisticFit | FirthFit:
    """Fit a logistic regression; where its terms separate the outcome, Firth's.

    Raises NotEstimable for constant or collinear terms, or a single outcome.
    """
    try:
        return fit_logistic(terms, outcome)
    except Separated as error:
        return fit_firth(terms, outcome, str(error))


def fit_firth(terms: pd.DataFrame, outcome: np.ndarray, reason: str = "asked for") -> FirthFit:
    """Fit Firth's logistic regression of ``outcome`` (0 or 1) on numeric ``terms`` without missing values.

    Raises NotEstimable where it does not converge.
    """
    scaled, mean, spread = _scaled(terms)
    y = np.asarray(outcome, dtype=int)
    model = FirthLogisticRegression(
        backend="numpy", max_iter=MOST_STEPS, max_step=LONGEST_STEP, gtol=TOLERANCE, xtol=TOLERANCE
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("error", RuntimeWarning)
            model.fit(scaled, y)
            model.lrt()
            ends = model.conf_int(method="pl", max_iter=MOST_STEPS)
    except (ConvergenceWarning, RuntimeWarning, ValueError, np.linalg.LinAlgError) as error:
        raise NotEstimable(f"Firth's regression did not converge ({error})") from error
    count = len(spread)
    slopes = model.coef_ / spread
    return FirthFit(
        terms=tuple(map(str, terms.columns)),
        intercept=float(model.intercept_ - slopes @ mean),
        coefficients=slopes,
        standard_errors=model.bse_[:count] / spread,
        lower=ends[:count, 0] / spread,
        upper=ends[:count, 1] / spread,
        p_values=np.asarray(model.lrt_pvalues_[:count]),
        n=len(y),
        events=int(y.sum()),
        reason=reason,
    )


def firth_ratio_statistic(terms: pd.DataFrame, outcome: np.ndarray, tested: Sequence[str]) -> float:
    """Twice the fall in penalised log-likelihood when the coefficients of ``tested`` are held at 0.

    The penalty is that of the whole model on either side; chi-squared with a degree of freedom per term.
    """
    scaled, _, _ = _scaled(terms)
    design = np.column_stack([np.ones(len(scaled)), scaled])
    y = np.asarray(outcome, dtype=float)
    free = np.r_[True, ~terms.columns.isin(list(tested))]
    whole = _penalised_maximum(design, y, np.ones(design.shape[1], dtype=bool))
    return max(0.0, 2.0 * (whole - _penalised_maximum(design, y, free)))


def _scaled(terms: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = terms.to_numpy(dtype=float)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    return (values - mean) / spread, mean, spread


def _penalised_maximum(design: np.ndarray, y: np.ndarray, free: np.ndarray) -> float:
    """Largest penalised log-likelihood over the ``free`` coefficients, the others being 0; by Newton."""
    beta = np.zeros(design.shape[1])
    reached, score, information = _penalised(design, y, beta)
    for _ in range(MOST_STEPS):
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], score[free])
        step *= min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        for _ in range(30):
            found = _penalised(design, y, beta + step)
            if found[0] >= reached - 1e-12:
                break
            step /= 2.0
        beta = beta + step
        reached, score, information = found
        if np.abs(step).max() < 1e-9 and np.abs(score[free]).max() < 1e-7:
            return reached
    raise NotEstimable("Firth's regression did not converge")


def _penalised(design: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood + half the log-determinant of the information, modified score, and information."""
    linear = design @ beta
    p = expit(linear)
    weighted = design * np.sqrt(p * (1.0 - p))[:, None]
    information = weighted.T @ weighted
    leverage = np.einsum("ij,ij->i", weighted, np.linalg.solve(information, weighted.T).T)
    score = design.T @ (y - p + leverage * (0.5 - p))
    likelihood = float((y * linear - np.logaddexp(0.0, linear)).sum())
    return likelihood + 0.5 * float(np.linalg.slogdet(information)[1]), score, information
