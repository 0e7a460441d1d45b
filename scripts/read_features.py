"""Put the cohort's feature table into the tables that extraction would have written."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.cohort.feature_table import read_feature_table
from annulus.features.given import catalogue_of, failures_of, features_of
from annulus.tables import read_text_csv, write_csv, write_parquet

params = snakemake.params
patients = read_text_csv(snakemake.input.participants)["patient_id"]
table, _ = read_feature_table(params.folder, params.features, params.groups, params.people, patients)
write_parquet(snakemake.output.features, features_of(table))
write_csv(snakemake.output.catalogue, catalogue_of(table))
write_csv(snakemake.output.failures, failures_of(table))
