"""Join the chunks' quality control, with what only the whole study shows: duplicates, diameters, losses."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.imaging.cohort_checks import (
    diameter_findings,
    duplicate_findings,
    lost_patients,
    telling_pairs,
    with_findings,
)
from annulus.imaging.duplicates import DUPLICATE_COLUMNS, duplicate_pairs
from annulus.imaging.findings import FINDING_COLUMNS, Policy
from annulus.tables import concat_csv, read_csv, write_csv

inputs, output, params = snakemake.input, snakemake.output, snakemake.params
order = ["patient_id", "timepoint", "image_id", "mask_role", "rater", "lesion"]
policy = Policy.of(params.qc, params.unit)
participants = read_csv(inputs.participants)
images = concat_csv(inputs.images).sort_values(order)
pairs = telling_pairs(duplicate_pairs(images, int(policy.thresholds["maximum_fingerprint_distance"])))
masks = concat_csv(inputs.masks).sort_values(order)
later = [*duplicate_findings(pairs, policy), *diameter_findings(masks, participants, policy)]
masks, rows = with_findings(masks, later)
findings = [*concat_csv(inputs.findings).to_dict("records"), *rows]
lost = lost_patients(masks, participants["patient_id"], params.images)
write_csv(output.masks, masks)
write_csv(output.images, images)
write_csv(
    output.findings, sorted(findings, key=lambda row: [str(row[key]) for key in order]), FINDING_COLUMNS
)
write_csv(output.agreement, concat_csv(inputs.agreement).sort_values(["patient_id", "image_id"]))
write_csv(output.duplicates, pairs, DUPLICATE_COLUMNS)
write_csv(output.frames, concat_csv(inputs.frames).sort_values(order[:3]))
write_csv(
    output.lost, ({"patient_id": p, "reason": why} for p, why in lost.items()), ["patient_id", "reason"]
)
