"""Write the rulers of a task's nomogram."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.nomogram import NOMOGRAM_COLUMNS, nomogram_table
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_json, write_csv

model = FrozenModel.from_json(read_json(snakemake.input.model))
write_csv(snakemake.output.nomogram, nomogram_table(model), NOMOGRAM_COLUMNS)
