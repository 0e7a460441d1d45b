"""Join the chunks' regions."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.tables import concat_csv, write_csv

order = ["patient_id", "timepoint", "image_id"]
write_csv(snakemake.output.rois, concat_csv(snakemake.input).sort_values(order, kind="stable"))
