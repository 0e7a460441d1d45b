"""Draw a model's AUC in subgroups."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.forest import forest_figure
from annulus.figures.style import save
from annulus.tables import read_csv

figure, table = forest_figure(
    read_csv(snakemake.input.subgroups),
    read_csv(snakemake.input.performance),
    snakemake.params.models,
)
save(figure, snakemake.output, table, snakemake.params.synthetic)
