# Radiomics features of every region of every image, a chunk of patients per job.


rule extract_features:
    input:
        files=chunk_files,
        images="<results>/qc/chunks/{chunk}/images.csv",
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        rois=chunk_rois,
        mask_folder=ancient("<kept>/qc/masks/{chunk}"),
        roi_folders=chunk_roi_folders,
    output:
        features="<results>/features/chunks/{chunk}.parquet",
        failures="<results>/features/chunks/{chunk}_failures.csv",
    log:
        "<logs>/extract_features/{chunk}.log",
    benchmark:
        "<benchmarks>/extract_features/{chunk}.tsv"
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=SETTINGS,
        extraction=EXTRACTION,
        folders=chunk_folders,
        code=code_of("extract_features.py"),
    script:
        "../../scripts/extract_features.py"


rule join_features:
    input:
        features=collect("<results>/features/chunks/{chunk}.parquet", chunk=CHUNKS),
        failures=collect("<results>/features/chunks/{chunk}_failures.csv", chunk=CHUNKS),
        images="<results>/cohort/images.csv",
        masks="<results>/qc/masks.csv",
        rois="<results>/rois/rois.csv",
        habitats=habitat_files,
    output:
        features="<results>/features/features.parquet",
        catalogue="<results>/features/catalogue.csv",
        failures="<results>/features/failures.csv",
    log:
        "<logs>/join_features.log",
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=SETTINGS,
        extraction=EXTRACTION,
        several={name: image["several"] for name, image in EXTRACTED.items()},
        kinds={name: region_kinds(name) for name in EXTRACTED},
        habitat_image=HABITAT_IMAGE,
        code=code_of("join_features.py"),
    script:
        "../../scripts/join_features.py"
