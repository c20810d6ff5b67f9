"""Scores into means with intervals, paired comparisons, and differences of two levels of a stratum."""

import pandas as pd

from sightline import comparisons, contrasts, intervals, statistics, tables
from sightline.running import jobs
from sightline.scores import score_parts


def summarise(inputs, outputs, chosen: dict, seed: int) -> None:
    """Write the tables 'summary', 'comparisons', 'contrasts'; `chosen` is the config's statistics."""
    files = score_parts.Files.of([*inputs.scores, *inputs.probes, *inputs.baselines])
    strata = tables.read_all("strata", inputs.strata)
    strata = strata[strata["stratum"].isin(chosen["strata"])]
    options = intervals.Options(chosen["interval"], chosen["resamples"], chosen["level"], seed)
    parts = files.parts(progress=jobs.progress)
    summary = statistics.summarise_parts(parts, strata, interval=options)
    tables.write("summary", summary, outputs.summary)

    def primary(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["center_bias"].isin(["", chosen["primary_center_bias"]])]

    families = [
        comparisons.compare(files.rows(comparisons.sides(pairs), primary), pairs, family, options=options)
        for family, pairs in jobs.progress(chosen["comparisons"].items(), None, "families of comparisons")
    ]
    compared = pd.concat(families, ignore_index=True) if families else tables.empty("comparisons")
    tables.write("comparisons", compared, outputs.comparisons)

    levels = contrasts.levels_of_summary(primary(summary[summary["condition"] == "clean"]))
    clean = map(primary, files.parts("clean", jobs.progress))
    tables.write(
        "contrasts", contrasts.contrast_parts(clean, strata, levels, options=options), outputs.contrasts
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params.statistics, snakemake.params.study_seed)
