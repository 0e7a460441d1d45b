"""Judge every feature's stability over raters and perturbations."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.features.ratings import stability
from annulus.features.stability import STABILITY_COLUMNS
from annulus.tables import read_csv, write_csv

ratings = pd.concat([pd.read_parquet(path) for path in snakemake.input.ratings], ignore_index=True)
columns = list(read_csv(snakemake.input.catalogue)["column"])
write_csv(snakemake.output.stability, stability(ratings, columns), STABILITY_COLUMNS)
