"""Write the supplement: Hosmer-Lemeshow tests, net reclassification and IDI."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.judged import given_models, judged_models
from annulus.evaluation.supplement import supplement
from annulus.modelling.bundle import read_bundle
from annulus.tables import read_csv, write_csv

params = snakemake.params
models = [read_bundle(path).model for path in snakemake.input.models]
judged = given_models(params.given, params.cut_off) if params.given else judged_models(models)
table = supplement(
    read_csv(snakemake.input.predictions),
    params.declared,
    {name: cut_off.value for name, cut_off in judged.cut_offs.items()},
    params.at,
    params.bootstraps,
    params.seed,
    params.synthetic,
)
write_csv(snakemake.output.supplement, table)
