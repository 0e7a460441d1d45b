"""Fit a model without selection (all clinical variables, or a baseline) on the training patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import (
    fit_prespecified_model,
    freezing_for,
    prespecified_variables,
    read_training,
)
from annulus.tables import write_csv, write_json

params, wildcards = snakemake.params, snakemake.wildcards
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, wildcards.task)
variables = prespecified_variables(wildcards.prespecified, params.clinical)
freezing = freezing_for(training, params.outer_folds, params.cut_off, params.seed)
fitted = fit_prespecified_model(training, wildcards.prespecified, variables, freezing)
write_json(snakemake.output.fitted, fitted.model.to_json() | {"synthetic": params.synthetic})
for name in ("selection", "odds_ratios", "training"):
    write_csv(snakemake.output[name], getattr(fitted, name))
