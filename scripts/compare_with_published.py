"""Set the published numbers beside ours."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.performance import against_published
from annulus.tables import read_csv, write_csv

params = snakemake.params
tables = [read_csv(path) for path in snakemake.input.performance]
found = dict(zip(params.tasks, tables, strict=True))
write_csv(snakemake.output.published, against_published(params.published, found, params.synthetic))
