"""Fit each kind of model on the training patients and freeze it, with the tables that explain it."""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column, columns_of
from annulus.modelling.clinical import ODDS_RATIO_COLUMNS, fit_clinical
from annulus.modelling.combined import (
    combined_terms,
    fit_combined,
    out_of_fold,
    out_of_fold_clinical,
    probability,
)
from annulus.modelling.frozen import FrozenModel, Linear, Scorer, rad_score
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import build_pipeline, choice_table, chosen_estimator, selection_table
from annulus.modelling.plan import carried_columns
from annulus.modelling.signature import Split, cross_fit, stratified_folds
from annulus.modelling.steps import lower_bounds
from annulus.modelling.threshold import YOUDEN, youden
from annulus.tables import read_csv

logger = logging.getLogger(__name__)

SELECTION_COLUMNS = [
    "model", "column", "step_removed", "statistic", "coefficient", "selection_frequency",
]  # fmt: skip
PATH_COLUMNS = ["column", "penalty", "coefficient"]
CV_COLUMNS = ["penalty", "deviance", "standard_error", "selected", "chosen", "rule"]
TRAINING_COLUMNS = [
    "patient_id", "linear_predictor", "probability", "probability_out_of_fold",
]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The training patients of one task whose outcome is known: predictors and outcome, by patient."""

    predictors: pd.DataFrame
    outcome: pd.Series

    def feature_columns(self, images: Iterable[str], roi: str) -> list[str]:
        """Return the feature columns of one region, or of all habitats, over all images."""
        region = r"h\d+" if roi == "habitats" else re.escape(roi)
        names = re.compile(f"({'|'.join(map(re.escape, images))})_{region}_")
        return [column for column in self.predictors if names.match(column)]

    def summary(self, ranges: pd.DataFrame) -> dict[str, Any]:
        """Describe the training data for the frozen model: sizes, who, and the range of each term."""
        patients = "\n".join(self.outcome.index)
        return {
            "n": len(self.outcome),
            "events": int(self.outcome.sum()),
            "patients_sha256": hashlib.sha256(patients.encode()).hexdigest(),
            "ranges": {
                str(term): [float(values.min()), float(values.max())] for term, values in ranges.items()
            },
        }


@dataclass(frozen=True)
class Fitted:
    """A frozen model with its tables; ``path`` and those after it are a signature's."""

    model: FrozenModel
    selection: pd.DataFrame
    odds_ratios: pd.DataFrame
    training: pd.DataFrame
    path: pd.DataFrame = field(default_factory=pd.DataFrame)
    cv: pd.DataFrame = field(default_factory=pd.DataFrame)
    cross_fitted: pd.DataFrame = field(default_factory=pd.DataFrame)
    choice: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_training(predictors: str, outcomes: str, task: str) -> Training:
    """Read the training cohort's files, keeping the patients whose outcome is known."""
    known = pd.read_csv(outcomes, dtype={"patient_id": str}).set_index("patient_id")[task].dropna()
    table = pd.read_parquet(predictors).set_index("patient_id")
    return Training(table.loc[known.index], known)


def read_lower_bounds(stability: Sequence[str]) -> dict[str, float] | None:
    """Read the lower ICC bounds of features from the table of stability, where there is one."""
    return lower_bounds(read_csv(stability[0])) if stability else None


def fit_signature(
    training: Training,
    roi: str,
    columns: list[str],
    signature: Mapping[str, Any],
    outer: Sequence[Split],
    inner_folds: int,
    seed: int,
    nested: bool,
    lower: Mapping[str, float] | None = None,
) -> Fitted:
    """Fit and freeze the signature of one region, out-of-fold over the ``outer`` folds.

    ``signature`` has its ``steps`` and ``model`` (:func:`annulus.modelling.pipeline.build_pipeline`);
    ``lower`` are the lower ICC bounds for the step ``stability``. ``nested`` also cross-fits it inside every
    outer fold, in ``inner_folds``, which combined models need.
    """
    features = training.predictors[columns + list(carried_columns(signature))]
    y = training.outcome.to_numpy()
    model = build_pipeline(signature, seed, lower)
    scores = cross_fit(model, features, y, outer, inner_folds, seed, nested).scores
    model.fit(features, y)
    scorer = model.freeze()
    own = scores[scores["outer_set"] == "all"].set_index("patient_id")
    overall = own["score"] + own["intercept"]
    name = f"signature_{roi}"
    path, cv = pd.DataFrame(columns=PATH_COLUMNS), pd.DataFrame(columns=CV_COLUMNS)
    fitted = chosen_estimator(model)
    if isinstance(fitted, PenalisedLogistic):
        path, cv = _path_table(fitted), _cv_table(fitted)
        if fitted.chosen_ == len(fitted.path_.penalties) - 1 and scorer.terms:
            logger.warning("%s: the smallest penalty of its path was chosen; extend the path", name)
    note = "" if scorer.terms else "no feature was selected: the signature is its intercept"
    frozen, table = _freeze(
        name, "signature", scorer, scorer.of(features), overall, training,
        features[list(scorer.terms)], note,
    )  # fmt: skip
    return Fitted(
        model=frozen,
        selection=selection_table(fitted).assign(model=name).reindex(columns=SELECTION_COLUMNS),
        odds_ratios=pd.DataFrame(columns=ODDS_RATIO_COLUMNS),
        training=table,
        path=path,
        cv=cv,
        cross_fitted=scores,
        choice=choice_table(model),
    )


def fit_clinical_model(
    training: Training, candidates: Sequence[str], entry_p: float, outer_folds: int, seed: int
) -> Fitted:
    """Fit and freeze the clinical model, or freeze that there is none."""
    columns = {name: columns_of("participants")[name] for name in candidates}
    y = training.outcome.to_numpy()
    found = fit_clinical(training.predictors, y, columns, entry_p)
    folds = stratified_folds(y, outer_folds, seed)

    def refit(table: pd.DataFrame, outcome: np.ndarray) -> Linear | None:
        return fit_clinical(table, outcome, columns, entry_p).linear

    selection = found.selection.assign(model="clinical").reindex(columns=SELECTION_COLUMNS)
    odds_ratios = found.odds_ratios.assign(model="clinical").reindex(columns=ODDS_RATIO_COLUMNS)
    if found.linear is None:
        return Fitted(
            FrozenModel("clinical", "clinical", None, found.reason),
            selection,
            odds_ratios,
            pd.DataFrame(columns=TRAINING_COLUMNS),
        )
    overall = out_of_fold_clinical(training.predictors, training.outcome, columns, folds, refit)
    terms = encode(training.predictors, [columns[name] for name in found.kept])
    frozen, table = _freeze(
        "clinical", "clinical", found.linear, found.linear.of(terms), overall, training, terms,
        clinical=found.kept,
    )  # fmt: skip
    return Fitted(frozen, selection, odds_ratios, table)


def fit_combined_model(
    training: Training,
    name: str,
    signatures: Mapping[str, FrozenModel],
    cross_fitted: Mapping[str, pd.DataFrame],
    clinical: Sequence[str],
    outer_folds: int,
    seed: int,
) -> Fitted:
    """Fit and freeze a model of Rad-scores (by region) and clinical variables.

    Its coefficients are estimated on cross-fitted Rad-scores, so that a signature's optimism on its
    own patients does not buy it weight; new patients are scored by the frozen signatures.
    """
    columns = [columns_of("participants")[variable] for variable in clinical]
    encoded = encode(training.predictors, columns)
    y, patients = training.outcome.to_numpy(), training.outcome.index.to_numpy()
    frozen_signatures = {roi: model.linear for roi, model in signatures.items() if model.linear is not None}
    terms = combined_terms(_own_scores(cross_fitted), encoded, patients)
    empty = [rad_score(roi) for roi, linear in frozen_signatures.items() if not linear.terms]
    found = fit_combined(terms.drop(columns=empty), y)
    selection = _combined_selection(name, list(terms), [*found.dropped, *empty], found.linear)
    if found.linear is None or found.fit is None:
        return Fitted(
            FrozenModel(name, "combined", None, found.reason),
            selection,
            pd.DataFrame(columns=ODDS_RATIO_COLUMNS),
            pd.DataFrame(columns=TRAINING_COLUMNS),
        )
    kept = {roi: s for roi, s in frozen_signatures.items() if rad_score(roi) in found.linear.terms}
    linear = _on_frozen_scores(found.linear, kept)
    scores = {rad_score(roi): signature.of(training.predictors) for roi, signature in kept.items()}
    apparent = encoded.assign(**scores)[list(linear.terms)]
    folds = stratified_folds(y, outer_folds, seed)
    overall = out_of_fold(cross_fitted, encoded, training.outcome, folds)
    frozen, table = _freeze(
        name, "combined", linear, linear.of(apparent), overall, training, apparent,
        f"without {', '.join(empty)}, which selected nothing" if empty else "",
        clinical=tuple(clinical), signatures=kept,
    )  # fmt: skip
    imputed = int(encoded.isna().any(axis=1).sum())
    note = "Rad-scores are cross-fitted" + (f"; {imputed} patients imputed" if imputed else "")
    odds_ratios = found.fit.odds_ratios().assign(model=name, analysis="multivariable", note=note)
    return Fitted(frozen, selection, odds_ratios.reindex(columns=ODDS_RATIO_COLUMNS), table)


def predict(models: Iterable[FrozenModel], predictors: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Score a cohort with every model that there is."""
    columns: Mapping[str, Column] = columns_of("participants")
    parts = []
    for model in models:
        if model.linear is None:
            continue
        scores = model.score(predictors, columns)
        parts.append(
            pd.DataFrame(
                {
                    "patient_id": predictors["patient_id"],
                    "cohort": cohort,
                    "model": model.name,
                    "linear_predictor": scores,
                    "probability": probability(scores),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _freeze(
    name: str,
    kind: str,
    linear: Scorer,
    apparent: np.ndarray,
    out_of_fold_scores: pd.Series,
    training: Training,
    ranges: pd.DataFrame,
    reason: str = "",
    clinical: tuple[str, ...] = (),
    signatures: Mapping[str, Scorer] | None = None,
) -> tuple[FrozenModel, pd.DataFrame]:
    """Choose the cut-off on out-of-fold predictions and put the frozen model together."""
    held_out = probability(out_of_fold_scores.reindex(training.outcome.index))
    model = FrozenModel(
        name=name,
        kind=kind,
        linear=linear,
        reason=reason,
        clinical=clinical,
        signatures=signatures or {},
        threshold=youden(training.outcome.to_numpy(), held_out),
        threshold_rule=YOUDEN,
        training=training.summary(ranges),
    )
    table = pd.DataFrame(
        {
            "patient_id": training.outcome.index,
            "linear_predictor": apparent,
            "probability": probability(apparent),
            "probability_out_of_fold": held_out,
        }
    )
    return model, table


def _own_scores(cross_fitted: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """Return each signature's cross-fitted Rad-scores over all training patients, by patient."""
    return {
        roi: table[table["outer_set"] == "all"].set_index("patient_id")["score"]
        for roi, table in cross_fitted.items()
    }


def _on_frozen_scores(linear: Linear, signatures: Mapping[str, Scorer]) -> Linear:
    """Take the frozen signatures' intercepts off their scores, as cross-fitted scores have none."""
    origin = {rad_score(roi): signature.intercept for roi, signature in signatures.items()}
    shift = tuple(origin.get(term, 0.0) for term in linear.terms)
    fill = tuple(value + by for value, by in zip(linear.fill, shift, strict=True))
    return replace(linear, mean=shift, fill=fill)


def _combined_selection(
    name: str, terms: list[str], dropped: list[str], linear: Linear | None
) -> pd.DataFrame:
    coefficients = dict(zip(linear.terms, linear.coefficients, strict=True)) if linear else {}
    return pd.DataFrame(
        {
            "model": name,
            "column": terms,
            "step_removed": ["does not vary" if term in dropped else "" for term in terms],
            "coefficient": [coefficients.get(term, np.nan) for term in terms],
        }
    ).reindex(columns=SELECTION_COLUMNS)


def _path_table(model: PenalisedLogistic) -> pd.DataFrame:
    """Coefficients along the path, of the features that ever have one down to the chosen penalty."""
    coefficients = model.path_.coefficients
    ever = np.flatnonzero((coefficients[: model.chosen_ + 1] != 0).any(axis=0))
    return pd.DataFrame(
        {
            "column": np.repeat([model.names_[i] for i in ever], len(model.path_.penalties)),
            "penalty": np.tile(model.path_.penalties, len(ever)),
            "coefficient": coefficients[:, ever].T.ravel(),
        },
        columns=PATH_COLUMNS,
    )


def _cv_table(model: PenalisedLogistic) -> pd.DataFrame:
    found = model.cross_validation_
    table = pd.DataFrame(
        {
            "penalty": found.penalties,
            "deviance": found.mean,
            "standard_error": found.standard_error,
            "selected": (model.path_.coefficients != 0).sum(axis=1),
        }
    )
    table["chosen"] = (np.arange(len(table)) == model.chosen_).astype(int)
    rules = {found.minimum: ["minimum"]}
    rules.setdefault(found.one_se, []).append("one_se")
    table["rule"] = [";".join(rules.get(i, [])) for i in range(len(table))]
    return table[CV_COLUMNS]
