"""Draw the LASSO path of every signature."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.figures.lasso import path_figure
from annulus.figures.style import save
from annulus.tables import read_csv

names = [f"signature_{roi}" for roi in snakemake.params.signatures]
paths = dict(zip(names, map(read_csv, snakemake.input.paths), strict=True))
cv = dict(zip(names, map(read_csv, snakemake.input.cv), strict=True))
choices = dict(zip(names, map(read_csv, snakemake.input.choices), strict=True))
table = pd.concat([path.assign(model=name) for name, path in paths.items()])
save(path_figure(paths, cv, choices), snakemake.output, table, snakemake.params.synthetic)
