"""Strata from what models said of the unaltered images, and from how large the regions are."""

import pandas as pd

from sightline import strata, tables
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        params = snakemake.params
        said = tables.read_all("predictions", snakemake.input.predictions)
        regions = tables.read_all("regions", snakemake.input.regions)
        found = [
            strata.of_predictions(said, params.labels, params.positive, params.strata),
            strata.of_sizes(regions, params.sized),
        ]
        tables.write("strata", pd.concat(found, ignore_index=True), snakemake.output[0])
