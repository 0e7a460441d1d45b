"""Draw a task's models over cohorts, with pooled estimates and prediction intervals."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.cohorts import cohorts_figure
from annulus.figures.style import save
from annulus.tables import read_csv

params = snakemake.params
tables = (read_csv(snakemake.input.cohorts), read_csv(snakemake.input.pooled))
figure, table = cohorts_figure(*tables, snakemake.wildcards.task, params.models)
save(figure, snakemake.output, table, params.synthetic)
