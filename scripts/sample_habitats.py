"""Bring a chunk's images onto a common grid in each lesion, and draw voxels to find habitats in."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.imaging.habitat_rows import REGISTRATION_KEYS, HabitatPlan, sample_rows
from annulus.imaging.registration import REGISTRATION_COLUMNS
from annulus.tables import read_csv, write_arrays, write_csv

samples, registrations = sample_rows(
    read_csv(snakemake.input.images),
    read_csv(snakemake.input.masks),
    HabitatPlan.of(snakemake.params.habitats),
    Path(snakemake.input.folder),
    snakemake.params.seed,
)
write_arrays(snakemake.output.samples, samples)
write_csv(snakemake.output.registration, registrations, [*REGISTRATION_KEYS, *REGISTRATION_COLUMNS])
