"""Decision curves (Vickers & Elkin, Med Decis Making 2006;26:565-574) of frozen probabilities."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

CURVE_COLUMNS = [
    "model", "cohort", "threshold", "net_benefit", "lower", "upper", "interventions_avoided",
]  # fmt: skip


def thresholds_between(low: float, high: float, step: float = 0.01) -> np.ndarray:
    """Threshold probabilities from ``low`` to ``high``, both included."""
    inside = np.round(np.arange(low, high, step), 6)
    return np.append(inside[inside < high - 1e-9], high)


def net_benefit(outcome: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Net benefit of treating patients at or above each threshold, per patient.

    Arrays may have leading axes (resamples); the last axis of ``outcome`` and ``probability`` is the
    patient. Returns the leading axes, then threshold.
    """
    y = np.asarray(outcome, dtype=float)[..., None, :]
    treated = np.asarray(probability)[..., None, :] >= thresholds[:, None]
    true_positive = (treated * y).mean(axis=-1)
    false_positive = (treated * (1.0 - y)).mean(axis=-1)
    benefit: np.ndarray = true_positive - false_positive * thresholds / (1.0 - thresholds)
    return benefit


def decision_curve(
    outcome: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    thresholds: np.ndarray,
    bootstraps: int,
    seed: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """Net benefit of every model, of treating all and of treating none.

    The band is the percentile interval of ``bootstraps`` resamples of patients, the same resamples
    for every model. ``interventions_avoided`` is per patient, against treating all.
    """
    y = np.asarray(outcome, dtype=float)
    rng = np.random.default_rng(seed)
    resamples = rng.integers(len(y), size=(bootstraps, len(y)))
    treat_all = net_benefit(y, np.ones_like(y), thresholds)
    strategies = {
        **probabilities,
        "treat_all": np.ones_like(y),
        "treat_none": np.zeros_like(y),
    }
    tables = []
    for model, p in strategies.items():
        benefit = net_benefit(y, p, thresholds)
        lower, upper = _band(y, np.asarray(p), thresholds, resamples, level)
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
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _band(
    y: np.ndarray, p: np.ndarray, thresholds: np.ndarray, resamples: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    tail = (1.0 - level) / 2.0
    # One threshold at a time keeps the memory at resamples x patients.
    found = [
        np.quantile(net_benefit(y[resamples], p[resamples], np.array([t]))[:, 0], [tail, 1 - tail])
        for t in thresholds
    ]
    lower, upper = np.array(found).T
    return lower, upper
