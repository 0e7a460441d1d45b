# Mask quality control, then regions of interest, a chunk of patients per job.
# Folders of masks are ancient: the table beside them has their hashes and says when they change.
# Nothing else may be: Snakemake does not look at the params of a job behind an ancient input that is remade.


rule check_masks:
    input:
        files=chunk_files,
    output:
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        folder=directory("<results>/qc/masks/{chunk}"),
    log:
        "<logs>/check_masks/{chunk}.log",
    priority: 2
    conda:
        "../../envs/annulus.yaml"
    params:
        rows=chunk_rows,
        qc=DESIGN["qc"],
        unit=DESIGN["regions"].get("unit", "px"),
        code=code_of("check_masks.py"),
    script:
        "../../scripts/check_masks.py"


rule join_masks:
    input:
        participants="<results>/cohort/participants.csv",
        masks=collect("<results>/qc/chunks/{chunk}/masks.csv", chunk=CHUNKS),
        images=collect("<results>/qc/chunks/{chunk}/images.csv", chunk=CHUNKS),
    output:
        masks=report(
            "<results>/qc/masks.csv",
            caption="../report/masks.rst",
            category="Quality control",
        ),
        images="<results>/cohort/images.csv",
        lost="<results>/qc/lost.csv",
    log:
        "<logs>/join_masks.log",
    priority: 2
    conda:
        "../../envs/annulus.yaml"
    params:
        images=list(DESIGN["images"]),
        maximum_lost_share=lookup(dpath="qc/maximum_lost_share", within=DESIGN),
        code=code_of("join_masks.py"),
    script:
        "../../scripts/join_masks.py"


rule build_regions:
    input:
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        folder=ancient("<results>/qc/masks/{chunk}"),
    output:
        rois="<results>/rois/chunks/{chunk}.csv",
        folder=directory("<results>/rois/masks/{chunk}"),
    log:
        "<logs>/build_regions/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        regions=DESIGN["regions"],
        code=code_of("build_regions.py"),
    script:
        "../../scripts/build_regions.py"


rule join_regions:
    input:
        collect("<results>/rois/chunks/{chunk}.csv", chunk=CHUNKS),
    output:
        rois="<results>/rois/rois.csv",
    log:
        "<logs>/join_regions.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        code=code_of("join_regions.py"),
    script:
        "../../scripts/join_regions.py"
