"""Two levels of a stratum against each other: maps where the model is right and where it is wrong, say.

The levels lie on different images, which may belong to the same subjects, and, where the level depends on
the seed, on the same images under different seeds. So nothing pairs but the seeds and the subjects: a seed's
difference is that of its two means, subjects are resampled with all that they hold in both levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sightline import cells, intervals, tables
from sightline.randomness import generator
from sightline.statistics import BY, coded, usable_rows, with_levels

FEWEST = 2  # subjects that a seed needs in each level
LEVELS = ("first", "second")


def contrast(
    scores: pd.DataFrame,
    strata: pd.DataFrame,
    by: Sequence[str] = BY,
    options: intervals.Options | None = None,
) -> pd.DataFrame:
    """Table 'contrasts': per group of `by` and stratum with two levels, first minus second in sorted order.

    The difference is the mean over seeds of the difference of the levels' means over images. A seed in which
    fewer than two subjects have one of the levels does not count; where none does, the numbers are null, the
    status is `undefined` and the reason tells how many there are (a reference may be of one level alone).
    Strata of more levels are left out. Columns and errors as in `statistics.summarise_strata`. The interval
    `pooled_normal`, which there is of single means alone, is replaced by the default one.
    """
    options, by = options or intervals.Options(), list(by)
    if options.method == "pooled_normal":
        options = replace(options, method=intervals.Options().method)
    rows = with_levels(scores[usable_rows(scores, by)], strata)
    levels = rows.groupby(["dataset", "stratum"])["level"].transform("nunique")
    rows = rows[levels == len(LEVELS)].reset_index(drop=True)
    if rows.empty:
        return tables.empty("contrasts")
    pairs = rows.groupby(["dataset", "stratum"])["level"].agg(first="min", second="max").reset_index()
    rows = rows.merge(pairs, on=["dataset", "stratum"])
    groups = rows.groupby([*by, "stratum"], sort=True, observed=True)
    codes = coded(rows, options.unit).assign(
        group=groups.ngroup().to_numpy(), arm=(rows["level"] == rows["second"]).astype(int).to_numpy()
    )
    rows = rows.assign(group=codes["group"])
    result = rows.drop_duplicates("group").sort_values("group")[[*by, "stratum", *LEVELS]]
    result = result.reset_index(drop=True)
    kept = codes[_counts(codes)]
    numbers, made = np.full((len(result), 3), np.nan), np.full(len(result), "", dtype=object)
    made[:] = "no interval: no seed with two subjects in each level"
    columns = cells.collect(kept)
    for names, table in cells.designs(columns):
        draws = generator(options.seed, "contrast", len(table.sums), table.arms)
        found = intervals.find(options.method)(difference(table), options, draws)
        numbers[names] = np.stack([found.mean, found.low, found.high], axis=1)
        made[names] = found.made
    result[["difference", "low", "high"]] = numbers
    for at, level in enumerate(LEVELS):
        images = kept[kept["arm"] == at].groupby("group")["image"].nunique()
        result[f"images_{level}"] = images.reindex(result.index, fill_value=0).astype("int64")
    counted = kept.groupby("group")[["subject", "seed"]].nunique().reindex(result.index, fill_value=0)
    result = result.assign(subjects=counted["subject"], seeds=counted["seed"], interval=made)
    undefined = result["difference"].isna()
    result["status"] = np.where(undefined, "undefined", "ok")
    result["reason"] = _reasons(codes, result).where(undefined, None)
    return result[list(tables.SCHEMAS["contrasts"].columns)]


def _reasons(codes: pd.DataFrame, result: pd.DataFrame) -> pd.Series:
    """Why a group of `result` has no difference, with the most subjects of each level that a seed has."""
    there = codes.groupby(["group", "arm", "seed"])["subject"].nunique().groupby(["group", "arm"]).max()
    most = there.unstack("arm").reindex(index=result.index, columns=[0, 1]).fillna(0).astype("int64")
    return pd.Series(
        [
            f"no seed has {FEWEST} subjects of each level (at most {few} of '{first}', {many} of '{second}')"
            for first, second, few, many in zip(result["first"], result["second"], most[0], most[1])
        ],
        result.index,
        dtype=object,
    )


def difference(table: cells.Cells) -> cells.Statistic:
    """The first arm's means less the second's, seed by seed: both arms are the same seeds.

    Its degrees of freedom are Welch's: of the subjects of each level, by what they add to the variance.
    """
    seeds = len(table.sums[0]) // 2
    return cells.Statistic(_differences(table), len(table.sums), (seeds,), _entering(table))


def _differences(table: cells.Cells) -> Callable[[np.ndarray], np.ndarray]:
    """(draws, seeds, columns) from weights (draws, subjects); NaN where a draw leaves a level empty."""
    subjects, arms, columns = table.sums.shape
    sums, counts = table.sums.reshape(subjects, -1), table.counts.reshape(subjects, -1)

    def of_weights(weights: np.ndarray) -> np.ndarray:
        above, below = weights @ sums, weights @ counts
        means = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
        means = means.reshape(len(weights), arms, columns)
        return means[:, : arms // 2] - means[:, arms // 2 :]

    return of_weights


def _entering(table: cells.Cells) -> np.ndarray:
    """(columns,): one more than Welch's degrees of freedom of the two levels over subjects, at least 2."""
    influence = (table.sums - table.seed_means * table.counts) / table.counts.sum(axis=0)
    half = influence.shape[1] // 2
    variances, freedoms = [], []
    for side in (slice(None, half), slice(half, None)):
        there = table.counts[:, side].sum(axis=1) > 0  # (subjects, columns)
        freedoms.append(np.maximum(there.sum(axis=0) - 1, 1))
        spread = (influence[:, side].mean(axis=1) ** 2).sum(axis=0)
        variances.append(spread * (freedoms[-1] + 1) / freedoms[-1])
    squares = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms))
    most = np.full(squares.shape, float(len(table.sums) - 1))
    freedom = np.divide(sum(variances) ** 2, squares, out=most.copy(), where=squares > 0)
    return np.clip(np.rint(freedom), 1, most).astype(int) + 1


def _counts(codes: pd.DataFrame) -> pd.Series:
    """Which rows belong to a seed with enough subjects in both levels of its group."""
    keys = ["group", "seed", "arm"]
    enough = codes.groupby(keys)["subject"].nunique().ge(FEWEST).groupby(["group", "seed"])
    both = (enough.sum() == len(LEVELS)).rename("both").reset_index()
    return codes[["group", "seed"]].merge(both, on=["group", "seed"], how="left")["both"].to_numpy()
