"""Join the chunks' features into one row per patient, with the catalogue of columns."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.features.assembly import (
    HabitatShares,
    assemble,
    catalogue,
    dimensions_of,
    with_habitats,
)
from annulus.features.batches import Extraction, with_controls
from annulus.features.columns import CATALOGUE_COLUMNS
from annulus.imaging.cohort_checks import usable_images
from annulus.tables import concat_csv, read_csv, read_json, write_csv, write_parquet

inputs, params = snakemake.input, snakemake.params
extraction = Extraction.of(params.extraction, params.settings)
settings = extraction.settings
dimensions = dimensions_of(read_csv(inputs.images))
kinds, shares, habitats = with_controls(params.kinds, extraction.controls), None, None
if inputs.get("habitats"):
    habitats = HabitatShares(params.habitat_image, read_json(inputs.habitats[0])["k"])
    kinds, shares = with_habitats(kinds, habitats.k), habitats.of(read_csv(inputs.rois))
chunks = [pd.read_parquet(path) for path in inputs.features]
usable = usable_images(read_csv(inputs.masks))
features = assemble(chunks, usable, params.several, kinds, settings, dimensions, shares)
write_parquet(snakemake.output.features, features)
table = catalogue(features, kinds, settings, dimensions, habitats)
write_csv(snakemake.output.catalogue, table, CATALOGUE_COLUMNS)
failures = concat_csv(inputs.failures)
write_csv(snakemake.output.failures, failures.sort_values(["patient_id", "image_id"], kind="stable"))
