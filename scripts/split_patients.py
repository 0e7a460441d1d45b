"""Count who is in the study, and share patients out over cohorts, once."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.split import FLOW_COLUMNS, make_split
from annulus.tables import read_csv, read_text_csv, write_csv

params = snakemake.params
split, flow = make_split(
    read_text_csv(snakemake.input.participants),
    read_csv(snakemake.input.lost),
    pd.read_parquet(snakemake.input.features, columns=["patient_id"])["patient_id"],
    params.eligibility,
    params.plan,
    params.tasks,
    params.seed,
)
write_csv(snakemake.output.split, split, ["patient_id", "cohort"])
write_csv(snakemake.output.flow, flow, FLOW_COLUMNS)
