"""Net reclassification and integrated discrimination improvement of one model over another.

For a supplement only, and never with a p-value: a useless marker added to a miscalibrated model improves
the net reclassification even in new patients (Pepe et al., Stat Biosci 2015;7:282-295), and events and
non-events mean different things (Kerr et al., Epidemiology 2014;25:114-121). The guards are in
``annulus.evaluation.warnings``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from annulus.evaluation.discrimination import Interval
from annulus.evaluation.predictions import refuse_missing


@dataclass(frozen=True)
class NetReclassification:
    """Net shares of patients whose risk moved the right way, and how many moved either way.

    ``events`` is the share of events moved up less that moved down (-1 to 1); ``non_events`` the share of
    non-events moved down less that moved up. ``total`` adds the two and so gives both outcomes the same
    weight whatever the prevalence; it is no share of patients.
    """

    events: Interval
    non_events: Interval
    total: Interval
    events_up: float
    events_down: float
    non_events_up: float
    non_events_down: float


@dataclass(frozen=True)
class DiscriminationImprovement:
    """Mean change of risk in events (``events``), of its opposite in non-events, and their sum (IDI)."""

    events: Interval
    non_events: Interval
    total: Interval


Improvement = NetReclassification | DiscriminationImprovement


def categorical_nri(
    outcome: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    cut_offs: Sequence[float],
    level: float = 0.95,
) -> NetReclassification:
    """Net reclassification across risk categories that start at each of ``cut_offs``.

    Intervals are normal, with the multinomial variance (Pencina et al., Stat Med 2008;27:157-172 and
    2011;30:11-21). Raises ValueError unless both outcomes are present and cut-offs are between 0 and 1.
    """
    refuse_missing(outcome, old, new)
    edges = _edges(cut_offs)
    change = np.searchsorted(edges, new, side="right") - np.searchsorted(edges, old, side="right")
    return _net(outcome, np.sign(change), level)


def continuous_nri(
    outcome: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    least_change: float = 0.0,
    level: float = 0.95,
) -> NetReclassification:
    """Net reclassification of risks that changed by more than ``least_change`` (probability).

    With 0 every change counts, however small (Pencina et al., Stat Med 2011;30:11-21). Intervals as in
    ``categorical_nri``. Raises ValueError unless both outcomes are present.
    """
    refuse_missing(outcome, old, new)
    change = np.asarray(new, dtype=float) - np.asarray(old, dtype=float)
    return _net(outcome, np.sign(change) * (np.abs(change) > least_change), level)


def idi(
    outcome: np.ndarray, old: np.ndarray, new: np.ndarray, level: float = 0.95
) -> DiscriminationImprovement:
    """Integrated discrimination improvement: the gain in mean risk difference between the outcomes.

    Intervals are normal (Pencina et al., Stat Med 2008;27:157-172). Raises ValueError unless two patients
    of either outcome are present.
    """
    refuse_missing(outcome, old, new)
    y = _two_outcomes(outcome)
    change = np.asarray(new, dtype=float) - np.asarray(old, dtype=float)
    if min(y.sum(), (~y).sum()) < 2:
        raise ValueError("the IDI needs two patients with and two without the event")
    rose, fell = float(change[y].mean()), float(-change[~y].mean())
    variances = [float(part.var(ddof=1)) / len(part) for part in (change[y], change[~y])]
    return DiscriminationImprovement(
        events=_normal(rose, variances[0], level, "normal"),
        non_events=_normal(fell, variances[1], level, "normal"),
        total=_normal(rose + fell, sum(variances), level, "normal"),
    )


def bootstrap_improvement(
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], Improvement],
    outcome: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    bootstraps: int,
    seed: int,
    level: float = 0.95,
) -> tuple[Interval, Interval, Interval]:
    """Percentile intervals of ``measure``'s events, non-events and total over resamples of patients.

    Patients are drawn within each outcome. Both risks stay frozen: the interval is of what new patients
    would show, not of what refitting would.
    """
    y = _two_outcomes(outcome)
    before, after = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    rng = np.random.default_rng(seed)
    rows = np.hstack(
        [rng.choice(part, size=(bootstraps, len(part))) for part in map(np.flatnonzero, (y, ~y))]
    )
    drawn = [_three(measure(y[r], before[r], after[r])) for r in rows]
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    found = _three(measure(y, before, after))
    events, non_events, total = (
        Interval(value, float(low), float(high), "bootstrap within each outcome")
        for value, low, high in zip(found, lower, upper, strict=True)
    )
    return events, non_events, total


def reclassification_table(
    outcome: np.ndarray, old: np.ndarray, new: np.ndarray, cut_offs: Sequence[float]
) -> pd.DataFrame:
    """Count patients by outcome, old category and new category, empty cells included.

    Columns: y, old, new (the category, such as ``0.1 to <0.3``), n.
    """
    edges = _edges(cut_offs)
    ends = [0.0, *edges, 1.0]
    labels = [f"{low:g} to {'' if high == 1.0 else '<'}{high:g}" for low, high in pairwise(ends)]
    names = np.array(labels)
    table = pd.DataFrame(
        {
            "y": np.asarray(outcome, dtype=int),
            "old": names[np.searchsorted(edges, old, side="right")],
            "new": names[np.searchsorted(edges, new, side="right")],
        }
    )
    cells = pd.MultiIndex.from_product([[0, 1], labels, labels], names=["y", "old", "new"])
    return table.value_counts(["y", "old", "new"]).reindex(cells, fill_value=0).rename("n").reset_index()


def _edges(cut_offs: Sequence[float]) -> np.ndarray:
    edges = np.asarray(cut_offs, dtype=float)
    if len(edges) == 0 or (np.diff(np.r_[0.0, edges, 1.0]) <= 0.0).any():
        raise ValueError(f"risk cut-offs {list(cut_offs)} are not in increasing order between 0 and 1")
    return edges


def _net(outcome: np.ndarray, direction: np.ndarray, level: float) -> NetReclassification:
    """Net shares for directions of change (-1, 0, 1) per patient."""
    y = _two_outcomes(outcome)
    up, down = direction > 0, direction < 0
    shares = [float(moved[part].mean()) for part in (y, ~y) for moved in (up, down)]
    events_up, events_down, non_events_up, non_events_down = shares
    events, non_events = events_up - events_down, non_events_down - non_events_up
    variances = [
        (events_up + events_down - events**2) / int(y.sum()),
        (non_events_up + non_events_down - non_events**2) / int((~y).sum()),
    ]
    method = "normal, multinomial variance"
    return NetReclassification(
        events=_normal(events, variances[0], level, method),
        non_events=_normal(non_events, variances[1], level, method),
        total=_normal(events + non_events, sum(variances), level, method),
        events_up=events_up,
        events_down=events_down,
        non_events_up=non_events_up,
        non_events_down=non_events_down,
    )


def _normal(estimate: float, variance: float, level: float, method: str) -> Interval:
    if variance <= 0.0:
        return Interval(estimate, np.nan, np.nan, method, "every patient moved alike: no interval")
    reach = float(stats.norm.ppf(0.5 + level / 2.0) * np.sqrt(variance))
    return Interval(estimate, estimate - reach, estimate + reach, method)


def _three(found: Improvement) -> tuple[float, float, float]:
    return found.events.estimate, found.non_events.estimate, found.total.estimate


def _two_outcomes(outcome: np.ndarray) -> np.ndarray:
    y = np.asarray(outcome, dtype=bool)
    if y.all() or not y.any():
        raise ValueError("reclassification needs patients with and without the event")
    return y
