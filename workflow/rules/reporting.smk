# The report that shows all of it.


rule write_report:
    input:
        figures=all_figures(),
        problems="<results>/cohort/problems.csv",
        flow="<results>/qc/flow.csv",
        masks="<results>/qc/masks.csv",
        rois="<results>/rois/rois.csv",
        failures="<results>/features/failures.csv",
        catalogue="<results>/features/catalogue.csv",
        published="<results>/published.csv",
        performance=task_files("performance"),
        comparisons=task_files("comparisons"),
        selection=task_files("selection"),
        odds_ratios=task_files("odds_ratios"),
    output:
        report="<results>/report/report.html",
    log:
        "<logs>/write_report.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        design=DESIGN,
        cohort=COHORT,
        synthetic=SIMULATED,
        shown={task: shown_models(task) for task in TASKS},
        figures={task: task_figures(task) for task in TASKS},
        code=code_of("write_report.py"),
    script:
        "../../scripts/write_report.py"
