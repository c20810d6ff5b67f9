"""Images without what a model's maps point at, to train another model on (training conditions)."""


rule mask_images:
    input:
        weights=lambda wildcards: per_trained(
            rules.train.output.weights, [(base_of(wildcards.model), wildcards.seed)]
        )[0],
        images=lambda wildcards: of_training_set(wildcards, rules.read_dataset.output.images),
        labels=lambda wildcards: of_training_set(wildcards, rules.read_dataset.output.labels),
        prepared=lambda wildcards: of_training_set(wildcards, rules.prepare.output.table),
        pixels=flat(lambda wildcards: of_training_set(wildcards, rules.prepare.output.pixels)),
        cuts=cuts,
    output:
        table="<study>/masked/{model}/seed{seed}/prepared.parquet",
        pixels="<study>/masked/{model}/seed{seed}/pixels.npy",
    log:
        "<study>/logs/mask_images/{model}.seed{seed}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        how=lambda wildcards: study_training.masking_of(study, wildcards.model),
        cut_to=lambda wildcards: cut_to(wildcards),
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/mask_images.py"
