# One study (the target all), the five that the project follows (all_studies), or other hospitals' patients against
# a finished study (external).

import sys

STUDIES = ("us_nodal_burden", "cem_her2", "mri_habitat_her2", "us_axilla_post_nst", "kaiser_us_alnm")


def is_wanted(target, *rules):
    """Say whether this run, or the job of it that a cluster started, is for a target that has rules of its own.

    Its rules are many to read, and a mistake in one study or cohort must not stop another; but Snakemake reads
    the rules before it looks at what is wanted. ``rules`` are what the names of the target's rules begin with;
    a file of the target has its name as a folder.
    """
    jobs = (word for word in sys.argv if ":" in word)
    return any(word == target or f"/{target}/" in word for word in sys.argv) or any(
        job.startswith(rules) for job in jobs
    )


# Without a line that sets it an included default target is not found, and Snakemake runs nothing.
if is_wanted("all_studies", *(f"{study}_" for study in STUDIES)):

    include: "workflow/all_studies.smk"

    workflow.default_target = "all_studies"

elif is_wanted("external", "external_"):

    include: "workflow/external.smk"

    workflow.default_target = "external"

else:

    include: "workflow/Snakefile"

    workflow.default_target = "all"
