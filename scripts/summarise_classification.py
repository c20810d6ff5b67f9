"""Predictions into how well models classify, with intervals over subjects and seeds."""

from sightline import intervals, jobs, tables
from sightline.classification import summary


def summarise(inputs, outputs, params) -> None:
    """Write the tables of `summary.TABLES`; the outputs' names are theirs."""
    subjects = tables.read_all("images", inputs.images).drop_duplicates("image").set_index("image")["subject"]
    predictions = tables.read_all("predictions", inputs.predictions)
    chosen = params.statistics
    options = intervals.Options(chosen["interval"], chosen["resamples"], chosen["level"], params.study_seed)
    for name, table in summary.summarise(predictions, subjects, params.exclusive, options).items():
        tables.write(name, table, getattr(outputs, name))


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params)
