"""Examine the frozen models in subgroups of patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.subgroups import subgroup_table
from annulus.tables import read_csv, read_text_csv, write_csv

params = snakemake.params
table = subgroup_table(
    read_csv(snakemake.input.predictions),
    read_text_csv(snakemake.input.participants),
    params.subgroups,
    params.compared,
    params.synthetic,
)
write_csv(snakemake.output.subgroups, table)
