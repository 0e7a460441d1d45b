"""The cut-off, chosen once on training patients' out-of-fold probabilities and frozen.

It is a probability; patients at or above it are positive.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

# Resamples of patients behind the interval of a cut-off.
RESAMPLES = 1000


@dataclass(frozen=True)
class CutOff:
    """A cut-off with its rule in words, and how far resampled training patients would have moved it.

    ``lower`` and ``upper`` are the 95 % percentile interval; missing where the rule fixes the value.
    """

    value: float
    rule: str
    lower: float = np.nan
    upper: float = np.nan

    @property
    def chosen(self) -> bool:
        """Whether training predictions chose it, rather than somebody beforehand."""
        return not np.isnan(self.lower)


def choose_cut_off(
    outcome: np.ndarray, probability: np.ndarray, rule: str, at: float | None, seed: int
) -> CutOff:
    """Choose the cut-off on out-of-fold ``probability`` of training patients.

    ``rule`` is ``youden``; ``sensitivity`` or ``specificity``, the cut-off that reaches ``at`` and is best
    in the other; or ``fixed``, ``at`` itself. Raises ValueError for another rule.
    """
    if rule == "fixed":
        return CutOff(_given(at), f"fixed before the study at {_given(at):g}")
    find, words = _finder(rule, at)
    y, p = np.asarray(outcome, dtype=bool), np.asarray(probability, dtype=float)
    rng = np.random.default_rng(seed)
    drawn = []
    for rows in rng.integers(len(y), size=(RESAMPLES, len(y))):
        if 0 < y[rows].sum() < len(y):
            drawn.append(find(y[rows], p[rows]))
    lower, upper = np.quantile(drawn, [0.025, 0.975])
    return CutOff(find(y, p), words, float(lower), float(upper))


def given_cut_offs(models: Iterable[str], at: float) -> dict[str, CutOff]:
    """Return one cut-off, fixed before the study, for models that are given and not fitted."""
    return {model: CutOff(at, f"fixed before the study at {at:g}") for model in models}


def youden(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Return the observed probability whose cut (at or above) has the largest sensitivity + specificity.

    Of several, the largest; Youden, Cancer 1950;3:32-35. Raises ValueError unless both outcomes are present
    and every patient has a probability.
    """
    candidates, sensitivity, specificity = _operating_points(outcome, probability)
    return float(candidates[np.argmax(np.round(sensitivity + specificity, 12))])


def reaching_sensitivity(outcome: np.ndarray, probability: np.ndarray, least: float) -> float:
    """Return the largest observed probability whose cut has a sensitivity of ``least`` or more."""
    candidates, sensitivity, _ = _operating_points(outcome, probability)
    return float(candidates[np.argmax(sensitivity >= least - 1e-12)])


def reaching_specificity(outcome: np.ndarray, probability: np.ndarray, least: float) -> float:
    """Return the smallest observed probability whose cut has a specificity of ``least`` or more.

    Where even the largest probability does not reach it, that one.
    """
    candidates, _, specificity = _operating_points(outcome, probability)
    reached = candidates[specificity >= least - 1e-12]
    return float(reached.min() if len(reached) else candidates[0])


def _operating_points(
    outcome: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed probabilities, falling, with sensitivity and specificity of a cut at each."""
    y = np.asarray(outcome, dtype=bool)
    if y.all() or not y.any() or np.isnan(np.append(probability, outcome).astype(float)).any():
        raise ValueError("a cut-off needs patients with and without the event, and a probability of each")
    candidates, counted = np.unique(probability, return_inverse=True)
    events = np.bincount(counted, weights=y, minlength=len(candidates))
    others = np.bincount(counted, weights=~y, minlength=len(candidates))
    sensitivity = np.cumsum(events[::-1]) / y.sum()
    specificity = 1.0 - np.cumsum(others[::-1]) / (~y).sum()
    return candidates[::-1], sensitivity, specificity


def _finder(rule: str, at: float | None) -> tuple[Callable[[np.ndarray, np.ndarray], float], str]:
    if rule == "youden":
        return youden, "Youden index on out-of-fold training probabilities"
    if rule not in ("sensitivity", "specificity"):
        raise ValueError(f"cut_off.rule: {rule} is not known")
    least = _given(at)
    reach = reaching_sensitivity if rule == "sensitivity" else reaching_specificity

    def find(outcome: np.ndarray, probability: np.ndarray) -> float:
        return reach(outcome, probability, least)

    return find, f"{rule} of at least {least:g} on out-of-fold training probabilities"


def _given(at: float | None) -> float:
    if at is None:
        raise ValueError("cut_off.at must be given for this rule")
    return at
