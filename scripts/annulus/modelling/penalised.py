"""LASSO or elastic-net logistic regression with everything before it inside its own cross-validation.

The penalty is chosen by refitting the preparation (imputation, selection, harmonisation, ...) in every
fold, so that it is not chosen on features that the held-out patients helped to select.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from annulus.modelling import descent, lasso
from annulus.modelling.estimator import Estimator, apply_prepare, fit_prepare, standards
from annulus.modelling.frozen import Linear
from annulus.modelling.frozen_steps import MedianFill, ZScore
from annulus.modelling.folds import log_odds, patient_folds


class PenalisedLogistic(Estimator):
    """Penalised logistic signature on prepared features.

    ``prepare`` is a transformer of tables or None. ``l1_ratio`` is 1 for the LASSO, or one or several
    shares of it in an elastic net, of which the cross-validation chooses one. ``penalty`` is ``minimum``
    or ``one_se``; ``count`` penalties reach down to ``smallest_ratio`` of the largest. Features are
    standardised (population SD) whatever ``prepare`` did, as in glmnet; coefficients are per SD.
    """

    def __init__(
        self,
        prepare: TransformerMixin | None = None,
        l1_ratio: float | Sequence[float] = 1.0,
        folds: int = 10,
        penalty: str = "minimum",
        count: int = 100,
        smallest_ratio: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.prepare = prepare
        self.l1_ratio = l1_ratio
        self.folds = folds
        self.penalty = penalty
        self.count = count
        self.smallest_ratio = smallest_ratio
        self.seed = seed

    @property
    def kind_(self) -> str:
        """Name of the model."""
        return "lasso" if self.l1_ratio == 1.0 else "elastic_net"

    @property
    def selected_(self) -> tuple[str, ...]:
        """Names of the features with a coefficient."""
        check_is_fitted(self, "coef_")
        return tuple(name for name, b in zip(self.names_, self.coef_, strict=True) if b != 0)

    @property
    def deviance_(self) -> tuple[float, float]:
        """Cross-validated deviance at the penalty chosen, and its standard error; none without features."""
        if not np.isfinite(self.sd_).any():
            return np.nan, np.nan
        found = self.cross_validation_
        return float(found.mean[self.chosen_]), float(found.standard_error[self.chosen_])

    def freeze(self) -> Linear:
        """Keep what scoring needs: of a median and z-scores alone the constants, of other steps the steps."""
        kept = np.flatnonzero(self.coef_)
        if not len(kept):
            return Linear(self.intercept_)
        names, mean, sd = self.selected_, self.mean_[kept], self.sd_[kept]
        before = self._steps(names)
        while isinstance(before[-1], ZScore):
            last, before = before[-1], before[:-1]
            mean, sd = np.array(last.mean) + np.array(last.sd) * mean, np.array(last.sd) * sd
        fill = mean  # after steps nothing is missing
        if len(before) == 1 and isinstance(before[0], MedianFill):
            fill, before = np.array(before[0].fill), ()
        return Linear(
            intercept=self.intercept_,
            terms=names,
            coefficients=tuple(self.coef_[kept].tolist()),
            fill=tuple(fill.tolist()),
            mean=tuple(mean.tolist()),
            sd=tuple(sd.tolist()),
            before=before,
        )

    def _learn(self, X: pd.DataFrame, values: np.ndarray, outcome: np.ndarray) -> None:
        """Choose the penalty by cross-validation, then fit on all of ``X``."""
        self.mean_, self.sd_ = standards(values)
        scores = (values - self.mean_) / self.sd_
        if not np.isfinite(self.sd_).any():
            self._empty(outcome)
            return
        ratios = [self.l1_ratio] if isinstance(self.l1_ratio, int | float) else list(self.l1_ratio)
        paths = [
            lasso.penalties_for(scores, outcome, self.count, self.smallest_ratio, ratio) for ratio in ratios
        ]
        tried = self._cross_validate(X, outcome, paths, ratios)
        best = int(np.argmin([found.mean[found.minimum] for found in tried]))
        self.l1_ratio_, self.cross_validation_ = ratios[best], tried[best]
        self.path_ = descent.fit_path(scores, outcome, paths[best], l1_ratio=self.l1_ratio_)
        self.chosen_ = getattr(self.cross_validation_, self.penalty)
        self.coef_ = self.path_.coefficients[self.chosen_]
        self.intercept_ = float(self.path_.intercepts[self.chosen_])

    def _score(self, values: np.ndarray) -> np.ndarray:
        """Linear predictor: intercept + sum of coefficient * z-score."""
        kept = np.flatnonzero(self.coef_)
        scores: np.ndarray = (values[:, kept] - self.mean_[kept]) / self.sd_[kept] @ self.coef_[kept]
        return scores + self.intercept_

    def _cross_validate(
        self, X: pd.DataFrame, outcome: np.ndarray, paths: list[np.ndarray], ratios: list[float]
    ) -> list[lasso.CrossValidation]:
        deviances: list[list[np.ndarray]] = [[] for _ in ratios]
        sizes = []
        for train, test in patient_folds(X.index, outcome, self.folds, self.seed):
            prepare, table = fit_prepare(self.prepare, X.iloc[train], outcome[train])
            held_out = apply_prepare(prepare, X.iloc[test])
            values = table.to_numpy(dtype=float)
            mean, sd = standards(values)
            theirs = (held_out.to_numpy(dtype=float) - mean) / sd
            sizes.append(len(test))
            for found, penalties, ratio in zip(deviances, paths, ratios, strict=True):
                if np.isfinite(sd).any():
                    path = descent.fit_path(
                        (values - mean) / sd, outcome[train], penalties, lasso.RANKING, ratio
                    )
                    linear = path.linear_predictors(theirs)
                else:
                    linear = np.full((len(test), len(penalties)), log_odds(outcome[train]))
                found.append(lasso.deviance(outcome[test], linear))
        return [
            lasso.summarise(penalties, np.array(found), np.array(sizes))
            for penalties, found in zip(paths, deviances, strict=True)
        ]

    def _empty(self, outcome: np.ndarray) -> None:
        """With no feature left that varies, only the intercept is left."""
        self.coef_ = np.zeros(len(self.names_))
        self.intercept_ = log_odds(outcome)
        self.l1_ratio_ = 1.0
        self.path_ = lasso.Path(np.zeros(1), self.coef_[None, :], np.array([self.intercept_]))
        self.cross_validation_ = lasso.CrossValidation(np.zeros(1), np.zeros(1), np.zeros(1))
        self.chosen_ = 0
