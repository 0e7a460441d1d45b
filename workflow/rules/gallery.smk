# The gallery of all images, the worst first.


rule write_gallery:
    input:
        masks="<results>/qc/masks.csv",
        findings="<results>/qc/findings.csv",
        rois="<results>/rois/rois.csv",
        thumbnails=collect("<kept>/qc/gallery/tables/{chunk}.csv", chunk=CHUNKS),
    output:
        page=f"<kept>/qc/gallery/{COHORT['name']}.html",
    log:
        "<logs>/write_gallery.log",
    conda:
        "../../envs/annulus.yaml"
    params:
        title=COHORT["name"],
        regions=drawn_regions(),
        synthetic=SIMULATED,
        redistribution=COHORT["redistribution"],
        code=code_of("write_gallery.py"),
    script:
        "../../scripts/write_gallery.py"
