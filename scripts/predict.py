"""Score one cohort with the frozen models; its outcomes are not read."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.frozen import FrozenModel
from annulus.modelling.predicting import predict
from annulus.tables import read_json, write_csv

models = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.models]
predictors = pd.read_parquet(snakemake.input.predictors)
write_csv(snakemake.output.predictions, predict(models, predictors, snakemake.wildcards.cohort))
