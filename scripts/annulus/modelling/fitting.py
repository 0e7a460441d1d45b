"""Fit each kind of model on the training patients and freeze it, with the tables that explain it."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import Column, columns_of
from annulus.modelling.plan import LESION_SIZE
from annulus.modelling.size import SIZE
from annulus.modelling.clinical import ClinicalModel, firth_remark, fit_backward, fit_prespecified
from annulus.modelling.combined import (
    fit_combined,
    out_of_fold,
    out_of_fold_clinical,
    own_scores,
)
from annulus.modelling.folds import Split, centre_folds, log_odds, stratified_folds
from annulus.modelling.frozen import FrozenModel, Linear
from annulus.modelling.plan import rad_score
from annulus.modelling.logistic import LogisticFit
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS, multivariable_rows, univariable_rows
from annulus.modelling.penalised import PenalisedLogistic
from annulus.modelling.pipeline import build_pipeline, choice_table, chosen_estimator, selection_table
from annulus.modelling.plan import carried_columns
from annulus.modelling.scorers import probability
from annulus.modelling.signature import cross_fit
from annulus.modelling.split import LEFT_OUT
from annulus.modelling.steps import lower_bounds
from annulus.modelling.threshold import choose_cut_off
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
    """The training patients of one task whose outcome is known: predictors and outcome, by patient.

    ``left_out_together`` is each patient's centre where whole centres are held out, else None.
    """

    predictors: pd.DataFrame
    outcome: pd.Series
    left_out_together: pd.Series | None = None

    def feature_columns(self, images: Iterable[str], roi: str) -> list[str]:
        """Return the feature columns of one region, or of all habitats, over all images."""
        return feature_columns(self.predictors, images, roi)

    def outer_folds(self, count: int, seed: int) -> Sequence[Split]:
        """Return the outer folds: whole centres where these are held out, else ``count`` by outcome."""
        if self.left_out_together is None:
            return stratified_folds(self.outcome.to_numpy(), count, seed)
        return centre_folds(self.left_out_together.to_numpy())

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
class Freezing:
    """What all models of a task share: outer folds, how the cut-off is chosen, and the seed."""

    folds: Sequence[Split]
    rule: str
    at: float | None
    seed: int


def feature_columns(table: pd.DataFrame, images: Iterable[str], roi: str) -> list[str]:
    """Return the feature columns of one region, or of all habitats, over all images."""
    region = r"h\d+" if roi == "habitats" else re.escape(roi)
    names = re.compile(f"({'|'.join(map(re.escape, images))})_{region}_")
    return [column for column in table if names.match(column)]


def with_frequency(selection: pd.DataFrame, frequency: pd.DataFrame) -> pd.DataFrame:
    """Put how often repeated splits selected each column beside what was selected.

    ``frequency`` is ``model, column, selection_frequency``; what no split selected has 0, except columns
    that are not selected one by one (variables of models without selection), which keep none.
    """
    found = selection.drop(columns="selection_frequency").merge(frequency, on=["model", "column"], how="left")
    chosen = found["model"].str.startswith("signature_") | (found["model"] == "clinical")
    found["selection_frequency"] = found["selection_frequency"].fillna(0.0).where(chosen)
    return found


def freezing_for(training: Training, outer_folds: int, cut_off: Mapping[str, Any], seed: int) -> Freezing:
    """Return what a task's models share, from its settings."""
    return Freezing(training.outer_folds(outer_folds, seed), cut_off["rule"], cut_off.get("at"), seed)


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
    table = read_csv(outcomes).set_index("patient_id")
    table = table[table[task].notna()]
    centre = None if table[LEFT_OUT].isna().all() else table[LEFT_OUT]
    return Training(pd.read_parquet(predictors).set_index("patient_id").loc[table.index], table[task], centre)


def signature_columns(features: Iterable[str], signature: Mapping[str, Any]) -> list[str]:
    """Return the columns that a signature is fitted on: features, and what its steps need beside them."""
    return [*features, *carried_columns(signature)]


def read_lower_bounds(stability: Sequence[str]) -> dict[str, float] | None:
    """Read the lower ICC bounds of features from the table of stability, where there is one."""
    return lower_bounds(read_csv(stability[0])) if stability else None


def fit_signature(
    training: Training,
    roi: str,
    columns: list[str],
    signature: Mapping[str, Any],
    inner_folds: int,
    nested: bool,
    freezing: Freezing,
    lower: Mapping[str, float] | None = None,
) -> Fitted:
    """Fit and freeze the signature of one region.

    ``signature`` has its ``steps`` and ``model`` (:func:`annulus.modelling.pipeline.build_pipeline`);
    ``lower`` are the lower ICC bounds for the step ``stability``. ``nested`` also cross-fits it inside every
    outer fold, in ``inner_folds``, which combined models need.
    """
    features = training.predictors[signature_columns(columns, signature)]
    y = training.outcome.to_numpy()
    model = build_pipeline(signature, freezing.seed, lower)
    scores = cross_fit(model, features, y, freezing.folds, inner_folds, freezing.seed, nested).scores
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
    unfrozen = FrozenModel(name, "signature", scorer, note)
    ranges = features[list(scorer.terms)]
    frozen, table = _freeze(unfrozen, scorer.of(features), overall, training, ranges, freezing)
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
    training: Training,
    candidates: Sequence[str],
    entry_p: float,
    stay_p: float | None,
    freezing: Freezing,
) -> Fitted:
    """Fit and freeze the clinical model by univariable and backward selection, or that there is none."""
    columns = variables(candidates)

    def fit(table: pd.DataFrame, outcome: np.ndarray) -> ClinicalModel:
        return fit_backward(table, outcome, columns, entry_p, stay_p)

    y = training.outcome.to_numpy()
    alone = [univariable_rows(training.predictors, y, column) for column in columns.values()]
    note = "after selection, so intervals are too narrow"
    return _fit_variables("clinical", training, columns, fit, alone, note, freezing)


def fit_prespecified_model(
    training: Training, name: str, candidates: Sequence[str], freezing: Freezing
) -> Fitted:
    """Fit and freeze a model of all ``candidates``, none selected, or that there is none."""
    columns = variables(candidates)

    def fit(table: pd.DataFrame, outcome: np.ndarray) -> ClinicalModel:
        return fit_prespecified(table, outcome, columns)

    return _fit_variables(name, training, columns, fit, [], "pre-specified, no selection", freezing)


def prespecified_variables(name: str, clinical: Sequence[str]) -> list[str]:
    """Return the variables of a model without selection, given the study's clinical candidates."""
    return {
        "clinical_full": [*clinical],
        "volume": [LESION_SIZE],
        "size_clinical": [LESION_SIZE, *clinical],
    }[name]


def variables(names: Iterable[str]) -> dict[str, Column]:
    """Return the named variables: of the data dictionary, or the lesion's size."""
    known = {**columns_of("participants"), LESION_SIZE: SIZE}
    return {name: known[name] for name in names}


def fit_combined_model(
    training: Training,
    name: str,
    signatures: Mapping[str, FrozenModel],
    cross_fitted: Mapping[str, pd.DataFrame],
    clinical: Sequence[str],
    freezing: Freezing,
) -> Fitted:
    """Fit and freeze a model of Rad-scores (by region) and clinical variables."""
    columns = variables(clinical)
    encoded = encode(training.predictors, columns.values())
    y, patients = training.outcome.to_numpy(), training.outcome.index
    scores = {roi: score.loc[patients].to_numpy() for roi, score in own_scores(cross_fitted).items()}
    frozen_signatures = {roi: model.linear for roi, model in signatures.items() if model.linear is not None}
    found = fit_combined(name, scores, encoded, y, frozen_signatures, clinical)
    model = found.model
    linear = model.linear if isinstance(model.linear, Linear) else None
    selection = _combined_selection(name, [*found.terms, *found.dropped], found.dropped, linear)
    if linear is None:
        return _unfitted(model, selection, pd.DataFrame())
    rad_scores = {rad_score(roi): linear.of(training.predictors) for roi, linear in model.signatures.items()}
    apparent = encoded.assign(**rad_scores)[list(linear.terms)]
    overall = out_of_fold(cross_fitted, training.predictors, columns, training.outcome, freezing.folds)
    frozen, table = _freeze(model, linear.of(apparent), overall, training, apparent, freezing)
    note = "Rad-scores are cross-fitted" if signatures else "pre-specified, no selection"
    odds_ratios = multivariable_rows(found.terms, y, note).assign(model=name)
    return Fitted(frozen, selection, odds_ratios.reindex(columns=ODDS_RATIO_COLUMNS), table)


def _fit_variables(
    name: str,
    training: Training,
    columns: Mapping[str, Column],
    fit: Callable[[pd.DataFrame, np.ndarray], ClinicalModel],
    univariable: list[pd.DataFrame],
    note: str,
    freezing: Freezing,
) -> Fitted:
    """Fit and freeze a model of variables by ``fit``, which is repeated in every outer fold."""
    y = training.outcome.to_numpy()
    found = fit(training.predictors, y)
    selection = found.selection.assign(model=name).reindex(columns=SELECTION_COLUMNS)
    odds = list(univariable)
    if found.linear is None:
        model = FrozenModel(name, "clinical", None, found.reason)
        return _unfitted(model, selection, pd.concat(odds) if odds else pd.DataFrame())
    terms = encode(training.predictors, [columns[kept] for kept in found.kept])
    odds.append(multivariable_rows(terms, y, note))
    overall = out_of_fold_clinical(training.predictors, training.outcome, columns, freezing.folds, fit)
    model = FrozenModel(
        name,
        "clinical",
        found.linear,
        firth_remark(found.fit),
        clinical=tuple(kept for kept in found.kept if kept != LESION_SIZE),
        log_likelihood=found.fit.log_likelihood if isinstance(found.fit, LogisticFit) else None,
    )
    used = terms[list(found.linear.terms)]
    frozen, table = _freeze(model, found.linear.of(terms), overall, training, used, freezing)
    odds_ratios = pd.concat(odds, ignore_index=True).assign(model=name).reindex(columns=ODDS_RATIO_COLUMNS)
    return Fitted(frozen, selection, odds_ratios, table)


def _unfitted(model: FrozenModel, selection: pd.DataFrame, odds_ratios: pd.DataFrame) -> Fitted:
    return Fitted(
        model,
        selection,
        odds_ratios.assign(model=model.name).reindex(columns=ODDS_RATIO_COLUMNS),
        pd.DataFrame(columns=TRAINING_COLUMNS),
    )


def _freeze(
    model: FrozenModel,
    apparent: np.ndarray,
    out_of_fold_scores: pd.Series,
    training: Training,
    ranges: pd.DataFrame,
    freezing: Freezing,
) -> tuple[FrozenModel, pd.DataFrame]:
    """Choose the cut-off on out-of-fold predictions and put the frozen model together.

    ``out_of_fold_scores`` are log-odds counted from their folds' prior (see
    :func:`annulus.modelling.combined.over_folds`); here they are put at the training prevalence.
    """
    y = training.outcome.to_numpy()
    held_out = probability(out_of_fold_scores.reindex(training.outcome.index) + log_odds(y))
    cut_off = choose_cut_off(y, held_out, freezing.rule, freezing.at, freezing.seed)
    table = pd.DataFrame(
        {
            "patient_id": training.outcome.index,
            "linear_predictor": apparent,
            "probability": probability(apparent),
            "probability_out_of_fold": held_out,
        }
    )
    return replace(model, cut_off=cut_off, training=training.summary(ranges)), table


def _combined_selection(
    name: str, terms: Sequence[str], dropped: Sequence[str], linear: Linear | None
) -> pd.DataFrame:
    terms = list(dict.fromkeys(terms))
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
