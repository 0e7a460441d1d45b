# What the frozen models are worth, per cohort.


rule join_predictions:
    input:
        predictions=collect("<results>/tasks/{{task}}/parts/predictions_{cohort}.csv", cohort=COHORTS),
        outcomes=collect("<results>/split/{cohort}/outcomes.csv", cohort=COHORTS),
        training=training_files,
    output:
        predictions="<results>/tasks/{task}/predictions.csv",
    log:
        "<logs>/join_predictions/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        trained=if_trained_models,
        synthetic=SIMULATED,
        code=code_of("join_predictions.py"),
    script:
        "../../scripts/join_predictions.py"


rule evaluate:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        models=model_files,
        unscored=unscored_files,
        optimism=if_trained("<results>/tasks/{task}/optimism.csv"),
    output:
        performance=report(
            "<results>/tasks/{task}/performance.csv",
            caption="../report/performance.rst",
            category="{task}",
        ),
        comparisons=report(
            "<results>/tasks/{task}/comparisons.csv",
            caption="../report/comparisons.rst",
            category="{task}",
        ),
        roc="<results>/tasks/{task}/roc.csv",
        calibration="<results>/tasks/{task}/calibration.csv",
        decision_curve="<results>/tasks/{task}/decision_curve.csv",
        decision_curve_prevalence="<results>/tasks/{task}/decision_curve_prevalence.csv",
    log:
        "<logs>/evaluate/{task}.log",
    # Figures and warnings wait for it.
    priority: 1
    conda:
        "../../envs/annulus.yaml"
    params:
        compared=shown_models_of,
        given=given_models_of,
        cut_off=given_cut_off,
        declared=from_task("comparisons"),
        decision=from_task("decision"),
        bootstraps=from_task("bootstraps"),
        proportion_interval=from_task("proportion_interval"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("evaluate.py"),
    script:
        "../../scripts/evaluate.py"


rule supplement:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        models=model_files,
    output:
        supplement=report(
            "<results>/tasks/{task}/supplement.csv",
            caption="../report/supplement.rst",
            category="{task}",
        ),
    log:
        "<logs>/supplement/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        given=given_models_of,
        cut_off=given_cut_off,
        declared=from_task("comparisons"),
        at=from_task("decision", "at"),
        bootstraps=from_task("bootstraps"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("supplement.py"),
    script:
        "../../scripts/supplement.py"


rule tabulate_patients:
    input:
        participants="<results>/cohort/participants.csv",
        split="<results>/split/split.csv",
        outcomes="<results>/split/train/outcomes.csv",
    output:
        table_one=report(
            "<results>/tasks/{task}/table_one.csv",
            caption="../report/table_one.rst",
            category="{task}",
        ),
    log:
        "<logs>/tabulate_patients/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        columns=described_variables,
        cohorts=COHORTS,
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("tabulate_patients.py"),
    script:
        "../../scripts/tabulate_patients.py"


# Clinical variables are joined to predictions of models that are frozen by then.
rule compare_subgroups:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        participants=PARTICIPANTS,
    output:
        subgroups=report(
            "<results>/tasks/{task}/subgroups.csv",
            caption="../report/subgroups.rst",
            category="{task}",
        ),
    log:
        "<logs>/compare_subgroups/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        compared=shown_models_of,
        subgroups=subgroups_of,
        synthetic=SIMULATED,
        code=code_of("compare_subgroups.py"),
    script:
        "../../scripts/compare_subgroups.py"


rule judge_sample_size:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        selection="<results>/tasks/{task}/selection.csv",
    output:
        sample_size=report(
            "<results>/tasks/{task}/sample_size.csv",
            caption="../report/sample_size.rst",
            category="{task}",
        ),
    log:
        "<logs>/judge_sample_size/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        synthetic=SIMULATED,
        code=code_of("judge_sample_size.py"),
    script:
        "../../scripts/judge_sample_size.py"


rule list_warnings:
    input:
        models=model_files,
        predictions="<results>/tasks/{task}/predictions.csv",
        performance="<results>/tasks/{task}/performance.csv",
        comparisons="<results>/tasks/{task}/comparisons.csv",
        supplement="<results>/tasks/{task}/supplement.csv",
        subgroups=subgroup_tables,
        sample_size=if_trained("<results>/tasks/{task}/sample_size.csv"),
        odds_ratios=if_trained("<results>/tasks/{task}/odds_ratios.csv"),
        volume=if_trained("<results>/tasks/{task}/volume.csv"),
    output:
        warnings=report(
            "<results>/tasks/{task}/warnings.csv",
            caption="../report/warnings.rst",
            category="{task}",
        ),
    log:
        "<logs>/list_warnings/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        shown=shown_models_of,
        given=given_models_of,
        cut_off=given_cut_off,
        main=main_models,
        decision=from_task("decision"),
        splits=DESIGN["repeated_splits"],
        transductive=is_transductive,
        synthetic=SIMULATED,
        code=code_of("list_warnings.py"),
    script:
        "../../scripts/list_warnings.py"


rule screen_for_leaks:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        models=model_files,
        outcomes="<results>/split/train/outcomes.csv",
        frames="<results>/qc/frames.csv",
        images="<results>/cohort/images.csv",
        participants="<results>/cohort/participants.csv",
        duplicates="<results>/qc/duplicates.csv",
    output:
        screen=report(
            "<results>/tasks/{task}/leak_screen.csv",
            caption="../report/leak_screen.rst",
            category="{task}",
        ),
        duplicates="<results>/tasks/{task}/duplicates.csv",
    log:
        "<logs>/screen_for_leaks/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=models_by_size,
        outer_folds=from_task("outer_folds"),
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("screen_for_leaks.py"),
    script:
        "../../scripts/screen_for_leaks.py"


rule draw_up_nomogram:
    input:
        model=lookup_nomogram,
    output:
        nomogram="<results>/tasks/{task}/nomogram.csv",
    log:
        "<logs>/draw_up_nomogram/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("draw_up_nomogram.py"),
    script:
        "../../scripts/draw_up_nomogram.py"


rule compare_with_published:
    input:
        performance=task_files("performance"),
        odds_ratios=task_files("odds_ratios"),
        subgroups=task_files("subgroups"),
        cascades=cascade_files("performance"),
        pathways=pathway_files("performance"),
    output:
        published=report(
            "<results>/published.csv",
            caption="../report/published.rst",
            category="Published",
        ),
    log:
        "<logs>/compare_with_published.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        published=DESIGN["published"],
        tasks=list(TASKS),
        cascades=list(CASCADES),
        pathways=list(PATHWAYS),
        synthetic=SIMULATED,
        code=code_of("compare_with_published.py"),
    script:
        "../../scripts/compare_with_published.py"


rule list_assumptions:
    output:
        assumptions=report(
            "<results>/assumptions.csv",
            caption="../report/assumptions.rst",
            category="Published",
        ),
    log:
        "<logs>/list_assumptions.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        assumptions=assumptions.in_force(assumptions.Sources(DESIGN, COHORT, STUDY.imaging)),
        code=code_of("list_assumptions.py"),
    script:
        "../../scripts/list_assumptions.py"


rule predict_centre:
    input:
        predictors="<results>/split/train/predictors.parquet",
    output:
        centres=report(
            "<results>/features/centre_prediction.csv",
            caption="../report/centre_prediction.rst",
            category="Centres",
        ),
    log:
        "<logs>/predict_centre.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        images=FEATURE_IMAGES,
        centre=DESIGN.get("centre"),
        rois=SIGNED,
        folds=OUTER_FOLDS,
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("predict_centre.py"),
    script:
        "../../scripts/predict_centre.py"


rule tabulate_centres:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        participants="<results>/cohort/participants.csv",
    output:
        centres=report(
            "<results>/tasks/{task}/centres.csv",
            caption="../report/centres.rst",
            category="{task}",
        ),
    log:
        "<logs>/tabulate_centres/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        centre=CENTRE,
        synthetic=SIMULATED,
        code=code_of("tabulate_centres.py"),
    script:
        "../../scripts/tabulate_centres.py"


rule run_pathway:
    input:
        participants="<results>/cohort/participants.csv",
        split="<results>/split/split.csv",
    output:
        patients="<results>/pathways/{pathway}/patients.csv",
    log:
        "<logs>/run_pathway/{pathway}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        cut_mm=INSTRUMENTS["post_nst_cortex_mm"],
        synthetic=SIMULATED,
        code=code_of("run_pathway.py"),
    script:
        "../../scripts/run_pathway.py"


# A pathway fits nothing, but outcomes of test patients are not looked at before all models are frozen.
rule judge_pathway:
    input:
        patients="<results>/pathways/{pathway}/patients.csv",
        participants=PARTICIPANTS,
        frozen=every_model(),
    output:
        performance=report(
            "<results>/pathways/{pathway}/performance.csv",
            caption="../report/pathway.rst",
            category="{pathway}",
        ),
    log:
        "<logs>/judge_pathway/{pathway}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        pathway=lookup_pathway,
        synthetic=SIMULATED,
        code=code_of("judge_pathway.py"),
    script:
        "../../scripts/judge_pathway.py"


rule run_cascade:
    input:
        predictions=cascade_predictions,
        models=cascade_models,
    output:
        patients="<results>/cascades/{cascade}/patients.csv",
        confusion=report(
            "<results>/cascades/{cascade}/confusion.csv",
            caption="../report/confusion.rst",
            category="{cascade}",
        ),
        performance=report(
            "<results>/cascades/{cascade}/performance.csv",
            caption="../report/cascade.rst",
            category="{cascade}",
        ),
    log:
        "<logs>/run_cascade/{cascade}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        levels=cascade_levels,
        classes=cascade_classes,
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("run_cascade.py"),
    script:
        "../../scripts/run_cascade.py"
