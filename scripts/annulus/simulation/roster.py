"""Which SYNTHETIC patients there are and what their files are called, without drawing any of them.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

from collections.abc import Mapping

IMAGES = ("le", "rc", "tumour", "breast")


def scaled_counts(cohorts: Mapping[str, int], patients: int | None) -> dict[str, int]:
    """Scale the number of patients per cohort to ``patients`` in all, keeping proportions."""
    if patients is None:
        return dict(cohorts)
    total = sum(cohorts.values())
    counts = {name: max(2, round(patients * n / total)) for name, n in cohorts.items()}
    largest = max(counts, key=lambda name: counts[name])
    counts[largest] += patients - sum(counts.values())
    return counts


def patient_ids(count: int) -> list[str]:
    """Return the ids of ``count`` SYNTHETIC patients."""
    return [f"SYN-CEM-{number:05d}" for number in range(1, count + 1)]


def image_files(patient_id: str) -> dict[str, str]:
    """Return the file names of one patient's two images and two masks."""
    return {image: f"{patient_id}_{image}.nrrd" for image in IMAGES}


def manifest(patients: list[str]) -> list[dict[str, str]]:
    """Return the image manifest: both images, each with the tumour's and the breast's mask."""
    return [
        {
            "patient_id": patient,
            "image_id": f"{patient}_{series}",
            "timepoint": "baseline",
            "modality": "CEM",
            "series": series,
            "view": "CC",
            "image_path": image_files(patient)[series],
            "mask_path": image_files(patient)[role],
            "mask_role": role,
            "rater": "1",
            "lesion": "1",
        }
        for patient in patients
        for series in ("le", "rc")
        for role in ("tumour", "breast")
    ]
