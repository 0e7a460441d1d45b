"""Stop the study, with all errors shown, or accept its participants."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.cohort.checks import refuse_errors
from annulus.tables import read_text_csv, write_csv

refuse_errors(read_text_csv(snakemake.input.problems))
write_csv(snakemake.output.participants, read_text_csv(snakemake.input.read))
