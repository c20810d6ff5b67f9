"""Stop the study where too many inputs were refused; else say how many were."""

import json

from sightline import jobs, publishing, tables
from sightline.preparation import check_inputs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        refused = check_inputs(
            tables.read_all("images", snakemake.input.images),
            tables.read_all("skipped", snakemake.input.skipped),
            snakemake.params.max_skipped,
        )
        publishing.write_text(snakemake.output[0], json.dumps(refused, indent=1, sort_keys=True) + "\n")
