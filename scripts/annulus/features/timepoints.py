"""Features of patients who were imaged more than once, side by side, and their changes.

Used where patients are shared out, so nothing heavier than pandas is imported.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from annulus.errors import StudyError


def by_patient(
    features: pd.DataFrame,
    images: Iterable[str],
    timepoints: Mapping[str, str],
    changes: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Return one row per patient of features per patient and timepoint (``features/features.parquet``).

    ``timepoints`` are the manifest's by short name. ``<image>_<roi>_...`` becomes
    ``<image>_<roi><time>_...`` for every time and change; a patient without an image of a time has missing
    values there. Without ``timepoints`` columns keep their names. Raises StudyError where patients then have
    several timepoints, or where nobody was imaged at one that is named.
    """
    if not timepoints:
        doubled = features.loc[features["patient_id"].duplicated(), "patient_id"]
        if len(doubled):
            raise StudyError(
                f"timepoints: patient {doubled.iloc[0]} was imaged at several timepoints. Name them in the "
                "study's key timepoints, or leave all but one out of the manifest."
            )
        return features.drop(columns="timepoint")
    absent = sorted(set(timepoints.values()) - set(features["timepoint"]))
    if absent:
        raise StudyError(
            f"timepoints: no image was taken at {', '.join(absent)}. The images are of "
            f"{', '.join(sorted(set(features['timepoint'])))}."
        )
    by_time = {
        name: features[features["timepoint"] == time].set_index("patient_id").drop(columns="timepoint")
        for name, time in timepoints.items()
    }
    patients = pd.Index(sorted(set(features["patient_id"])), name="patient_id")
    tables = {name: table.reindex(patients) for name, table in by_time.items()}
    for name, change in changes.items():
        tables[name] = _change(tables[change["from"]], tables[change["to"]], change["kind"])
    names = tuple(images)
    parts = [
        table.rename(columns=lambda column, time=time: _timed(column, names, time))
        for time, table in tables.items()
    ]
    return pd.concat(parts, axis=1).reset_index()


def catalogue_by_patient(
    catalogue: pd.DataFrame,
    images: Iterable[str],
    timepoints: Mapping[str, str],
    changes: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Return the rows of ``features/catalogue.csv`` for the columns that :func:`by_patient` makes.

    ``time`` is the short name of the time or change, empty where the study has no timepoints.
    """
    names = tuple(images)
    parts = [
        catalogue.assign(column=[_timed(column, names, time) for column in catalogue["column"]], time=time)
        for time in (*timepoints, *changes)
    ]
    return pd.concat(parts, ignore_index=True) if parts else catalogue.assign(time="")


def _timed(column: str, images: tuple[str, ...], time: str) -> str:
    """Put a time behind the region of a feature's name."""
    region = f"((?:{'|'.join(map(re.escape, images))})_[a-z0-9]+)_(.*)"
    return re.sub(region, rf"\1{time}_\2", column, count=1)


def _change(before: pd.DataFrame, after: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Change of every feature; missing where it is not defined."""
    if kind == "difference":
        return after - before
    if kind == "relative":
        return (after - before) / before.abs().replace(0.0, np.nan)
    both = (before > 0) & (after > 0)
    return np.log(after.where(both) / before.where(both))
