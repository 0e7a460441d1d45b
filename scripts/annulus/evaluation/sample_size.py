"""How many patients a prediction model needs, and how precisely a cohort can judge it.

Development: Riley et al., BMJ 2020;368:m441, as R's pmsampsize. Validation: Riley et al., Stat Med
2021;40:4230-4251 and BMJ 2024;384:e074821, as R's pmvalsampsize. Sizes are numbers of patients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import asinh, ceil, exp, log, sqrt

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from annulus.cohort.dictionary import columns_of, terms_of
from annulus.evaluation.discrimination import delong
from annulus.evaluation.predictions import known
from annulus.modelling.plan import rad_score
from annulus.modelling.odds import logit

SIZE_COLUMNS = [
    "purpose", "model", "cohort", "n", "events", "auc", "cox_snell_r2", "parameters",
    "events_per_parameter", "patients_needed", "for_shrinkage", "for_optimism", "for_risk",
    "expected_shrinkage", "auc_width", "calibration_slope_width", "observed_expected_width", "note",
    "synthetic",
]  # fmt: skip

# Counts, missing where a row has none.
WHOLE = ("parameters", "patients_needed", "for_shrinkage", "for_optimism", "for_risk")

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


def sample_size_table(predictions: pd.DataFrame, selection: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """Size of the training cohort for each model, and of every other cohort to judge it.

    What is anticipated of a model (its AUC, and the Cox-Snell R2 that such an AUC comes with) is what its
    out-of-fold predictions show. Rows with ``purpose`` development hold Riley's criteria, validation the
    widths of 95 % intervals to expect.
    """
    table = known(predictions)
    screened = candidate_parameters(selection)
    rows: list[dict[str, object]] = []
    for model, group in table.groupby("model", sort=False):
        training = group[group["cohort"] == "train"]
        if training.empty:
            continue
        y, p = training["y"].to_numpy(), training["evaluated"].to_numpy()
        auc = float(delong(y, p[None, :])[0][0]) if 0 < y.sum() < len(y) else np.nan
        facts = {"model": model, "auc": auc}
        rows.append({**facts, **_development(y, auc, screened.get(str(model), 0))})
        rows += [{**facts, **row} for row in _validation(group, auc, logit(p))]
    sizes = pd.DataFrame(rows).reindex(columns=SIZE_COLUMNS)
    return sizes.astype(dict.fromkeys(WHOLE, "Int64")).assign(synthetic=int(synthetic))


def candidate_parameters(selection: pd.DataFrame) -> dict[str, int]:
    """Count, by model, the parameters of every candidate that was screened, whatever removed it.

    A category counts once per level but the first. A Rad-score counts as all the features that its
    signature was chosen from.
    """
    candidates = {
        str(model): [str(column) for column in group["column"]]
        for model, group in selection.groupby("model", sort=False)
    }
    signatures = {
        rad_score(model.removeprefix("signature_")): len(columns)
        for model, columns in candidates.items()
        if model.startswith("signature_")
    }
    return {
        model: sum(signatures.get(column) or _parameters(column) for column in columns)
        for model, columns in candidates.items()
    }


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


def expected_shrinkage(n: int, parameters: int, cox_snell_r2: float, prevalence: float) -> float:
    """Uniform shrinkage to expect of a model of ``parameters`` developed on ``n`` patients (Riley's S).

    The solution of n = parameters / ((S - 1) log(1 - R2 / S)). R2 / S is the apparent R2, which cannot be
    above the largest at this ``prevalence``; 0 where the patients are too few even for that.
    """
    values = np.linspace(cox_snell_r2 / largest_cox_snell_r2(prevalence), 1.0, 100_001)[1:-1]
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


def size_for_observed_expected(prevalence: float, width: float) -> int:
    """Patients whose 95 % interval of O:E is ``width`` wide, were as many events expected as observed.

    Raises ValueError for a prevalence outside 0-1 or a width that is not above 0.
    """
    if not 0.0 < prevalence < 1.0 or width <= 0.0:
        raise ValueError(f"a prevalence of {prevalence} or a width of {width} has no size")
    error_of_ratio = asinh(width / 2.0) / Z_95
    return ceil((1.0 - prevalence) / (prevalence * error_of_ratio**2))


def size_for_calibration_slope(log_odds: np.ndarray, width: float) -> int:
    """Patients whose 95 % interval of the calibration slope is ``width`` wide, were the slope 1.

    ``log_odds`` is a sample of the linear predictor. Raises ValueError where it does not vary, or for a
    width that is not above 0.
    """
    if width <= 0.0:
        raise ValueError(f"an interval has no width of {width}")
    return ceil((2.0 * Z_95 * _slope_error(np.asarray(log_odds, dtype=float), 1) / width) ** 2)


def _parameters(column: str) -> int:
    known_column = columns_of("participants").get(column)
    return len(terms_of(known_column)) if known_column else 1


def _development(y: np.ndarray, auc: float, parameters: int) -> dict[str, object]:
    n, events = len(y), int(y.sum())
    row: dict[str, object] = {
        "purpose": "development",
        "cohort": "train",
        "n": n,
        "events": events,
        "parameters": parameters,
    }
    try:
        row["events_per_parameter"] = events_per_predictor(events, n - events, parameters)
        r2 = cox_snell_r2_of_auc(auc, events / n)
        needed = development_size(parameters, events / n, r2)
    except ValueError as error:
        return {**row, "note": f"Riley's criteria do not apply: {error}"}
    return {
        **row,
        "cox_snell_r2": r2,
        "patients_needed": needed.patients,
        "for_shrinkage": needed.for_shrinkage,
        "for_optimism": needed.for_optimism,
        "for_risk": needed.for_risk,
        "expected_shrinkage": expected_shrinkage(n, parameters, r2, events / n),
        "note": "",
    }


def _validation(group: pd.DataFrame, auc: float, log_odds: np.ndarray) -> Iterator[dict[str, object]]:
    for cohort, part in group[group["cohort"] != "train"].groupby("cohort", sort=False):
        n, events = len(part), int(part["y"].sum())
        row = {"purpose": "validation", "cohort": cohort, "n": n, "events": events}
        try:
            widths = expected_widths(n, events, auc, log_odds)
        except ValueError as error:
            yield {**row, "note": str(error)}
            continue
        yield {
            **row,
            "auc_width": widths.auc,
            "calibration_slope_width": widths.calibration_slope,
            "observed_expected_width": widths.observed_expected,
            "note": "",
        }


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
