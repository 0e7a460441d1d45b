"""Patients scored by frozen models, without anything that fits one."""

from collections.abc import Iterable, Sequence

import pandas as pd

from annulus.errors import StudyError

from annulus.modelling.frozen import FrozenModel
from annulus.modelling.scorers import probability

UNSCORED_COLUMNS = ["model", "cohort", "reason"]

# Columns that a reason names before it counts the rest.
NAMED = 5


def scorable(
    models: Sequence[FrozenModel], predictors: pd.DataFrame, cohort: str
) -> tuple[list[FrozenModel], pd.DataFrame]:
    """Part fitted models into those whose predictors a cohort has, and the rest with what each lacks.

    A column without a single value is not there: filled in for everybody it would tell nobody apart. Raises
    StudyError when no model is left.
    """
    there = set(predictors.columns[predictors.notna().any()])
    left, rows = list[FrozenModel](), list[dict[str, str]]()
    for model in models:
        lacking = [column for column in model.columns if column not in there]
        if lacking:
            reason = f"{cohort} has no {_listed(lacking)}"
            rows.append({"model": model.name, "cohort": cohort, "reason": reason})
        elif model.linear is not None:
            left.append(model)
    if not left:
        reasons = "; ".join(f"{row['model']}: {row['reason']}" for row in rows) or "none was fitted"
        raise StudyError(f"No model can score {cohort} ({reasons}).")
    return left, pd.DataFrame(rows, columns=UNSCORED_COLUMNS)


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - NAMED
    return ", ".join(columns[:NAMED]) + (f" and {more} more" if more > 0 else "")


def predict(models: Iterable[FrozenModel], predictors: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Score a cohort with models whose predictors it has; each describes its clinical variables itself."""
    parts = []
    for model in models:
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
