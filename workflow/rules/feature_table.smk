# Features that were extracted elsewhere. Only studies of a feature table have this rule; the table's errors were
# refused when the workflow was read (common.smk), and its warnings are among those of the cohort.


rule read_features:
    input:
        table=table_files()["features"],
        participants="<results>/cohort/participants.csv",
    output:
        features="<results>/features/features.parquet",
        catalogue="<results>/features/catalogue.csv",
        failures="<results>/features/failures.csv",
    log:
        "<logs>/read_features.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        folder=IMAGE_FOLDER,
        features=FEATURES,
        groups=DESIGN["feature_groups"],
        people=COHORT["participants"],
        code=code_of("read_features.py"),
    script:
        "../../scripts/read_features.py"
