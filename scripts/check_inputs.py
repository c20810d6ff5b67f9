"""Stop the study where too many inputs were refused; else say how many, and whose subjects trained models."""

import json

from sightline import publishing, tables
from sightline.datasets import leaks
from sightline.preparing.preparation import check_inputs
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        images = tables.read_all("images", snakemake.input.images)
        skipped = tables.read_all("skipped", snakemake.input.skipped)
        found = check_inputs(images, skipped, snakemake.params.max_skipped)
        for leak in leaks.shared(images, snakemake.params.crossings):
            jobs.tell(f"WARNING: {leaks.said(leak)}")
            found[leak["dataset"]].setdefault("learned_from", []).append(leak)
        publishing.write_text(snakemake.output[0], json.dumps(found, indent=1, sort_keys=True) + "\n")
