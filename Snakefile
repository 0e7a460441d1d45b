include: "workflow/Snakefile"


# Without this line an included default target is not found, and Snakemake runs nothing.
workflow.default_target = "all"
