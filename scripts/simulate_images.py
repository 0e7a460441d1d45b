"""Draw the images and masks of a chunk of SYNTHETIC patients."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.simulation.cem import patients_of, simulate_images, write_images
from annulus.tables import read_csv

table = read_csv(snakemake.input.participants).merge(read_csv(snakemake.input.truth))
chunk = table[table["patient_id"].isin(snakemake.params.patients)]
folder = Path(snakemake.output[0]).parent
for patient in patients_of(chunk):
    write_images(simulate_images(patient, snakemake.params.seed), folder, patient.patient_id)
