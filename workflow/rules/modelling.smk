# Models, fitted on training patients alone, and sealed as JSON when all of them are there.


rule fit_signature:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        stability=signature_stability,
    output:
        fitted="<results>/tasks/{task}/parts/signature_{roi}/fitted.json",
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
        images=FEATURE_IMAGES,
        signature=from_task("signature"),
        outer_folds=from_task("outer_folds"),
        cut_off=from_task("cut_off"),
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
        fitted="<results>/tasks/{task}/parts/clinical/fitted.json",
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
        cut_off=from_task("cut_off"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_clinical.py"),
    script:
        "../../scripts/fit_clinical.py"


rule fit_prespecified:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
    output:
        fitted="<results>/tasks/{task}/parts/{prespecified}/fitted.json",
        selection="<results>/tasks/{task}/parts/{prespecified}/selection.csv",
        odds_ratios="<results>/tasks/{task}/parts/{prespecified}/odds_ratios.csv",
        training="<results>/tasks/{task}/parts/{prespecified}/training.csv",
    log:
        "<logs>/fit_prespecified/{task}_{prespecified}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        clinical=from_task("clinical", "candidates"),
        outer_folds=from_task("outer_folds"),
        cut_off=from_task("cut_off"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_prespecified.py"),
    script:
        "../../scripts/fit_prespecified.py"


rule fit_combined:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        signatures=combined_signatures,
        cross_fitted=combined_scores,
    output:
        fitted="<results>/tasks/{task}/parts/{combined}/fitted.json",
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
        cut_off=from_task("cut_off"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_combined.py"),
    script:
        "../../scripts/fit_combined.py"


rule freeze_models:
    input:
        fitted=every_fitted(),
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        split="<results>/split/split.csv",
        catalogue=if_featured("<results>/features/catalogue.csv"),
        images=if_imaged("<results>/cohort/images.csv"),
        habitats=habitat_files,
    output:
        models=every_model(),
        front_end="<models>/front_end.json",
        fingerprints="<models>/fingerprints.csv",
        freezing=update("<results>/provenance/freezing.csv"),
    log:
        "<logs>/freeze_models.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        study=DESIGN["name"],
        models=task_models(),
        outcomes=OUTCOME_CODING,
        design=front_end_settings(),
        imaging=STUDY.imaging,
        images=list(EXTRACTED),
        cohort=cohort_terms(),
        code=code_of("freeze_models.py"),
    script:
        "../../scripts/freeze_models.py"


rule refit_resamples:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        stability=signature_stability,
    output:
        rounds="<results>/tasks/{task}/parts/resamples_{batch}.csv",
    log:
        "<logs>/refit_resamples/{task}_{batch}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        images=FEATURE_IMAGES,
        plan=refitted_plan,
        resamples=DESIGN["resamples"],
        numbers=batch_of_resamples,
        seed=DESIGN["seed"],
        code=code_of("refit_resamples.py"),
    script:
        "../../scripts/refit_resamples.py"


rule refit_splits:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        stability=signature_stability,
    output:
        areas="<results>/tasks/{task}/parts/splits_{batch}.csv",
        selected="<results>/tasks/{task}/parts/selected_{batch}.csv",
    log:
        "<logs>/refit_splits/{task}_{batch}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        images=FEATURE_IMAGES,
        plan=refitted_plan,
        splits=DESIGN["repeated_splits"],
        numbers=batch_of_splits,
        seed=DESIGN["seed"],
        code=code_of("refit_splits.py"),
    script:
        "../../scripts/refit_splits.py"


rule correct_for_optimism:
    input:
        rounds=resample_files,
        training=training_files,
        outcomes="<results>/split/train/outcomes.csv",
    output:
        optimism=report(
            "<results>/tasks/{task}/optimism.csv",
            caption="../report/optimism.rst",
            category="{task}",
        ),
    log:
        "<logs>/correct_for_optimism/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=models_of_task,
        synthetic=SIMULATED,
        code=code_of("correct_for_optimism.py"),
    script:
        "../../scripts/correct_for_optimism.py"


rule relate_to_volume:
    input:
        predictors="<results>/split/train/predictors.parquet",
        outcomes="<results>/split/train/outcomes.csv",
        selection="<results>/tasks/{task}/selection.csv",
        cross_fitted=all_cross_fitted,
    output:
        volume=report(
            "<results>/tasks/{task}/volume.csv",
            caption="../report/volume.rst",
            category="{task}",
        ),
    log:
        "<logs>/relate_to_volume/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        rois=sized_signatures,
        synthetic=SIMULATED,
        code=code_of("relate_to_volume.py"),
    script:
        "../../scripts/relate_to_volume.py"


rule join_models:
    input:
        selection=selection_files,
        odds_ratios=odds_ratio_files,
        areas=split_area_files,
        selected=split_selected_files,
    output:
        selection="<results>/tasks/{task}/selection.csv",
        odds_ratios=report(
            "<results>/tasks/{task}/odds_ratios.csv",
            caption="../report/odds_ratios.rst",
            category="{task}",
        ),
        repeated_splits=report(
            "<results>/tasks/{task}/repeated_splits.csv",
            caption="../report/repeated_splits.rst",
            category="{task}",
        ),
    log:
        "<logs>/join_models/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        splits=DESIGN["repeated_splits"],
        synthetic=SIMULATED,
        code=code_of("join_models.py"),
    script:
        "../../scripts/join_models.py"
