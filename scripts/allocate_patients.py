"""Share eligible patients with usable images out over cohorts; stop the study when too many were lost."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.imaging.cohort_checks import refuse_large_loss
from annulus.modelling.split import FLOW_COLUMNS, allocate
from annulus.tables import read_csv, read_text_csv, write_csv

params = snakemake.params
participants = read_text_csv(snakemake.input.participants)
lost = None
if snakemake.input.lost:
    lost, masks = (read_csv(paths[0]) for paths in (snakemake.input.lost, snakemake.input.masks))
    refuse_large_loss(lost, masks, len(participants), params.maximum_lost_share)
allocation, flow = allocate(participants, lost, params.eligibility, params.plan, params.tasks, params.seed)
write_csv(snakemake.output.allocation, allocation, ["patient_id", "cohort"])
write_csv(snakemake.output.flow, flow, FLOW_COLUMNS)
