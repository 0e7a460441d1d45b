"""Extract a chunk's training patients again, with other raters' outlines and after perturbations."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.features.ratings import RatingPlan, chosen_patients, rate_rows
from annulus.features.settings import Settings
from annulus.imaging.regions import Plan
from annulus.tables import read_csv, write_parquet

inputs, params = snakemake.input, snakemake.params
allocation = read_csv(inputs.allocation)
training = set(allocation.loc[allocation["cohort"] == "train", "patient_id"])
ratings = RatingPlan.of(params.stability)
rows = rate_rows(
    read_csv(inputs.images),
    read_csv(inputs.masks),
    training,
    chosen_patients(training, ratings.patients, params.seed),
    ratings,
    Plan.of(params.regions, params.lesions),
    {image: Settings.of(content, params.mode) for image, content in params.settings.items()},
    Path(inputs.mask_folder),
    params.seed,
)
write_parquet(snakemake.output.ratings, rows)
