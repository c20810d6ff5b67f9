"""The study's page: question, answer, evidence, and how it was made."""

import json
from pathlib import Path

import yaml

from sightline import published, publishing, regions, tables
from sightline.datasets import leaks
from sightline.report import captions, facts, study_page
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        inputs, study = snakemake.input, snakemake.params.study
        areas = regions.mean_areas(tables.read_all("regions", inputs.regions))
        evidence = study_page.Evidence(
            title=study["study"],
            question=study["question"],
            summary=tables.read("summary", inputs.summary),
            comparisons=tables.read("comparisons", inputs.comparisons),
            contrasts=tables.read("contrasts", inputs.contrasts),
            classification=tables.read("classification", inputs.classification),
            published=published.classification(known) if (known := study["report"]["published"]) else None,
            agreements=tables.read_all("agreement_summary", inputs.agreements),
            maps=tables.read("map_summary", inputs.map_summary),
            asked=facts.asked(study, areas),
            cohort=tables.read_all("cohort", inputs.cohort),
            leaks=leaks.told(json.loads(Path(inputs.found_in_inputs).read_text(encoding="utf-8"))),
            skipped=tables.read_all("skipped", inputs.skipped),
            pictures=captions.read(inputs.captions),
            areas=areas,
            plan=facts.plan(study),
            versions=facts.versions(),
            facts=facts.of_study(study),
            config=yaml.safe_dump(json.loads(json.dumps(study)), sort_keys=False, allow_unicode=True),
            center_bias=study["statistics"]["primary_center_bias"],
            publish_images=study["report"]["publish_images"],
            left_out=snakemake.params.left_out,
        )
        publishing.write_text(snakemake.output[0], study_page.render(evidence))
