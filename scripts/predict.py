"""Score one cohort with the frozen models; its outcomes are not read."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.bundle import read_bundle
from annulus.modelling.predicting import predict
from annulus.tables import write_csv

models = [read_bundle(path).model for path in snakemake.input.models]
predictors = pd.read_parquet(snakemake.input.predictors)
write_csv(snakemake.output.predictions, predict(models, predictors, snakemake.wildcards.cohort))
