"""Refuse images that the frozen models were trained on, whatever the patient is called."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.cohort.checks import PROBLEM_COLUMNS, refuse_errors
from annulus.cohort.plausibility import known_images_problems
from annulus.external import fingerprints
from annulus.tables import read_csv, write_csv

inputs, checked = snakemake.input, snakemake.output.checked
images = read_csv(inputs.images).fillna("").to_dict("records")
problems = known_images_problems(inputs.images, images, fingerprints(Path(inputs.fingerprints), "image"))
refuse_errors(problems, Path(checked).with_suffix(".refused.csv"))
write_csv(checked, map(vars, problems), PROBLEM_COLUMNS)
