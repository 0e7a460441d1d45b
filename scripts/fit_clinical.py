"""Fit the clinical model on the training patients, and freeze it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import fit_clinical_model, freezing_for, read_training
from annulus.tables import write_csv, write_json

params, task = snakemake.params, snakemake.wildcards.task
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, task)
fitted = fit_clinical_model(
    training,
    params.clinical["candidates"],
    params.clinical["entry_p"],
    params.clinical["stay_p"],
    freezing_for(training, params.outer_folds, params.cut_off, params.seed),
)
write_json(snakemake.output.fitted, fitted.model.to_json() | {"synthetic": params.synthetic})
for name in ("selection", "odds_ratios", "training"):
    write_csv(snakemake.output[name], getattr(fitted, name))
