"""Seal every model of the study, and record when it was frozen."""

from annulus.job import log_to

log_to(snakemake.log[0])

from datetime import UTC, datetime

from annulus.ledger import record_freezing
from annulus.modelling.bundle import Origin, file_sha256, licences_of
from annulus.modelling.fingerprints import fingerprints
from annulus.modelling.freezing import hashes_of, read_catalogue, seal_all
from annulus.modelling.front_end import front_end
from annulus.tables import read_csv, write_csv, write_json

inputs, params, output = snakemake.input, snakemake.params, snakemake.output
split, training = read_csv(inputs.split), (inputs.predictors, inputs.outcomes)
images = read_csv(inputs.images[0]) if inputs.images else None
catalogue = inputs.catalogue[0] if inputs.catalogue else None
habitats = file_sha256(inputs.habitats[0]) if inputs.habitats else None
front = front_end(params.design, params.imaging, habitats)
hashes = hashes_of(split, training, params.code)
origin = Origin(params.study, front["sha256"], licences_of(params.cohort), hashes)
described = read_catalogue(catalogue, params.images, params.design["timepoints"], params.design["changes"])
tasks = [task for task, _ in params.models]
sealed = seal_all(list(zip(tasks, inputs.fitted, strict=True)), params.outcomes, origin, training, described)
for path, content in zip(output.models, sealed, strict=True):
    write_json(path, content)
write_json(output.front_end, front)
write_csv(output.fingerprints, fingerprints(params.study, split, images))
frozen = [(content["task"], content["name"], content["sha256"]) for content in sealed]
record_freezing(output.freezing, frozen, datetime.now(UTC))
