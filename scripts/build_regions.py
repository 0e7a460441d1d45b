"""Build the regions of interest of a chunk of patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.imaging.regions import ROI_COLUMNS, Plan, build_rows
from annulus.tables import read_csv, write_csv

rows = build_rows(
    read_csv(snakemake.input.images),
    read_csv(snakemake.input.masks),
    Plan.of(snakemake.params.regions, snakemake.params.lesions),
    Path(snakemake.input.folder),
    Path(snakemake.output.folder),
)
write_csv(snakemake.output.rois, rows, ROI_COLUMNS)
