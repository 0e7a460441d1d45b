"""Draw the SYNTHETIC participants, with the truth apart from what the analysis may read."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.simulation.simulators import simulate_cohort
from annulus.simulation.truth import truth_by_cohort
from annulus.tables import write_csv

params, output = snakemake.params, snakemake.output
participants, truth = simulate_cohort(
    params.simulator, params.cohorts, params.shares, params.null, params.defects, params.seed
)
write_csv(output.participants, participants)
write_csv(output.truth, truth.assign(synthetic=1))
write_csv(output.bayes, truth_by_cohort(participants, truth).assign(synthetic=1))
