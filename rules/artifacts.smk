"""What describes a model or a dataset as a whole: arrays to look at, and their figures."""


rule make_artifacts:
    input:
        weights=rules.train.output.weights,
        images=rules.read_dataset.output.images,
        labels=rules.read_dataset.output.labels,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
    output:
        table="<study>/artifacts/{dataset}/{model}/seed{seed}/{artifact}/artifacts.parquet",
        values="<study>/artifacts/{dataset}/{model}/seed{seed}/{artifact}/values.npy",
    log:
        "<study>/logs/make_artifacts/{dataset}.{model}.seed{seed}.{artifact}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        study_seed=study.seed,
        architecture=of_cell["architecture"],
        arguments=of_cell["arguments"],
        labels=of_cell["labels"],
        side=of_cell["side"],
        condition={"kind": "clean", "options": {}},
        method=lambda wildcards: study.artifacts[wildcards.artifact]["kind"],
        options=lambda wildcards: study.artifacts[wildcards.artifact]["options"],
        targets={"kind": "all_classes"},
        chosen=lambda wildcards: study.artifacts[wildcards.artifact]["images"],
        at_most=None,
        placement="true",
        reference_images=0,
        autoencoder=None,
        scale=study.config["scores"]["scale"],
        batch=study.config["compute"]["batch"],
        micro_batch=study.config["compute"]["micro_batch"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/make_artifacts.py"


rule plot_artifacts:
    input:
        table=rules.make_artifacts.output.table,
        values=flat(rules.make_artifacts.output.values),
    output:
        figures=["<study>/figures/artifacts.{dataset}.{model}.seed{seed}.{artifact}.svg"],
        captions="<study>/figures/artifacts.{dataset}.{model}.seed{seed}.{artifact}.captions.json",
    log:
        "<study>/logs/plot_artifacts/{dataset}.{model}.seed{seed}.{artifact}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        kind=lambda wildcards: study.artifacts[wildcards.artifact]["kind"],
        restricted=lambda wildcards: study_artifacts.is_restricted(study, wildcards),
    script:
        "../scripts/plot_artifacts.py"
