"""Open an external cohort's outcomes, for models that are frozen, and record it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from datetime import UTC, datetime
from pathlib import Path

from annulus.clinical.derived import Instruments
from annulus.clinical.intake import CohortTables
from annulus.clinical.opening import open_participants
from annulus.cohort.checks import PROBLEM_COLUMNS, refuse_errors
from annulus.ledger import frozen_since, models_sha256, record_opening
from annulus.modelling.bundle import event_shares, file_sha256, read_bundle
from annulus.modelling.split import cohort_outcomes
from annulus.tables import as_given, read_csv, read_text_csv, write_csv

inputs, output, params = snakemake.input, snakemake.output, snakemake.params
bundles = [read_bundle(path) for path in inputs.models]
models = [(bundle.task, bundle.model.name, bundle.sha256) for bundle in bundles]
since = frozen_since(inputs.freezing, models)
simulated = inputs.participants if params.simulated else ""
tables = CohortTables(params.folder, params.participants, simulated=simulated)
instruments = Instruments(**params.instruments)
participants, problems = open_participants(
    tables, params.needed, instruments, params.tasks, event_shares(bundles)
)
refuse_errors(problems, Path(output.problems))
write_csv(output.problems, map(vars, problems), PROBLEM_COLUMNS)
write_csv(output.participants, as_given(participants))
opened, split = read_text_csv(output.participants), read_csv(inputs.split)
write_csv(output.outcomes, cohort_outcomes(opened, split, params.cohort, params.tasks))
outcomes, now = file_sha256(output.outcomes), datetime.now(UTC)
record_opening(output.openings, params.cohort, outcomes, models_sha256(models), since, now)
