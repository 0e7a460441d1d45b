"""Frozen models' predictions beside the outcomes that they are held against."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

PREDICTION_COLUMNS = [
    "patient_id", "cohort", "model", "y", "linear_predictor", "probability",
    "probability_out_of_fold", "synthetic",
]  # fmt: skip


def refuse_missing(outcome: np.ndarray, *predictions: np.ndarray) -> None:
    """Raise ValueError where a patient has no outcome or no prediction.

    Unnoticed, a missing outcome would count as an event, and a missing prediction as a negative one.
    """
    for name, values in [("outcome", outcome), *(("prediction", p) for p in predictions)]:
        missing = int(np.isnan(np.asarray(values, dtype=float)).sum())
        if missing:
            raise ValueError(f"{missing} of {len(values)} patients have no {name}: leave them out before")


def join_predictions(
    predictions: Iterable[pd.DataFrame],
    outcomes: Iterable[pd.DataFrame],
    training: Mapping[str, pd.DataFrame],
    task: str,
) -> pd.DataFrame:
    """Join predictions per cohort, outcomes per cohort and out-of-fold predictions per model.

    Patients whose outcome is not known keep an empty ``y``. Without ``training``, nobody has an out-of-fold
    prediction.
    """
    scored = pd.concat(list(predictions), ignore_index=True)
    truth = pd.concat([table[["patient_id", task]] for table in outcomes])
    table = scored.merge(truth.rename(columns={task: "y"}), on="patient_id", validate="m:1")
    parts = [part.assign(model=model) for model, part in training.items() if len(part)]
    if not parts:
        return table.reindex(columns=[c for c in PREDICTION_COLUMNS if c != "synthetic"])
    folds = pd.concat(parts)
    folds = folds[["patient_id", "model", "probability_out_of_fold"]]
    joined = table.merge(folds, on=["patient_id", "model"], how="left", validate="1:1")
    return joined.reindex(columns=[c for c in PREDICTION_COLUMNS if c != "synthetic"])


def known(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions of patients whose outcome is known, with ``evaluated``.

    ``evaluated`` is the probability that evaluation uses: out-of-fold for training patients, since a
    model flatters itself on the patients it was fitted on, and the frozen model's elsewhere.
    """
    table = predictions[predictions["y"].notna() & predictions["probability"].notna()].copy()
    training = table["cohort"] == "train"
    table["evaluated"] = table["probability"].where(~training, table["probability_out_of_fold"])
    return table


def by_cohort_and_model(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield cohort, model and its rows of ``known`` predictions, in the table's order."""
    for cohort, of_cohort in table.groupby("cohort", sort=False):
        for model, group in of_cohort.groupby("model", sort=False):
            yield str(cohort), str(model), group


def side_by_side(group: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a cohort's evaluated probabilities (patient x model) and its outcomes."""
    wide = group.pivot(index="patient_id", columns="model", values="evaluated")
    y = group.drop_duplicates("patient_id").set_index("patient_id")["y"].loc[wide.index]
    return wide, y.to_numpy()
