"""Decode every image of a dataset once into a memory-mapped store of training-size pixels."""

from pathlib import Path

from sightline import shards, tables
from sightline.preparing import preparation
from sightline.running import jobs

if __name__ == "__main__":
    parts = snakemake.input.get("shards", [])
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log, joined=parts):
        if parts:
            preparation.join(shards.parts(parts), dict(snakemake.output.items()))
        else:
            preparation.prepare(
                tables.read("images", snakemake.input.images),
                Path(snakemake.params.folder),
                snakemake.params.sides,
                dict(snakemake.output.items()),
                preparation.Preparation(**snakemake.params.preparation),
                workers=snakemake.threads,
                shard=shards.named(snakemake.wildcards.get("shard")),
                progress=jobs.progress,
            )
