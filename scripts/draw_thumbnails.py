"""Draw small pictures of a chunk's images with the outlines of their regions."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.figures.thumbnails import THUMBNAIL_COLUMNS, draw_rows, region_colours
from annulus.tables import concat_csv, read_csv, write_csv

inputs = snakemake.input
rows = draw_rows(
    read_csv(inputs.images),
    read_csv(inputs.masks),
    concat_csv(inputs.rois),
    region_colours(snakemake.params.regions),
    Path(inputs.mask_folder),
    [Path(folder) for folder in inputs.roi_folders],
    Path(snakemake.output.folder),
)
for row in rows:
    row["thumbnail"] = f"thumbnails/{snakemake.wildcards.chunk}/{row['thumbnail']}"
write_csv(snakemake.output.table, rows, THUMBNAIL_COLUMNS)
