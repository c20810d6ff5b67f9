"""What became of each method's maps: how many there are, why the others are not, and the identities' gaps."""

from sightline import tables
from sightline.attribution import summary
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        tables.write("map_summary", summary.summarise(snakemake.input.maps), snakemake.output[0])
