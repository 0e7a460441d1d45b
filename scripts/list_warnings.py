"""List what a reader must know of a task's numbers."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.decision import declared_thresholds
from annulus.evaluation.guards import TABLES, Evaluated, warnings_table
from annulus.modelling.frozen import FrozenModel
from annulus.tables import read_csv, read_json, write_csv

inputs, params, decision = snakemake.input, snakemake.params, snakemake.params.decision
models = [FrozenModel.from_json(read_json(path)) for path in inputs.models]
evaluated = Evaluated(
    **{name: read_csv(inputs[name]) for name in TABLES},
    shown=params.shown,
    order=params.main,
    terms={m.name: m.linear.terms for m in models if m.linear is not None},
    decision=decision["description"],
    thresholds=declared_thresholds(decision["description"], *decision["thresholds"]),
    at=decision["at"],
    splits=params.splits,
    cut_off_chosen=any(m.cut_off is not None and m.cut_off.chosen for m in models),
    transductive=params.transductive,
)
write_csv(snakemake.output.warnings, warnings_table(evaluated, params.synthetic))
