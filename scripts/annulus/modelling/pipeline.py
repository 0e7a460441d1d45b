"""A signature's whole pipeline from configuration: the steps in their order, then the model.

Everything is one estimator; ``sklearn.base.clone`` gives an unfitted copy, and fitting it on a fold or a
resample refits every step of it.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from annulus.errors import StudyError
from annulus.modelling.estimator import Estimator
from annulus.modelling.harmonisation import Combat
from annulus.modelling.learners import Boosting, Choose, Forest, SupportVectors
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.plan import named
from annulus.modelling.steps import (
    Correlation,
    Impute,
    Mrmr,
    Scale,
    Selector,
    Stability,
    Univariable,
    Variance,
)

STEPS: Mapping[str, type[BaseEstimator]] = {
    "impute": Impute,
    "stability": Stability,
    "harmonise": Combat,
    "scale": Scale,
    "variance": Variance,
    "univariable": Univariable,
    "correlation": Correlation,
    "mrmr": Mrmr,
}

# Each with what its name says of its settings.
MODELS: Mapping[str, tuple[type[Estimator], Mapping[str, Any]]] = {
    "lasso": (PenalisedLogistic, {"l1_ratio": 1.0}),
    "elastic_net": (PenalisedLogistic, {"l1_ratio": (0.2, 0.5, 0.8)}),
    "svm": (SupportVectors, {}),
    "random_forest": (Forest, {}),
    "gradient_boosting": (Boosting, {}),
}

# What code gives, never the configuration.
GIVEN = {"carried", "lower", "seed", "prepare"}

Plan = Sequence[str | Mapping[str, Mapping[str, Any] | None]]


def build_pipeline(
    config: Mapping[str, Any], seed: int, lower: Mapping[str, float] | None = None
) -> Estimator:
    """Build a signature from its configuration.

    ``config`` has ``steps``, a list of names or of one name with its settings, in the order wanted, and
    ``model``, a name with its settings, e.g. ``{"steps": ["impute", {"correlation": {"most": 0.8}},
    "scale"], "model": {"lasso": {"folds": 10}}}``. The model ``choose`` chooses ``among`` several. ``lower``
    holds the lower ICC bounds that the step ``stability`` needs. Raises StudyError for an unknown step or
    setting.
    """
    name, settings = named(config.get("model", "lasso"))
    prepare = build_preparation(config.get("steps", ()), seed, lower)
    if name != "choose":
        return _model(name, settings, "model").set_params(prepare=prepare, seed=seed)
    _refuse_unknown("model.choose", settings, Choose)
    among = tuple(_model(*named(entry), "model.choose.among") for entry in settings.pop("among", MODELS))
    return Choose(among, prepare, seed=seed, **settings)


def build_preparation(plan: Plan, seed: int, lower: Mapping[str, float] | None = None) -> Pipeline | None:
    """Build the steps before a model, or None where there are none; for models other than ours, too.

    Centre and covariates of ``harmonise`` are columns of the table. Steps before it carry them along, and
    it takes them off.
    """
    entries = [named(entry) for entry in plan]
    names = [name for name, _ in entries]
    for name, settings in entries:
        if name not in STEPS:
            raise StudyError(f"steps: {name} is not one of {', '.join(STEPS)}.")
        _refuse_unknown(f"steps.{name}", settings, STEPS[name])
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise StudyError(f"steps: {', '.join(doubled)} stands there twice.")
    if "stability" in names and lower is None:
        raise StudyError("steps: stability needs the study's `stability`, which is not configured.")
    carried: tuple[str, ...] = ()
    if "harmonise" in names:
        combat = Combat(**_tuples(dict(entries)["harmonise"]))
        carried = (combat.centre, *combat.covariates)
    steps = []
    for name, settings in entries:
        if name == "harmonise":
            steps.append((name, combat))
            carried = ()
            continue
        given: dict[str, Any] = {"carried": carried}
        if name == "stability":
            given["lower"] = dict(lower or {})
        if name == "impute":
            given["seed"] = seed
        steps.append((name, STEPS[name](**given, **settings)))
    return Pipeline(steps) if steps else None


def selected_features(fitted: BaseEstimator) -> tuple[str, ...]:
    """Names of the features that a fitted model uses.

    Of a penalised model those with a coefficient; of a Pipeline with another model at its end, what
    reaches that model; of other models, all of theirs.
    """
    if isinstance(fitted, Pipeline):
        last = fitted[-1]
        if hasattr(last, "selected_"):
            return selected_features(last)
        before = fitted[:-1]
        return tuple(map(str, before.get_feature_names_out()))
    if hasattr(fitted, "selected_"):
        return tuple(map(str, fitted.selected_))
    return tuple(map(str, fitted.feature_names_in_))


def chosen_estimator(model: Estimator) -> Estimator:
    """Return the model itself, or of a fitted choice between models the one that was chosen."""
    return model.best_ if isinstance(model, Choose) else model


def choice_table(model: Estimator) -> pd.DataFrame:
    """Models tried: ``learner``, ``deviance`` (cross-validated), ``standard_error`` and ``chosen``.

    Of a model without alternatives the deviance is that by which it tuned itself, empty where it did not.
    """
    if isinstance(model, Choose):
        return model.candidates_
    deviance, error = model.deviance_
    return pd.DataFrame(
        {"learner": [model.kind_], "deviance": [deviance], "standard_error": [error], "chosen": [1]}
    )


def removed_by_step(prepare: Pipeline | TransformerMixin | None) -> pd.DataFrame:
    """Features that fitted steps removed, in order: ``column``, ``step_removed``, ``statistic``."""
    rows = []
    for name, step in prepare.steps if isinstance(prepare, Pipeline) else []:
        if isinstance(step, Selector):
            rows += [(column, name, step.statistic_[column]) for column in step.removed_]
    return pd.DataFrame(rows, columns=["column", "step_removed", "statistic"])


def selection_table(model: Estimator) -> pd.DataFrame:
    """What became of every feature: ``column``, ``step_removed``, ``statistic``, ``coefficient`` (per SD).

    ``step_removed`` is empty for the features of the signature, and the model's name for those that the
    model itself left out. A model without coefficients has an importance as ``statistic``, if anything.
    Centre and covariates are no features.
    """
    check_is_fitted(model, "intercept_")
    removed = removed_by_step(model.prepare_).set_index("column")
    selected, reached = set(model.selected_), set(model.names_)
    importance = getattr(model, "importances_", {})
    if isinstance(model, PenalisedLogistic):
        coefficients = dict(zip(model.names_, map(float, model.coef_), strict=True))
        otherwise = 0.0
    else:
        coefficients, otherwise = {}, np.nan
    rows = []
    for column in model.feature_names_in_:
        b = coefficients.get(column, otherwise)
        if column in reached:
            kind = "" if column in selected else model.kind_
            rows.append((column, kind, importance.get(column, np.nan), b))
        elif column in removed.index:
            rows.append((column, *removed.loc[column, ["step_removed", "statistic"]], b))
    return pd.DataFrame(rows, columns=["column", "step_removed", "statistic", "coefficient"])


def _model(name: str, settings: Mapping[str, Any], key: str) -> Estimator:
    if name not in MODELS:
        raise StudyError(f"{key}: {name} is not one of {', '.join(MODELS)}.")
    kind, implied = MODELS[name]
    _refuse_unknown(f"{key}.{name}", settings, kind)
    if name == "lasso" and settings.get("l1_ratio", 1.0) != 1.0:
        raise StudyError(f"{key}.lasso: an l1_ratio other than 1 is an elastic net; name it elastic_net.")
    return kind(**{**implied, **_tuples(settings)})


def _refuse_unknown(key: str, settings: Mapping[str, Any], kind: type[BaseEstimator]) -> None:
    known = set(inspect.signature(kind).parameters) - GIVEN
    unknown = sorted(set(settings) - known)
    if unknown:
        raise StudyError(
            f"{key}: {', '.join(unknown)} is not one of {', '.join(sorted(known)) or 'no settings'}."
        )


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make lists tuples, which no one can change behind an estimator's back."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
