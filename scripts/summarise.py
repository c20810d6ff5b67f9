"""Scores into means with intervals, paired comparisons, and differences of two levels of a stratum."""

import pandas as pd

from sightline import comparisons, contrasts, intervals, jobs, statistics, tables


def summarise(inputs, outputs, chosen: dict, seed: int) -> None:
    """Write the tables 'summary', 'comparisons', 'contrasts'; `chosen` is the config's statistics."""
    scores = tables.read_all("scores", [*inputs.scores, *inputs.probes, *inputs.baselines])
    strata = tables.read_all("strata", inputs.strata)
    strata = strata[strata["stratum"].isin(chosen["strata"])]
    options = intervals.Options(chosen["interval"], chosen["resamples"], chosen["level"], seed)
    tables.write("summary", statistics.summarise_strata(scores, strata, interval=options), outputs.summary)
    primary = scores[scores["center_bias"].isin(["", chosen["primary_center_bias"]])]
    families = [
        comparisons.compare(primary, pairs, family, options=options)
        for family, pairs in chosen["comparisons"].items()
    ]
    compared = pd.concat(families, ignore_index=True) if families else tables.empty("comparisons")
    tables.write("comparisons", compared, outputs.comparisons)
    clean = primary[primary["condition"] == "clean"]
    tables.write("contrasts", contrasts.contrast(clean, strata, options=options), outputs.contrasts)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params.statistics, snakemake.params.study_seed)
