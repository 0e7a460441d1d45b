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
        models=every_model(),
        training=training_predictors(),
    output:
        case_mix="<results>/case_mix.csv",
        membership="<results>/membership.csv",
        extrapolating="<results>/extrapolating.csv",
    log:
        "<logs>/compare_case_mix.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("compare_case_mix.py"),
    script:
        "../../scripts/compare_case_mix.py"


# The lock: outcomes are read once every model has scored every patient and the comparison with training is
# written, and the opening goes on record beside the hashes of the models.
rule open_outcomes:
    input:
        unpack(cohort_tables),
        split="<results>/split/split.csv",
        predictions=collect(f"<results>/tasks/{{task}}/parts/predictions_{COHORTS[0]}.csv", task=TASKS),
        case_mix="<results>/case_mix.csv",
        known_images=if_imaged("<results>/qc/known_images.csv"),
        models=every_model(),
        freezing=f"{STUDY_RESULTS}/provenance/freezing.csv",
    output:
        outcomes=f"<results>/split/{COHORTS[0]}/outcomes.csv",
        participants="<results>/cohort/participants_with_outcomes.csv",
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


rule recalibrate:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        models=model_files,
    output:
        recalibration="<results>/tasks/{task}/recalibration.csv",
        updating="<results>/tasks/{task}/updating.csv",
    log:
        "<logs>/recalibrate/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        bootstraps=from_task("bootstraps"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("recalibrate.py"),
    script:
        "../../scripts/recalibrate.py"
