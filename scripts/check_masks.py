"""Check the images and masks of a chunk of patients, and write the masks to go on with."""

from annulus.job import log_to

log_to(snakemake.log[0])

from pathlib import Path

from annulus.imaging.findings import FINDING_COLUMNS, Policy
from annulus.imaging.preparing import Preparation
from annulus.imaging.qc import AGREEMENT_COLUMNS, IMAGE_COLUMNS, IMAGE_KEY, MASK_COLUMNS, Control, check_rows
from annulus.tables import write_csv

params, output = snakemake.params, snakemake.output
preparations = {name: Preparation.of(content) for name, content in params.settings.items()}
control = Control(Policy.of(params.qc, params.unit), preparations, params.lesions)
report = check_rows(params.rows, control, Path(output.folder))
write_csv(output.masks, ({key: row.get(key) for key in MASK_COLUMNS} for row in report.masks))
write_csv(output.images, ({key: row.get(key) for key in IMAGE_COLUMNS} for row in report.images))
write_csv(output.findings, report.findings, FINDING_COLUMNS)
agreement = ({key: row.get(key) for key in AGREEMENT_COLUMNS} for row in report.agreement)
write_csv(output.agreement, agreement, AGREEMENT_COLUMNS)
write_csv(output.frames, report.frames, [*IMAGE_KEY, "image"])
