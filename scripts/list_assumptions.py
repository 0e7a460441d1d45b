"""List what the paper does not state, what was chosen, and the key that changes it."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.tables import write_csv

write_csv(snakemake.output.assumptions, snakemake.params.assumptions, ["what", "key", "value"])
