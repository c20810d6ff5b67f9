"""What the study was made of, for those who ask where a number comes from."""


rule record_provenance:
    input:
        results=[
            rules.report.output,
            rules.gather_costs.output,
            rules.summarise_agreements.output if study.agreements else [],
        ],
        lock=os.path.relpath(ROOT / "requirements.lock"),
    output:
        "<study>/provenance.json",
    log:
        "<study>/logs/record_provenance.log",
    conda:
        "../envs/sightline.yaml"
    params:
        config=study_recorded.config(study),
        seeds=study_recorded.seeds(study),
        identifying=study_recorded.identifying(study),
    script:
        "../scripts/record_provenance.py"
