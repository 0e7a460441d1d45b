"""See how far signatures and their features follow the lesion's size."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.volume import VOLUME_COLUMNS, volume_table
from annulus.modelling.combined import own_scores
from annulus.modelling.fitting import read_training
from annulus.tables import read_csv, write_csv

params = snakemake.params
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, snakemake.wildcards.task)
crossed = zip(params.rois, snakemake.input.cross_fitted, strict=True)
scores = own_scores({roi: read_csv(path) for roi, path in crossed})
selection = read_csv(snakemake.input.selection)
table = volume_table(selection, training.predictors, training.outcome, scores)
table = table.assign(synthetic=int(params.synthetic))
write_csv(snakemake.output.volume, table, [*VOLUME_COLUMNS, "synthetic"])
