"""Ask what outlines and frames alone know of the endpoint, and which duplicates join cohorts."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.leak_screen import LEAK_COLUMNS, duplicates_across, leak_screen, screen_facts
from annulus.tables import read_csv, write_csv

inputs, params = snakemake.input, snakemake.params
predictions = read_csv(inputs.predictions)
facts = screen_facts(read_csv(inputs.frames), read_csv(inputs.images), read_csv(inputs.participants))
together = read_csv(inputs.outcomes).set_index("patient_id")["left_out_together"]
settings = (params.outer_folds, params.seed, params.synthetic)
table = leak_screen(facts, predictions, params.models, together, *settings)
write_csv(snakemake.output.screen, table, LEAK_COLUMNS)
write_csv(snakemake.output.duplicates, duplicates_across(read_csv(inputs.duplicates), predictions))
