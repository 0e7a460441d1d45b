"""Draw the odds ratios of the models that papers print."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.odds_ratios import odds_ratio_figure
from annulus.figures.style import save
from annulus.tables import read_csv

figure, table = odds_ratio_figure(read_csv(snakemake.input.odds_ratios), snakemake.params.models)
save(figure, snakemake.output, table, snakemake.params.synthetic)
