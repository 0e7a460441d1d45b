"""Find habitats in the voxels of training patients, and freeze them."""

from annulus.job import log_to

log_to(snakemake.log[0])

from annulus.imaging.habitats import fit_habitats
from annulus.tables import concat_csv, read_arrays, read_csv, write_csv, write_json

inputs, plan = snakemake.input, snakemake.params.habitats
allocation = read_csv(inputs.allocation)
training = set(allocation.loc[allocation["cohort"] == "train", "patient_id"])
samples = {
    patient: voxels
    for path in inputs.samples
    for patient, voxels in read_arrays(path).items()
    if patient in training
}
channels, clusters = tuple(plan["channels"]), tuple(plan["clusters"])
habitats = fit_habitats(
    samples, channels, clusters, plan["method"], snakemake.params.seed, plan["maximum_voxels"]
)
write_json(snakemake.output.habitats, habitats.to_json() | {"synthetic": snakemake.params.synthetic})
write_csv(snakemake.output.validity, map(vars, habitats.validity))
write_csv(snakemake.output.registration, concat_csv(inputs.registration))
