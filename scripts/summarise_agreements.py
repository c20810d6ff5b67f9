"""Agreements of maps into means with intervals over subjects and seeds."""

from sightline import intervals, tables
from sightline.agreement import summary
from sightline.running import jobs


def summarise(inputs, chosen: dict, seed: int):
    """Table 'agreement_summary' of all agreements; `chosen` is the config's statistics."""
    options = intervals.Options(chosen["interval"], chosen["resamples"], chosen["level"], seed)
    return summary.summarise(tables.read_all("agreements", inputs.agreements), options)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        found = summarise(snakemake.input, snakemake.params.statistics, snakemake.params.study_seed)
        tables.write("agreement_summary", found, snakemake.output[0])
