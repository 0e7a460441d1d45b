"""Read the cohort's tables, and list everything in them that is wrong."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.cohort.checks import check_cohort
from annulus.tables import write_csv

params = snakemake.params
participants, problems = check_cohort(
    snakemake.input.participants,
    params.participants,
    snakemake.input.get("images"),
    params.images,
    params.folder,
    params.needed,
)
write_csv(
    snakemake.output.read,
    participants.assign(cohort_source=params.cohort, synthetic=int(params.simulated)),
)
write_csv(snakemake.output.problems, problems)
