# The report that shows all of it.


# A task's models are a list, so that each task has a rule of its own.
for TASK in TASKS:

    rule:
        name:
            f"write_cards_{TASK}"
        input:
            models=[f"<models>/{TASK}/{model}/model.json" for model in models_of(TASK)],
            front_end="<models>/front_end.json",
            performance=f"<results>/tasks/{TASK}/performance.csv",
            warnings=f"<results>/tasks/{TASK}/warnings.csv",
        output:
            cards=cards_of(TASK),
        log:
            f"<logs>/write_cards/{TASK}.log",
        conda:
            "../../envs/annulus.yaml"
        params:
            study=described_study(TASK),
            code=code_of("write_cards.py"),
        script:
            "../../scripts/write_cards.py"


rule write_report:
    input:
        figures=all_figures(),
        problems="<results>/cohort/problems.csv",
        flow="<results>/qc/flow.csv",
        split_sha256="<results>/split/split.csv.sha256",
        masks=if_imaged("<results>/qc/masks.csv"),
        findings=if_imaged("<results>/qc/findings.csv"),
        agreement=if_imaged("<results>/qc/agreement.csv"),
        rois=if_imaged("<results>/rois/rois.csv"),
        failures=if_featured("<results>/features/failures.csv"),
        catalogue=if_featured("<results>/features/catalogue.csv"),
        published="<results>/published.csv",
        assumptions="<results>/assumptions.csv",
        performance=task_files("performance"),
        comparisons=task_files("comparisons"),
        supplement=task_files("supplement"),
        subgroups=task_files("subgroups"),
        sample_size=task_files("sample_size"),
        warnings=task_files("warnings"),
        selection=task_files("selection"),
        odds_ratios=task_files("odds_ratios"),
        optimism=task_files("optimism"),
        repeated_splits=task_files("repeated_splits"),
        volume=task_files("volume"),
        cascades=cascade_files("performance"),
        pathways=pathway_files("performance"),
        pathway_patients=pathway_files("patients"),
        centres=task_files("centres") if "centre" in DESIGN else [],
        centre_prediction=centre_files(),
        leak_screen=task_files("leak_screen") if IMAGED else [],
        duplicates=task_files("duplicates") if IMAGED else [],
        table_one=task_files("table_one"),
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
        gallery=f"../qc/gallery/{COHORT['name']}.html" if IMAGED and COHORT["redistribution"] else "",
        shown={task: shown_models(task) for task in TASKS},
        figures=figures_by_name(),
        code=code_of("write_report.py"),
    script:
        "../../scripts/write_report.py"
