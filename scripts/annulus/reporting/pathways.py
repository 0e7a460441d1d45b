"""What a report says of a clinical pathway: classes by cohort, flags, and performance against the outcome."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from annulus.evaluation.plan import EVERYBODY
from annulus.figures.style import cohort_title
from annulus.reporting.numbers import with_interval

METRICS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
}
CLASSES = ("suspicious", "limited_or_discordant", "indeterminate", "normal")


def pathway_parts(
    name: str, plan: Mapping[str, Any], patients: pd.DataFrame, performance: pd.DataFrame
) -> dict[str, Any]:
    """Return a pathway's classes, reasons against it, flags and performance as text.

    ``patients`` and ``performance`` are ``pathways/<name>/patients.csv`` and ``performance.csv``.
    """
    return {
        "plan": plan,
        "metrics": METRICS,
        "classes": _class_rows(patients),
        "not_applicable": _counts(patients["not_applicable"]),
        "flags": _counts(patients["flags"].dropna().str.split(";").explode()),
        "mdt": int((patients["mdt_required"] == 1).sum()),
        "performance": [
            {
                "reading": "suspicious alone" if model == name else "anything but normal",
                "cohort": "All" if cohort == EVERYBODY else cohort_title(str(cohort)),
                "n": int(group["n"].iloc[0]),
                "events": int(group["events"].iloc[0]),
                "values": [
                    with_interval(group.set_index("metric").loc[metric].to_dict()) for metric in METRICS
                ],
            }
            for (model, cohort), group in performance.groupby(["model", "cohort"], sort=False)
        ],
    }


def _class_rows(patients: pd.DataFrame) -> list[dict[str, Any]]:
    assessed = patients[patients["class"].notna()]
    rows = []
    for name in CLASSES:
        group = assessed[assessed["class"] == name]
        steps = _counts(group["next_step"])
        rows.append({"class": name.replace("_", " "), "n": len(group), "steps": steps})
    return rows


def _counts(values: pd.Series) -> list[tuple[str, int]]:
    counts = values.dropna().value_counts()
    return [(str(value).replace("_", " "), int(count)) for value, count in counts.items()]
