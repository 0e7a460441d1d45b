"""Fit recalibrations of frozen models beside them, and tell how many patients each update needs."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.updating import parameters_of, recalibration_table, updating_table
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_csv, read_json, write_csv

params, output = snakemake.params, snakemake.output
models = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.models]
predictions = read_csv(snakemake.input.predictions)
write_csv(output.recalibration, recalibration_table(predictions, params.seed, params.synthetic))
write_csv(output.updating, updating_table(predictions, parameters_of(models), params.synthetic))
