"""Evaluate every model of a task in every cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.comparing import comparisons, nested_model_tests
from annulus.evaluation.decision import declared_thresholds
from annulus.evaluation.judged import given_models, judged_models
from annulus.evaluation.performance import (
    Plan,
    calibration_table,
    decision_table,
    performance,
    roc_table,
    shifted_decision_table,
    with_optimism,
    with_unscored,
)
from annulus.modelling.bundle import read_bundle
from annulus.tables import concat_csv, joined, read_csv, write_csv

inputs, params, output = snakemake.input, snakemake.params, snakemake.output
models, decision = [read_bundle(path).model for path in inputs.models], params.decision
judged = given_models(params.given, params.cut_off) if params.given else judged_models(models)
predictions, synthetic = read_csv(inputs.predictions), params.synthetic
plan = Plan(params.bootstraps, params.seed, tuple(decision["at"]), params.proportion_interval)
measured = performance(predictions, judged.cut_offs, judged.absent, judged.remarks, plan, synthetic)
if inputs.unscored:
    measured = with_unscored(measured, predictions, concat_csv(inputs.unscored))
between = comparisons(predictions, params.compared, params.declared, synthetic)
if inputs.optimism:
    measured = with_optimism(measured, read_csv(inputs.optimism[0]))
    nested = nested_model_tests([m for m in models if m.name in params.compared], synthetic)
    between = joined([between, nested])
write_csv(output.performance, measured)
write_csv(output.comparisons, between)
write_csv(output.roc, roc_table(predictions, synthetic))
write_csv(output.calibration, calibration_table(predictions, synthetic))
grid = declared_thresholds(decision["description"], *decision["thresholds"])
resampled = (predictions, grid, params.bootstraps, params.seed, synthetic)
write_csv(output.decision_curve, decision_table(*resampled))
write_csv(output.decision_curve_prevalence, shifted_decision_table(*resampled, decision.get("prevalence")))
