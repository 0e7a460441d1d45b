"""Write a held-out cohort's outcomes, and record that they were opened and for which frozen models."""

from annulus.job import log_to

log_to(snakemake.log[0])

from datetime import UTC, datetime

from annulus.ledger import frozen_since, models_sha256, record_opening
from annulus.modelling.bundle import file_sha256, read_bundle
from annulus.modelling.split import cohort_outcomes
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, output, cohort = snakemake.input, snakemake.output, snakemake.wildcards.cohort
bundles = [read_bundle(path) for path in inputs.models]
models = [(bundle.task, bundle.model.name, bundle.sha256) for bundle in bundles]
since = frozen_since(inputs.freezing, models)
participants, split = read_text_csv(inputs.participants), read_csv(inputs.split)
write_csv(output.outcomes, cohort_outcomes(participants, split, cohort, snakemake.params.tasks))
outcomes, now = file_sha256(output.outcomes), datetime.now(UTC)
record_opening(output.openings, cohort, outcomes, models_sha256(models), since, now)
