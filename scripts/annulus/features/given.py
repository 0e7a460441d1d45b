"""Features that were extracted elsewhere, in the tables that extraction would have written."""

import pandas as pd

from annulus.cohort.feature_table import IMAGE, FeatureTable
from annulus.features.columns import CATALOGUE_COLUMNS, FAILURE_COLUMNS, KEYS

# The mode of features that were not extracted here.
GIVEN = "given"

TIMEPOINT = "baseline"


def features_of(table: FeatureTable) -> pd.DataFrame:
    """Return ``features/features.parquet``: one row per patient with a feature, in order of their id."""
    patients = sorted(table.values)
    columns = [feature.column for feature in table.features]
    values = pd.DataFrame([table.values[patient] for patient in patients], columns=columns, dtype=float)
    keys = pd.DataFrame({"patient_id": patients, "timepoint": TIMEPOINT}, columns=KEYS)
    return pd.concat([keys, values], axis=1)


def catalogue_of(table: FeatureTable) -> pd.DataFrame:
    """Return ``features/catalogue.csv``: each column with its own name (``feature``) and group (``roi``).

    What only its authors know (filter, class, settings) stays empty.
    """
    values = features_of(table).drop(columns=KEYS)
    rows = pd.DataFrame(
        {
            "column": [feature.column for feature in table.features],
            "image": IMAGE,
            "roi": [feature.group for feature in table.features],
            "feature": [feature.name for feature in table.features],
            "mode": GIVEN,
            "missing": values.isna().sum().to_numpy(),
            "constant": (values.nunique(dropna=True) <= 1).astype(int).to_numpy(),
        }
    )
    return rows.reindex(columns=CATALOGUE_COLUMNS)


def failures_of(table: FeatureTable) -> pd.DataFrame:
    """Return ``features/failures.csv``: the patients without any feature, and why."""
    rows = [
        {"patient_id": patient, "reason": reason, "timepoint": TIMEPOINT, "image": IMAGE}
        for patient, reason in table.lost.items()
    ]
    return pd.DataFrame(rows, columns=FAILURE_COLUMNS)
