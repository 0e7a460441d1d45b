"""A cohort's tables taken in: read, checked and completed, with outcomes left where they are if asked.

Also used while Snakemake reads the workflow, so it needs nothing beyond what Snakemake installs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annulus.clinical.derived import Instruments, derive
from annulus.cohort.checks import Problem, check_cohort
from annulus.cohort.dictionary import Value
from annulus.cohort.feature_table import read_feature_table
from annulus.cohort.listing import Folder, table_file


@dataclass(frozen=True)
class CohortTables:
    """Where a cohort's participants, image manifest and feature table are, as its file says.

    ``images`` is None where the cohort has no manifest; ``simulated`` is the file of simulated patients.
    ``features`` is None unless the study takes them from a table, whose columns it puts into ``groups``.
    """

    folder: str
    participants: Mapping[str, Any]
    images: Mapping[str, Any] | None = None
    simulated: str = ""
    features: Mapping[str, Any] | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def participants_file(self) -> str:
        """Name the file (or listed folder) that the participants come from."""
        return self.simulated or table_file(self.folder, self.participants)


def take_in(
    tables: CohortTables,
    imaged: bool,
    needed: Iterable[str],
    instruments: Instruments,
    hidden: Collection[str] = (),
    among: Folder | None = None,
) -> tuple[list[dict[str, Value]], list[Problem]]:
    """Return a cohort's participants, derived columns included, and all that is wrong with its tables.

    ``imaged`` is whether the study looks at images, ``needed`` the columns that must be there. The cells of
    ``hidden`` columns are not read, and nothing is derived into them: outcomes stay closed until models are
    frozen. Raises StudyError when a table itself is not there.
    """
    file = tables.participants_file
    patients, problems = check_cohort(
        file,
        tables.participants,
        None if tables.images is None else table_file(tables.folder, tables.images),
        tables.images if imaged else None,
        tables.folder,
        needed,
        among,
        hidden,
    )
    patients, wrong = derive(patients, instruments, file)
    shown = [{name: value for name, value in row.items() if name not in hidden} for row in patients]
    if tables.features is not None:
        ids = [str(row["patient_id"]) for row in patients]
        source = (tables.folder, tables.features, tables.groups, tables.participants)
        problems += read_feature_table(*source, ids, among)[1]
    return shown, [*problems, *wrong]
