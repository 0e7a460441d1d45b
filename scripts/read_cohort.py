"""Read the cohort's participants, and write down everything in its tables that is wrong."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables, take_in
from annulus.cohort.checks import PROBLEM_COLUMNS, refuse_errors
from annulus.tables import as_given, write_csv

params = snakemake.params
simulated = snakemake.input.participants if params.simulated else ""
tables = CohortTables(
    params.folder, params.participants, params.images, simulated, params.features, params.groups
)
instruments = Instruments(**params.instruments)
participants, problems = take_in(tables, params.imaged, params.needed, instruments, params.hidden)
refuse_errors(problems, Path(snakemake.output.problems))
source = {"cohort_source": params.cohort, "synthetic": int(params.simulated)}
write_csv(snakemake.output.participants, as_given({**patient, **source} for patient in participants))
write_csv(snakemake.output.problems, map(vars, problems), PROBLEM_COLUMNS)
