"""Write one cohort's predictors, and its outcomes apart from them."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.split import of_cohort, outcomes_of
from annulus.tables import read_csv, read_text_csv, write_csv, write_parquet

params = snakemake.params
participants = of_cohort(
    read_text_csv(snakemake.input.participants),
    read_csv(snakemake.input.split),
    snakemake.wildcards.cohort,
)
features = pd.read_parquet(snakemake.input.features).drop(columns="timepoint")
predictors = participants[["patient_id", *params.clinical]].merge(features, on="patient_id")
write_parquet(snakemake.output.predictors, predictors)
outcomes = outcomes_of(participants.set_index("patient_id"), params.tasks)
write_csv(snakemake.output.outcomes, outcomes.reset_index())
