# An external cohort is compared with the patients that the models were fitted on, and only then are its outcomes
# opened. No rule here, or in what stands beside it, fits a model.


rule refuse_known_images:
    input:
        images="<results>/cohort/images.csv",
        fingerprints="<models>/fingerprints.csv",
    output:
        checked="<results>/qc/known_images.csv",
    log:
        "<logs>/refuse_known_images.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("refuse_known_images.py"),
    script:
        "../../scripts/refuse_known_images.py"


rule compare_case_mix:
    input:
        predictors=f"<results>/split/{COHORTS[0]}/predictors.parquet",
        predictions=external_predictions(),
        models=every_model(),
        images=if_imaged("<results>/cohort/images.csv"),
        training=at_hand("split/train/predictors.parquet"),
        training_images=if_imaged(*at_hand("cohort/images.csv")),
    output:
        case_mix=report(
            "<results>/case_mix.csv",
            caption="../report/case_mix.rst",
            category="Case mix",
        ),
        membership=report(
            "<results>/membership.csv",
            caption="../report/membership.rst",
            category="Case mix",
        ),
        extrapolating="<results>/extrapolating.csv",
    log:
        "<logs>/compare_case_mix.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        tasks=list(TASKS),
        centre=CENTRE,
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("compare_case_mix.py"),
    script:
        "../../scripts/compare_case_mix.py"


# The lock: outcomes are read once every model has scored every patient and the comparison with training is
# written, and the opening goes on record beside the hashes of the models.
rule open_outcomes:
    input:
        unpack(cohort_files),
        split="<results>/split/split.csv",
        predictions=external_predictions(),
        case_mix="<results>/case_mix.csv",
        known_images=if_imaged("<results>/qc/known_images.csv"),
        models=every_model(),
        freezing=f"{STUDY_RESULTS}/provenance/freezing.csv",
    output:
        outcomes=f"<results>/split/{COHORTS[0]}/outcomes.csv",
        participants="<results>/cohort/participants_with_outcomes.csv",
        problems="<results>/cohort/problems_of_outcomes.csv",
        openings=update("<results>/provenance/openings.csv"),
    log:
        "<logs>/open_outcomes.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        cohort=COHORTS[0],
        folder=IMAGE_FOLDER,
        participants=COHORT.get("participants", {}),
        simulated=SIMULATED,
        needed=columns.outcome_columns(DESIGN),
        instruments=INSTRUMENTS,
        tasks=OUTCOMES,
        code=code_of("open_external_outcomes.py"),
    script:
        "../../scripts/open_external_outcomes.py"
