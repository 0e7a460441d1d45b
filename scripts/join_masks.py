"""Join the chunks' quality control; stop the study when too many patients are lost."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.imaging.qc import lost_patients, refuse_large_loss
from annulus.tables import concat_csv, read_csv, write_csv

masks = concat_csv(snakemake.input.masks)
patients = read_csv(snakemake.input.participants)["patient_id"]
lost = lost_patients(masks, patients, snakemake.params.images)
refuse_large_loss(lost, masks, len(patients), snakemake.params.maximum_lost_share)
order = ["patient_id", "timepoint", "image_id", "mask_role", "rater"]
write_csv(snakemake.output.masks, masks.sort_values(order))
write_csv(snakemake.output.images, concat_csv(snakemake.input.images).sort_values(order))
write_csv(
    snakemake.output.lost,
    ({"patient_id": patient, "reason": reason} for patient, reason in lost.items()),
    ["patient_id", "reason"],
)
