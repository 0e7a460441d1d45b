"""Hold where a clinical pathway put the patients against their outcomes."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.pathway import pathway_performance
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, params = snakemake.input, snakemake.params
patients, participants = read_csv(inputs.patients), read_text_csv(inputs.participants)
name = snakemake.wildcards.pathway
table = pathway_performance(patients, participants, name, params.pathway, params.synthetic)
write_csv(snakemake.output.performance, table)
