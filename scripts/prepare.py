"""Decode every image of a dataset once into a memory-mapped store of training-size pixels."""

from pathlib import Path

from sightline import jobs, tables
from sightline.preparation import Preparation, prepare

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        made = prepare(
            tables.read("images", snakemake.input.images),
            Path(snakemake.params.folder),
            snakemake.params.sides,
            Path(snakemake.output.pixels),
            Preparation(**snakemake.params.preparation),
            workers=snakemake.threads,
        )
        tables.write("prepared", made.pop("prepared"), snakemake.output.table, values=snakemake.output.pixels)
        for name, table in made.items():
            tables.write(name, table, snakemake.output[name])
