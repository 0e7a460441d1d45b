"""Draw the nomogram."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.nomogram import nomogram_figure
from annulus.figures.style import save
from annulus.tables import read_csv

table = read_csv(snakemake.input.nomogram)
figure = nomogram_figure(table, snakemake.params.outcome)
save(figure, snakemake.output, table, snakemake.params.synthetic)
