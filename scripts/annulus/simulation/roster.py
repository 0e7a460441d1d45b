"""Which SYNTHETIC patients there are and what their files are called, without drawing any of them.

Used while Snakemake reads the workflow, so it needs the standard library alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Of these roles a second rater draws a mask of his own.
RATED = ("tumour", "node")


@dataclass(frozen=True)
class Picture:
    """One image of every patient; ``masks`` are its roles, each with the name of its file."""

    name: str
    modality: str
    series: str
    view: str = "na"
    timepoint: str = "baseline"
    seconds: float | None = None
    masks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Roster:
    """What every patient of a simulator has; no pictures where there is only a table."""

    prefix: str
    pictures: tuple[Picture, ...] = ()


_LESION_AND_BREAST = {"tumour": "tumour", "breast": "breast"}

ROSTERS = {
    "cem": Roster(
        "CEM",
        (
            Picture("le", "CEM", "le", "CC", masks=_LESION_AND_BREAST),
            Picture("rc", "CEM", "rc", "CC", masks=_LESION_AND_BREAST),
        ),
    ),
    "us_nodal_burden": Roster(
        "USN",
        (Picture("us", "US", "bmode", masks={"tumour": "tumour"}), Picture("doppler", "US", "doppler")),
    ),
    "us_axilla_post_nst": Roster(
        "NST",
        (
            Picture("pre", "US", "bmode", masks={"node": "pre_node", "node_hilum": "pre_hilum"}),
            Picture(
                "post", "US", "bmode", timepoint="post_nst",
                masks={"node": "post_node", "node_hilum": "post_hilum"},
            ),
        ),
    ),
    "mri_habitat_her2": Roster(
        "MRI",
        (
            Picture("dce0", "MRI", "dce_0", seconds=0),
            Picture("dce1", "MRI", "dce_1", seconds=90, masks={"tumour": "tumour"}),
            Picture("dce4", "MRI", "dce_4", seconds=360),
            Picture("adc", "MRI", "adc", masks={"tumour": "adc_tumour"}),
        ),
    ),
    "kaiser_us_alnm": Roster("KUS"),
}  # fmt: skip


def scaled_counts(cohorts: Mapping[str, int], patients: int | None) -> dict[str, int]:
    """Scale the number of patients per cohort to ``patients`` in all, keeping proportions."""
    if patients is None:
        return dict(cohorts)
    total = sum(cohorts.values())
    counts = {name: max(2, round(patients * n / total)) for name, n in cohorts.items()}
    largest = max(counts, key=lambda name: counts[name])
    counts[largest] += patients - sum(counts.values())
    return counts


def enrolled(simulator: str, counts: Mapping[str, int]) -> dict[str, str]:
    """Return the cohort of every patient by id.

    The id holds the cohort's place among ``counts`` and the patient's within the cohort, so that a longer
    cohort has the same patients and more.
    """
    prefix = ROSTERS[simulator].prefix
    return {
        f"SYN-{prefix}-{place}{number:05d}": cohort
        for place, (cohort, count) in enumerate(counts.items(), start=1)
        for number in range(1, count + 1)
    }


def image_files(simulator: str, patient_id: str, raters: int = 1) -> dict[str, str]:
    """Return the file names of one patient's images and masks, by what they show."""
    names = dict.fromkeys(name for row in _pictured(simulator, raters) for name in row[1:] if name)
    return {name: f"{patient_id}_{name}.nrrd" for name in names}


def manifest(simulator: str, patients: list[str], raters: int = 1) -> list[dict[str, str]]:
    """Return the image manifest: every image with each of its masks."""
    return [row for patient in patients for row in _rows(simulator, patient, raters)]


def rated(mask: str, rater: int) -> str:
    """Return the name of a rater's mask."""
    return mask if rater == 1 else f"{mask}_rater_{rater}"


def _pictured(simulator: str, raters: int) -> Iterator[tuple[Picture, str, str]]:
    """Yield every picture with its name and each of its masks' names, or none."""
    for picture in ROSTERS[simulator].pictures:
        if not picture.masks:
            yield picture, picture.name, ""
        for role, mask in picture.masks.items():
            for rater in range(1, 1 + (raters if role in RATED else 1)):
                yield picture, picture.name, rated(mask, rater)


def _rows(simulator: str, patient: str, raters: int) -> Iterator[dict[str, str]]:
    files = image_files(simulator, patient, raters)
    for picture in ROSTERS[simulator].pictures:
        base = {
            "patient_id": patient,
            "image_id": f"{patient}_{picture.name}",
            "timepoint": picture.timepoint,
            "modality": picture.modality,
            "series": picture.series,
            "view": picture.view,
            "image_path": files[picture.name],
            "acq_time_s": "" if picture.seconds is None else f"{picture.seconds:g}",
            "lesion": "1",
        }
        if not picture.masks:
            yield {**base, "mask_path": "", "mask_role": "", "rater": "1"}
        for role, mask in picture.masks.items():
            for rater in range(1, 1 + (raters if role in RATED else 1)):
                path = files[rated(mask, rater)]
                yield {**base, "mask_path": path, "mask_role": role, "rater": str(rater)}
