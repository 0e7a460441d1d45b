"""Put the frozen models' predictions beside the outcomes."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.predictions import PREDICTION_COLUMNS, join_predictions
from annulus.tables import read_csv, write_csv

params = snakemake.params
table = join_predictions(
    [read_csv(path) for path in snakemake.input.predictions],
    [read_csv(path) for path in snakemake.input.outcomes],
    {m: read_csv(p) for m, p in zip(params.trained, snakemake.input.training, strict=True)},
    snakemake.wildcards.task,
)
table = table.assign(synthetic=int(params.synthetic))
write_csv(snakemake.output.predictions, table, PREDICTION_COLUMNS)
