"""Score one cohort with the frozen models that can; its outcomes are not read."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.bundle import read_bundle
from annulus.modelling.predicting import predict, scorable
from annulus.tables import write_csv

cohort, output = snakemake.wildcards.cohort, snakemake.output
predictors = pd.read_parquet(snakemake.input.predictors)
models, unscored = scorable([read_bundle(path).model for path in snakemake.input.models], predictors, cohort)
write_csv(output.predictions, predict(models, predictors, cohort))
write_csv(output.unscored, unscored)
