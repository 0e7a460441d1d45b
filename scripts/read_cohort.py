"""Read the cohort's participants, and write down everything in its tables that is wrong."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.clinical.derived import Instruments, derive
from annulus.cohort.checks import PROBLEM_COLUMNS, check_cohort, refuse_errors
from annulus.cohort.feature_table import read_feature_table
from annulus.cohort.listing import table_file
from annulus.tables import as_given, write_csv

params = snakemake.params
simulated = snakemake.input.participants if params.simulated else None
file = simulated or table_file(params.folder, params.participants)
participants, problems = check_cohort(
    file,
    params.participants,
    None if params.images is None else table_file(params.folder, params.images),
    params.images if params.imaged else None,
    params.folder,
    params.needed,
)
participants, wrong = derive(participants, Instruments(**params.instruments), file)
problems += wrong
if params.features is not None:
    ids = [str(patient["patient_id"]) for patient in participants]
    problems += read_feature_table(params.folder, params.features, params.groups, params.participants, ids)[1]
refuse_errors(problems, Path(snakemake.output.problems))
source = {"cohort_source": params.cohort, "synthetic": int(params.simulated)}
write_csv(snakemake.output.participants, as_given({**patient, **source} for patient in participants))
write_csv(snakemake.output.problems, map(vars, problems), PROBLEM_COLUMNS)
