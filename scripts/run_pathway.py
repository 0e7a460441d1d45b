"""Take patients through a clinical pathway, and judge it by the outcome."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.pathway import pathway_performance, run_axilla_pathway
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, params = snakemake.input, snakemake.params
participants = read_text_csv(inputs.participants)
patients = run_axilla_pathway(participants, read_csv(inputs.split), params.cut_mm)
write_csv(snakemake.output.patients, patients.assign(synthetic=int(params.synthetic)))
name = snakemake.wildcards.pathway
table = pathway_performance(patients, participants, name, params.pathway, params.synthetic)
write_csv(snakemake.output.performance, table)
