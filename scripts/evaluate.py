"""Evaluate every frozen model of a task in every cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.decision import thresholds_between
from annulus.evaluation.performance import (
    calibration_table,
    comparisons,
    decision_table,
    performance,
    roc_table,
)
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_csv, read_json, write_csv

params = snakemake.params
models = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.models]
cutoffs = {m.name: m.cut_off for m in models if m.cut_off is not None}
absent = {m.name: m.reason for m in models if m.linear is None}
remarks = {m.name: m.reason for m in models if m.linear is not None and m.reason}
predictions = read_csv(snakemake.input.predictions)
synthetic = params.synthetic
write_csv(snakemake.output.performance, performance(predictions, cutoffs, absent, remarks, synthetic))
write_csv(snakemake.output.comparisons, comparisons(predictions, params.compared, synthetic))
write_csv(snakemake.output.roc, roc_table(predictions, synthetic))
write_csv(snakemake.output.calibration, calibration_table(predictions, synthetic))
grid = thresholds_between(*params.thresholds)
curves = decision_table(predictions, grid, params.bootstraps, params.seed, synthetic)
write_csv(snakemake.output.decision_curve, curves)
