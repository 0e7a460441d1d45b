"""All models of a task, refitted whole on some of its training patients.

Signatures with their preparation and penalty, cross-fitted Rad-scores, clinical selection and combined
models: whatever was learnt for the study's models is learnt again, so that resampling shows what all of
it is worth, not its last step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit

from annulus.clinical.encoding import encode
from annulus.cohort.dictionary import columns_of
from annulus.modelling.clinical import ClinicalModel, fit_backward, fit_prespecified
from annulus.modelling.combined import fit_combined
from annulus.modelling.scorers import probability
from annulus.modelling.estimator import Estimator
from annulus.modelling.fitting import Training, prespecified_variables, signature_columns, variables
from annulus.modelling.folds import Split, centre_folds, log_odds, patient_folds
from annulus.modelling.frozen import FrozenModel, Scorer
from annulus.modelling.optimism import Predict, Refit
from annulus.modelling.pipeline import build_pipeline
from annulus.modelling.plan import without_refusing
from annulus.modelling.signature import cross_fitted_scores, reseeded

# Seeds between one refit and the next, of which cross-fitting uses some.
STRIDE = 100

# Share of the patients that a random split holds out.
HELD_OUT = 0.3

SPLIT_COLUMNS = ["model", "split", "auc"]
SELECTED_COLUMNS = ["model", "split", "column"]


@dataclass(frozen=True)
class CombinedPlan:
    """A combined model: regions whose signatures it uses, and clinical variables."""

    signatures: tuple[str, ...]
    clinical: tuple[str, ...]


@dataclass(frozen=True)
class TaskPlan:
    """What is fitted for a task: signatures by region (unfitted, with their columns), and the rest.

    ``prespecified`` names the models without selection. Rad-scores for combined models are cross-fitted in
    ``inner_folds``, or by the centres of ``left_out_together`` (by patient), as the study's are.
    """

    signatures: Mapping[str, tuple[Estimator, tuple[str, ...]]]
    clinical: tuple[str, ...]
    entry_p: float
    stay_p: float | None
    prespecified: tuple[str, ...]
    combined: Mapping[str, CombinedPlan]
    inner_folds: int
    left_out_together: pd.Series | None
    seed: int

    def folds(self, patients: pd.Index, outcome: np.ndarray, number: int) -> list[Split]:
        """Return the folds that Rad-scores are cross-fitted over: centres where the study leaves these out.

        A resample may leave too few patients of an outcome without a centre; its folds are then random.
        """
        if self.left_out_together is not None:
            centre = self.left_out_together.loc[patients].to_numpy()
            by_centre = centre_folds(centre)
            if all(_enough(patients[train], outcome[train]) for train, _ in by_centre):
                return by_centre
        return patient_folds(patients, outcome, self.inner_folds, self.seed + STRIDE * number)


def _enough(patients: pd.Index, outcome: np.ndarray) -> bool:
    """Say whether a signature can be tuned on these rows: two patients of either outcome."""
    return min(patients[outcome == value].nunique() for value in (0.0, 1.0)) >= 2


def task_plan(
    settings: Mapping[str, Any],
    training: Training,
    images: Sequence[str],
    lower: Mapping[str, float] | None,
    seed: int,
) -> TaskPlan:
    """Return what is fitted for a task, from its ``settings`` in the study's configuration.

    ``lower`` are the features' lower ICC bounds, of a study that judges stability. Where harmonisation
    refuses centres that training did not have, refits leave them as they are: a resample may lack a small
    centre by chance.
    """
    clinical = settings["clinical"]
    signature = without_refusing(settings["signature"])
    return TaskPlan(
        signatures={
            roi: (
                build_pipeline(signature, seed, lower),
                tuple(signature_columns(training.feature_columns(images, roi), signature)),
            )
            for roi in settings["signatures"]
        },
        clinical=tuple(clinical["candidates"]),
        entry_p=clinical["entry_p"],
        stay_p=clinical["stay_p"],
        prespecified=tuple(settings["prespecified"]),
        combined={
            name: CombinedPlan(tuple(parts["signatures"]), tuple(parts["clinical"]))
            for name, parts in settings["combined"].items()
        },
        inner_folds=settings["outer_folds"],
        left_out_together=training.left_out_together,
        seed=seed,
    )


@dataclass(frozen=True)
class Refitted:
    """The models of a task, fitted on the same patients, whose log-odds of the event are ``prior``."""

    models: Mapping[str, FrozenModel]
    prior: float

    def probabilities(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Probability of the event by model; where there is no model, the prevalence of its patients."""
        columns = columns_of("participants")
        return {
            name: probability(
                np.full(len(table), self.prior) if model.linear is None else model.score(table, columns)
            )
            for name, model in self.models.items()
        }


def refit(table: pd.DataFrame, outcome: np.ndarray, plan: TaskPlan, number: int) -> Refitted:
    """Fit all models of a task on the patients (rows) of ``table``, who may repeat in a resample.

    Every ``number`` has random folds of its own.
    """
    y = np.asarray(outcome, dtype=float)
    crossed = {roi for parts in plan.combined.values() for roi in parts.signatures}
    signatures: dict[str, Scorer] = {}
    scores: dict[str, np.ndarray] = {}
    models: dict[str, FrozenModel] = {}
    for roi, (estimator, columns) in plan.signatures.items():
        features, own = table[list(columns)], reseeded(estimator, STRIDE * number)
        signatures[roi] = own.fit(features, y).freeze()
        models[f"signature_{roi}"] = FrozenModel(f"signature_{roi}", "signature", signatures[roi])
        if roi in crossed:
            scores[roi] = cross_fitted_scores(own, features, y, plan.folds(table.index, y, number))[0]
    for name, found in _variable_models(table, y, plan).items():
        models[name] = FrozenModel(name, "clinical", found.linear, found.reason, clinical=_recorded(found))
    for name, parts in plan.combined.items():
        encoded = encode(table, variables(parts.clinical).values())
        used = {roi: scores[roi] for roi in parts.signatures}
        frozen = {roi: signatures[roi] for roi in parts.signatures}
        models[name] = fit_combined(name, used, encoded, y, frozen, parts.clinical).model
    return Refitted(models, log_odds(y))


def refitter(plan: TaskPlan) -> Refit:
    """Return what refits the whole task on a resample."""

    def fit(table: pd.DataFrame, outcome: np.ndarray, number: int) -> Predict:
        return refit(table, outcome, plan, number + 1).probabilities

    return fit


def random_splits(outcome: np.ndarray, count: int, seed: int) -> list[Split]:
    """Split patients ``count`` times at random into 70 % and 30 %, balanced by outcome."""
    splitter = StratifiedShuffleSplit(count, test_size=HELD_OUT, random_state=seed)
    return list(splitter.split(np.zeros(len(outcome)), outcome))


def split_rounds(
    table: pd.DataFrame, outcome: np.ndarray, plan: TaskPlan, splits: Mapping[int, Split]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Refit on one part of every split (by its number) and take the AUC in the other.

    Returns the AUCs (:data:`SPLIT_COLUMNS`) and what each signature and the clinical model selected
    (:data:`SELECTED_COLUMNS`).
    """
    y = np.asarray(outcome, dtype=float)
    areas, selected = [], []
    for number, (train, test) in splits.items():
        found = refit(table.iloc[train], y[train], plan, number + 1)
        for model, p in found.probabilities(table.iloc[test]).items():
            areas.append((model, number, float(roc_auc_score(y[test], p))))
            selected += [(model, number, column) for column in _selected(found.models[model])]
    return pd.DataFrame(areas, columns=SPLIT_COLUMNS), pd.DataFrame(selected, columns=SELECTED_COLUMNS)


def selection_frequency(selected: pd.DataFrame, splits: int) -> pd.DataFrame:
    """Share of the splits in which a model selected a column: ``model, column, selection_frequency``."""
    counts = selected.groupby(["model", "column"], sort=True).size() / splits
    return counts.rename("selection_frequency").reset_index()


def _variable_models(table: pd.DataFrame, y: np.ndarray, plan: TaskPlan) -> dict[str, ClinicalModel]:
    found = {}
    if plan.clinical:
        columns = variables(plan.clinical)
        found["clinical"] = fit_backward(table, y, columns, plan.entry_p, plan.stay_p)
    for name in plan.prespecified:
        found[name] = fit_prespecified(table, y, variables(prespecified_variables(name, plan.clinical)))
    return found


def _recorded(found: ClinicalModel) -> tuple[str, ...]:
    """Return the kept variables that the participants table has."""
    return tuple(name for name in found.kept if name in columns_of("participants"))


def _selected(model: FrozenModel) -> Iterable[str]:
    """Return what a model selected; models that do not select have nothing to show."""
    if model.linear is None:
        return ()
    if model.name == "clinical":
        return model.clinical
    return model.linear.terms if model.kind == "signature" else ()
