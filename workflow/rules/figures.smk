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
