"""Seeded models."""


rule train:
    input:
        checked=ancient(str(rules.check_inputs.output)),  # it opens the way and changes nothing
        planned=forecast("train"),
        images=lambda wildcards: per_dataset(
            rules.read_dataset.output.images, study.models[wildcards.model]["train_on"]
        ),
        labels=lambda wildcards: per_dataset(
            rules.read_dataset.output.labels, study.models[wildcards.model]["train_on"]
        ),
        prepared=lambda wildcards: that_train(wildcards, "table"),
        pixels=flat(lambda wildcards: that_train(wildcards, "pixels")),
    output:
        weights="<study>/models/{model}/seed{seed}/weights.safetensors",
        curves="<study>/models/{model}/seed{seed}/curves.parquet",
        trainings="<study>/models/{model}/seed{seed}/trainings.parquet",
        predictions="<study>/models/{model}/seed{seed}/predictions.parquet",
    log:
        "<study>/logs/train/{model}.seed{seed}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        study_seed=study.seed,
        architecture=lambda wildcards: study.models[wildcards.model]["architecture"],
        arguments=lambda wildcards: study.models[wildcards.model]["arguments"],
        labels=lambda wildcards: study.labels_of(wildcards.model),
        recipe=lambda wildcards: study.recipe_of(wildcards.model),
        weights=lambda wildcards: study.models[wildcards.model]["weights"],
        batch=study.config["compute"]["batch"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/train.py"


rule train_vae:
    input:
        checked=ancient(str(rules.check_inputs.output)),
        images=lambda wildcards: per_dataset(
            rules.read_dataset.output.images, [study.models[wildcards.model]["train_on"]]
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
        weights="<study>/models/{model}/seed{seed}/vae.safetensors",
        curves="<study>/models/{model}/seed{seed}/vae_curves.parquet",
    log:
        "<study>/logs/train_vae/{model}.seed{seed}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        study_seed=study.seed,
        side=lambda wildcards: study.recipe_of(wildcards.model)["side"],
        options=study_artifacts.vae(study),
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/train_vae.py"
