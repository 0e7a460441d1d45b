"""Evaluate every frozen model of a task in every cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.comparing import comparisons, nested_model_tests
from annulus.evaluation.decision import declared_thresholds
from annulus.evaluation.performance import (
    Plan,
    calibration_table,
    decision_table,
    performance,
    roc_table,
    shifted_decision_table,
    with_optimism,
)
from annulus.modelling.frozen import FrozenModel
from annulus.tables import joined, read_csv, read_json, write_csv

params, output, decision = snakemake.params, snakemake.output, snakemake.params.decision
models = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.models]
cut_offs = {m.name: m.cut_off for m in models if m.cut_off is not None}
absent = {m.name: m.reason for m in models if m.linear is None}
remarks = {m.name: m.reason for m in models if m.linear is not None and m.reason}
predictions = read_csv(snakemake.input.predictions)
synthetic = params.synthetic
plan = Plan(params.bootstraps, params.seed, tuple(decision["at"]), params.proportion_interval)
measured = performance(predictions, cut_offs, absent, remarks, plan, synthetic)
write_csv(output.performance, with_optimism(measured, read_csv(snakemake.input.optimism)))
nested = nested_model_tests([m for m in models if m.name in params.compared], synthetic)
between = comparisons(predictions, params.compared, params.declared, synthetic)
write_csv(output.comparisons, joined([between, nested]))
write_csv(output.roc, roc_table(predictions, synthetic))
write_csv(output.calibration, calibration_table(predictions, synthetic))
grid = declared_thresholds(decision["description"], *decision["thresholds"])
resampled = (predictions, grid, params.bootstraps, params.seed, synthetic)
write_csv(output.decision_curve, decision_table(*resampled))
write_csv(output.decision_curve_prevalence, shifted_decision_table(*resampled, decision.get("prevalence")))
