# One study (the target all), or the five that the project follows (the target all_studies).

import sys

STUDIES = ("us_nodal_burden", "cem_her2", "mri_habitat_her2", "us_axilla_post_nst", "kaiser_us_alnm")


def is_for_all_studies():
    """Say whether this run, or the job of it that a cluster started, is for all of the studies.

    Their rules are five times as many to read, and a mistake in one study must not stop another; but
    Snakemake reads the rules before it looks at what is wanted.
    """
    jobs = tuple(f"{study}_" for study in STUDIES)
    return any(word == "all_studies" or (word.startswith(jobs) and ":" in word) for word in sys.argv)


if is_for_all_studies():

    include: "workflow/all_studies.smk"

    # Without this line an included default target is not found, and Snakemake runs nothing.
    workflow.default_target = "all_studies"

else:

    include: "workflow/Snakefile"

    workflow.default_target = "all"
