"""Join what was selected and how often, the odds ratios, and repeated splits, over all models of a task."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.modelling.fitting import SELECTION_COLUMNS, with_frequency
from annulus.modelling.odds_ratios import ODDS_RATIO_COLUMNS
from annulus.modelling.refitting import SPLIT_COLUMNS, selection_frequency
from annulus.tables import concat_csv, write_csv

params, synthetic = snakemake.params, int(snakemake.params.synthetic)
frequency = selection_frequency(concat_csv(snakemake.input.selected), params.splits)
selection = with_frequency(concat_csv(snakemake.input.selection), frequency)
write_csv(snakemake.output.selection, selection.assign(synthetic=synthetic), SELECTION_COLUMNS)
odds_ratios = concat_csv(snakemake.input.odds_ratios).assign(synthetic=synthetic)
write_csv(snakemake.output.odds_ratios, odds_ratios, ODDS_RATIO_COLUMNS)
areas = concat_csv(snakemake.input.areas).assign(synthetic=synthetic)
write_csv(snakemake.output.repeated_splits, areas, SPLIT_COLUMNS)
