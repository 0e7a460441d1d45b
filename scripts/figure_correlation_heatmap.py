"""Draw how the features that signatures kept go together."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.figures.signatures import correlation_figure
from annulus.figures.style import save
from annulus.tables import concat_csv

selection = concat_csv(snakemake.input.selection)
figure, table = correlation_figure(selection, pd.read_parquet(snakemake.input.predictors))
save(figure, snakemake.output, table, snakemake.params.synthetic)
