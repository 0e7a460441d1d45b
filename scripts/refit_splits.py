"""Refit all models of a task on one part of random splits of the training patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import read_lower_bounds, read_training
from annulus.modelling.refitting import random_splits, split_rounds, task_plan
from annulus.tables import write_csv

params, task = snakemake.params, snakemake.wildcards.task
training = read_training(snakemake.input.predictors, snakemake.input.outcomes, task)
lower = read_lower_bounds(snakemake.input.stability)
plan = task_plan(params.plan, training, params.images, lower, params.seed)
outcome = training.outcome.to_numpy()
splits = random_splits(outcome, params.splits, params.seed)
batch = {number: splits[number] for number in params.numbers}
areas, selected = split_rounds(training.predictors, outcome, plan, batch)
write_csv(snakemake.output.areas, areas)
write_csv(snakemake.output.selected, selected)
