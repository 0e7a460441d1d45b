"""Steps between a table of features and a model, each a transformer that learns from training only.

Every step takes and returns a table with patients as rows. Columns named in ``carried`` (the centre, say)
pass through untouched. A step that selects keeps the names of what it removed in ``removed_`` and what it
judged by in ``statistic_``, by column; it may keep nothing, and the steps after it then have nothing to do.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.utils.validation import check_is_fitted

from annulus.errors import StudyError
from annulus.modelling.frozen_steps import ChainedFill, FrozenStep, MedianFill, Regression, ZScore

# A standard deviation this small beside the mean is rounding, not variation.
ROUNDING = 1e-10

# Features whose correlations are computed at once, so that memory does not grow with their square.
BLOCK = 512

TESTS = ("mann_whitney", "welch")
CORRECTIONS = ("none", "bh")
CORRELATIONS = ("spearman", "pearson")
IMPUTATIONS = ("median", "iterative")


class Step(TransformerMixin, BaseEstimator):
    """A step that leaves the carried columns alone."""

    carried: Sequence[str]

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Name the columns that come out: features, then carried columns."""
        check_is_fitted(self)
        return np.array([*self._kept(), *self.carried], dtype=object)

    def freeze(self, kept: Sequence[str]) -> FrozenStep | None:
        """Keep what bringing the features ``kept`` through this step needs; None for a step that selects."""
        return None

    def _places(self, kept: Sequence[str]) -> list[int]:
        wanted = set(kept)
        return [i for i, name in enumerate(Step._kept(self)) if name in wanted]

    def _kept(self) -> list[str]:
        apart = set(self.carried)
        return [name for name in self.feature_names_in_ if name not in apart]

    def _start(self, X: pd.DataFrame) -> pd.DataFrame:
        """Remember the columns, and return the features."""
        X = _table(X)
        self.columns_in_ = X.columns
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self._features(X)

    def _features(self, X: pd.DataFrame) -> pd.DataFrame:
        X = _table(X)
        if not X.columns.equals(self.columns_in_):
            absent = [name for name in self.feature_names_in_ if name not in X]
            if absent:
                raise ValueError(
                    f"the table lacks columns that training had: {', '.join(map(str, absent[:5]))}"
                )
        elif not self.carried:
            return X
        apart = set(self.carried)
        return X[[name for name in self.feature_names_in_ if name not in apart]]

    def _with_carried(self, features: pd.DataFrame, X: pd.DataFrame) -> pd.DataFrame:
        return features if not self.carried else pd.concat([features, _table(X)[list(self.carried)]], axis=1)

    def _numbers(self, features: pd.DataFrame) -> np.ndarray:
        """Return the values, refusing missing ones."""
        values = features.to_numpy(dtype=float)
        if not np.isfinite(values).all():
            raise StudyError(
                f"{type(self).__name__.lower()}: a feature is missing or infinite. Put imputation before it."
            )
        return values


class Selector(Step, ABC):
    """A step that keeps some of the features as they are."""

    def fit(self, X: pd.DataFrame, y: np.ndarray | None = None) -> "Selector":
        """Learn which features (patient x feature) to keep; ``y`` is 0 or 1."""
        features = self._start(X)
        outcome = None if y is None else np.asarray(y, dtype=float)
        if features.shape[1]:
            keep, statistic = self._judge(features, outcome)
        else:
            keep, statistic = np.zeros(0, dtype=bool), np.zeros(0)
        self.keep_ = keep
        self.statistic_ = pd.Series(statistic, index=features.columns)
        self.removed_ = list(features.columns[~keep])
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features kept."""
        check_is_fitted(self)
        features = self._features(X)
        return self._with_carried(features if self.keep_.all() else features.loc[:, self.keep_], X)

    def _kept(self) -> list[str]:
        return [name for name, kept in zip(super()._kept(), self.keep_, strict=True) if kept]

    @abstractmethod
    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return which features are kept, and the statistic that decided for each."""


class Impute(Step):
    """Fill in missing features by the training median, or from other features (``iterative``).

    Iterative: each feature that training lacks in places is regressed on the ``neighbours`` most
    correlated (drawn with ``seed``), ten rounds, and kept within its training range (after van Buuren &
    Groothuis-Oudshoorn, J Stat Softw 2011;45(3), but once and without noise). A patient's values never
    depend on who else is filled in.
    """

    def __init__(
        self, method: str = "median", neighbours: int = 20, seed: int = 0, carried: Sequence[str] = ()
    ) -> None:
        self.method = method
        self.neighbours = neighbours
        self.seed = seed
        self.carried = carried

    def fit(self, X: pd.DataFrame, y: object = None) -> "Impute":
        """Learn medians or regressions; a feature that nobody has becomes 0, which never varies."""
        _one_of("impute.method", self.method, IMPUTATIONS)
        values = self._values(self._start(X))
        self.median_ = _medians(values)
        if self.method == "iterative" and values.shape[1] > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are what is meant
                # A copy, because pandas lends arrays that cannot be written to.
                self.imputer_ = self._imputer(values).fit(values.copy())
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features without missing values."""
        check_is_fitted(self)
        features = self._features(X)
        values = self._values(features)
        missing = np.isnan(values)
        if not missing.any():
            filled = values
        elif hasattr(self, "imputer_"):
            # Without a complete row scikit-learn stops at medians when a table holds nothing at all.
            with_medians = np.vstack([values, self.imputer_.initial_imputer_.statistics_])
            filled = self.imputer_.transform(with_medians)[: len(values)]
        else:
            filled = np.where(missing, self.median_, values)
        return self._with_carried(pd.DataFrame(filled, features.index, features.columns), X)

    def freeze(self, kept: Sequence[str]) -> MedianFill | ChainedFill:
        """Keep the medians, or the regressions that lead to the features ``kept`` and their neighbours."""
        check_is_fitted(self)
        if not hasattr(self, "imputer_"):
            return self._medians(self._places(kept), self.median_)
        needed, chain = set(self._places(kept)), []
        for feature, neighbours, regression in reversed(self.imputer_.imputation_sequence_):
            if feature in needed:
                needed.update(map(int, neighbours))
                chain.append((int(feature), neighbours, regression))
        own = sorted(needed)
        place = {column: i for i, column in enumerate(own)}
        regressions = tuple(
            Regression(
                feature=place[feature],
                neighbours=tuple(place[int(i)] for i in neighbours),
                coefficients=tuple(regression.coef_.tolist()),
                intercept=float(regression.intercept_),
                lowest=_finite(self.imputer_.min_value[feature]),
                highest=_finite(self.imputer_.max_value[feature]),
            )
            for feature, neighbours, regression in reversed(chain)
        )
        medians = self._medians(own, self.imputer_.initial_imputer_.statistics_)
        return ChainedFill(medians.features, medians.fill, regressions)

    def _medians(self, own: list[int], medians: np.ndarray) -> MedianFill:
        names = self._kept()
        return MedianFill(tuple(names[i] for i in own), tuple(medians[own].tolist()))

    def _values(self, features: pd.DataFrame) -> np.ndarray:
        values = features.to_numpy(dtype=float)
        if np.isinf(values).any():
            raise StudyError("impute: a feature is infinite, which no median or regression can learn from.")
        return values

    def _imputer(self, values: np.ndarray) -> IterativeImputer:
        known = np.isfinite(values).any(axis=0)
        lowest = np.where(known, np.nanmin(np.where(known, values, 0.0), axis=0), -np.inf)
        highest = np.where(known, np.nanmax(np.where(known, values, 0.0), axis=0), np.inf)
        same = lowest == highest
        return IterativeImputer(
            initial_strategy="median",
            n_nearest_features=min(self.neighbours, values.shape[1] - 1),
            skip_complete=True,
            keep_empty_features=True,
            min_value=np.where(same, -np.inf, lowest),
            max_value=np.where(same, np.inf, highest),
            random_state=self.seed,
        )


class Stability(Selector):
    """Keep features whose intraclass correlation has a lower bound of at least ``least``.

    ``lower`` is that bound by feature (:func:`lower_bounds`); it must come from training patients, or
    from patients outside the study. A feature whose coefficient could not be estimated is removed.
    """

    def __init__(
        self, lower: Mapping[str, float] | None = None, least: float = 0.75, carried: Sequence[str] = ()
    ) -> None:
        self.lower = lower
        self.least = least
        self.carried = carried

    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        bounds = self.lower or {}
        absent = [name for name in features if name not in bounds]
        if absent:
            raise StudyError(
                f"stability: {len(absent)} features have no intraclass correlation, {absent[0]} for one. "
                "Measure them too, or leave out the step."
            )
        statistic = np.array([bounds[name] for name in features], dtype=float)
        return statistic >= self.least, statistic


class Scale(Step):
    """Z-scores by the training mean and population standard deviation; what does not vary becomes 0."""

    def __init__(self, carried: Sequence[str] = ()) -> None:
        self.carried = carried

    def fit(self, X: pd.DataFrame, y: object = None) -> "Scale":
        """Learn mean and standard deviation."""
        values = self._numbers(self._start(X))
        self.mean_, self.sd_, self.varies_ = moments(values)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return z-scores."""
        check_is_fitted(self)
        features = self._features(X)
        scaled = self._numbers(features) - self.mean_
        scaled /= np.where(self.varies_, self.sd_, np.inf)
        return self._with_carried(pd.DataFrame(scaled, features.index, features.columns), X)

    def freeze(self, kept: Sequence[str]) -> ZScore:
        """Keep mean and standard deviation of the features ``kept``, no model having use of constant ones."""
        check_is_fitted(self)
        names, own = self._kept(), self._places(kept)
        sd = np.where(self.varies_, self.sd_, 1.0)
        return ZScore(tuple(names[i] for i in own), tuple(self.mean_[own].tolist()), tuple(sd[own].tolist()))


class Variance(Selector):
    """Remove features that do not vary, or whose population variance is not above ``least``.

    After scaling every variance is 1 or 0; a ``least`` above 0 therefore belongs before it.
    """

    def __init__(self, least: float = 0.0, carried: Sequence[str] = ()) -> None:
        self.least = least
        self.carried = carried

    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        _, sd, varies = moments(self._numbers(features))
        return varies & (sd**2 > self.least), sd**2


class Univariable(Selector):
    """Keep features that differ between the outcomes with p below ``p``.

    ``test`` is ``mann_whitney`` (normal approximation with ties and continuity, R's
    ``wilcox.test(exact = FALSE)``) or ``welch``. With ``correction`` ``bh`` p-values are first adjusted
    for the false discovery rate (Benjamini & Hochberg, J R Stat Soc B 1995;57:289-300).
    """

    def __init__(
        self,
        p: float = 0.05,
        test: str = "mann_whitney",
        correction: str = "none",
        carried: Sequence[str] = (),
    ) -> None:
        self.p = p
        self.test = test
        self.correction = correction
        self.carried = carried

    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        _one_of("univariable.test", self.test, TESTS)
        _one_of("univariable.correction", self.correction, CORRECTIONS)
        values, event = self._numbers(features), _outcome(outcome) > 0
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of features that do not vary
            if self.test == "welch":
                p = stats.ttest_ind(values[event], values[~event], equal_var=False).pvalue
            else:
                p = stats.mannwhitneyu(values[event], values[~event], method="asymptotic").pvalue
        p = np.where(np.isnan(p) | ~vary(values), 1.0, p)
        if self.correction == "bh":
            p = stats.false_discovery_control(p)
        return p < self.p, p


class Correlation(Selector):
    """Of features correlated above ``most`` in absolute value keep the one that tells most of the outcome.

    Features are taken in the order of their absolute correlation with the outcome (ties: of the table);
    one is removed when it is too close to one already kept. The statistic is that largest correlation.
    """

    def __init__(self, most: float = 0.9, method: str = "spearman", carried: Sequence[str] = ()) -> None:
        self.most = most
        self.method = method
        self.carried = carried

    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        _one_of("correlation.method", self.method, CORRELATIONS)
        values = self._numbers(features)
        if self.method == "spearman":
            values = stats.rankdata(values, axis=0)
        unit, y = _unit(values), _unit(_outcome(outcome)[:, None])
        # Rounded, so that ties do not turn on the last bit.
        order = np.argsort(-np.round(np.abs(unit.T @ y)[:, 0], 12), kind="stable")
        closest = np.zeros(len(order))
        kept: list[int] = []
        for first in range(0, len(order), BLOCK):
            block = order[first : first + BLOCK]
            if kept:
                closest[block] = np.abs(unit[:, block].T @ unit[:, kept]).max(axis=1)
            among = np.abs(unit[:, block].T @ unit[:, block])
            fresh: list[int] = []
            for i, column in enumerate(block):
                if fresh:
                    closest[column] = max(closest[column], among[i, fresh].max())
                if closest[column] <= self.most:
                    fresh.append(i)
            kept.extend(block[fresh])
        keep = np.zeros(len(order), dtype=bool)
        keep[kept] = True
        return keep, closest


class Mrmr(Selector):
    """Keep the ``count`` features of most relevance to the outcome and least redundancy among themselves.

    Greedy: mutual information with the outcome less the mean of that with the features already chosen
    (Peng, Long & Ding, IEEE Trans Pattern Anal Mach Intell 2005;27:1226-1238, difference form). Features
    are first cut into three states at the mean -/+ half a standard deviation of training (Ding & Peng, J
    Bioinform Comput Biol 2005;3:185-205). Ties go to the first column. The statistic is that difference
    at the time of choosing, or, of what was not chosen, at the end.
    """

    def __init__(self, count: int = 20, carried: Sequence[str] = ()) -> None:
        self.count = count
        self.carried = carried

    def _judge(self, features: pd.DataFrame, outcome: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        states = three_states(self._numbers(features))
        relevance = mutual_information(states, _outcome(outcome).astype(int))
        redundancy = np.zeros(len(relevance))
        chosen = np.zeros(len(relevance), dtype=bool)
        statistic = relevance.copy()
        for step in range(min(self.count, len(relevance))):
            score = relevance - (redundancy / step if step else 0.0)
            statistic = np.where(chosen, statistic, score)
            best = int(np.argmax(np.where(chosen, -np.inf, np.round(score, 12))))
            chosen[best] = True
            redundancy += mutual_information(states, states[:, best])
        return chosen, statistic


def lower_bounds(stability: pd.DataFrame) -> dict[str, float]:
    """Lower ICC bound by feature from ``features/stability.csv``: the least over its sources.

    Missing where any source could not estimate it.
    """
    bounds = stability.groupby("column", sort=False)["icc_lower"]
    least = bounds.min().where(bounds.count() == bounds.size())
    return {str(name): float(bound) for name, bound in least.items()}


def vary(values: np.ndarray) -> np.ndarray:
    """Mark the columns of ``values`` that differ between patients by more than rounding."""
    return moments(values)[2]


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and population standard deviation of every column, and whether it varies (:func:`vary`)."""
    mean, sd = values.mean(axis=0), values.std(axis=0)
    return mean, sd, sd > ROUNDING * np.maximum(np.abs(mean), 1e-300)


def three_states(values: np.ndarray) -> np.ndarray:
    """Cut every column into 0, 1, 2 at its mean -/+ half a standard deviation."""
    mean, half = values.mean(axis=0), values.std(axis=0) / 2.0
    states: np.ndarray = (values > mean - half).astype(int) + (values > mean + half)
    return states


def mutual_information(states: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mutual information (nats) of every column of ``states`` (0, 1, 2) with the states ``other``."""
    n = len(other)
    theirs = (other[:, None] == np.unique(other)).astype(float)
    found = np.zeros(states.shape[1])
    share = theirs.mean(axis=0)
    for state in range(3):
        ours = (states == state).astype(float)
        joint, own = ours.T @ theirs / n, ours.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = joint * np.log(joint / (own[:, None] * share))
        found += np.where(joint > 0, parts, 0.0).sum(axis=1)
    return found


def _medians(values: np.ndarray) -> np.ndarray:
    """Median of what is known of every column; 0 where nothing is."""
    ordered = np.sort(values, axis=0)  # what is missing comes last
    known = len(values) - np.isnan(ordered).sum(axis=0)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2])
    median: np.ndarray = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    return np.where(known > 0, median, 0.0)


def _table(X: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    values = np.asarray(X)
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


def _unit(values: np.ndarray) -> np.ndarray:
    """Centre columns and give them length 1, so that products are correlations; constants become 0."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varies = vary(values)
    unit: np.ndarray = np.where(varies, centred / np.where(varies, length, 1.0), 0.0)
    return unit


def _finite(limit: float) -> float | None:
    return float(limit) if np.isfinite(limit) else None


def _outcome(outcome: np.ndarray | None) -> np.ndarray:
    if outcome is None:
        raise ValueError("this step looks at the outcome, which was not given")
    return outcome


def _one_of(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise StudyError(f"{key}: {value} is not one of {', '.join(allowed)}.")
