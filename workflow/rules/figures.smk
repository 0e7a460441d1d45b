# Figures, each as PDF and PNG beside the CSV that it was drawn from.


rule figure_flowchart:
    input:
        flow="<results>/qc/flow.csv",
    output:
        pdf="<results>/figures/{task}/flowchart.pdf",
        png=report(
            "<results>/figures/{task}/flowchart.png",
            caption="../report/flowchart.rst",
            category="{task}",
            labels={"figure": "flow chart"},
        ),
        csv="<results>/figures/{task}/flowchart.csv",
    log:
        "<logs>/figure_flowchart/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        synthetic=SIMULATED,
        code=code_of("figure_flowchart.py"),
    script:
        "../../scripts/figure_flowchart.py"


rule draw_thumbnails:
    input:
        files=chunk_files,
        images="<results>/qc/chunks/{chunk}/images.csv",
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        rois=chunk_rois,
        mask_folder=ancient("<kept>/qc/masks/{chunk}"),
        roi_folders=chunk_roi_folders,
    output:
        folder=directory("<kept>/qc/gallery/thumbnails/{chunk}"),
        table="<kept>/qc/gallery/tables/{chunk}.csv",
    log:
        "<logs>/draw_thumbnails/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        regions=drawn_regions(),
        folders=chunk_folders,
        code=code_of("draw_thumbnails.py"),
    script:
        "../../scripts/draw_thumbnails.py"


rule figure_roi_overlay:
    input:
        split="<results>/split/split.csv",
        rois="<results>/rois/rois.csv",
        images="<results>/cohort/images.csv",
        folders=ancient(collect("<kept>/rois/masks/{chunk}", chunk=CHUNKS)),
    output:
        pdf="<results>/figures/{task}/roi_overlay.pdf",
        png=report(
            "<results>/figures/{task}/roi_overlay.png",
            caption="../report/roi_overlay.rst",
            category="{task}",
            labels={"figure": "regions of interest"},
        ),
        csv="<results>/figures/{task}/roi_overlay.csv",
    log:
        "<logs>/figure_roi_overlay/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        images=list(EXTRACTED),
        chunks=COHORT["chunks"],
        cohort="train" if TRAINED else COHORTS[0],
        synthetic=SIMULATED,
        code=code_of("figure_roi_overlay.py"),
    script:
        "../../scripts/figure_roi_overlay.py"


rule figure_lasso_path:
    input:
        paths=path_files,
        cv=cv_files,
        choices=choice_files,
    output:
        pdf="<results>/figures/{task}/lasso_path.pdf",
        png=report(
            "<results>/figures/{task}/lasso_path.png",
            caption="../report/lasso.rst",
            category="{task}",
            labels={"figure": "LASSO path"},
        ),
        csv="<results>/figures/{task}/lasso_path.csv",
    log:
        "<logs>/figure_lasso_path/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        signatures=from_task("signatures"),
        synthetic=SIMULATED,
        code=code_of("figure_lasso_path.py"),
    script:
        "../../scripts/figure_lasso_path.py"


rule figure_lasso_cv:
    input:
        cv=cv_files,
        choices=choice_files,
    output:
        pdf="<results>/figures/{task}/lasso_cv.pdf",
        png=report(
            "<results>/figures/{task}/lasso_cv.png",
            caption="../report/lasso.rst",
            category="{task}",
            labels={"figure": "LASSO cross-validation"},
        ),
        csv="<results>/figures/{task}/lasso_cv.csv",
    log:
        "<logs>/figure_lasso_cv/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        signatures=from_task("signatures"),
        synthetic=SIMULATED,
        code=code_of("figure_lasso_cv.py"),
    script:
        "../../scripts/figure_lasso_cv.py"


rule figure_roc:
    input:
        curves="<results>/tasks/{task}/roc.csv",
        predictions="<results>/tasks/{task}/predictions.csv",
        performance="<results>/tasks/{task}/performance.csv",
    output:
        pdf="<results>/figures/{task}/roc_{cohort}.pdf",
        png=report(
            "<results>/figures/{task}/roc_{cohort}.png",
            caption="../report/roc.rst",
            category="{task}",
            labels={"figure": "ROC", "cohort": "{cohort}"},
        ),
        csv="<results>/figures/{task}/roc_{cohort}.csv",
    log:
        "<logs>/figure_roc/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=shown_models_of,
        synthetic=SIMULATED,
        code=code_of("figure_roc.py"),
    script:
        "../../scripts/figure_roc.py"


rule figure_calibration:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        performance="<results>/tasks/{task}/performance.csv",
        curves="<results>/tasks/{task}/calibration.csv",
    output:
        pdf="<results>/figures/{task}/calibration_{cohort}.pdf",
        png=report(
            "<results>/figures/{task}/calibration_{cohort}.png",
            caption="../report/calibration.rst",
            category="{task}",
            labels={"figure": "calibration", "cohort": "{cohort}"},
        ),
        csv="<results>/figures/{task}/calibration_{cohort}.csv",
    log:
        "<logs>/figure_calibration/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=shown_models_of,
        synthetic=SIMULATED,
        code=code_of("figure_calibration.py"),
    script:
        "../../scripts/figure_calibration.py"


rule figure_decision_curve:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        curves="<results>/tasks/{task}/decision_curve.csv",
        shifted="<results>/tasks/{task}/decision_curve_prevalence.csv",
    output:
        pdf="<results>/figures/{task}/decision_curve_{cohort}.pdf",
        png=report(
            "<results>/figures/{task}/decision_curve_{cohort}.png",
            caption="../report/decision_curve.rst",
            category="{task}",
            labels={"figure": "decision curve", "cohort": "{cohort}"},
        ),
        csv="<results>/figures/{task}/decision_curve_{cohort}.csv",
    log:
        "<logs>/figure_decision_curve/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=shown_models_of,
        decision=from_task("decision", "description"),
        synthetic=SIMULATED,
        code=code_of("figure_decision_curve.py"),
    script:
        "../../scripts/figure_decision_curve.py"


rule figure_forest_subgroups:
    input:
        subgroups="<results>/tasks/{task}/subgroups.csv",
        performance="<results>/tasks/{task}/performance.csv",
    output:
        pdf="<results>/figures/{task}/forest_subgroups.pdf",
        png=report(
            "<results>/figures/{task}/forest_subgroups.png",
            caption="../report/forest_subgroups.rst",
            category="{task}",
            labels={"figure": "subgroups"},
        ),
        csv="<results>/figures/{task}/forest_subgroups.csv",
    log:
        "<logs>/figure_forest_subgroups/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=main_models,
        synthetic=SIMULATED,
        code=code_of("figure_forest_subgroups.py"),
    script:
        "../../scripts/figure_forest_subgroups.py"


rule figure_nomogram:
    input:
        nomogram="<results>/tasks/{task}/nomogram.csv",
    output:
        pdf="<results>/figures/{task}/nomogram.pdf",
        png=report(
            "<results>/figures/{task}/nomogram.png",
            caption="../report/nomogram.rst",
            category="{task}",
            labels={"figure": "nomogram"},
        ),
        csv="<results>/figures/{task}/nomogram.csv",
    log:
        "<logs>/figure_nomogram/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        outcome=from_task("label"),
        synthetic=SIMULATED,
        code=code_of("figure_nomogram.py"),
    script:
        "../../scripts/figure_nomogram.py"


rule figure_coefficients:
    input:
        models=signature_models,
        choices=choice_files,
    output:
        pdf="<results>/figures/{task}/coefficients.pdf",
        png=report(
            "<results>/figures/{task}/coefficients.png",
            caption="../report/coefficients.rst",
            category="{task}",
            labels={"figure": "coefficients"},
        ),
        csv="<results>/figures/{task}/coefficients.csv",
    log:
        "<logs>/figure_coefficients/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        signatures=from_task("signatures"),
        synthetic=SIMULATED,
        code=code_of("figure_coefficients.py"),
    script:
        "../../scripts/figure_coefficients.py"


rule figure_correlation_heatmap:
    input:
        selection=signature_selections,
        predictors="<results>/split/train/predictors.parquet",
    output:
        pdf="<results>/figures/{task}/correlation_heatmap.pdf",
        png=report(
            "<results>/figures/{task}/correlation_heatmap.png",
            caption="../report/correlation_heatmap.rst",
            category="{task}",
            labels={"figure": "correlation of features"},
        ),
        csv="<results>/figures/{task}/correlation_heatmap.csv",
    log:
        "<logs>/figure_correlation_heatmap/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        synthetic=SIMULATED,
        code=code_of("figure_correlation_heatmap.py"),
    script:
        "../../scripts/figure_correlation_heatmap.py"


rule figure_signature_waterfall:
    input:
        training=main_training,
        models=main_model_files,
        outcomes="<results>/split/train/outcomes.csv",
    output:
        pdf="<results>/figures/{task}/signature_waterfall.pdf",
        png=report(
            "<results>/figures/{task}/signature_waterfall.png",
            caption="../report/signature_waterfall.rst",
            category="{task}",
            labels={"figure": "patients by score"},
        ),
        csv="<results>/figures/{task}/signature_waterfall.csv",
    log:
        "<logs>/figure_signature_waterfall/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=main_models,
        outcome=from_task("label"),
        synthetic=SIMULATED,
        code=code_of("figure_signature_waterfall.py"),
    script:
        "../../scripts/figure_signature_waterfall.py"


rule figure_forest_odds_ratios:
    input:
        odds_ratios="<results>/tasks/{task}/odds_ratios.csv",
    output:
        pdf="<results>/figures/{task}/forest_odds_ratios.pdf",
        png=report(
            "<results>/figures/{task}/forest_odds_ratios.png",
            caption="../report/forest_odds_ratios.rst",
            category="{task}",
            labels={"figure": "odds ratios"},
        ),
        csv="<results>/figures/{task}/forest_odds_ratios.csv",
    log:
        "<logs>/figure_forest_odds_ratios/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=models_with_odds_ratios,
        synthetic=SIMULATED,
        code=code_of("figure_forest_odds_ratios.py"),
    script:
        "../../scripts/figure_forest_odds_ratios.py"


rule figure_habitat_fractions:
    input:
        split="<results>/split/split.csv",
        rois="<results>/rois/rois.csv",
        outcomes="<results>/split/train/outcomes.csv",
    output:
        pdf="<results>/figures/{task}/habitat_fractions.pdf",
        png=report(
            "<results>/figures/{task}/habitat_fractions.png",
            caption="../report/habitat_fractions.rst",
            category="{task}",
            labels={"figure": "habitat fractions"},
        ),
        csv="<results>/figures/{task}/habitat_fractions.csv",
    log:
        "<logs>/figure_habitat_fractions/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        outcome=from_task("label"),
        synthetic=SIMULATED,
        code=code_of("figure_habitat_fractions.py"),
    script:
        "../../scripts/figure_habitat_fractions.py"


rule figure_habitat_map:
    input:
        split="<results>/split/split.csv",
        rois="<results>/rois/rois.csv",
        images="<results>/cohort/images.csv",
        habitats="<models>/habitats.json",
        folders=ancient(collect("<kept>/rois/habitats/{chunk}", chunk=CHUNKS)),
    output:
        pdf="<results>/figures/study/habitat_map.pdf",
        png=report(
            "<results>/figures/study/habitat_map.png",
            caption="../report/habitat_map.rst",
            category="Study",
            labels={"figure": "habitats"},
        ),
        csv="<results>/figures/study/habitat_map.csv",
    log:
        "<logs>/figure_habitat_map.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        image=HABITAT_IMAGE,
        chunks=COHORT["chunks"],
        synthetic=SIMULATED,
        code=code_of("figure_habitat_map.py"),
    script:
        "../../scripts/figure_habitat_map.py"


rule figure_cluster_validity:
    input:
        validity="<results>/rois/cluster_validity.csv",
        habitats="<models>/habitats.json",
    output:
        pdf="<results>/figures/study/cluster_validity.pdf",
        png=report(
            "<results>/figures/study/cluster_validity.png",
            caption="../report/cluster_validity.rst",
            category="Study",
            labels={"figure": "number of habitats"},
        ),
        csv="<results>/figures/study/cluster_validity.csv",
    log:
        "<logs>/figure_cluster_validity.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        synthetic=SIMULATED,
        code=code_of("figure_cluster_validity.py"),
    script:
        "../../scripts/figure_cluster_validity.py"


rule figure_feature_stability:
    input:
        stability="<results>/features/stability.csv",
        catalogue="<results>/features/catalogue.csv",
    output:
        pdf="<results>/figures/study/feature_stability.pdf",
        png=report(
            "<results>/figures/study/feature_stability.png",
            caption="../report/feature_stability.rst",
            category="Study",
            labels={"figure": "stability of features"},
        ),
        csv="<results>/figures/study/feature_stability.csv",
    log:
        "<logs>/figure_feature_stability.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        least=least_lower_bound(),
        synthetic=SIMULATED,
        code=code_of("figure_feature_stability.py"),
    script:
        "../../scripts/figure_feature_stability.py"


rule figure_confusion:
    input:
        confusion="<results>/cascades/{cascade}/confusion.csv",
    output:
        pdf="<results>/figures/{cascade}/confusion_{cohort}.pdf",
        png=report(
            "<results>/figures/{cascade}/confusion_{cohort}.png",
            caption="../report/confusion.rst",
            category="{cascade}",
            labels={"figure": "confusion matrix", "cohort": "{cohort}"},
        ),
        csv="<results>/figures/{cascade}/confusion_{cohort}.csv",
    log:
        "<logs>/figure_confusion/{cascade}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        classes=cascade_classes,
        synthetic=SIMULATED,
        code=code_of("figure_confusion.py"),
    script:
        "../../scripts/figure_confusion.py"
