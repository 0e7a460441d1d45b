"""Draw the decision curves of a cohort."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.curves import decision_figure
from annulus.figures.style import save
from annulus.tables import read_csv

figure, table = decision_figure(
    read_csv(snakemake.input.curves),
    read_csv(snakemake.input.shifted),
    read_csv(snakemake.input.predictions),
    snakemake.wildcards.cohort,
    snakemake.params.models,
    snakemake.params.decision,
)
save(figure, snakemake.output, table, snakemake.params.synthetic)
