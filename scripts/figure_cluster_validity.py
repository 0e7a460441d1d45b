"""Draw how well each number of habitats fits."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.habitats import cluster_validity_figure
from annulus.figures.style import save
from annulus.tables import read_csv, read_json

inputs = snakemake.input
figure, table = cluster_validity_figure(read_csv(inputs.validity), read_json(inputs.habitats)["k"])
save(figure, snakemake.output, table, snakemake.params.synthetic)
