"""Draw the flow chart."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.flowchart import flowchart_figure
from annulus.figures.style import save
from annulus.tables import read_csv

flow = read_csv(snakemake.input.flow)
save(flowchart_figure(flow), snakemake.output, flow, snakemake.params.synthetic)
