"""Leave out the patients without features, and write down the split and the flow of patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.split import FLOW_COLUMNS, SPLIT_COLUMNS, finish_split
from annulus.tables import read_csv, read_text_csv, write_csv, write_sha256

extracted = None
if snakemake.input.features:
    extracted = pd.read_parquet(snakemake.input.features[0], columns=["patient_id"])["patient_id"]
split, flow = finish_split(
    read_csv(snakemake.input.allocation),
    read_csv(snakemake.input.flow),
    extracted,
    read_text_csv(snakemake.input.participants),
    snakemake.params.plan,
    snakemake.params.tasks,
)
write_csv(snakemake.output.split, split, SPLIT_COLUMNS)
write_sha256(snakemake.output.sha256, snakemake.output.split)
write_csv(snakemake.output.flow, flow, FLOW_COLUMNS)
