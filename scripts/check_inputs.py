"""Stop the study where too many inputs were refused; else say how many were."""

import json
from pathlib import Path

from sightline import jobs, tables
from sightline.preparation import check_inputs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        refused = check_inputs(
            tables.read_all("images", snakemake.input.images),
            tables.read_all("skipped", snakemake.input.skipped),
            snakemake.params.max_skipped,
        )
        Path(snakemake.output[0]).write_text(json.dumps(refused, indent=1, sort_keys=True) + "\n")
