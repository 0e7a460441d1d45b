# The five studies that the project follows, each with its own rules, under one target.

from snakemake.utils import min_version

min_version("9.25")

# What is given with --config holds for every study; which study it is does not.
SHARED = {key: value for key, value in config.items() if key != "study"}


module us_malignancy:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "us_malignancy"}


use rule * from us_malignancy as us_malignancy_*


module cem_her2:
    snakefile:
        "Snakefile"
    config:
        {**SHARED, "study": "cem_her2"}


use rule * from cem_her2 as cem_her2_*


rule all_studies:
    default_target: True
    input:
        rules.us_malignancy_all.input,
        rules.cem_her2_all.input,
