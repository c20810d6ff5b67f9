"""Agreements as means with intervals over subjects and seeds: table `agreement_summary`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sightline import intervals, statistics, tables

BY = (
    "dataset",
    "kind",
    "axis",
    "model_a",
    "condition_a",
    "method_a",
    "model_b",
    "condition_b",
    "method_b",
    "reading",
    "metric",
)
ROW = ["seed", "image", "subject", "value", "status"]


def summarise(
    agreements: pd.DataFrame, interval: str | intervals.Options = "crossed_bootstrap"
) -> pd.DataFrame:
    """Table `agreement_summary`: a row per pair of sides, reading and measure, of table `agreements`.

    Mean over images, then over seeds; of comparisons between seeds, over their pairs (see `as_scores`).
    `interval` as in `statistics.summarise`; `rows` and `sd` are over the compared pairs of maps.
    """
    if agreements.empty:
        return tables.empty("agreement_summary")
    result = statistics.summarise(as_scores(agreements), BY, interval)
    usable = agreements[agreements["status"] == "ok"].groupby(list(BY), observed=True)["value"]
    keys = pd.MultiIndex.from_frame(result[list(BY)])
    result["sd"] = usable.std(ddof=1).reindex(keys).to_numpy()
    result["rows"] = usable.size().reindex(keys, fill_value=0).to_numpy()
    return result


def as_scores(agreements: pd.DataFrame) -> pd.DataFrame:
    """`agreements` with a column `seed`, as `statistics.summarise` takes scores when grouped by `BY`.

    Both sides of a pair have one seed, which is the row's, except where seeds are compared. There the mean
    over all pairs of k seeds is a U-statistic: pairs that share a seed are not independent, and k (k - 1) / 2
    of them are not that many seeds. Each image gets one row per seed instead, the jackknife's pseudo-value
    k U - (k - 1) U_(-i), where U is its mean over all pairs and U_(-i) over those without seed i (Arvesen
    1969): their mean is U, and seeds that vary as these do give U its variance. With two seeds, or one that
    all others are compared with, the row's seed is a's, and the interval is about that very seed.
    """
    rows = agreements.assign(seed=agreements["seed_a"])[[*BY, "seed_b", *ROW]]
    several = rows.groupby(list(BY), observed=True)["seed_b"].transform("nunique") > 1
    paired = (rows["axis"] == "seed") & several
    usable = paired & (rows["status"] == "ok")
    parts = [rows[~paired], rows[paired & ~usable], _pseudo_values(rows[usable])]
    return pd.concat([part[[*BY, *ROW]] for part in parts if len(part)], ignore_index=True)


def _pseudo_values(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row per image and seed; an image with maps of two seeds alone gives both their pair's value."""
    one = [*BY, "image", "subject"]
    ends = pd.concat([pairs, pairs.assign(seed=pairs["seed_b"])], ignore_index=True)
    seeds = ends.groupby([*one, "seed"], observed=True, sort=True)["value"].sum().reset_index()
    of_image = seeds.groupby(one, observed=True)["value"]
    k, total = of_image.transform("size").to_numpy(), of_image.transform("sum").to_numpy() / 2
    mean = 2 * total / (k * (k - 1))
    # the mean over the (k - 1) (k - 2) / 2 pairs without the seed
    without = 2 * (total - seeds["value"].to_numpy()) / ((k - 1) * np.maximum(k - 2, 1))
    value = np.where(k > 2, k * mean - (k - 1) * without, mean)
    return seeds.assign(value=value, status="ok")
