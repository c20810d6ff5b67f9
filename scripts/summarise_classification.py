"""Predictions into how well models classify, with intervals over subjects and seeds."""

import pandas as pd

from sightline import intervals, tables
from sightline.classification import summary
from sightline.running import jobs


def summarise(inputs, outputs, params) -> None:
    """Write the tables of `summary.TABLES`; the outputs' names are theirs."""
    subjects_of = {
        dataset: images.set_index("image")["subject"]
        for dataset, images in tables.read_all("images", inputs.images).groupby("dataset")
    }
    predictions = tables.read_all("predictions", inputs.predictions)
    chosen = params.statistics
    options = intervals.Options(chosen["interval"], chosen["resamples"], chosen["level"], params.study_seed)
    found = [  # two datasets may call different images by one name
        summary.summarise(part, subjects_of[dataset], params.exclusive, options)
        for dataset, part in predictions.groupby("dataset", sort=True)
    ]
    for name in summary.TABLES:
        parts = [made[name] for made in found]
        table = pd.concat(parts, ignore_index=True) if parts else tables.empty(name)
        tables.write(name, table, getattr(outputs, name))


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params)
