"""Write the Model Card of every model of a task."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.bundle import read_bundle
from annulus.reporting.card import Described, card
from annulus.tables import read_csv, read_json, write_text

inputs, study = snakemake.input, Described(**snakemake.params.study)
front_end, performance = read_json(inputs.front_end), read_csv(inputs.performance)
warnings = read_csv(inputs.warnings)
for model, path in zip(inputs.models, snakemake.output.cards, strict=True):
    write_text(path, card(read_bundle(model).content, front_end, performance, warnings, study))
