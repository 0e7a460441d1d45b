"""Hold a cohort's patients against those that the frozen models were fitted on; outcomes are not read."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.evaluation.shift import (
    acquisition_mix,
    case_mix,
    centre_mix,
    extrapolating,
    fitted,
    membership,
)
from annulus.tables import joined, read_by_name, read_csv, read_json, write_csv

params, given, output = snakemake.params, snakemake.input, snakemake.output
models = fitted(read_json(path) for path in given.models)
predictors = pd.read_parquet(given.predictors)
scored = read_by_name(params.tasks, given.predictions)
scores = pd.concat([table.assign(task=task) for task, table in scored.items()], ignore_index=True)
training = pd.read_parquet(given.training[0]) if given.training else None
mix = [case_mix(models, predictors, scores, params.synthetic)]
if given.training_images:
    taken = (read_csv(given.training_images[0]), read_csv(given.images[0]))
    mix.append(acquisition_mix(*taken, params.synthetic))
if params.centre and training is not None:
    mix.append(centre_mix(training, predictors, params.centre, params.synthetic))
write_csv(output.case_mix, joined(mix))
write_csv(output.membership, membership(models, training, predictors, params.seed, params.synthetic))
write_csv(output.extrapolating, extrapolating(models, predictors, params.synthetic))
