"""Fit a model of signatures and clinical variables on the training patients, and freeze it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import fit_combined_model, freezing_for, read_training
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_csv, read_json, write_csv, write_json

params, wildcards = snakemake.params, snakemake.wildcards
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, wildcards.task)
rois = params.plan["signatures"]
signatures = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.signatures]
scores = [read_csv(path) for path in snakemake.input.cross_fitted]
fitted = fit_combined_model(
    training,
    wildcards.combined,
    dict(zip(rois, signatures, strict=True)),
    dict(zip(rois, scores, strict=True)),
    params.plan["clinical"],
    freezing_for(training, params.outer_folds, params.cut_off, params.seed),
)
write_json(snakemake.output.fitted, fitted.model.to_json() | {"synthetic": params.synthetic})
for name in ("selection", "odds_ratios", "training"):
    write_csv(snakemake.output[name], getattr(fitted, name))
