"""Correct each model's performance on its own patients for optimism."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.optimism import OPTIMISM_COLUMNS, apparent_performance, optimism_table
from annulus.tables import concat_csv, read_csv, write_csv

params = snakemake.params
outcome = read_csv(snakemake.input.outcomes).set_index("patient_id")[snakemake.wildcards.task]
training = {m: read_csv(path) for m, path in zip(params.models, snakemake.input.training, strict=True)}
table = optimism_table(apparent_performance(training, outcome), concat_csv(snakemake.input.rounds))
table = table.assign(synthetic=int(params.synthetic))
write_csv(snakemake.output.optimism, table, OPTIMISM_COLUMNS)
