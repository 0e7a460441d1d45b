# Patients whom no model is trained on: all who are eligible and can be scored.


rule admit_patients:
    input:
        participants="<results>/cohort/participants.csv",
        lost=if_imaged("<results>/qc/lost.csv"),
        features=if_featured("<results>/features/features.parquet"),
    output:
        split="<results>/split/split.csv",
        flow="<results>/qc/flow.csv",
    log:
        "<logs>/admit_patients.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        eligibility=DESIGN["eligibility"],
        plan=DESIGN["split"],
        code=code_of("admit_patients.py"),
    script:
        "../../scripts/admit_patients.py"
