"""Write one cohort's predictors, without its outcomes."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.features.timepoints import by_patient
from annulus.modelling.size import lesion_size
from annulus.modelling.split import of_cohort, predictors_of
from annulus.tables import read_csv, read_text_csv, write_parquet

params = snakemake.params
split = read_csv(snakemake.input.split)
participants = of_cohort(read_text_csv(snakemake.input.participants), split, snakemake.wildcards.cohort)
size = features = None
if snakemake.input.rois:
    size = lesion_size(read_csv(snakemake.input.rois[0]), params.size_measure)
if snakemake.input.features:
    extracted = pd.read_parquet(snakemake.input.features[0])
    features = by_patient(extracted, params.images, params.timepoints, params.changes)
predictors = predictors_of(participants, params.clinical, size, features)
write_parquet(snakemake.output.predictors, predictors)
