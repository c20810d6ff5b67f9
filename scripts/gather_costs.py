"""Gather what explaining took: seconds and memory of every job that made maps."""

from sightline import tables
from sightline.explanation import costs
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        tables.write("costs", costs.gather(snakemake.input.maps), snakemake.output[0])
