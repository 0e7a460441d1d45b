"""Fit one region's signature on the training patients, and freeze it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import fit_signature, freezing_for, read_lower_bounds, read_training
from annulus.tables import write_csv, write_json

params, task, roi = snakemake.params, snakemake.wildcards.task, snakemake.wildcards.roi
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, task)
columns = training.feature_columns(params.images, roi)
lower = read_lower_bounds(snakemake.input.stability)
freezing = freezing_for(training, params.outer_folds, params.cut_off, params.seed)
fitted = fit_signature(
    training, roi, columns, params.signature, params.outer_folds, params.nested, freezing, lower
)
write_json(snakemake.output.fitted, fitted.model.to_json() | {"synthetic": params.synthetic})
for name in ("selection", "odds_ratios", "training", "path", "cv", "cross_fitted", "choice"):
    write_csv(snakemake.output[name], getattr(fitted, name))
