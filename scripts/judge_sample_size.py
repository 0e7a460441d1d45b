"""Hold the numbers of patients against what models and their validation need."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.sample_size import sample_size_table
from annulus.tables import read_csv, write_csv

table = sample_size_table(
    read_csv(snakemake.input.predictions),
    read_csv(snakemake.input.selection),
    snakemake.params.synthetic,
)
write_csv(snakemake.output.sample_size, table)
