"""Bring the masks and boxes that maps are compared with into the scoring frame."""

from pathlib import Path

from sightline import arrays, regions, tables
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        images = tables.read("images", snakemake.input.images)
        rows, values = regions.render(
            snakemake.params.regions,
            tables.read_all("boxes", snakemake.input.boxes),
            tables.read_all("masks", snakemake.input.masks),
            images[images["evaluated"]],
            Path(snakemake.params.folder),
            snakemake.params.scale,
            jobs.progress,
        )
        with arrays.Writer(snakemake.output.values, "uint8") as store:
            rows["offset"] = [None if value is None else store.append(value) for value in values]
        tables.write("regions", rows, snakemake.output.table, values=snakemake.output.values)
