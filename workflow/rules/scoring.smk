# Patients scored by frozen models: what models see of each cohort, and what they make of it. No outcome is read.


rule share_out:
    input:
        split="<results>/split/split.csv",
        participants="<results>/cohort/participants.csv",
        features=if_featured("<results>/features/features.parquet"),
        rois=if_imaged("<results>/rois/rois.csv"),
    output:
        predictors="<results>/split/{cohort}/predictors.parquet",
    log:
        "<logs>/share_out/{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        clinical=PREDICTORS,
        size_measure=SIZE_MEASURE,
        images=FEATURE_IMAGES,
        timepoints=DESIGN["timepoints"],
        changes=DESIGN["changes"],
        code=code_of("share_out.py"),
    script:
        "../../scripts/share_out.py"


rule predict:
    input:
        models=model_files,
        predictors="<results>/split/{cohort}/predictors.parquet",
    output:
        predictions="<results>/tasks/{task}/parts/predictions_{cohort}.csv",
        unscored="<results>/tasks/{task}/parts/unscored_{cohort}.csv",
    log:
        "<logs>/predict/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("predict.py"),
    script:
        "../../scripts/predict.py"
