"""Write outcomes and models by centre."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.centres import centre_table
from annulus.tables import read_csv, read_text_csv, write_csv

params = snakemake.params
centre = read_text_csv(snakemake.input.participants).set_index("patient_id")[params.centre]
predictions = read_csv(snakemake.input.predictions)
write_csv(snakemake.output.centres, centre_table(predictions, centre, params.synthetic))
