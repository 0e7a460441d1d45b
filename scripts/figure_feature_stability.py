"""Draw how stable features are."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.stability import stability_figure
from annulus.figures.style import save
from annulus.tables import read_csv

inputs, params = snakemake.input, snakemake.params
figure, table = stability_figure(read_csv(inputs.stability), read_csv(inputs.catalogue), params.least)
save(figure, snakemake.output, table, params.synthetic)
