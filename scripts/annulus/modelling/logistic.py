"""Logistic regression with odds ratios, by statsmodels, refusing what separation makes meaningless."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationWarning
from statsmodels.tools.tools import add_constant

# A coefficient whose standard error per SD of its term is this large has no finite estimate.
DIVERGED_SE = 30.0


class NotEstimable(Exception):
    """A logistic regression without finite estimates; the message says why."""


class Separated(NotEstimable):
    """The terms separate the outcomes, completely or nearly; Firth's regression still has estimates."""


@dataclass(frozen=True)
class LogisticFit:
    """Maximum-likelihood estimates; arrays are in the order of ``terms``.

    ``covariance`` is that of the coefficients, without the intercept.
    """

    terms: tuple[str, ...]
    intercept: float
    coefficients: np.ndarray
    standard_errors: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    n: int
    events: int

    @property
    def p_values(self) -> np.ndarray:
        """Two-sided Wald p-values."""
        p: np.ndarray = 2.0 * stats.norm.sf(np.abs(self.coefficients / self.standard_errors))
        return p

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """Odds ratio of one unit of each term, with its Wald interval and p-value."""
        reach = stats.norm.ppf(0.5 + level / 2.0) * self.standard_errors
        return pd.DataFrame(
            {
                "term": self.terms,
                "n": self.n,
                "events": self.events,
                "odds_ratio": np.exp(self.coefficients),
                "lower": np.exp(self.coefficients - reach),
                "upper": np.exp(self.coefficients + reach),
                "p": self.p_values,
                "ci_method": "wald",
            }
        )


def fit_logistic(terms: pd.DataFrame, outcome: np.ndarray) -> LogisticFit:
    """Fit a logistic regression of ``outcome`` (0 or 1) on numeric ``terms`` without missing values.

    Raises Separated under complete or quasi-complete separation, NotEstimable for constant or collinear
    terms.
    """
    y = np.asarray(outcome, dtype=float)
    if y.min() == y.max():
        raise NotEstimable("every patient has the same outcome")
    constant = [name for name in terms.columns if terms[name].nunique() < 2]
    if constant:
        raise NotEstimable(f"{', '.join(constant)} does not vary")
    values = terms.to_numpy(dtype=float)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scaled = add_constant((values - mean) / spread)
    if np.linalg.matrix_rank(scaled) < scaled.shape[1]:
        raise NotEstimable(f"{', '.join(terms.columns)} are collinear")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PerfectSeparationWarning)
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("error", RuntimeWarning)
            fit = Logit(y, scaled).fit(method="newton", disp=0, maxiter=100, tol=1e-12)
    except (
        PerfectSeparationWarning,
        ConvergenceWarning,
        RuntimeWarning,
        np.linalg.LinAlgError,
    ) as error:
        raise Separated(f"the outcome is separated by {', '.join(terms.columns)}") from error
    if not np.all(fit.bse < DIVERGED_SE):
        raise Separated(f"the outcome is nearly separated by {', '.join(terms.columns)}")
    slopes = fit.params[1:] / spread
    return LogisticFit(
        terms=tuple(map(str, terms.columns)),
        intercept=float(fit.params[0] - slopes @ mean),
        coefficients=slopes,
        standard_errors=fit.bse[1:] / spread,
        covariance=np.asarray(fit.cov_params())[1:, 1:] / np.outer(spread, spread),
        log_likelihood=float(fit.llf),
        n=len(y),
        events=int(y.sum()),
    )


def intercept_given(y: np.ndarray, offset: np.ndarray) -> float:
    """Return the intercept that, added to ``offset``, makes as many events expected as ``y`` has."""

    def excess(intercept: float) -> float:
        return float((y - expit(offset + intercept)).sum())

    widest = float(np.abs(offset).max()) + 50.0
    return float(brentq(excess, -widest, widest, xtol=1e-12))
