"""Write the report on a cohort in which nothing was fitted, as one file that opens without a network."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.reporting.validation import render, validation_of
from annulus.tables import write_text

validation = validation_of(snakemake.input, snakemake.params)
write_text(snakemake.output.report, render(validation))
