# Lesions divided into the frozen habitats, voxel by voxel.


rule divide_lesions:
    input:
        files=chunk_files,
        masks="<results>/qc/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        habitats="<models>/habitats.json",
        folder=ancient("<kept>/qc/masks/{chunk}"),
    output:
        rois="<results>/rois/chunks/{chunk}_habitats.csv",
        folder=directory("<kept>/rois/habitats/{chunk}"),
    log:
        "<logs>/divide_lesions/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        habitats=DESIGN["regions"]["habitats"],
        minimum_voxels=lookup(dpath="regions/minimum_voxels", within=DESIGN),
        extracted=list(EXTRACTED),
        folders=chunk_folders,
        seed=DESIGN["seed"],
        code=code_of("divide_lesions.py"),
    script:
        "../../scripts/divide_lesions.py"
