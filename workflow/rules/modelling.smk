# Models, fitted on training patients alone and frozen as JSON.


rule fit_signature:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        stability=signature_stability,
    output:
        model="<results>/models/{task}/signature_{roi}/model.json",
        selection="<results>/tasks/{task}/parts/signature_{roi}/selection.csv",
        odds_ratios="<results>/tasks/{task}/parts/signature_{roi}/odds_ratios.csv",
        training="<results>/tasks/{task}/parts/signature_{roi}/training.csv",
        path="<results>/tasks/{task}/parts/signature_{roi}/path.csv",
        cv="<results>/tasks/{task}/parts/signature_{roi}/cv.csv",
        cross_fitted="<results>/tasks/{task}/parts/signature_{roi}/cross_fitted.csv",
        choice="<results>/tasks/{task}/parts/signature_{roi}/choice.csv",
    log:
        "<logs>/fit_signature/{task}_{roi}.log",
    benchmark:
        "<benchmarks>/fit_signature/{task}_{roi}.tsv"
    conda:
        "../../envs/annulus.yaml"
    params:
        images=list(EXTRACTED),
        signature=from_task("signature"),
        outer_folds=from_task("outer_folds"),
        nested=is_combined_signature,
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_signature.py"),
    script:
        "../../scripts/fit_signature.py"


rule fit_clinical:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
    output:
        model="<results>/models/{task}/clinical/model.json",
        selection="<results>/tasks/{task}/parts/clinical/selection.csv",
        odds_ratios="<results>/tasks/{task}/parts/clinical/odds_ratios.csv",
        training="<results>/tasks/{task}/parts/clinical/training.csv",
    log:
        "<logs>/fit_clinical/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        clinical=from_task("clinical"),
        outer_folds=from_task("outer_folds"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_clinical.py"),
    script:
        "../../scripts/fit_clinical.py"


rule fit_combined:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        signatures=combined_signatures,
        cross_fitted=combined_scores,
    output:
        model="<results>/models/{task}/{combined}/model.json",
        selection="<results>/tasks/{task}/parts/{combined}/selection.csv",
        odds_ratios="<results>/tasks/{task}/parts/{combined}/odds_ratios.csv",
        training="<results>/tasks/{task}/parts/{combined}/training.csv",
    log:
        "<logs>/fit_combined/{task}_{combined}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        plan=combined_plan,
        outer_folds=from_task("outer_folds"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_combined.py"),
    script:
        "../../scripts/fit_combined.py"


rule join_models:
    input:
        selection=selection_files,
        odds_ratios=odds_ratio_files,
    output:
        selection="<results>/tasks/{task}/selection.csv",
        odds_ratios=report(
            "<results>/tasks/{task}/odds_ratios.csv",
            caption="../report/odds_ratios.rst",
            category="{task}",
        ),
    log:
        "<logs>/join_models/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        synthetic=SIMULATED,
        code=code_of("join_models.py"),
    script:
        "../../scripts/join_models.py"


rule predict:
    input:
        models=model_files,
        predictors="<results>/split/{cohort}/predictors.parquet",
    output:
        predictions="<results>/tasks/{task}/parts/predictions_{cohort}.csv",
    log:
        "<logs>/predict/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("predict.py"),
    script:
        "../../scripts/predict.py"
