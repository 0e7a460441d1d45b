"""Draw the ROC curves of a cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.curves import roc_figure
from annulus.figures.style import save
from annulus.tables import read_csv

figure, table = roc_figure(
    read_csv(snakemake.input.curves),
    read_csv(snakemake.input.predictions),
    read_csv(snakemake.input.performance),
    snakemake.wildcards.cohort,
    snakemake.params.models,
)
save(figure, snakemake.output, table, snakemake.params.synthetic)
