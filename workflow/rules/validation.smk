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
