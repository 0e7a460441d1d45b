"""Refit all models of a task on a batch of bootstrap resamples of the training patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import read_lower_bounds, read_training
from annulus.modelling.optimism import ROUND_COLUMNS, optimism_rounds, resamples
from annulus.modelling.refitting import refitter, task_plan
from annulus.tables import write_csv

params, task = snakemake.params, snakemake.wildcards.task
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, task)
lower = read_lower_bounds(snakemake.input.stability)
plan = task_plan(params.plan, training, params.images, lower, params.seed)
outcome = training.outcome.to_numpy()
drawn = resamples(outcome, params.resamples, params.seed)
batch = {number: drawn[number] for number in params.numbers}
rounds = optimism_rounds(refitter(plan), training.predictors, outcome, batch)
write_csv(snakemake.output.rounds, rounds, ROUND_COLUMNS)
