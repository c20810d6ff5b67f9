"""From upstream files to tables and to a store of training-size pixels."""


rule make_phantom:
    output:
        digests="<study>/phantom/{dataset}.digests.json",
    log:
        "<study>/logs/make_phantom/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        seed=study.seed,
        folder=lambda wildcards: folder_of(wildcards.dataset),
        adapter=lambda wildcards: study.datasets[wildcards.dataset]["adapter"],
        options=lambda wildcards: study.datasets[wildcards.dataset]["phantom"],
    script:
        "../scripts/make_phantom.py"


rule read_dataset:
    input:
        upstream_tables,
    output:
        images="<study>/datasets/{dataset}/images.parquet",
        labels="<study>/datasets/{dataset}/labels.parquet",
        strata="<study>/datasets/{dataset}/strata.parquet",
        boxes="<study>/datasets/{dataset}/boxes.parquet",
        masks="<study>/datasets/{dataset}/masks.parquet",
        readings="<study>/datasets/{dataset}/readings.parquet",
        fixations="<study>/datasets/{dataset}/fixations.parquet",
        cohort="<study>/datasets/{dataset}/cohort.parquet",
        skipped="<study>/datasets/{dataset}/skipped.parquet",
    log:
        "<study>/logs/read_dataset/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        folder=lambda wildcards: folder_of(wildcards.dataset),
        adapter=lambda wildcards: study.datasets[wildcards.dataset]["adapter"],
        options=lambda wildcards: study.datasets[wildcards.dataset]["adapter_options"],
        annotations=lambda wildcards: study.datasets[wildcards.dataset]["annotations"],
    script:
        "../scripts/read_dataset.py"


rule prepare:
    input:
        images=rules.read_dataset.output.images,
        shards=shards_of("prepare"),
    output:
        table="<study>/prepared/{dataset}/prepared.parquet",
        pixels="<study>/prepared/{dataset}/pixels.npy",
        inventory="<study>/prepared/{dataset}/inventory.parquet",
        skipped="<study>/prepared/{dataset}/skipped.parquet",
        boxes="<study>/prepared/{dataset}/boxes.parquet",
        masks="<study>/prepared/{dataset}/masks.parquet",
    log:
        "<study>/logs/prepare/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    threads: 16  # at most, a worker each: how many changes no byte, and reruns nothing
    params:
        folder=lambda wildcards: folder_of(wildcards.dataset),
        sides=lambda wildcards: study.sides_of(wildcards.dataset),
        preparation=lambda wildcards: study.datasets[wildcards.dataset]["preparation"],
    script:
        "../scripts/prepare.py"


# a share of the same work by the same script (limits.shards), which `prepare` then only joins
use rule prepare as prepare_shard with:
    input:
        **inputs_of_shard("prepare"),
    output:
        table=temp("<study>/prepared/{dataset}/shards/{shard}/prepared.parquet"),
        pixels=temp("<study>/prepared/{dataset}/shards/{shard}/pixels.npy"),
        inventory=temp("<study>/prepared/{dataset}/shards/{shard}/inventory.parquet"),
        skipped=temp("<study>/prepared/{dataset}/shards/{shard}/skipped.parquet"),
        boxes=temp("<study>/prepared/{dataset}/shards/{shard}/boxes.parquet"),
        masks=temp("<study>/prepared/{dataset}/shards/{shard}/masks.parquet"),
    log:
        "<study>/logs/prepare_shard/{dataset}.{shard}.log",


rule check_inputs:
    input:
        images=per_dataset(rules.read_dataset.output.images),
        skipped=[
            *per_dataset(rules.read_dataset.output.skipped),
            *per_dataset(rules.prepare.output.skipped),
        ],
    output:
        "<study>/inputs_checked.json",
    log:
        "<study>/logs/check_inputs.log",
    conda:
        "../envs/sightline.yaml"
    params:
        max_skipped=study.config["limits"]["max_skipped"],
        crossings=study_training.crossings(study),
    script:
        "../scripts/check_inputs.py"
