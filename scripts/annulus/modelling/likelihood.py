"""Profile-likelihood intervals, likelihood-ratio tests and variance inflation of logistic regressions.

Profile likelihood: Venables & Ripley, Modern Applied Statistics with S, 4th ed. 2002, 7.2; R's
``confint.glm`` interpolates the same profile. Generalised variance inflation: Fox & Monette, J Am Stat
Assoc 1992;87:178-183.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from scipy import stats
from scipy.optimize import brentq

from annulus.modelling.logistic import LogisticFit, fit_logistic

# Standard errors from the estimate beyond which an end of an interval is called infinite.
FARTHEST_SE = 64.0


def profile_odds_ratios(terms: pd.DataFrame, outcome: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """Odds ratio of each term with its profile-likelihood interval and likelihood-ratio p.

    Columns as of :meth:`LogisticFit.odds_ratios`. An end that the likelihood does not bound is 0 or
    infinite. Raises NotEstimable as :func:`fit_logistic` does.
    """
    fit = fit_logistic(terms, outcome)
    y = np.asarray(outcome, dtype=float)
    values = terms.to_numpy(dtype=float)
    spread, limit = values.std(axis=0), float(stats.chi2.ppf(level, 1))
    scaled = (values - values.mean(axis=0)) / spread
    estimates, errors = fit.coefficients * spread, fit.standard_errors * spread
    per_sd = [
        _profile(scaled, y, j, estimates[j], errors[j], fit.log_likelihood, limit)
        for j in range(len(fit.terms))
    ]
    ends = np.array(per_sd) / spread[:, None]
    each = likelihood_ratio_tests(terms, outcome, {name: [name] for name in terms.columns})
    return fit.odds_ratios(level).assign(
        lower=np.exp(ends[:, 0]),
        upper=np.exp(ends[:, 1]),
        p=each["p"].to_numpy(),
        ci_method="profile likelihood",
    )


def likelihood_ratio_tests(
    terms: pd.DataFrame, outcome: np.ndarray, variables: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Test every variable (name to its terms) by leaving it out of the model of all ``terms``.

    As R's ``drop1(test = "LRT")``: ``df``, ``statistic`` (difference of deviances), ``p`` and the ``aic``
    of the model without the variable.
    """
    y = np.asarray(outcome, dtype=float)
    whole = fit_logistic(terms, y).log_likelihood
    rows = []
    for name, members in variables.items():
        rest = terms.drop(columns=list(members))
        without = _log_likelihood(rest.to_numpy(dtype=float), y, np.zeros(len(y)))
        statistic, df = max(0.0, 2.0 * (whole - without)), len(members)
        aic = 2.0 * (rest.shape[1] + 1) - 2.0 * without
        rows.append((name, df, statistic, float(stats.chi2.sf(statistic, df)), aic))
    return pd.DataFrame(rows, columns=["variable", "df", "statistic", "p", "aic"])


def variance_inflation(fit: LogisticFit, variables: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Generalised variance inflation of every variable (name to its terms) of a fitted model.

    ``gvif`` is comparable to an ordinary VIF for variables of one term; ``per_df``, its root of twice the
    degrees of freedom, is comparable between variables and to the root of a VIF. As ``car::vif``.
    """
    spread = np.sqrt(np.diag(fit.covariance))
    correlation = fit.covariance / np.outer(spread, spread)
    rows = []
    for name, members in variables.items():
        own = np.isin(fit.terms, list(members))
        inside = np.linalg.det(correlation[np.ix_(own, own)])
        outside = np.linalg.det(correlation[np.ix_(~own, ~own)]) if not own.all() else 1.0
        gvif = float(inside * outside / np.linalg.det(correlation))
        rows.append((name, int(own.sum()), gvif, gvif ** (0.5 / own.sum())))
    return pd.DataFrame(rows, columns=["variable", "df", "gvif", "per_df"])


def _profile(
    scaled: np.ndarray, y: np.ndarray, j: int, estimate: float, error: float, best: float, limit: float
) -> tuple[float, float]:
    """Ends of the interval of coefficient ``j``; it, its standard error and the ends are per SD."""
    others = np.delete(scaled, j, axis=1)

    def excess(coefficient: float) -> float:
        """Fall of the deviance when the coefficient is held, less what the interval allows."""
        return 2.0 * (best - _log_likelihood(others, y, scaled[:, j] * coefficient)) - limit

    return _end(excess, estimate, -error), _end(excess, estimate, error)


def _end(excess: Callable[[float], float], estimate: float, error: float) -> float:
    reach = 2.0
    while reach <= FARTHEST_SE:
        far = estimate + reach * error
        if excess(far) > 0:
            return float(
                brentq(excess, min(estimate, far), max(estimate, far), xtol=1e-12 + 1e-9 * abs(error))
            )
        reach *= 2.0
    return float(np.copysign(np.inf, error))


def _log_likelihood(values: np.ndarray, y: np.ndarray, offset: np.ndarray) -> float:
    """Largest log-likelihood of a logistic regression on ``values`` (patient x term) and an intercept."""
    design = np.column_stack([np.ones(len(y)), values])
    with warnings.catch_warnings():
        # Far from the estimate the other terms may fit perfectly; the likelihood is still a number.
        warnings.simplefilter("ignore")
        fit = GLM(y, design, family=Binomial(), offset=offset).fit(tol=1e-12, maxiter=200)
    return float(fit.llf)
