# Predictions that somebody else's models made, taken from the participants table as they are.


rule read_predictions:
    input:
        participants="<results>/cohort/participants.csv",
        split="<results>/split/split.csv",
    output:
        predictions="<results>/tasks/{task}/parts/predictions_{cohort}.csv",
    log:
        "<logs>/read_predictions/{task}_{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        models=from_task("predictions"),
        code=code_of("read_predictions.py"),
    script:
        "../../scripts/read_predictions.py"


rule share_out_outcomes:
    input:
        participants="<results>/cohort/participants.csv",
        split="<results>/split/split.csv",
    output:
        outcomes="<results>/split/{cohort}/outcomes.csv",
    log:
        "<logs>/share_out_outcomes/{cohort}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        tasks=OUTCOMES,
        code=code_of("share_out_outcomes.py"),
    script:
        "../../scripts/share_out_outcomes.py"
