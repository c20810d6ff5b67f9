"""Attribution maps: a job explains one dataset by one model, seed, condition and method."""


rule attribute:
    input:
        planned=forecast("attribute"),
        weights=rules.train.output.weights,
        images=rules.read_dataset.output.images,
        labels=rules.read_dataset.output.labels,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        autoencoder=autoencoder_of,
        shards=shards_of("attribute"),
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
        # 0 is none; not params, because a method that kept within its limits gives the same with others
        limit_seconds=lambda wildcards: study.limits_of(wildcards.method)["seconds"] or 0,
        limit_megabytes=lambda wildcards: round(1000 * (study.limits_of(wildcards.method)["memory_gb"] or 0)),
    params:
        **of_cell,
        recorded_limits=lambda wildcards: study.recorded_limits_of(wildcards.method),
    script:
        "../scripts/attribute.py"


# a share of the same work by the same script (limits.shards), which `attribute` then only joins
use rule attribute as attribute_shard with:
    input:
        **inputs_of_shard("attribute"),
    output:
        maps=temp(
            "<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/shards/{shard}/maps.parquet"
        ),
        values=temp(
            "<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/shards/{shard}/values.npy"
        ),
        predictions=temp(
            "<study>/maps/{dataset}/{model}/seed{seed}/{condition}/{method}/shards/{shard}/predictions.parquet"
        ),
    log:
        "<study>/logs/attribute_shard/{dataset}.{model}.seed{seed}.{condition}.{method}.{shard}.log",


rule probe:
    input:
        weights=rules.train.output.weights,
        images=rules.read_dataset.output.images,
        labels=rules.read_dataset.output.labels,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        maps=rules.attribute.output.maps,
        values=flat(rules.attribute.output.values),
        predictions=rules.attribute.output.predictions,
        autoencoder=autoencoder_of,
        shards=shards_of("probe"),
    output:
        "<study>/probes/{dataset}/{model}/seed{seed}/{condition}/{method}.parquet",
    log:
        "<study>/logs/probe/{dataset}.{model}.seed{seed}.{condition}.{method}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        **of_cell,
        probes=lambda wildcards: study.probes_of(wildcards),
        probed=lambda wildcards: study.choice(wildcards, "probed"),
    script:
        "../scripts/probe.py"


use rule probe as probe_shard with:
    input:
        **inputs_of_shard("probe"),
    output:
        temp("<study>/probes/{dataset}/{model}/seed{seed}/{condition}/{method}.shards/{shard}/scores.parquet"),
    log:
        "<study>/logs/probe_shard/{dataset}.{model}.seed{seed}.{condition}.{method}.{shard}.log",


rule gather_costs:
    input:
        maps=per_cell(rules.attribute.output.maps),
    output:
        "<study>/costs.parquet",
    log:
        "<study>/logs/gather_costs.log",
    conda:
        "../envs/sightline.yaml"
    script:
        "../scripts/gather_costs.py"
