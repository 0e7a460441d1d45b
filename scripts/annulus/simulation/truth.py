"""What the hidden truth of a SYNTHETIC cohort would be worth to a model that could read it."""

import pandas as pd

from annulus.evaluation.discrimination import delong

BAYES_COLUMNS = ["cohort", "outcome", "score", "n", "events", "auc"]


def truth_by_cohort(participants: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of every hidden score for every hidden outcome, by cohort.

    A score ``bayes_x`` is held against ``outcome_x`` alone: it is what the best possible model reaches.
    """
    table = participants[["patient_id", "cohort"]].merge(truth, on="patient_id")
    outcomes = [column for column in truth if column.startswith("outcome_")]
    rows = [
        _truth_row(part.dropna(subset=[outcome]), str(cohort), outcome, score)
        for cohort, part in table.groupby("cohort", sort=False)
        for outcome in outcomes
        for score in truth
        if score.startswith("latent_") or score == outcome.replace("outcome_", "bayes_")
    ]
    return pd.DataFrame(rows, columns=BAYES_COLUMNS)


def _truth_row(part: pd.DataFrame, cohort: str, outcome: str, score: str) -> dict[str, object]:
    y = part[outcome].to_numpy()
    events = int(y.sum())
    both = 0 < events < len(y)
    area = float(delong(y, part[[score]].to_numpy().T)[0][0]) if both else float("nan")
    return {"cohort": cohort, "outcome": outcome, "score": score, "n": len(y), "events": events, "auc": area}
