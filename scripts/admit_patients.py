"""Admit the eligible patients whom models only score, if their images and features can be used."""

from annulus.job import log_to

log_to(snakemake.log[0])

import pandas as pd

from annulus.modelling.split import FLOW_COLUMNS, SPLIT_COLUMNS, admit
from annulus.tables import read_csv, read_text_csv, write_csv

inputs, params = snakemake.input, snakemake.params
lost = read_csv(inputs.lost[0]) if inputs.lost else None
extracted = None
if inputs.features:
    extracted = pd.read_parquet(inputs.features[0], columns=["patient_id"])["patient_id"]
participants = read_text_csv(inputs.participants)
split, flow = admit(participants, lost, extracted, params.eligibility, params.plan)
write_csv(snakemake.output.split, split, SPLIT_COLUMNS)
write_csv(snakemake.output.flow, flow, FLOW_COLUMNS)
