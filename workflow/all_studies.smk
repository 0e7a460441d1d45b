# The studies that the root Snakefile names (STUDIES), each with its own rules, under one target.

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


for STUDY in STUDIES:
    MODULE = f"{STUDY}_"

    module:
        name: MODULE
        snakefile:
            "Snakefile"
        config:
            {**SHARED, "study": STUDY}

    use rule * from MODULE as MODULE*


rule all_studies:
    default_target: True
    input:
        [getattr(rules, f"{study}_all").input for study in STUDIES],
