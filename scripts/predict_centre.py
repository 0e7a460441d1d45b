"""See how well features tell the centre that training patients come from."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.evaluation.centres import predict_centres
from annulus.modelling.fitting import feature_columns
from annulus.tables import write_csv

params = snakemake.params
table = pd.read_parquet(snakemake.input.predictors)
features = {roi: table[feature_columns(table, params.images, roi)] for roi in params.rois}
found = predict_centres(features, table[params.centre], params.folds, params.seed, params.synthetic)
write_csv(snakemake.output.centres, found)
