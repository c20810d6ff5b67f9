"""Read a dataset from its upstream format into tables."""

from pathlib import Path

from sightline import tables
from sightline.datasets import dataset
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        read = dataset.read(
            snakemake.wildcards.dataset,
            Path(snakemake.params.folder),
            snakemake.params.adapter,
            snakemake.params.options,
            snakemake.params.annotations,
        )
        for name in dataset.table_names():
            tables.write(name, getattr(read, name), snakemake.output[name])
        jobs.say(f"{len(read.images)} images, {len(read.skipped)} skipped")
