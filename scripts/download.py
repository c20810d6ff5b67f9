"""Bring a dataset's files from their server into its folder, and list what is there."""

from pathlib import Path

from sightline.download import run
from sightline.download.asked import Asked
from sightline.download.fetching import Manners
from sightline.running import jobs, seals

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        asked = Asked(
            snakemake.wildcards.dataset,
            Path(snakemake.params.folder),
            snakemake.params.adapter,
            snakemake.params.adapter_options,
            snakemake.params.annotations,
        )
        manners = Manners(
            workers=snakemake.resources.workers,
            attempts=snakemake.resources.attempts,
            longest_wait=snakemake.resources.longest_wait,
            stall_seconds=snakemake.resources.stall_seconds,
        )
        record = run.download(
            asked,
            snakemake.params.source,
            snakemake.params.options,
            snakemake.params.accept_missing,
            manners,
        )
        seals.write_json(Path(snakemake.output[0]), record)
