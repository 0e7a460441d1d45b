"""Write a cohort's outcomes, and who of its patients are held out together."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.split import cohort_outcomes
from annulus.tables import read_csv, read_text_csv, write_csv

participants, split = read_text_csv(snakemake.input.participants), read_csv(snakemake.input.split)
cohort = snakemake.wildcards.get("cohort", "train")
write_csv(snakemake.output.outcomes, cohort_outcomes(participants, split, cohort, snakemake.params.tasks))
