"""Take patients through a clinical pathway; no outcome is read."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.pathway import run_axilla_pathway
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, params = snakemake.input, snakemake.params
patients = run_axilla_pathway(read_text_csv(inputs.participants), read_csv(inputs.split), params.cut_mm)
write_csv(snakemake.output.patients, patients.assign(synthetic=int(params.synthetic)))
