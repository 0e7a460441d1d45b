# Patients shared out over cohorts, once, and a folder per cohort. Rules that train read split/train/ alone,
# and outcomes of the other cohorts are opened only when all models are frozen.


rule allocate_patients:
    input:
        participants="<results>/cohort/participants.csv",
        lost=lost_patients(),
        masks=if_imaged("<results>/qc/masks.csv"),
    output:
        allocation="<results>/split/allocation.csv",
        flow="<results>/split/flow.csv",
    log:
        "<logs>/allocate_patients.log",
    priority: 2
    conda:
        "../../envs/annulus.yaml"
    params:
        eligibility=DESIGN["eligibility"],
        usable="images and masks usable" if IMAGED else "features given",
        plan=DESIGN["split"],
        tasks=OUTCOMES,
        maximum_lost_share=lookup(dpath="qc/maximum_lost_share", within=DESIGN),
        seed=DESIGN["seed"],
        code=code_of("allocate_patients.py"),
    script:
        "../../scripts/allocate_patients.py"


rule split_patients:
    input:
        allocation="<results>/split/allocation.csv",
        flow="<results>/split/flow.csv",
        participants="<results>/cohort/participants.csv",
        features=if_imaged("<results>/features/features.parquet"),
    output:
        split="<results>/split/split.csv",
        sha256="<results>/split/split.csv.sha256",
        flow="<results>/qc/flow.csv",
    log:
        "<logs>/split_patients.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        plan=DESIGN["split"],
        tasks={name: {**OUTCOMES[name], "outer_folds": task["outer_folds"]} for name, task in TASKS.items()},
        code=code_of("split_patients.py"),
    script:
        "../../scripts/split_patients.py"


rule share_out_training_outcomes:
    input:
        split="<results>/split/split.csv",
        participants="<results>/cohort/participants.csv",
    output:
        outcomes="<results>/split/train/outcomes.csv",
    log:
        "<logs>/share_out_training_outcomes.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        tasks=OUTCOMES,
        code=code_of("share_out_outcomes.py"),
    script:
        "../../scripts/share_out_outcomes.py"


# The models are inputs, so nothing of the other cohorts' outcomes is known to any rule before all are frozen.
rule open_outcomes:
    input:
        split="<results>/split/split.csv",
        participants="<results>/cohort/participants.csv",
        models=every_model(),
        freezing="<results>/provenance/freezing.csv",
    output:
        outcomes="<results>/split/{cohort}/outcomes.csv",
        openings=update("<results>/provenance/openings_{cohort}.csv"),
    log:
        "<logs>/open_outcomes/{cohort}.log",
    wildcard_constraints:
        cohort=held_out_cohorts(),
    conda:
        "../../envs/annulus.yaml"
    params:
        tasks=OUTCOMES,
        code=code_of("open_outcomes.py"),
    script:
        "../../scripts/open_outcomes.py"
