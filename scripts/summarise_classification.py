"""Predictions into how well models classify, with intervals over subjects and seeds."""

from sightline import jobs, tables
from sightline.classification import auc_intervals


def summarise(inputs, outputs, chosen: dict) -> None:
    """Write the table 'classification'; `chosen` is the config's statistics."""
    subjects = tables.read_all("images", inputs.images).drop_duplicates("image").set_index("image")["subject"]
    how = auc_intervals.Interval("subjects_and_seeds", chosen["level"], subjects)
    predictions = tables.read_all("predictions", inputs.predictions)
    found = auc_intervals.auc_table(predictions, how) if len(predictions) else tables.empty("classification")
    tables.write("classification", found, outputs.classification)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params.statistics)
