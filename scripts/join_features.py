"""Join the chunks' features into one row per patient, with the catalogue of columns."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.features.assembly import CATALOGUE_COLUMNS, assemble, catalogue, dimensions_of
from annulus.features.settings import Settings
from annulus.tables import concat_csv, read_csv, write_csv, write_parquet

params = snakemake.params
settings = {image: Settings.of(content) for image, content in params.settings.items()}
dimensions = dimensions_of(read_csv(snakemake.input.images))
chunks = [pd.read_parquet(path) for path in snakemake.input.features]
features = assemble(chunks, params.several, params.kinds, settings, dimensions)
write_parquet(snakemake.output.features, features)
table = catalogue(features, params.kinds, settings, dimensions)
write_csv(snakemake.output.catalogue, table, CATALOGUE_COLUMNS)
failures = concat_csv(snakemake.input.failures)
write_csv(snakemake.output.failures, failures.sort_values(["patient_id", "image_id"], kind="stable"))
