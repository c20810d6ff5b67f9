"""Decode every image of a dataset once into a memory-mapped store of training-size pixels."""

from pathlib import Path

from sightline import jobs, tables
from sightline.preparation import prepare

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        prepared, inventory, skipped = prepare(
            tables.read("images", snakemake.input.images),
            Path(snakemake.params.folder),
            snakemake.params.sides,
            Path(snakemake.output.pixels),
            workers=snakemake.resources.workers,
        )
        tables.write("prepared", prepared, snakemake.output.table, values=snakemake.output.pixels)
        tables.write("inventory", inventory, snakemake.output.inventory)
        tables.write("skipped", skipped, snakemake.output.skipped)
