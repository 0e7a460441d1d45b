"""Join what was selected, and the odds ratios, over all models of a task."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.clinical import ODDS_RATIO_COLUMNS
from annulus.modelling.fitting import SELECTION_COLUMNS
from annulus.tables import concat_csv, write_csv

synthetic = int(snakemake.params.synthetic)
selection = concat_csv(snakemake.input.selection).assign(synthetic=synthetic)
write_csv(snakemake.output.selection, selection, SELECTION_COLUMNS)
odds_ratios = concat_csv(snakemake.input.odds_ratios).assign(synthetic=synthetic)
write_csv(snakemake.output.odds_ratios, odds_ratios, ODDS_RATIO_COLUMNS)
