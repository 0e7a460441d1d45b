"""Check the masks of a chunk of patients, and write those to go on with."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.imaging.qc import IMAGE_COLUMNS, MASK_COLUMNS, Policy, check_rows
from annulus.tables import write_csv

policy = Policy.of(snakemake.params.qc, snakemake.params.unit)
masks, images = check_rows(snakemake.params.rows, policy, Path(snakemake.output.folder))
write_csv(snakemake.output.masks, ({k: row[k] for k in MASK_COLUMNS} for row in masks))
write_csv(snakemake.output.images, ({k: row.get(k) for k in IMAGE_COLUMNS} for row in images))
