"""Draw the images and masks of a chunk of SYNTHETIC patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.simulation.drawing import write_images
from annulus.simulation.roster import image_files
from annulus.simulation.simulators import draw_images
from annulus.tables import read_csv

params = snakemake.params
table = read_csv(snakemake.input.participants).merge(read_csv(snakemake.input.truth))
chunk = table[table["patient_id"].isin(params.patients)]
folder = Path(snakemake.output[0]).parent
for patient in chunk.to_dict("records"):
    images = draw_images(params.simulator, patient, params.raters, params.seed)
    write_images(images, image_files(params.simulator, patient["patient_id"], params.raters), folder)
