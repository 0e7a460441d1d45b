"""Extract the features of a chunk of patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.features.extraction import FAILURE_COLUMNS, extract_rows
from annulus.features.settings import Settings
from annulus.tables import read_csv, write_csv, write_parquet

features, failures = extract_rows(
    read_csv(snakemake.input.images),
    read_csv(snakemake.input.rois),
    read_csv(snakemake.input.masks),
    {image: Settings.of(content) for image, content in snakemake.params.settings.items()},
    Path(snakemake.input.roi_folder),
    Path(snakemake.input.mask_folder),
)
write_parquet(snakemake.output.features, features)
write_csv(snakemake.output.failures, failures, FAILURE_COLUMNS)
