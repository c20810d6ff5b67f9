"""What the study will cost, told before it is paid, and what it took."""


rule plan_costs:
    input:
        images=per_dataset(rules.read_dataset.output.images, study_costs.datasets(study)),
        labels=per_dataset(rules.read_dataset.output.labels, study_costs.datasets(study)),
    output:
        update("<study>/planned_costs.parquet"),  # the last one stays where a limit refuses the study
    log:
        "<study>/logs/plan_costs.log",
    conda:
        "../envs/sightline.yaml"
    resources:
        device="auto",
    params:
        alike=study_costs.alike(study),
        models=study_costs.models(study),
        datasets=study_costs.datasets(study),
        max_hours=study.config["limits"]["max_hours"],
        max_storage_gb=study.config["limits"]["max_storage_gb"],
        batch=study.config["compute"]["batch"],
        micro_batch=study.config["compute"]["micro_batch"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/plan_costs.py"
