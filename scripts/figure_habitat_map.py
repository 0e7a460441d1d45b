"""Draw the habitats of the first training patients over their images."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.figures.habitats import choose_divided, habitat_map_figure
from annulus.figures.style import save
from annulus.tables import read_csv, read_json

inputs, params = snakemake.input, snakemake.params
images = choose_divided(
    read_csv(inputs.split),
    read_csv(inputs.images),
    read_csv(inputs.rois),
    params.image,
    {folder.rsplit("/", 1)[-1]: folder for folder in inputs.folders},
    params.chunks,
)
figure, table = habitat_map_figure(images, read_json(inputs.habitats)["k"])
save(figure, snakemake.output, table, params.synthetic)
