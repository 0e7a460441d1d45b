"""Draw the regions of the first patients of a cohort over their images."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.overlay import choose_images, overlay_figure
from annulus.figures.style import save
from annulus.tables import read_csv

params = snakemake.params
images = choose_images(
    read_csv(snakemake.input.split),
    read_csv(snakemake.input.images),
    read_csv(snakemake.input.rois),
    params.images,
    {folder.rsplit("/", 1)[-1]: folder for folder in snakemake.input.folders},
    params.chunks,
    params.cohort,
)
figure, table = overlay_figure(images)
save(figure, snakemake.output, table, params.synthetic)
