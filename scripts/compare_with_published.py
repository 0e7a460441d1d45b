"""Set the published numbers beside ours."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.published import Tables, against_published
from annulus.tables import read_by_name, write_csv

params, inputs = snakemake.params, snakemake.input
tables = Tables(
    performance=read_by_name(params.tasks, inputs.performance)
    | read_by_name(params.pathways, inputs.pathways),
    odds_ratios=read_by_name(params.tasks, inputs.odds_ratios),
    subgroups=read_by_name(params.tasks, inputs.subgroups),
    cascades=read_by_name(params.cascades, inputs.cascades),
)
write_csv(snakemake.output.published, against_published(params.published, tables, params.synthetic))
