"""Put every image of the cohort with its outlines and findings on one page, the worst first."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.thumbnails import region_colours
from annulus.reporting.gallery import cards, render_gallery
from annulus.tables import concat_csv, read_csv, write_text

inputs, params = snakemake.input, snakemake.params
rois = read_csv(inputs.rois)
found = cards(read_csv(inputs.masks), read_csv(inputs.findings), rois, concat_csv(inputs.thumbnails))
shown = set(rois.loc[rois["kind"] != "union", "roi"])
colours = {name: colour for name, colour in region_colours(params.regions).items() if name in shown}
page = render_gallery(params.title, found, colours, params.synthetic, params.redistribution)
write_text(snakemake.output.page, page)
