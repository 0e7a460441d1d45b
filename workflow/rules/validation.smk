# What recalibration would do to models that were not trained here, beside them, and the report of their validation.


rule recalibrate:
    input:
        predictions="<results>/tasks/{task}/predictions.csv",
        models=model_files,
    output:
        recalibration=report(
            "<results>/tasks/{task}/recalibration.csv",
            caption="../report/recalibration.rst",
            category="{task}",
        ),
        updating=report(
            "<results>/tasks/{task}/updating.csv",
            caption="../report/updating.rst",
            category="{task}",
        ),
    log:
        "<logs>/recalibrate/{task}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("recalibrate.py"),
    script:
        "../../scripts/recalibrate.py"


rule write_validation_report:
    input:
        figures=all_figures(),
        tables=validated_tables(),
        task_tables=tables_of_tasks(),
        development=own_performance(),
    output:
        report="<results>/report/report.html",
    log:
        "<logs>/write_validation_report.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        design=DESIGN,
        cohort=COHORT,
        synthetic=SIMULATED,
        code=code_of("write_validation_report.py"),
    script:
        "../../scripts/write_validation_report.py"
