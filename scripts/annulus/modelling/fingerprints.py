"""Fingerprints of a study's patients and images, by which another cohort is asked whether it shares any."""

import pandas as pd

from annulus.cohort.identity import patient_sha256

FINGERPRINT_COLUMNS = ["kind", "sha256", "cohort"]


def fingerprints(study: str, split: pd.DataFrame, images: pd.DataFrame | None) -> pd.DataFrame:
    """Return ``kind`` (patient or image), ``sha256`` and ``cohort`` of all patients and images of the split.

    ``split`` is ``split/split.csv``; ``images`` is ``cohort/images.csv`` (an image is known by
    ``image_sha256``), None in a study without images. In order of the hashes, so that nothing of the order
    of patients is told.
    """
    patients = pd.DataFrame(
        {
            "kind": "patient",
            "sha256": [patient_sha256(study, patient) for patient in split["patient_id"]],
            "cohort": split["cohort"],
        }
    )
    parts = [patients]
    if images is not None:
        own = images.merge(split[["patient_id", "cohort"]], on="patient_id").dropna(subset="image_sha256")
        parts.append(own.assign(kind="image", sha256=own["image_sha256"]))
    rows = pd.concat([part[FINGERPRINT_COLUMNS] for part in parts]).drop_duplicates()
    return rows.sort_values(["kind", "sha256", "cohort"], ascending=[False, True, True], ignore_index=True)
