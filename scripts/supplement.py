"""Write the supplement: Hosmer-Lemeshow tests, net reclassification and IDI."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.supplement import supplement
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_csv, read_json, write_csv

params = snakemake.params
models = [FrozenModel.from_json(read_json(path)) for path in snakemake.input.models]
table = supplement(
    read_csv(snakemake.input.predictions),
    params.declared,
    {m.name: m.cut_off.value for m in models if m.cut_off is not None},
    params.at,
    params.bootstraps,
    params.seed,
    params.synthetic,
)
write_csv(snakemake.output.supplement, table)
