"""Sort patients into the classes of a cascade of frozen models, and judge it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.cascade import (
    Level,
    absent_levels,
    cascade_table,
    confusion_table,
    sort_patients,
    with_names,
)
from annulus.modelling.frozen import cut_off_of
from annulus.tables import read_csv, read_json, write_csv

inputs, output, params = snakemake.input, snakemake.output, snakemake.params
cut_offs = [cut_off_of(read_json(path)) for path in inputs.models]
levels = [
    Level(read_csv(path), level["model"], cut_off)
    for path, level, cut_off in zip(inputs.predictions, params.levels, cut_offs, strict=True)
]
patients = sort_patients(levels, params.classes)
write_csv(output.patients, with_names(patients, params.classes).assign(synthetic=int(params.synthetic)))
write_csv(output.confusion, confusion_table(patients, params.classes, params.synthetic))
absent = absent_levels(levels)
table = cascade_table(patients, params.classes, absent, params.seed, params.synthetic)
write_csv(output.performance, table)
