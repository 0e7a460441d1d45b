"""Share eligible patients with images or features out over cohorts; stop when too many images were lost."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.imaging.cohort_checks import refuse_large_loss
from annulus.modelling.split import FLOW_COLUMNS, allocate
from annulus.tables import read_csv, read_text_csv, write_csv

params = snakemake.params
participants = read_text_csv(snakemake.input.participants)
lost = read_csv(snakemake.input.lost[0]) if snakemake.input.lost else None
if lost is not None and snakemake.input.masks:
    masks = read_csv(snakemake.input.masks[0])
    refuse_large_loss(lost, masks, len(participants), params.maximum_lost_share)
allocation, flow = allocate(
    participants, lost, params.eligibility, params.plan, params.tasks, params.seed, params.usable
)
write_csv(snakemake.output.allocation, allocation, ["patient_id", "cohort"])
write_csv(snakemake.output.flow, flow, FLOW_COLUMNS)
