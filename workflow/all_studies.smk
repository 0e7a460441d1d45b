# The five studies that the project follows, each with its own rules, under one target.

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


# What --config may change in all of them at once; anything else belongs to one study.
SHARED = {key: config[key] for key in ("patients", "null", "resamples", "repeated_splits") if key in config}
OTHER = sorted(set(config) - set(SHARED) - {"study"})
if OTHER:
    raise WorkflowError(
        f"all_studies: {', '.join(OTHER)} cannot be set for all studies at once; only patients, null, resamples "
        "and repeated_splits can. Run that study alone, with --config study=NAME."
    )


module us_nodal_burden:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "us_nodal_burden"}


use rule * from us_nodal_burden as us_nodal_burden_*


module cem_her2:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "cem_her2"}


use rule * from cem_her2 as cem_her2_*


module mri_habitat_her2:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "mri_habitat_her2"}


use rule * from mri_habitat_her2 as mri_habitat_her2_*


module us_axilla_post_nst:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "us_axilla_post_nst"}


use rule * from us_axilla_post_nst as us_axilla_post_nst_*


module kaiser_us_alnm:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "kaiser_us_alnm"}


use rule * from kaiser_us_alnm as kaiser_us_alnm_*


rule all_studies:
    default_target: True
    input:
        rules.us_nodal_burden_all.input,
        rules.cem_her2_all.input,
        rules.mri_habitat_her2_all.input,
        rules.us_axilla_post_nst_all.input,
        rules.kaiser_us_alnm_all.input,
