"""Scores into means with intervals and paired comparisons; predictions into AUCs."""

import pandas as pd

from sightline import comparisons, intervals, jobs, statistics, tables
from sightline.models import classification


def summarise(inputs, outputs, chosen: dict, seed: int) -> None:
    """Write the tables 'summary', 'comparisons' and 'classification'; `chosen` is the config's statistics."""
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
    subjects = tables.read_all("images", inputs.images).drop_duplicates("image").set_index("image")["subject"]
    how = classification.Interval("subjects_and_seeds", chosen["level"], subjects)
    predictions = tables.read_all("predictions", inputs.predictions)
    aucs = classification.auc_table(predictions, how) if len(predictions) else tables.empty("classification")
    tables.write("classification", aucs, outputs.classification)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        summarise(snakemake.input, snakemake.output, snakemake.params.statistics, snakemake.params.study_seed)
