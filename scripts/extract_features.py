"""Extract the features of a chunk of patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.features.batches import Extraction, extract_rows
from annulus.features.columns import FAILURE_COLUMNS
from annulus.tables import concat_csv, read_csv, write_csv, write_parquet

inputs = snakemake.input
features, failures = extract_rows(
    read_csv(inputs.images),
    concat_csv(inputs.rois),
    read_csv(inputs.masks),
    Extraction.of(snakemake.params.extraction, snakemake.params.settings),
    [Path(folder) for folder in inputs.roi_folders],
    Path(inputs.mask_folder),
)
write_parquet(snakemake.output.features, features)
write_csv(snakemake.output.failures, failures, FAILURE_COLUMNS)
