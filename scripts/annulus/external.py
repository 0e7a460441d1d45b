"""What an external cohort must be for a study's frozen models to score it.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from annulus.cohort.checks import Problem
from annulus.cohort.identity import patient_sha256
from annulus.cohort.listing import table_file
from annulus.cohort.plausibility import Summary, known_patients_problems, unit_problems
from annulus.cohort.sources import read_source
from annulus.config import StudyConfig
from annulus.errors import StudyError
from annulus.modelling.front_end import differences, front_end

# Of a training summary, in the order that plausibility takes them.
SUMMARY = ("minimum", "q05", "median", "q95", "maximum")


def as_external(study: StudyConfig) -> StudyConfig:
    """Return a study's design for a cohort that is only scored: one cohort, and nothing that is fitted.

    ``study`` has the external cohort in place of its own. Raises StudyError where the study has no frozen
    models yet, or predictors would not be made as they were for the models.
    """
    design, name = dict(study.design), study.cohort["name"]
    refuse_other_front_end(study)
    design["split"] = {"by": "none", "cohorts": {f"external_{name}": []}}
    design.pop("stability", None)
    return replace(study, design=design)


def models_folder(study: StudyConfig) -> Path:
    """Return the folder of a study's frozen models, from the working directory."""
    return Path("results") / study.design["name"] / "models"


def refuse_other_front_end(study: StudyConfig) -> None:
    """Raise StudyError where predictors would be made otherwise than they were for the frozen models."""
    file = models_folder(study) / "front_end.json"
    if not file.is_file():
        raise StudyError(
            f"{file}: the study has no frozen models yet. Run it first: "
            f"snakemake --cores all --config study={study.design['name']}"
        )
    frozen = json.loads(file.read_text(encoding="utf-8"))
    habitats = frozen["sections"].get("habitats", {}).get("content", {}).get("sha256")
    lines = differences(frozen, front_end(study.design, study.imaging, habitats))
    if lines:
        raise StudyError(
            f"study {study.design['name']}: the frozen models hold for patients whose predictors are made as "
            "theirs were, but the configuration has changed. Change it back, or run the study again:\n"
            + "\n".join(lines)
        )


def unlike_training(study: StudyConfig) -> list[Problem]:
    """Return patients of a table cohort that the models were trained on, and columns in another unit."""
    cohort, folder = study.cohort, models_folder(study)
    file = table_file(cohort["folder"], cohort["participants"])
    training = clinical_summaries(folder)
    wanted = {"_row", "patient_id", *training}
    rows = [
        {name: value for name, value in row.items() if name in wanted}
        for row in read_source(cohort["folder"], cohort["participants"])
    ]
    problems = unit_problems(file, rows, training)
    if not cohort.get("own_ids"):
        hash_of = partial(patient_sha256, study.design["name"])
        problems += known_patients_problems(
            file, rows, fingerprints(folder / "fingerprints.csv", "patient"), hash_of
        )
    return problems


def fingerprints(file: Path, kind: str) -> set[str]:
    """Return the hashes of the study's own patients or images, from its ``models/fingerprints.csv``."""
    with file.open(encoding="utf-8", newline="") as stream:
        return {row["sha256"] for row in csv.DictReader(stream) if row["kind"] == kind}


def clinical_summaries(models: Path) -> dict[str, Summary]:
    """Return of every numeric clinical variable of the models how training patients had it."""
    found: dict[str, Summary] = {}
    for path in sorted(models.glob("*/*/model.json")):
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        summaries = content["training"].get("summary", {})
        for name in content["variables"]:
            if "median" in summaries.get(name, {}):
                lowest, low, middle, high, highest = (float(summaries[name][key]) for key in SUMMARY)
                found[name] = (lowest, low, middle, high, highest)
    return found
