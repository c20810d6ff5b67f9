"""From a server into the dataset's folder: only what the study needs, and nothing that is already there."""


localrules:
    download,


rule download:
    input:
        local_files,
    output:
        "<study>/downloads/{dataset}.json",
    log:
        "<study>/logs/download/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        workers=4,
        attempts=5,
        longest_wait=300,
        stall_seconds=120,
    params:
        folder=lambda wildcards: folder_of(wildcards.dataset),
        adapter=lambda wildcards: study.datasets[wildcards.dataset]["adapter"],
        adapter_options=lambda wildcards: study.datasets[wildcards.dataset]["adapter_options"],
        annotations=lambda wildcards: study.datasets[wildcards.dataset]["annotations"],
        source=lambda wildcards: study_downloads.of(study, wildcards.dataset)["source"],
        options=lambda wildcards: study_downloads.of(study, wildcards.dataset)["options"],
        accept_missing=lambda wildcards: study_downloads.of(study, wildcards.dataset)["accept_missing"],
    script:
        "../scripts/download.py"
