"""Draw the coefficients of every signature."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.signatures import coefficient_figure
from annulus.figures.style import save
from annulus.tables import read_csv, read_json

names = [f"signature_{roi}" for roi in snakemake.params.signatures]
models = dict(zip(names, map(read_json, snakemake.input.models), strict=True))
choices = dict(zip(names, map(read_csv, snakemake.input.choices), strict=True))
figure, table = coefficient_figure(models, choices)
save(figure, snakemake.output, table, snakemake.params.synthetic)
