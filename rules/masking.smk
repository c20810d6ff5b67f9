"""Images without what a model's maps point at, to train another model on (training conditions)."""


rule mask_images:
    input:
        weights=lambda wildcards: per_trained(
            rules.train.output.weights, [(base_of(wildcards.model), wildcards.seed)]
        ),
        images=lambda wildcards: per_dataset(
            rules.read_dataset.output.images, [study.models[wildcards.model]["train_on"]]
        ),
        labels=lambda wildcards: per_dataset(
            rules.read_dataset.output.labels, [study.models[wildcards.model]["train_on"]]
        ),
        prepared=lambda wildcards: per_dataset(
            rules.prepare.output.table, [study.models[wildcards.model]["train_on"]]
        ),
        pixels=flat(
            lambda wildcards: per_dataset(
                rules.prepare.output.pixels, [study.models[wildcards.model]["train_on"]]
            )
        ),
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
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/mask_images.py"
