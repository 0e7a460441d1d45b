"""Take the predictions of models that somebody else made; no outcome is read."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.given import given_predictions
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, wildcards = snakemake.input, snakemake.wildcards
participants, split = read_text_csv(inputs.participants), read_csv(inputs.split)
table = given_predictions(participants, split, snakemake.params.models, wildcards.cohort)
write_csv(snakemake.output.predictions, table)
