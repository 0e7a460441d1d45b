"""Draw how much of each lesion every habitat takes."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.habitats import fraction_figure
from annulus.figures.style import save
from annulus.tables import read_csv

inputs = snakemake.input
outcome = read_csv(inputs.outcomes).set_index("patient_id")[snakemake.wildcards.task]
figure, table = fraction_figure(
    read_csv(inputs.rois), read_csv(inputs.split), outcome, snakemake.params.outcome
)
save(figure, snakemake.output, table, snakemake.params.synthetic)
