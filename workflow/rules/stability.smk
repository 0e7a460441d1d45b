# Whether features survive other raters and small changes. Only studies that ask for it have these rules.
# They go by the masks of the whole study: what it excludes late must not be judged by.


rule rate_features:
    input:
        files=chunk_files,
        allocation="<results>/split/allocation.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        masks="<results>/qc/masks.csv",
        mask_folder=ancient("<kept>/qc/masks/{chunk}"),
    output:
        ratings="<results>/features/ratings/{chunk}.parquet",
    log:
        "<logs>/rate_features/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        stability=DESIGN["stability"],
        regions=REGIONS,
        lesions={name: image["lesion"] for name, image in EXTRACTED.items()},
        settings=SETTINGS,
        mode=EXTRACTION["mode"],
        folders=chunk_folders,
        seed=DESIGN["seed"],
        code=code_of("rate_features.py"),
    script:
        "../../scripts/rate_features.py"


rule judge_stability:
    input:
        ratings=collect("<results>/features/ratings/{chunk}.parquet", chunk=CHUNKS),
        catalogue="<results>/features/catalogue.csv",
    output:
        stability=report(
            "<results>/features/stability.csv",
            caption="../report/stability.rst",
            category="Features",
        ),
    log:
        "<logs>/judge_stability.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("judge_stability.py"),
    script:
        "../../scripts/judge_stability.py"
