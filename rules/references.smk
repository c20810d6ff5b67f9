"""What maps are compared with, in the scoring frame: gaze, its average, masks and boxes."""


rule render_gaze:
    input:
        images=rules.read_dataset.output.images,
        readings=rules.read_dataset.output.readings,
        fixations=rules.read_dataset.output.fixations,
    output:
        table="<study>/references/{dataset}/gaze.parquet",
        values="<study>/references/{dataset}/gaze.npy",
    log:
        "<study>/logs/render_gaze/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        scale=study.config["scores"]["scale"],
    script:
        "../scripts/render_gaze.py"


rule render_regions:
    input:
        images=rules.read_dataset.output.images,
        boxes=[rules.read_dataset.output.boxes, rules.prepare.output.boxes],
        masks=[rules.read_dataset.output.masks, rules.prepare.output.masks],
    output:
        table="<study>/references/{dataset}/regions.parquet",
        values="<study>/references/{dataset}/regions.npy",
    log:
        "<study>/logs/render_regions/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        folder=lambda wildcards: folder_of(wildcards.dataset),
        regions=lambda wildcards: study_references.regions(study, wildcards.dataset),
        scale=study.config["scores"]["scale"],
    script:
        "../scripts/render_regions.py"


rule average_references:
    input:
        images=rules.read_dataset.output.images,
        boxes=[rules.read_dataset.output.boxes, rules.prepare.output.boxes],
        gaze=rules.render_gaze.output.table,
        gaze_values=flat(rules.render_gaze.output.values),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
        strata=rules.read_dataset.output.strata,
    output:
        table="<study>/references/{dataset}/center_bias.parquet",
        values="<study>/references/{dataset}/center_bias.npy",
    log:
        "<study>/logs/average_references/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        box=lambda wildcards: study.datasets[wildcards.dataset]["box"],
        regions=lambda wildcards: study_references.centred(study, wildcards.dataset),
        leave_out=study.leave_outs,
        scale=study.config["scores"]["scale"],
    script:
        "../scripts/average_references.py"
