"""Maps against references, and scores into intervals."""


rule score:
    input:
        maps=rules.attribute.output.maps,
        values=flat(rules.attribute.output.values),
        predictions=rules.attribute.output.predictions,
        images=rules.read_dataset.output.images,
        cuts=cuts,
        gaze=rules.render_gaze.output.table,
        gaze_values=flat(rules.render_gaze.output.values),
        center_bias=rules.average_references.output.table,
        center_bias_values=flat(rules.average_references.output.values),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
        shards=shards_of("score"),
    output:
        "<study>/scores/{dataset}/{model}/seed{seed}/{condition}/{method}.parquet",
    log:
        "<study>/logs/score/{dataset}.{model}.seed{seed}.{condition}.{method}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        labels=lambda wildcards: study.labels_of(wildcards.model),
        readings=lambda wildcards: study.readings_of(wildcards.method),
        cut_to=lambda wildcards: cut_to(wildcards),
        references=lambda wildcards: study.references_of(wildcards.dataset),
        metrics=study.config["scores"]["metrics"],
        leave_out=study.leave_outs,
        scale=study.config["scores"]["scale"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/score.py"


# a share of the same work by the same script (limits.shards), which `score` then only joins
use rule score as score_shard with:
    input:
        **inputs_of_shard("score"),
    output:
        temp("<study>/scores/{dataset}/{model}/seed{seed}/{condition}/{method}.shards/{shard}/scores.parquet"),
        unsettled=temp(
            "<study>/scores/{dataset}/{model}/seed{seed}/{condition}/{method}.shards/{shard}/unsettled.parquet"
        ),
    log:
        "<study>/logs/score_shard/{dataset}.{model}.seed{seed}.{condition}.{method}.{shard}.log",


rule score_baselines:
    input:
        images=rules.read_dataset.output.images,
        prepared=rules.prepare.output.table,
        gaze=rules.render_gaze.output.table,
        gaze_values=flat(rules.render_gaze.output.values),
        center_bias=rules.average_references.output.table,
        center_bias_values=flat(rules.average_references.output.values),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
    output:
        "<study>/scores/{dataset}/baselines.parquet",
    log:
        "<study>/logs/score_baselines/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        baselines=study.baselines,
        references=lambda wildcards: study.references_of(wildcards.dataset),
        metrics=study.config["scores"]["metrics"],
        leave_out=study.leave_outs,
        scale=study.config["scores"]["scale"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/score_baselines.py"


rule compare_maps:
    input:
        maps=lambda wildcards: per_cell(
            rules.attribute.output.maps, study.compared_cells(wildcards.dataset, wildcards.agreement)
        ),
        values=flat(
            lambda wildcards: per_cell(
                rules.attribute.output.values, study.compared_cells(wildcards.dataset, wildcards.agreement)
            )
        ),
        predictions=lambda wildcards: per_cell(
            rules.attribute.output.predictions, study.compared_cells(wildcards.dataset, wildcards.agreement)
        ),
        images=rules.read_dataset.output.images,
        prepared=lambda wildcards: per_dataset(
            rules.prepare.output.table, [wildcards.dataset] if moving(wildcards) else []
        ),
        cuts=cuts,
    output:
        "<study>/agreements/{dataset}/{agreement}.parquet",
    log:
        "<study>/logs/compare_maps/{dataset}.{agreement}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        agreement=lambda wildcards: study.agreements[wildcards.agreement],
        cells=lambda wildcards: [
            [cell.model, cell.seed, cell.condition, cell.method]
            for cell in study.compared_cells(wildcards.dataset, wildcards.agreement)
        ],
        labels=lambda wildcards: [
            study.labels_of(cell.model)
            for cell in study.compared_cells(wildcards.dataset, wildcards.agreement)
        ],
        readings=lambda wildcards: [
            study.readings_of(cell.method)
            for cell in study.compared_cells(wildcards.dataset, wildcards.agreement)
        ],
        sides=lambda wildcards: [
            study.recipe_of(cell.model)["side"]
            for cell in study.compared_cells(wildcards.dataset, wildcards.agreement)
        ],
        moving=lambda wildcards: moving(wildcards),
        cut_to=lambda wildcards: cut_to(wildcards),
        scale=study.config["scores"]["scale"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/compare_maps.py"


rule summarise_agreements:
    input:
        agreements=per_agreement(rules.compare_maps.output),
    output:
        "<study>/agreement_summary.parquet",
    log:
        "<study>/logs/summarise_agreements.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        statistics={key: study.config["statistics"][key] for key in ("interval", "resamples", "level")},
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/summarise_agreements.py"


rule summarise_maps:
    input:
        maps=per_cell(rules.attribute.output.maps),
    output:
        "<study>/map_summary.parquet",
    log:
        "<study>/logs/summarise_maps.log",
    conda:
        "../envs/sightline.yaml"
    script:
        "../scripts/summarise_maps.py"


rule make_strata:
    input:
        predictions=per_cell(rules.attribute.output.predictions, study_strata.predicted_cells(study)),
        regions=per_dataset(
            rules.render_regions.output.table, study.scored_datasets if study_strata.sized(study) else []
        ),
    output:
        "<study>/strata.parquet",
    log:
        "<study>/logs/make_strata.log",
    conda:
        "../envs/sightline.yaml"
    params:
        strata=study_strata.of_model(study),
        labels=study_strata.judged(study) if study_strata.of_model(study) else {},
        positive=study.config["statistics"]["positive"],
        sized=study_strata.sized(study),
    script:
        "../scripts/make_strata.py"


rule summarise:
    input:
        scores=per_cell(rules.score.output, study.scored_cells),
        probes=per_cell(rules.probe.output, study.probed_cells),
        baselines=per_dataset(rules.score_baselines.output, study.scored_datasets),
        strata=[
            *per_dataset(rules.read_dataset.output.strata),
            *(rules.make_strata.output if study_strata.made(study) else []),
        ],
    output:
        summary="<study>/summary.parquet",
        comparisons="<study>/comparisons.parquet",
        contrasts="<study>/contrasts.parquet",
    log:
        "<study>/logs/summarise.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        statistics=study.config["statistics"],
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/summarise.py"


rule summarise_classification:
    input:
        predictions=per_trained(rules.train.output.predictions),
        images=per_dataset(rules.read_dataset.output.images),
    output:
        classification="<study>/classification.parquet",
        confusions="<study>/confusions.parquet",
        confusion_shares="<study>/confusion_shares.parquet",
        calibration="<study>/calibration.parquet",
        discrimination="<study>/discrimination.parquet",
    log:
        "<study>/logs/summarise_classification.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        exclusive=[model for model in study.models if study_training.exclusive(study, model)],
        statistics={key: study.config["statistics"][key] for key in ("interval", "resamples", "level")},
        threads=study.config["compute"]["threads"],
    script:
        "../scripts/summarise_classification.py"
