"""What a reader sees: figures, each with a caption that asks its question, and the page that holds them."""


rule plot_cohort:
    input:
        cohort=per_dataset(rules.read_dataset.output.cohort),
    output:
        figures=["<study>/figures/cohort.svg"],
        captions="<study>/figures/cohort.captions.json",
    log:
        "<study>/logs/plot_cohort.log",
    conda:
        "../envs/sightline.yaml"
    script:
        "../scripts/plot_cohort.py"


rule plot_models:
    input:
        curves=per_trained(rules.train.output.curves),
        trainings=per_trained(rules.train.output.trainings),
        classification=rules.summarise_classification.output.classification,
        confusion_shares=rules.summarise_classification.output.confusion_shares,
        calibration=rules.summarise_classification.output.calibration,
        discrimination=rules.summarise_classification.output.discrimination,
    output:
        figures=[
            f"<study>/figures/{name}.svg"
            for name in (
                "curves",
                "classification",
                "metrics",
                "confusions",
                "discrimination",
                "calibration",
            )
        ],
        captions="<study>/figures/models.captions.json",
    log:
        "<study>/logs/plot_models.log",
    conda:
        "../envs/sightline.yaml"
    params:
        published=study.config["report"]["published"],
    script:
        "../scripts/plot_models.py"


rule plot_scores:
    input:
        summary=rules.summarise.output.summary,
        scores=per_cell(rules.score.output, study.scored_cells),
        baselines=per_dataset(rules.score_baselines.output, study.scored_datasets),
        regions=per_dataset(rules.render_regions.output.table, study.scored_datasets),
    output:
        figures=[f"<study>/figures/{name}.svg" for name in study_shown.score_figures(study)],
        captions="<study>/figures/scores.captions.json",
    log:
        "<study>/logs/plot_scores.log",
    conda:
        "../envs/sightline.yaml"
    params:
        names=study_shown.score_figures(study),
        methods=list(study.methods),
        center_bias=study.config["statistics"]["primary_center_bias"],
        published=study.config["report"]["published"],
    script:
        "../scripts/plot_scores.py"


rule plot_overlays:
    input:
        images=rules.read_dataset.output.images,
        boxes=[rules.read_dataset.output.boxes, rules.prepare.output.boxes],
        cuts=cuts,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        gaze=rules.render_gaze.output.table,
        gaze_values=flat(rules.render_gaze.output.values),
        center_bias=rules.average_references.output.table,
        center_bias_values=flat(rules.average_references.output.values),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
        maps=overlaid(rules.attribute.output.maps),
        values=flat(overlaid(rules.attribute.output.values)),
        predictions=overlaid(rules.attribute.output.predictions),
        scores=lambda wildcards: per_cell(
            rules.score.output, study.scored(study_stability.overlaid_cells(study, wildcards.dataset))
        ),
        baselines=lambda wildcards: per_dataset(
            rules.score_baselines.output,
            [name for name in study.scored_datasets if name == wildcards.dataset],
        ),
    output:
        figures=["<study>/figures/overlays.{dataset}.svg"],
        captions="<study>/figures/overlays.{dataset}.captions.json",
    log:
        "<study>/logs/plot_overlays/{dataset}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        shown=lambda wildcards: study_stability.overlaid(study, wildcards.dataset),
        side=lambda wildcards: study.sides_of(wildcards.dataset)[-1],
        references=lambda wildcards: study.references_of(wildcards.dataset),
        leave_out=[study.config["statistics"]["primary_center_bias"]],
        hull="hull" in study.baselines,
        scale=study.config["scores"]["scale"],
        cases=study.config["report"]["cases"],
        cut_to=lambda wildcards: cut_to(wildcards),
        restricted=lambda wildcards: not study.datasets[wildcards.dataset]["redistributable"],
    script:
        "../scripts/plot_overlays.py"


rule plot_methods:
    input:
        images=rules.read_dataset.output.images,
        boxes=[rules.read_dataset.output.boxes, rules.prepare.output.boxes],
        cuts=cuts,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        gaze=rules.render_gaze.output.table,
        gaze_values=flat(rules.render_gaze.output.values),
        center_bias=rules.average_references.output.table,
        center_bias_values=flat(rules.average_references.output.values),
        regions=rules.render_regions.output.table,
        region_values=flat(rules.render_regions.output.values),
        maps=gallery(rules.attribute.output.maps),
        values=flat(gallery(rules.attribute.output.values)),
        predictions=gallery(rules.attribute.output.predictions),
        scores=lambda wildcards: per_cell(
            rules.score.output,
            study.scored(study_shown.gallery_cells(study, wildcards.dataset, wildcards.model)),
        ),
        summary=rules.summarise.output.summary,
        map_summary=rules.summarise_maps.output[0],
        agreements=rules.summarise_agreements.output if study.agreements else [],
    output:
        figures=["<study>/figures/methods.{dataset}.{model}.svg"],
        captions="<study>/figures/methods.{dataset}.{model}.captions.json",
    log:
        "<study>/logs/plot_methods/{dataset}.{model}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        shown=lambda wildcards: study_shown.gallery(study, wildcards.dataset, wildcards.model),
        methods=list(study.methods),
        conditions=study.conditions,
        side=lambda wildcards: study.sides_of(wildcards.dataset)[-1],
        references=lambda wildcards: study.references_of(wildcards.dataset),
        center_bias=study.config["statistics"]["primary_center_bias"],
        scale=study.config["scores"]["scale"],
        cases=study.config["report"]["cases"],
        pixels_shown=lambda wildcards: study_shown.pixels_shown(study, wildcards.dataset),
        cut_to=lambda wildcards: cut_to(wildcards),
        restricted=lambda wildcards: not study.datasets[wildcards.dataset]["redistributable"],
    script:
        "../scripts/plot_methods.py"


rule plot_stability:
    input:
        images=rules.read_dataset.output.images,
        cuts=cuts,
        prepared=rules.prepare.output.table,
        pixels=flat(rules.prepare.output.pixels),
        maps=matrix(rules.attribute.output.maps),
        values=flat(matrix(rules.attribute.output.values)),
        predictions=matrix(rules.attribute.output.predictions),
        compared=lambda wildcards: expand(
            str(rules.compare_maps.output),
            dataset=wildcards.dataset,
            agreement=study_stability.agreements(study, wildcards.dataset),
        ),
        agreements=rules.summarise_agreements.output,
        map_summary=rules.summarise_maps.output[0],
    output:
        figures=["<study>/figures/stability.{dataset}.{model}.svg"],
        captions="<study>/figures/stability.{dataset}.{model}.captions.json",
    log:
        "<study>/logs/plot_stability/{dataset}.{model}.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study_seed=study.seed,
        shown=lambda wildcards: study_stability.shown(study, wildcards.dataset, wildcards.model),
        methods=list(study.methods),
        conditions=study.conditions,
        side=lambda wildcards: study.recipe_of(wildcards.model)["side"],
        pixels_shown=lambda wildcards: study_shown.pixels_shown(study, wildcards.dataset),
        cut_to=lambda wildcards: cut_to(wildcards),
        restricted=lambda wildcards: not study.datasets[wildcards.dataset]["redistributable"],
    script:
        "../scripts/plot_stability.py"


rule plot_agreements:
    input:
        agreements=[rules.summarise_agreements.output[0]],
    output:
        figures=[f"<study>/figures/agreement.{dataset}.svg" for dataset in study_shown.altered(study)],
        captions="<study>/figures/agreement.captions.json",
    log:
        "<study>/logs/plot_agreements.log",
    conda:
        "../envs/sightline.yaml"
    params:
        datasets=study_shown.altered(study),
        conditions=study.conditions,
        methods=list(study.methods),
    script:
        "../scripts/plot_agreements.py"


rule report:
    input:
        captions=[
            *per_gallery(rules.plot_methods.output.captions),
            *per_matrix(rules.plot_stability.output.captions),
            *([rules.plot_agreements.output.captions] if study_shown.altered(study) else []),
            rules.plot_cohort.output.captions,
            *([rules.plot_models.output.captions] if study.models else []),
            rules.plot_scores.output.captions,
            *per_dataset(rules.plot_overlays.output.captions, study_shown.pictured(study)),
            *per_artifact(rules.plot_artifacts.output.captions),
        ],
        figures=[
            *per_gallery(rules.plot_methods.output.figures),
            *per_matrix(rules.plot_stability.output.figures),
            *(rules.plot_agreements.output.figures if study_shown.altered(study) else []),
            *rules.plot_cohort.output.figures,
            *(rules.plot_models.output.figures if study.models else []),
            *rules.plot_scores.output.figures,
            *per_dataset(rules.plot_overlays.output.figures, study_shown.pictured(study)),
            *per_artifact(rules.plot_artifacts.output.figures[0]),
        ],
        summary=rules.summarise.output.summary,
        comparisons=rules.summarise.output.comparisons,
        contrasts=rules.summarise.output.contrasts,
        classification=rules.summarise_classification.output.classification,
        map_summary=rules.summarise_maps.output[0],
        agreements=rules.summarise_agreements.output if study.agreements else [],
        found_in_inputs=rules.check_inputs.output[0],
        cohort=per_dataset(rules.read_dataset.output.cohort),
        skipped=[
            *per_dataset(rules.read_dataset.output.skipped),
            *per_dataset(rules.prepare.output.skipped),
        ],
        regions=per_dataset(rules.render_regions.output.table, study.scored_datasets),
        kept=per_artifact(rules.make_artifacts.output.table, drawn=False),  # made, and drawn nowhere
    output:
        "<study>/report.html",
    log:
        "<study>/logs/report.log",
    conda:
        "../envs/sightline.yaml"
    params:
        study=study_shown.published_config(study),
        left_out=study_shown.left_out(study),
    script:
        "../scripts/report.py"
