"""A signature's configuration: what its steps are called and which columns they need.

Used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake itself installs.
"""

from collections.abc import Mapping
from typing import Any

from annulus.errors import StudyError

# Models without selection that every task with clinical candidates has; without any, volume is the only one.
PRESPECIFIED = ("clinical_full", "volume", "size_clinical")

# The lesion's size as predictors have it; its odds ratio is per doubling of the volume.
LESION_SIZE = "log2_lesion_volume"

# Names that a study's own models cannot have: those of other models, and of strategies in decision curves.
KEPT_NAMES = ("clinical", *PRESPECIFIED, "treat_all", "treat_none")


def rad_score(roi: str) -> str:
    """Name the term that holds the Rad-score of a region."""
    return f"radscore_{roi}"


def models_of(plan: Mapping[str, Any], imaged: bool) -> list[str]:
    """Name a task's models, in the order of tables and figures; ``imaged`` is whether there are images."""
    if plan["predictions"]:
        return list(plan["predictions"])
    return [
        *(f"signature_{roi}" for roi in plan["signatures"]),
        *(["clinical"] if plan["clinical"]["candidates"] else []),
        *prespecified_models(plan, imaged),
        *plan["combined"],
    ]


def prespecified_models(plan: Mapping[str, Any], imaged: bool) -> list[str]:
    """Name a task's models without selection: of all clinical candidates, of the lesion's size, of both."""
    needs = {"clinical_full": (True, False), "volume": (False, True), "size_clinical": (True, True)}
    has = (bool(plan["clinical"]["candidates"]), imaged)
    return [name for name in PRESPECIFIED if all(h or not n for h, n in zip(has, needs[name], strict=True))]


def named(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and settings of a step or model, given as a name or as one name with its settings."""
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise StudyError(f"steps: {dict(entry)} should be one name with its settings.")
    ((name, settings),) = entry.items()
    return name, dict(settings or {})


def step_names(signature: Mapping[str, Any]) -> list[str]:
    """Return the names of a signature's steps."""
    return [named(entry)[0] for entry in signature.get("steps", ())]


def carried_columns(signature: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the participants table that a signature's steps need: centre and covariates."""
    settings = step_settings(signature, "harmonise")
    return () if settings is None else (settings["centre"], *settings.get("covariates", ()))


def without_refusing(signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with centres that training lacks left as they are instead of refused."""
    steps = [named(entry) for entry in signature.get("steps", ())]
    return {
        **signature,
        "steps": [
            {name: {**settings, "unseen": "leave"}}
            if name == "harmonise" and settings.get("unseen", "refuse") == "refuse"
            else {name: settings}
            for name, settings in steps
        ],
    }


def step_settings(signature: Mapping[str, Any], step: str) -> dict[str, Any] | None:
    """Return the settings of a signature's step; None where it has no such step."""
    return dict(map(named, signature.get("steps", ()))).get(step)
