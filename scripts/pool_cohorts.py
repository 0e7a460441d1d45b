"""Put a study's cohorts and its external cohorts side by side, and pool the external ones."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.evaluation.pooling import centre_rows, cohort_rows, pooled
from annulus.tables import joined, read_csv, write_csv

params, given, output = snakemake.params, snakemake.input, snakemake.output
measured = zip(params.tasks, given.performance, strict=True)
left_out = zip(params.left_out, given.centres, strict=True)
rows = [cohort_rows(task, read_csv(path), params.synthetic) for task, path in measured]
rows += [centre_rows(task, read_csv(path), params.synthetic) for task, path in left_out]
cohorts = joined(rows)
write_csv(output.cohorts, cohorts)
write_csv(output.pooled, pooled(cohorts, params.synthetic))
