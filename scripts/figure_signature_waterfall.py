"""Draw training patients by their out-of-fold score."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.signatures import waterfall_figure
from annulus.figures.style import save
from annulus.tables import read_csv, read_json

inputs, params = snakemake.input, snakemake.params
training = dict(zip(params.models, map(read_csv, inputs.training), strict=True))
frozen = dict(zip(params.models, map(read_json, inputs.models), strict=True))
outcome = read_csv(inputs.outcomes).set_index("patient_id")[snakemake.wildcards.task]
figure, table = waterfall_figure(training, frozen, outcome, params.outcome)
save(figure, snakemake.output, table, params.synthetic)
