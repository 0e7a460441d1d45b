"""A radiomics signature (Rad-score): impute, scale, drop constant features, LASSO-logistic regression.

One scikit-learn estimator holds all of it, so that cross-validation, cross-fitting and resampling
refit all of it and nothing is ever learnt from a patient who is held out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from annulus.modelling import lasso
from annulus.modelling.frozen import Linear

# A standard deviation this small beside the mean is rounding, not variation.
ROUNDING = 1e-10


class ConstantToZero(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Set features to 0 that do not vary in the training patients, so that no model can use them."""

    def fit(self, X: pd.DataFrame, y: object = None) -> "ConstantToZero":
        """Learn which of the features (patient x feature) vary."""
        values = validate_data(self, X)
        spread = values.std(axis=0)
        self.varies_ = spread > ROUNDING * np.maximum(np.abs(values.mean(axis=0)), 1e-300)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the features with the constant ones at 0."""
        check_is_fitted(self)
        values = validate_data(self, X, reset=False)
        return np.where(self.varies_, values, 0.0)


def preprocessing() -> Pipeline:
    """Median imputation, removal of constant features, z-scores by the population SD."""
    return Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("variance", ConstantToZero()),
            ("scale", StandardScaler()),
        ]
    )


class RadScore(ClassifierMixin, BaseEstimator):
    """LASSO-logistic signature whose penalty is chosen by cross-validation inside its own data.

    ``penalty`` is ``minimum`` or ``one_se``; ``count`` penalties reach down to ``smallest_ratio`` of
    the largest. Features are patient x feature and may hold missing values; the outcome is 0 or 1.
    """

    def __init__(
        self,
        folds: int = 10,
        penalty: str = "minimum",
        count: int = 100,
        smallest_ratio: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.folds = folds
        self.penalty = penalty
        self.count = count
        self.smallest_ratio = smallest_ratio
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "RadScore":
        """Choose the penalty by cross-validation, then fit on all of ``X``."""
        values, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        self.classes_ = np.array([0, 1])
        self.n_features_in_ = values.shape[1]
        self.preprocessing_ = preprocessing()
        scores = self.preprocessing_.fit_transform(values)
        if not self.preprocessing_["variance"].varies_.any():
            return self._empty(outcome)
        penalties = lasso.penalties_for(scores, outcome, self.count, self.smallest_ratio)
        self.cross_validation_ = self._cross_validate(values, outcome, penalties)
        self.path_ = lasso.fit_path(scores, outcome, penalties)
        self.chosen_ = getattr(self.cross_validation_, self.penalty)
        self.coef_ = self.path_.coefficients[self.chosen_]
        self.intercept_ = float(self.path_.intercepts[self.chosen_])
        return self

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Return the Rad-score: intercept + sum of coefficient * z-score."""
        check_is_fitted(self, "coef_")
        scores: np.ndarray = self.preprocessing_.transform(np.asarray(X, dtype=float))
        return scores @ self.coef_ + self.intercept_

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of no event and of the event, as patient x 2."""
        p = 1.0 / (1.0 + np.exp(-self.decision_function(X)))
        return np.column_stack([1.0 - p, p])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return 1 where the event is more probable than not."""
        labels: np.ndarray = (self.decision_function(X) > 0).astype(int)
        return labels

    def _cross_validate(
        self, values: np.ndarray, outcome: np.ndarray, penalties: np.ndarray
    ) -> lasso.CrossValidation:
        deviances, sizes = [], []
        for train, test in stratified_folds(outcome, self.folds, self.seed):
            prepare = preprocessing()
            path = lasso.fit_path(
                prepare.fit_transform(values[train]), outcome[train], penalties, lasso.RANKING
            )
            held_out = path.linear_predictors(prepare.transform(values[test]))
            deviances.append(lasso.deviance(outcome[test], held_out))
            sizes.append(len(test))
        return lasso.summarise(penalties, np.array(deviances), np.array(sizes))

    def _empty(self, outcome: np.ndarray) -> "RadScore":
        """With no feature that varies, only the intercept is left."""
        self.coef_ = np.zeros(self.n_features_in_)
        self.intercept_ = float(np.log(outcome.mean() / (1.0 - outcome.mean())))
        penalties = np.array([0.0])
        self.path_ = lasso.Path(penalties, self.coef_[None, :], np.array([self.intercept_]))
        self.cross_validation_ = lasso.CrossValidation(penalties, np.zeros(1), np.zeros(1))
        self.chosen_ = 0
        return self


def stratified_folds(outcome: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Share patients over folds with the outcome balanced; fewer folds when a class is small."""
    smaller = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if smaller < 2:
        raise ValueError(f"{smaller} patients in the smaller class; 2 are needed to cross-validate")
    splitter = StratifiedKFold(min(folds, smaller), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(outcome)), outcome))


@dataclass(frozen=True)
class CrossFitted:
    """Rad-scores of training patients, each from a signature that never saw the patient.

    ``score`` is the Rad-score without its ``intercept``, which has a column of its own. Intercepts
    follow the prevalence of the fold's training patients, so that they run against the outcomes of those
    held out; a signature that selects nothing would else earn a large negative weight.

    ``scores`` has one row per ``outer_set`` and patient. In the set ``all`` the score comes from the
    outer fold that left the patient out. In the set of outer fold k, patients of the fold
    (``held_out`` 1) are scored by the signature of all others, and the others (``held_out`` 0) by
    inner cross-fitting among themselves. So a model of several signatures can be fitted, and
    itself cross-validated, without one patient ever being scored by a signature fitted on them.
    """

    scores: pd.DataFrame


def cross_fit(
    model: RadScore,
    features: pd.DataFrame,
    outcome: np.ndarray,
    folds: int,
    seed: int,
    nested: bool,
) -> CrossFitted:
    """Cross-fit a signature; ``features`` is indexed by patient.

    ``nested`` adds the sets of the outer folds, which combined models need.
    """
    patients = features.index.to_numpy()
    overall, tables = [], []
    for k, (train, test) in enumerate(stratified_folds(outcome, folds, seed)):
        fitted = _clone(model, k + 1).fit(features.iloc[train], outcome[train])
        held_out = _score_rows(fitted, features.iloc[test])
        overall.append(held_out.assign(outer_set="all", held_out=0))
        if not nested:
            continue
        tables.append(held_out.assign(outer_set=str(k), held_out=1))
        for j, (a, b) in enumerate(stratified_folds(outcome[train], folds, seed + k + 1)):
            part = _clone(model, (k + 1) * (folds + 1) + j)
            part.fit(features.iloc[train[a]], outcome[train[a]])
            inner = _score_rows(part, features.iloc[train[b]])
            tables.append(inner.assign(outer_set=str(k), held_out=0))
    whole = pd.concat(overall).set_index("patient_id").loc[patients].reset_index()
    columns = ["outer_set", "patient_id", "held_out", "score", "intercept"]
    return CrossFitted(pd.concat([whole, *tables], ignore_index=True)[columns])


def freeze_signature(model: RadScore, columns: Iterable[str]) -> Linear:
    """Keep of a fitted signature what scoring needs: the features with a coefficient."""
    names = list(columns)
    kept = np.flatnonzero(model.coef_)
    scaler = model.preprocessing_["scale"]
    fill = model.preprocessing_["impute"].statistics_
    return Linear(
        intercept=model.intercept_,
        terms=tuple(names[i] for i in kept),
        coefficients=tuple(float(model.coef_[i]) for i in kept),
        fill=tuple(float(fill[i]) for i in kept),
        mean=tuple(float(scaler.mean_[i]) for i in kept),
        sd=tuple(float(scaler.scale_[i]) for i in kept),
    )


def _clone(model: RadScore, step: int) -> RadScore:
    parameters = model.get_params()
    return RadScore(**{**parameters, "seed": parameters["seed"] + step})


def _score_rows(model: RadScore, features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": features.index.to_numpy(),
            "score": model.decision_function(features) - model.intercept_,
            "intercept": model.intercept_,
        }
    )
