"""Write the study's report as one file that opens without a network."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.reporting.report import render, study_of
from annulus.tables import write_text

study = study_of(snakemake.input, snakemake.params)
write_text(snakemake.output.report, render(study))
