"""Signatures that are not linear, and the choice between kinds of signature, tuned inside their own data.

Whatever is tuned is tuned by cross-validation that refits the preparation in every fold, and by the deviance
(log-loss). Scores are log-odds, with every seed given and one thread.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import TransformerMixin, clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC

from annulus.modelling import lasso
from annulus.modelling.estimator import Estimator, apply_prepare, fit_prepare, standards
from annulus.modelling.frozen import Linear, Scorer
from annulus.modelling.scorers import Kernel, Tree, Trees
from annulus.modelling.folds import log_odds, patient_folds

# Steps of Newton's method for two parameters, many more than it takes.
MOST_STEPS = 100


class SupportVectors(Estimator):
    """Support vector machine with a radial kernel, its decision values turned into log-odds (Platt scaling).

    Every pair of a ``cost`` and a ``gamma`` (in multiples of 1 / number of features) is tried in ``folds``
    folds; the decision values of held-out patients are scaled, and the pair whose scaled values have the
    least deviance is refitted on all, with that scaling. Where higher decision values of held-out patients do
    not go with the event, the score is the prevalence. Features are standardised whatever ``prepare`` did.
    """

    def __init__(
        self,
        prepare: TransformerMixin | None = None,
        cost: Sequence[float] = (0.1, 1.0, 10.0),
        gamma: Sequence[float] = (0.1, 1.0),
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.prepare = prepare
        self.cost = cost
        self.gamma = gamma
        self.folds = folds
        self.seed = seed

    @property
    def kind_(self) -> str:
        """Name of the model."""
        return "svm"

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features that vary, all of which the kernel uses; none where it is not used."""
        if self.machine_ is None:
            return ()
        return tuple(self.names_[i] for i in np.flatnonzero(np.isfinite(self.sd_)))

    @property
    def deviance_(self) -> tuple[float, float]:
        """Cross-validated deviance of the pair chosen, and its standard error."""
        found = self.cross_validation_
        return float(found.mean[found.minimum]), float(found.standard_error[found.minimum])

    def freeze(self) -> Scorer:
        """Keep the support vectors and the scaling."""
        if self.machine_ is None:
            return Linear(self.intercept_)
        varies = np.isfinite(self.sd_)
        return Kernel(
            intercept=self.intercept_,
            terms=self.selected_,
            mean=tuple(self.mean_[varies].tolist()),
            sd=tuple(self.sd_[varies].tolist()),
            vectors=tuple(map(tuple, self.machine_.support_vectors_.tolist())),
            weights=tuple(self.machine_.dual_coef_[0].tolist()),
            gamma=float(self.machine_.gamma),
            bias=float(self.machine_.intercept_[0]),
            slope=self.slope_,
            offset=self.offset_,
            before=self._steps(self.selected_),
        )

    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        self.intercept_ = log_odds(outcome)
        self.mean_, self.sd_ = standards(values)
        pairs = list(product(self.cost, self.gamma))
        decisions = np.zeros((len(outcome), len(pairs)))
        folds = patient_folds(X.index, outcome, self.folds, self.seed)
        for train, test in folds:
            prepare, table = fit_prepare(self.prepare, X.iloc[train], outcome[train])
            own = table.to_numpy(dtype=float)
            mean, sd = standards(own)
            theirs = apply_prepare(prepare, X.iloc[test]).to_numpy(dtype=float)
            for j, pair in enumerate(pairs):
                machine = _machine(own, mean, sd, outcome[train], pair)
                decisions[test, j] = _decision(machine, theirs, mean, sd)
        scalings = [platt_scaling(column, outcome) for column in decisions.T]
        scores = np.column_stack(
            [offset + slope * column for (slope, offset), column in zip(scalings, decisions.T, strict=True)]
        )
        self.cross_validation_ = lasso.summarise(
            np.arange(len(pairs)),
            np.array([lasso.deviance(outcome[test], scores[test]) for _, test in folds]),
            np.array([len(test) for _, test in folds]),
        )
        best = self.cross_validation_.minimum
        self.slope_, self.offset_ = scalings[best]
        self.cost_, self.gamma_ = pairs[best]
        used = self.slope_ > 0.0
        self.machine_ = _machine(values, self.mean_, self.sd_, outcome, pairs[best]) if used else None

    def _score(self, values: np.ndarray) -> np.ndarray:
        if self.machine_ is None:
            return np.full(len(values), self.intercept_)
        return self.offset_ + self.slope_ * _decision(self.machine_, values, self.mean_, self.sd_)


class Forest(Estimator):
    """Random forest of ``trees`` trees whose leaves hold ``leaf`` patients at least.

    The forest's probability p, a mean over trees, is moved to (n p + 0.5) / (n + 1) with n training rows, as
    if half a patient with and half a patient without the event had been added: its log-odds are then finite.
    """

    def __init__(
        self, prepare: TransformerMixin | None = None, trees: int = 500, leaf: int = 5, seed: int = 0
    ) -> None:
        self.prepare = prepare
        self.trees = trees
        self.leaf = leaf
        self.seed = seed

    @property
    def kind_(self) -> str:
        """Name of the model."""
        return "random_forest"

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features that some tree splits by."""
        return tuple(self.names_[i] for i in _split_by(self.model_))

    def freeze(self) -> Scorer:
        """Keep the nodes of every tree."""
        own = _split_by(self.model_)
        if self.model_ is None or not len(own):
            return Linear(self.intercept_)
        count = len(self.model_.estimators_)
        return Trees(
            intercept=self.intercept_,
            terms=self.selected_,
            trees=tuple(_tree(member.tree_, own, 1) for member in self.model_.estimators_),
            offset=0.5 / (self.rows_ + 1.0),
            weight=self.rows_ / (self.rows_ + 1.0) / count,
            scale="probability",
            before=self._steps(self.selected_),
        )

    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        self.intercept_, self.rows_, self.model_ = log_odds(outcome), len(outcome), None
        if not values.shape[1]:
            return
        model = RandomForestClassifier(
            self.trees, min_samples_leaf=self.leaf, random_state=self.seed, n_jobs=1
        )
        self.model_ = model.fit(values, outcome)
        self.importances_ = dict(zip(self.names_, map(float, model.feature_importances_), strict=True))

    def _score(self, values: np.ndarray) -> np.ndarray:
        if self.model_ is None or not self.selected_:
            return np.full(len(values), self.intercept_)
        p = (self.rows_ * self.model_.predict_proba(values)[:, 1] + 0.5) / (self.rows_ + 1.0)
        scores: np.ndarray = np.log(p / (1.0 - p))
        return scores


class Boosting(Estimator):
    """Gradient-boosted trees of little ``depth``; cross-validation chooses how many, ``trees`` at most."""

    def __init__(
        self,
        prepare: TransformerMixin | None = None,
        trees: int = 200,
        depth: int = 2,
        learning_rate: float = 0.05,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.prepare = prepare
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.folds = folds
        self.seed = seed

    @property
    def kind_(self) -> str:
        """Name of the model."""
        return "gradient_boosting"

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features that some tree splits by."""
        return tuple(self.names_[i] for i in _split_by(self.model_))

    @property
    def deviance_(self) -> tuple[float, float]:
        """Cross-validated deviance with the number of trees chosen, and its standard error."""
        if self.model_ is None:
            return np.nan, np.nan
        found = self.cross_validation_
        return float(found.mean[found.minimum]), float(found.standard_error[found.minimum])

    def freeze(self) -> Scorer:
        """Keep the nodes of every tree."""
        own = _split_by(self.model_)
        if self.model_ is None or not len(own):
            return Linear(self.intercept_)
        return Trees(
            intercept=self.intercept_,
            terms=self.selected_,
            trees=tuple(_tree(member.tree_, own, 0) for member in self.model_.estimators_[:, 0]),
            offset=self.intercept_,
            weight=self.learning_rate,
            scale="log_odds",
            before=self._steps(self.selected_),
        )

    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        self.intercept_, self.model_ = log_odds(outcome), None
        if not values.shape[1]:
            return
        deviances, sizes = [], []
        for train, test in patient_folds(X.index, outcome, self.folds, self.seed):
            prepare, table = fit_prepare(self.prepare, X.iloc[train], outcome[train])
            theirs = apply_prepare(prepare, X.iloc[test]).to_numpy(dtype=float)
            if table.shape[1]:
                model = self._boosted(self.trees).fit(table.to_numpy(dtype=float), outcome[train])
                staged = np.column_stack(list(model.staged_decision_function(theirs)))
            else:
                staged = np.full((len(test), self.trees), log_odds(outcome[train]))
            deviances.append(lasso.deviance(outcome[test], staged))
            sizes.append(len(test))
        numbers = np.arange(1, self.trees + 1)
        self.cross_validation_ = lasso.summarise(numbers, np.array(deviances), np.array(sizes))
        self.model_ = self._boosted(int(numbers[self.cross_validation_.minimum])).fit(values, outcome)
        importances = map(float, self.model_.feature_importances_)
        self.importances_ = dict(zip(self.names_, importances, strict=True))

    def _score(self, values: np.ndarray) -> np.ndarray:
        if self.model_ is None or not self.selected_:
            return np.full(len(values), self.intercept_)
        scores: np.ndarray = self.model_.decision_function(values)
        return scores

    def _boosted(self, trees: int) -> GradientBoostingClassifier:
        return GradientBoostingClassifier(
            n_estimators=trees,
            max_depth=self.depth,
            learning_rate=self.learning_rate,
            random_state=self.seed,
        )


class Choose(Estimator):
    """Of several models the one of least cross-validated deviance, each with all its tuning in every fold.

    ``candidates_`` has the models tried: ``learner``, ``deviance``, ``standard_error``, ``chosen``. Steps
    and seed of the models ``among`` are those given here.
    """

    def __init__(
        self,
        among: Sequence[Estimator],
        prepare: TransformerMixin | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.among = among
        self.prepare = prepare
        self.folds = folds
        self.seed = seed

    @property
    def kind_(self) -> str:
        """Name of the model chosen."""
        return self.best_.kind_

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features that the model chosen uses."""
        return self.best_.selected_

    def freeze(self) -> Scorer:
        """Keep what the model chosen needs."""
        return self.best_.freeze()

    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        own = {"prepare": self.prepare, "seed": self.seed}
        models: list[Estimator] = [clone(model).set_params(**own) for model in self.among]
        folds = patient_folds(X.index, outcome, self.folds, self.seed)
        deviances = np.zeros((len(folds), len(models)))
        for k, (train, test) in enumerate(folds):
            for j, model in enumerate(models):
                fitted = clone(model).fit(X.iloc[train], outcome[train])
                scores = fitted.decision_function(X.iloc[test])
                deviances[k, j] = lasso.deviance(outcome[test], scores[:, None])[0]
        sizes = np.array([len(test) for _, test in folds])
        found = lasso.summarise(np.arange(len(models)), deviances, sizes)
        self.best_ = models[found.minimum].fit(X, outcome)
        self.intercept_ = self.best_.intercept_
        self.candidates_ = pd.DataFrame(
            {
                "learner": [model.kind_ for model in models],
                "deviance": found.mean,
                "standard_error": found.standard_error,
                "chosen": (np.arange(len(models)) == found.minimum).astype(int),
            }
        )

    def _score(self, values: np.ndarray) -> np.ndarray:
        return self.best_._score(values)


def platt_scaling(decision: np.ndarray, outcome: np.ndarray) -> tuple[float, float]:
    """Slope and offset that turn decision values into log-odds; a slope below 0 is 0, at the prevalence.

    Maximum likelihood with targets drawn in from 0 and 1 (Platt, in: Advances in Large Margin Classifiers,
    MIT Press 2000:61-74; Newton's method after Lin, Lin & Weng, Mach Learn 2007;68:267-276).
    """
    events = outcome.sum()
    others = len(outcome) - events
    target = np.where(outcome > 0, (events + 1.0) / (events + 2.0), 1.0 / (others + 2.0))
    design = np.column_stack([np.ones(len(outcome)), decision])
    b = np.array([log_odds(outcome), 0.0])
    loss = _loss(design @ b, target)
    for _ in range(MOST_STEPS):
        p = expit(design @ b)
        gradient = design.T @ (target - p)
        information = design.T @ (design * (p * (1.0 - p))[:, None])
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        while (new := _loss(design @ (b + step), target)) > loss and np.abs(step).max() > 1e-14:
            step /= 2.0
        if new >= loss:
            break
        b, loss = b + step, new
    if b[1] <= 0.0 or np.ptp(decision) == 0.0:
        return 0.0, log_odds(outcome)
    return float(b[1]), float(b[0])


def _loss(linear: np.ndarray, target: np.ndarray) -> float:
    return float((np.logaddexp(0.0, linear) - target * linear).sum())


def _machine(
    values: np.ndarray, mean: np.ndarray, sd: np.ndarray, outcome: np.ndarray, pair: tuple[float, float]
) -> SVC | None:
    varies = np.isfinite(sd)
    if not varies.any():
        return None
    cost, gamma = pair
    scores = (values[:, varies] - mean[varies]) / sd[varies]
    return SVC(C=cost, gamma=gamma / varies.sum()).fit(scores, outcome)


def _decision(machine: SVC | None, values: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    if machine is None:
        return np.zeros(len(values))
    varies = np.isfinite(sd)
    found: np.ndarray = machine.decision_function((values[:, varies] - mean[varies]) / sd[varies])
    return found


def _split_by(model: RandomForestClassifier | GradientBoostingClassifier | None) -> np.ndarray:
    """Positions of the features that trees split by, in order."""
    if model is None:
        return np.zeros(0, dtype=int)
    members = np.ravel(model.estimators_)
    used: np.ndarray = np.unique(np.concatenate([member.tree_.feature for member in members]))
    return used[used >= 0]


def _tree(nodes: Any, own: np.ndarray, column: int) -> Tree:
    """Copy one of scikit-learn's trees; ``own`` are the features kept, ``column`` the value that counts."""
    inner = nodes.feature >= 0
    return Tree(
        term=tuple(np.where(inner, np.searchsorted(own, nodes.feature), -1).tolist()),
        threshold=tuple(np.where(inner, nodes.threshold, 0.0).tolist()),
        left=tuple(nodes.children_left.tolist()),
        right=tuple(nodes.children_right.tolist()),
        value=tuple(nodes.value[:, 0, column].tolist()),
    )
