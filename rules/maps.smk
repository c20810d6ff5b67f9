"""Attribution maps: a job explains one dataset by one model, seed, condition and method."""


rule attribute:
    input:
        weights=rules.train.output.weights,
        images=rules.read_dataset.output.images,
        labels=rules.read_dataset.output.labels,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
    output:
        maps="<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/maps.parquet",
        values="<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/values.npy",
        predictions="<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/predictions.parquet",
    log:
        "<study>/logs/attribute/{dataset}.{model}.seed{seed}.{condition}.{method}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        study_seed=study.seed,
        architecture=lambda wildcards: study.models[wildcards.model]["architecture"],
        arguments=lambda wildcards: study.models[wildcards.model]["arguments"],
        labels=lambda wildcards: study.labels_of(wildcards.model),
        side=lambda wildcards: study.recipe_of(wildcards.model)["side"],
        condition=lambda wildcards: study.conditions[wildcards.condition],
        method=lambda wildcards: study.methods[wildcards.method]["kind"],
        options=lambda wildcards: study.methods[wildcards.method]["options"],
        chosen=lambda wildcards: study.choice(wildcards, "images"),
        placement=lambda wildcards: study.choice(wildcards, "placement"),
        targets=lambda wildcards: study.targets_of(wildcards),
        batch=study.config["compute"]["batch"],
        micro_batch=study.config["compute"]["micro_batch"],
        reference_images=lambda wildcards: study.reference_images_of(wildcards.method),
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/attribute.py"
