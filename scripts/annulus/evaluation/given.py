"""Predictions that somebody else made, taken from the participants table as they are."""

from collections.abc import Mapping

import pandas as pd

from annulus.modelling.odds import logit


def given_predictions(
    participants: pd.DataFrame, split: pd.DataFrame, models: Mapping[str, str], cohort: str
) -> pd.DataFrame:
    """Return the given probabilities of a cohort's patients, by model, with their log-odds.

    ``models`` names the column of ``participants`` that each model's probabilities are in. A patient without
    one has no row of that model.
    """
    members = set(split.loc[split["cohort"] == cohort, "patient_id"])
    people = participants[participants["patient_id"].isin(members)].sort_values("patient_id")
    parts = []
    for model, column in models.items():
        probability = pd.to_numeric(people[column])
        rows = pd.DataFrame({"patient_id": people["patient_id"], "cohort": cohort, "model": model})
        rows["linear_predictor"] = logit(probability.to_numpy(dtype=float))
        rows["probability"] = probability
        parts.append(rows[probability.notna()])
    return pd.concat(parts, ignore_index=True)
