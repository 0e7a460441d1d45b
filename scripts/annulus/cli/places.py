"""Where the workflow, its configuration and a study's results lie."""

from pathlib import Path

from annulus.errors import StudyError, nearest


def workflow_root() -> Path:
    """Return the folder of the workflow that this library belongs to.

    Raises StudyError where the library was installed without it.
    """
    root = Path(__file__).parents[3]
    if not (root / "workflow" / "schemas").is_dir():
        raise StudyError(
            f"{root}: the workflow is not beside the library. Run annulus from a copy of the project "
            "(uv run annulus), not from an installed wheel."
        )
    return root


def results_of(study: str) -> Path:
    """Return the folder of a study's results; raises StudyError naming those that there are."""
    folder = Path("results") / study
    if folder.is_dir():
        return folder
    known = sorted(path.name for path in Path("results").glob("*") if path.is_dir())
    raise StudyError(
        f"results/{study}: there are no results of this study{nearest(study, known)}. "
        + (f"There are some of {', '.join(known)}." if known else "Run it first, or go to where it was run.")
    )
