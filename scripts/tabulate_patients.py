"""Describe a task's patients by outcome in training, and the cohorts of the split."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.table_one import table_one
from annulus.tables import read_csv, read_text_csv, write_csv

params, inputs = snakemake.params, snakemake.input
table = table_one(
    read_text_csv(inputs.participants),
    read_csv(inputs.split),
    params.cohorts,
    read_csv(inputs.outcomes).set_index("patient_id")[snakemake.wildcards.task],
    params.columns,
    params.seed,
    params.synthetic,
)
write_csv(snakemake.output.table_one, table)
