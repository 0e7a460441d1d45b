"""How many patients a prediction model needs, and how precisely a cohort can judge it.

Development: Riley et al., BMJ 2020;368:m441, as R's pmsampsize. Validation: Riley et al., Stat Med
2021;40:4230-4251 and BMJ 2024;384:e074821, as R's pmvalsampsize. Sizes are numbers of patients.
"""

from dataclasses import dataclass
from math import ceil, exp, log, sqrt

import numpy as np
from scipy import stats
from scipy.special import expit

# Targets of Riley's criteria.
SHRINKAGE = 0.9
OPTIMISM_IN_R2 = 0.05
ERROR_IN_RISK = 0.05

# pmsampsize and pmvalsampsize round the normal quantile.
Z_95 = 1.96


@dataclass(frozen=True)
class DevelopmentSize:
    """Patients that Riley's criteria ask for to develop a model.

    ``for_shrinkage``: expected shrinkage of 0.9. ``for_optimism``: at most 0.05 between apparent and
    adjusted Nagelkerke R2. ``for_risk``: overall risk within 0.05. ``patients`` is the largest of them,
    with ``events`` expected among them and ``events_per_parameter``.
    """

    for_shrinkage: int
    for_optimism: int
    for_risk: int
    patients: int
    events: float
    events_per_parameter: float


@dataclass(frozen=True)
class ExpectedWidths:
    """Expected widths of 95 % intervals in a validation cohort, were the model well calibrated there.

    In units of the AUC, of the calibration slope, and of the O:E ratio (upper less lower end).
    """

    n: int
    events: float
    auc: float
    calibration_slope: float
    observed_expected: float


def development_size(parameters: int, prevalence: float, cox_snell_r2: float) -> DevelopmentSize:
    """Patients needed to develop a model of ``parameters`` candidate parameters (not selected ones).

    ``cox_snell_r2`` is the one anticipated of the model in new patients. Raises ValueError for a
    prevalence outside 0-1, no parameter, or an R2 that is not above 0 and below its largest value.
    """
    largest = largest_cox_snell_r2(prevalence)
    if parameters < 1:
        raise ValueError("a model has at least one parameter")
    if not 0.0 < cox_snell_r2 < largest:
        raise ValueError(
            f"a Cox-Snell R2 of {cox_snell_r2} is not above 0 and below {largest:.3f}, the largest at a "
            f"prevalence of {prevalence}"
        )
    shrinkage_for_r2 = cox_snell_r2 / (cox_snell_r2 + OPTIMISM_IN_R2 * largest)
    sizes = (
        ceil(_size_for_shrinkage(parameters, cox_snell_r2, SHRINKAGE)),
        ceil(_size_for_shrinkage(parameters, cox_snell_r2, shrinkage_for_r2)),
        ceil((Z_95 / ERROR_IN_RISK) ** 2 * prevalence * (1.0 - prevalence)),
    )
    patients = max(sizes)
    events = patients * prevalence
    return DevelopmentSize(*sizes, patients, events, events / parameters)


def expected_shrinkage(n: int, parameters: int, cox_snell_r2: float) -> float:
    """Uniform shrinkage to expect of a model of ``parameters`` developed on ``n`` patients (Riley's S).

    The solution of n = parameters / ((S - 1) log(1 - R2 / S)); 0 where the patients are too few for any.
    """
    values = np.linspace(cox_snell_r2, 1.0, 100_001)[1:-1]
    needed = parameters / ((values - 1.0) * np.log1p(-cox_snell_r2 / values))
    enough = values[needed <= n]
    return float(enough.max()) if len(enough) else 0.0


def cox_snell_r2_of_auc(auc: float, prevalence: float) -> float:
    """Cox-Snell R2 of a model with this AUC whose log-odds are normal within either outcome.

    Riley et al., Stat Med 2021;40:859-864, who simulate what is integrated here. Raises ValueError for
    an AUC that is not above 0.5 and below 1, or a prevalence outside 0-1.
    """
    if not 0.5 < auc < 1.0:
        raise ValueError(f"an AUC of {auc} is not above 0.5 and below 1")
    largest_cox_snell_r2(prevalence)
    # Means apart by ``distance`` with unit variance have this AUC, and log-odds linear in the marker.
    distance = sqrt(2.0) * float(stats.norm.ppf(auc))
    marker = np.linspace(-10.0, 10.0 + distance, 20_001)
    log_odds = log(prevalence / (1.0 - prevalence)) - distance**2 / 2.0 + distance * marker
    events = -prevalence * stats.norm.pdf(marker - distance) * np.logaddexp(0.0, -log_odds)
    non_events = -(1.0 - prevalence) * stats.norm.pdf(marker) * np.logaddexp(0.0, log_odds)
    gained = float(np.trapezoid(events + non_events, marker)) - _null_log_likelihood(prevalence)
    return 1.0 - exp(-2.0 * gained)


def largest_cox_snell_r2(prevalence: float) -> float:
    """Cox-Snell R2 of a model that knows every outcome; raises ValueError for a prevalence outside 0-1."""
    if not 0.0 < prevalence < 1.0:
        raise ValueError(f"a prevalence of {prevalence} is not between 0 and 1")
    return 1.0 - exp(2.0 * _null_log_likelihood(prevalence))


def events_per_predictor(events: int, non_events: int, parameters: int) -> float:
    """Patients of the rarer outcome per candidate parameter (Peduzzi et al., J Clin Epidemiol 1996;49:1373).

    ``parameters`` counts every candidate that was screened, and each level of a category but the first.
    Raises ValueError when there is none.
    """
    if parameters < 1:
        raise ValueError("a model has at least one parameter")
    return min(events, non_events) / parameters


def expected_widths(n: int, events: float, auc: float, log_odds: np.ndarray) -> ExpectedWidths:
    """Widths of the 95 % intervals to expect in a cohort of ``n`` patients with ``events`` events.

    ``events`` may be an expected number. ``auc`` is the one anticipated; ``log_odds`` is a sample of the
    model's linear predictor in the patients it is for (those of training patients, or of this cohort).
    The AUC's standard error is Hanley and McNeil's as modified by Newcombe (Stat Med 2006;25:559-573), the
    slope's that of Fisher's information, and O:E's that of its logarithm. Raises ValueError without both
    outcomes, for an AUC outside 0.5-1, or log-odds that do not vary.
    """
    if not 0 < events < n:
        raise ValueError(f"{events} events among {n} patients: both outcomes are needed")
    if not 0.5 <= auc < 1.0:
        raise ValueError(f"an AUC of {auc} is not from 0.5 to 1")
    prevalence = events / n
    error_of_ratio = sqrt((1.0 - prevalence) / events)
    return ExpectedWidths(
        n=n,
        events=events,
        auc=2.0 * Z_95 * _auc_error(auc, n, prevalence),
        calibration_slope=2.0 * Z_95 * _slope_error(np.asarray(log_odds, dtype=float), n),
        observed_expected=exp(Z_95 * error_of_ratio) - exp(-Z_95 * error_of_ratio),
    )


def _size_for_shrinkage(parameters: int, cox_snell_r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1.0) * log(1.0 - cox_snell_r2 / shrinkage))


def _null_log_likelihood(prevalence: float) -> float:
    """Log-likelihood per patient of giving everybody the prevalence."""
    return prevalence * log(prevalence) + (1.0 - prevalence) * log(1.0 - prevalence)


def _auc_error(auc: float, n: int, prevalence: float) -> float:
    pairs = n / 2.0 - 1.0
    spread = 1.0 + pairs * (1.0 - auc) / (2.0 - auc) + pairs * auc / (1.0 + auc)
    return sqrt(auc * (1.0 - auc) * spread / (n**2 * prevalence * (1.0 - prevalence)))


def _slope_error(log_odds: np.ndarray, n: int) -> float:
    if np.ptp(log_odds) == 0.0:
        raise ValueError("log-odds that do not vary have no calibration slope")
    p = expit(log_odds)
    weight = p * (1.0 - p)
    first, both, second = (float((weight * log_odds**k).mean()) for k in (0, 1, 2))
    return sqrt(first / (n * (first * second - both**2)))
