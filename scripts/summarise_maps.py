"""What became of each method's maps: how many there are, why the others are not, and the identities' gaps."""

from sightline import jobs, tables
from sightline.attribution import summary

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        tables.write("map_summary", summary.summarise(snakemake.input.maps), snakemake.output[0])
