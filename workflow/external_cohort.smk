# One external cohort of a finished study, in the study's own stages of imaging and evaluation. external.smk reads
# it as a module, once per cohort. No file that it includes has a rule that fits anything.


include: "rules/common.smk"
include: "rules/cohort.smk"


if IMAGED:

    include: "rules/imaging.smk"
    include: "rules/features.smk"
    include: "rules/gallery.smk"


if TABLED:

    include: "rules/feature_table.smk"


if HABITATS:

    include: "rules/lesions.smk"


include: "rules/admission.smk"
include: "rules/scoring.smk"
include: "rules/external.smk"
include: "rules/evaluation.smk"
include: "rules/figures.smk"
include: "rules/validation.smk"


rule all:
    default_target: True
    input:
        report="<results>/report/report.html",
        participants=PARTICIPANTS,
        problems="<results>/cohort/problems.csv",
        flow="<results>/qc/flow.csv",
        imaging=imaging_files(),
        features=feature_files(),
        split="<results>/split/split.csv",
        case_mix="<results>/case_mix.csv",
        tables=tables_of_tasks(),
        pathways=pathway_files("performance"),
        figures=all_figures(),
        openings="<results>/provenance/openings.csv",
