# Mask quality control, then regions of interest, a chunk of patients per job.
# Folders of masks are ancient: the table beside them has their hashes and says when they change.
# Nothing else may be: Snakemake does not look at the params of a job behind an ancient input that is remade.


rule check_masks:
    input:
        files=chunk_files,
    output:
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        findings="<results>/qc/chunks/{chunk}/findings.csv",
        agreement="<results>/qc/chunks/{chunk}/agreement.csv",
        frames="<results>/qc/chunks/{chunk}/frames.csv",
        folder=directory("<kept>/qc/masks/{chunk}"),
    log:
        "<logs>/check_masks/{chunk}.log",
    priority: 2
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        rows=chunk_rows,
        folders=chunk_folders,
        qc=DESIGN["qc"],
        unit=DESIGN["regions"].get("unit", "px"),
        settings=SETTINGS,
        lesions={name: image["lesion"] for name, image in EXTRACTED.items()},
        code=code_of("check_masks.py"),
    script:
        "../../scripts/check_masks.py"


rule join_masks:
    input:
        participants="<results>/cohort/participants.csv",
        masks=collect("<results>/qc/chunks/{chunk}/masks.csv", chunk=CHUNKS),
        images=collect("<results>/qc/chunks/{chunk}/images.csv", chunk=CHUNKS),
        findings=collect("<results>/qc/chunks/{chunk}/findings.csv", chunk=CHUNKS),
        agreement=collect("<results>/qc/chunks/{chunk}/agreement.csv", chunk=CHUNKS),
        frames=collect("<results>/qc/chunks/{chunk}/frames.csv", chunk=CHUNKS),
    output:
        masks=report(
            "<results>/qc/masks.csv",
            caption="../report/masks.rst",
            category="Quality control",
        ),
        images="<results>/cohort/images.csv",
        findings=report(
            "<results>/qc/findings.csv",
            caption="../report/findings.rst",
            category="Quality control",
        ),
        agreement="<results>/qc/agreement.csv",
        duplicates="<results>/qc/duplicates.csv",
        frames="<results>/qc/frames.csv",
        lost="<results>/qc/lost.csv",
    log:
        "<logs>/join_masks.log",
    priority: 2
    conda:
        "../../envs/annulus.yaml"
    params:
        images={name: "settings" in image for name, image in DESIGN["images"].items()},
        qc=DESIGN["qc"],
        unit=DESIGN["regions"].get("unit", "px"),
        code=code_of("join_masks.py"),
    script:
        "../../scripts/join_masks.py"


rule build_regions:
    input:
        files=chunk_files,
        masks="<results>/qc/chunks/{chunk}/masks.csv",
        images="<results>/qc/chunks/{chunk}/images.csv",
        folder=ancient("<kept>/qc/masks/{chunk}"),
    output:
        rois="<results>/rois/chunks/{chunk}.csv",
        folder=directory("<kept>/rois/masks/{chunk}"),
    log:
        "<logs>/build_regions/{chunk}.log",
    conda:
        "../../envs/annulus.yaml"
    resources:
        mem_mb=4000,
    params:
        regions=REGIONS,
        lesions={name: image["lesion"] for name, image in EXTRACTED.items()},
        folders=chunk_folders,
        code=code_of("build_regions.py"),
    script:
        "../../scripts/build_regions.py"


rule join_regions:
    input:
        all_rois,
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
