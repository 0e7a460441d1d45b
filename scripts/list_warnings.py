"""List what a reader must know of a task's numbers."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.evaluation.decision import declared_thresholds
from annulus.evaluation.guards import OPTIONAL, TABLES, Evaluated, warnings_table
from annulus.evaluation.judged import given_models, judged_models
from annulus.modelling.bundle import read_bundle
from annulus.tables import read_csv, write_csv

inputs, params, decision = snakemake.input, snakemake.params, snakemake.params.decision
models = [read_bundle(path).model for path in inputs.models]
judged = given_models(params.given, params.cut_off) if params.given else judged_models(models)
tables = {name: read_csv(inputs[name]) for name in TABLES}
tables |= {
    name: read_csv(inputs[name][0]) if inputs[name] else pd.DataFrame(columns=list(columns))
    for name, columns in OPTIONAL.items()
}
evaluated = Evaluated(
    **tables,
    shown=params.shown,
    order=params.main,
    terms=judged.terms,
    decision=decision["description"],
    thresholds=declared_thresholds(decision["description"], *decision["thresholds"]),
    at=decision["at"],
    splits=params.splits,
    cut_off_chosen=any(cut_off.chosen for cut_off in judged.cut_offs.values()),
    transductive=params.transductive,
)
write_csv(snakemake.output.warnings, warnings_table(evaluated, params.synthetic))
