"""Write the training patients' outcomes, and who of them are held out together."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.split import cohort_outcomes
from annulus.tables import read_csv, read_text_csv, write_csv

participants, split = read_text_csv(snakemake.input.participants), read_csv(snakemake.input.split)
write_csv(snakemake.output.outcomes, cohort_outcomes(participants, split, "train", snakemake.params.tasks))
