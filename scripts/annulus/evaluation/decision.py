"""Decision curves (Vickers & Elkin, Med Decis Making 2006;26:565-574) of frozen probabilities."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from annulus.errors import StudyError

CURVE_COLUMNS = [
    "model", "cohort", "threshold", "net_benefit", "lower", "upper", "interventions_avoided",
    "beyond_largest_risk",
]  # fmt: skip


def thresholds_between(low: float, high: float, step: float = 0.01) -> np.ndarray:
    """Threshold probabilities from ``low`` to ``high``, both included."""
    inside = np.round(np.arange(low, high, step), 6)
    return np.append(inside[inside < high - 1e-9], high)


def declared_thresholds(decision: str, low: float | None, high: float | None) -> np.ndarray:
    """Threshold probabilities of the range declared for ``decision``, the act that a risk would trigger.

    A decision curve over thresholds at which nobody would decide misleads, so there is no default range.
    Raises StudyError where the decision or an end is missing, or the ends are not in order within 0-1.
    """
    if not decision.strip():
        raise StudyError(
            "decision curve: no decision is named. Say what a high predicted risk would lead to "
            "(such as biopsy), and the threshold probabilities at which doctors would consider it."
        )
    if low is None or high is None:
        raise StudyError(
            f"decision curve for {decision}: no threshold range is declared. Give the lowest and the "
            "highest risk at which a doctor or patient might still choose either way, such as 0.1 to 0.5."
        )
    if not 0.0 < low < high < 1.0:
        raise StudyError(
            f"decision curve for {decision}: thresholds {low} to {high} are not in order between 0 and 1. "
            "Net benefit is not defined at 0 and 1 themselves."
        )
    return thresholds_between(low, high)


def net_benefit(
    outcome: np.ndarray, probability: np.ndarray, thresholds: np.ndarray, prevalence: float | None = None
) -> np.ndarray:
    """Net benefit of treating patients at or above each threshold, per patient.

    Arrays may have leading axes (resamples); the last axis of ``outcome`` and ``probability`` is the
    patient. Returns the leading axes, then threshold. With ``prevalence``, sensitivity and specificity are
    those of the patients and the share of events is the one given (for a case-control sample, or a clinic
    with other patients); missing where the patients have one outcome only.
    """
    y = np.asarray(outcome, dtype=float)[..., None, :]
    treated = np.asarray(probability)[..., None, :] >= thresholds[:, None]
    true_positive = (treated * y).mean(axis=-1)
    false_positive = (treated * (1.0 - y)).mean(axis=-1)
    if prevalence is not None:
        observed = y.mean(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            true_positive = true_positive / observed * prevalence
            false_positive = false_positive / (1.0 - observed) * (1.0 - prevalence)
    benefit: np.ndarray = true_positive - false_positive * thresholds / (1.0 - thresholds)
    return benefit


def decision_curve(
    outcome: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    thresholds: np.ndarray,
    bootstraps: int,
    seed: int,
    level: float = 0.95,
    prevalence: float | None = None,
) -> pd.DataFrame:
    """Net benefit of every model, of treating all and of treating none.

    The band is the percentile interval of ``bootstraps`` resamples of patients, the same resamples
    for every model; within each outcome when a ``prevalence`` is given, which then is not sampled.
    ``interventions_avoided`` is per patient, against treating all. ``beyond_largest_risk`` is 1 at
    thresholds above every predicted risk: there the model treats nobody, and its 0 says nothing of it.
    Raises ValueError for risks that are missing or outside 0-1, such as scores, and for such a prevalence.
    """
    y = np.asarray(outcome, dtype=float)
    for model, p in probabilities.items():
        # A missing risk would count as a patient whom the model leaves untreated.
        if not ((np.asarray(p) >= 0.0) & (np.asarray(p) <= 1.0)).all():
            raise ValueError(f"decision curve of {model}: its predictions are not all between 0 and 1")
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise ValueError(f"decision curve: a prevalence of {prevalence} is not between 0 and 1")
    rng = np.random.default_rng(seed)
    resamples = _resamples(y, bootstraps, rng, within_outcome=prevalence is not None)
    treat_all = net_benefit(y, np.ones_like(y), thresholds, prevalence)
    strategies = {
        **probabilities,
        "treat_all": np.ones_like(y),
        "treat_none": np.zeros_like(y),
    }
    tables = []
    for model, p in strategies.items():
        benefit = net_benefit(y, p, thresholds, prevalence)
        lower, upper = _band(y, np.asarray(p), thresholds, resamples, level, prevalence)
        largest = np.max(p) if model in probabilities else 1.0
        odds = thresholds / (1.0 - thresholds)
        tables.append(
            pd.DataFrame(
                {
                    "model": model,
                    "threshold": thresholds,
                    "net_benefit": benefit,
                    "lower": lower,
                    "upper": upper,
                    "interventions_avoided": (benefit - treat_all) / odds,
                    "beyond_largest_risk": (thresholds > largest).astype(int),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _resamples(y: np.ndarray, bootstraps: int, rng: np.random.Generator, within_outcome: bool) -> np.ndarray:
    """Rows of patients drawn with replacement (resample x patient)."""
    if not within_outcome:
        return rng.integers(len(y), size=(bootstraps, len(y)))
    drawn = [rng.choice(rows, size=(bootstraps, len(rows))) for rows in map(np.flatnonzero, (y == 1, y == 0))]
    return np.hstack(drawn)


def _band(
    y: np.ndarray,
    p: np.ndarray,
    thresholds: np.ndarray,
    resamples: np.ndarray,
    level: float,
    prevalence: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    tail = (1.0 - level) / 2.0
    # One threshold at a time keeps the memory at resamples x patients.
    found = [
        np.quantile(
            net_benefit(y[resamples], p[resamples], np.array([t]), prevalence)[:, 0], [tail, 1 - tail]
        )
        for t in thresholds
    ]
    lower, upper = np.array(found).T
    return lower, upper
