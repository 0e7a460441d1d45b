"""Draw the SYNTHETIC participants, with the truth apart from what the analysis may read."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.simulation.cem import simulate_patients
from annulus.tables import write_csv

table = simulate_patients(snakemake.params.cohorts, snakemake.params.event_share, snakemake.params.seed)
hidden = [column for column in table if column.startswith("latent_")]
write_csv(snakemake.output.participants, table.drop(columns=hidden))
write_csv(snakemake.output.truth, table[["patient_id", *hidden]])
