# Habitats: clusters of voxels, found on training patients alone and then frozen. Only studies that ask for them
# have these rules. They go by the masks of the whole study: what it excludes late must be in no habitat.


rule sample_habitats:
    input:
        files=chunk_files,
        masks="<results>/qc/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        folder=ancient("<kept>/qc/masks/{chunk}"),
    output:
        samples="<kept>/rois/habitats/{chunk}.npz",
        registration="<results>/rois/chunks/{chunk}_registration.csv",
    log:
        "<logs>/sample_habitats/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        habitats=DESIGN["regions"]["habitats"],
        folders=chunk_folders,
        seed=DESIGN["seed"],
        code=code_of("sample_habitats.py"),
    script:
        "../../scripts/sample_habitats.py"


rule fit_habitats:
    input:
        allocation="<results>/split/allocation.csv",
        samples=collect("<kept>/rois/habitats/{chunk}.npz", chunk=CHUNKS),
        registration=collect("<results>/rois/chunks/{chunk}_registration.csv", chunk=CHUNKS),
    output:
        habitats="<models>/habitats.json",
        validity="<results>/rois/cluster_validity.csv",
        registration="<results>/rois/registration.csv",
    log:
        "<logs>/fit_habitats.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        habitats=DESIGN["regions"]["habitats"],
        seed=DESIGN["seed"],
        synthetic=SIMULATED,
        code=code_of("fit_habitats.py"),
    script:
        "../../scripts/fit_habitats.py"
