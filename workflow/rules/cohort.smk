# Who is in the study. Tables with errors were refused when the workflow was read (common.smk), before any
# image; here the participants and what else was noticed are written down.

if SIMULATED:

    rule simulate_patients:
        output:
            participants="<results>/simulation/patients.csv",
            truth="<results>/simulation/truth.csv",
            bayes="<results>/simulation/bayes.csv",
        log:
            "<logs>/simulate_patients.log",
        conda:
            "../../envs/annulus.yaml"
        params:
            simulator=COHORT["simulator"],
            cohorts=COHORT_COUNTS,
            shares=COHORT.get("shares"),
            null=COHORT["null"],
            defects=COHORT["defects"],
            seed=COHORT["seed"],
            code=code_of("simulate_patients.py"),
        script:
            "../../scripts/simulate_patients.py"

    for CHUNK in CHUNKS:

        rule:
            name:
                f"simulate_images_{CHUNK}"
            input:
                participants="<results>/simulation/patients.csv",
                truth="<results>/simulation/truth.csv",
            output:
                simulated_files(CHUNK),
            log:
                f"<logs>/simulate_images/{CHUNK}.log",
            conda:
                "../../envs/annulus.yaml"
            params:
                simulator=COHORT["simulator"],
                patients=chunk_patients(CHUNK),
                raters=COHORT["raters"],
                seed=COHORT["seed"],
                code=code_of("simulate_images.py"),
            script:
                "../../scripts/simulate_images.py"


rule read_cohort:
    input:
        unpack(cohort_files),
    output:
        participants=report(
            "<results>/cohort/participants.csv",
            caption="../report/participants.rst",
            category="Cohort",
        ),
        problems="<results>/cohort/problems.csv",
    log:
        "<logs>/read_cohort.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        cohort=COHORT["name"],
        folder=IMAGE_FOLDER,
        simulated=SIMULATED,
        participants=COHORT.get("participants", {}),
        images=COHORT.get("images"),
        imaged=IMAGED,
        features=FEATURES,
        groups=DESIGN["feature_groups"],
        needed=NEEDED,
        hidden=HIDDEN,
        instruments=INSTRUMENTS,
        # A listing of files is no input whose change Snakemake would see.
        listed=None if SIMULATED else sources.listed_digest(COHORT, CHUNKS),
        code=code_of("read_cohort.py"),
    script:
        "../../scripts/read_cohort.py"
