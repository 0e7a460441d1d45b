"""Patients scored by frozen models, without anything that fits one."""

from collections.abc import Iterable

import pandas as pd

from annulus.modelling.frozen import FrozenModel
from annulus.modelling.scorers import probability


def predict(models: Iterable[FrozenModel], predictors: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Score a cohort with every model that there is; each describes its clinical variables itself."""
    parts = []
    for model in models:
        if model.linear is None:
            continue
        scores = model.score(predictors)
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
