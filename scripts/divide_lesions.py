"""Divide the lesions of a chunk of patients by the frozen habitats."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.imaging.habitat_rows import HabitatPlan, divide_rows
from annulus.imaging.habitats import Habitats
from annulus.imaging.regions import ROI_COLUMNS
from annulus.tables import read_csv, read_json, write_csv

inputs, params = snakemake.input, snakemake.params
rows = divide_rows(
    read_csv(inputs.images),
    read_csv(inputs.masks),
    HabitatPlan.of(params.habitats),
    Habitats.from_json(read_json(inputs.habitats)),
    params.minimum_voxels,
    params.extracted,
    Path(inputs.folder),
    Path(snakemake.output.folder),
    params.seed,
)
write_csv(snakemake.output.rois, rows, ROI_COLUMNS)
