"""Draw the cross-validated deviance of every signature."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.figures.lasso import cv_figure
from annulus.figures.style import save
from annulus.tables import read_csv

names = [f"signature_{roi}" for roi in snakemake.params.signatures]
cv = dict(zip(names, map(read_csv, snakemake.input.cv), strict=True))
choices = dict(zip(names, map(read_csv, snakemake.input.choices), strict=True))
table = pd.concat([part.assign(model=name) for name, part in cv.items()])
save(cv_figure(cv, choices), snakemake.output, table, snakemake.params.synthetic)
