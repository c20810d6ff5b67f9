"""Two levels of a stratum against each other: maps where the model is right and where it is wrong, say.

The levels lie on different images, which may belong to the same subjects, and, where the level depends on
the seed, on the same images under different seeds. So nothing pairs but the seeds and the subjects: a seed's
difference is that of its two means, subjects are resampled with all that they hold in both levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sightline import cells, intervals, tables
from sightline.randomness import generator
from sightline.statistics import (
    BY,
    STRATUM,
    Part,
    coded,
    levels_of,
    subjects_of,
    together,
    usable_rows,
)

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
    by = list(by)
    usable = scores[usable_rows(scores, by)]
    levels = levels_of(usable, strata)
    levels["dataset"] = usable["dataset"].to_numpy()[levels["row"]]
    return contrast_parts([scores], strata, levels, by, options)


def contrast_parts(
    parts: Iterable[pd.DataFrame],
    strata: pd.DataFrame,
    levels: pd.DataFrame,
    by: Sequence[str] = BY,
    options: intervals.Options | None = None,
) -> pd.DataFrame:
    """`contrast` of scores that come in parts, read one at a time; all rows of a group must be in one part.

    `levels` (dataset, stratum, level) are those that occur among the usable rows of all parts.
    """
    options, by = options or intervals.Options(), list(by)
    if options.method == "pooled_normal":
        options = replace(options, method=intervals.Options().method)
    pairs = _pairs(levels)
    found = [_part(scores, strata, pairs, by, options.unit) for scores in parts]
    found = [part for part in found if part is not None]
    if not found:
        return tables.empty("contrasts")
    result, columns = together(found, [*by, "stratum"])
    numbers, made = np.full((len(result), 3), np.nan), np.full(len(result), "", dtype=object)
    made[:] = "no interval: no seed with two subjects in each level"
    for names, table in cells.designs(columns):
        draws = generator(options.seed, "contrast", len(table.sums), table.arms)
        found = intervals.find(options.method)(difference(table), options, draws)
        numbers[names] = np.stack([found.mean, found.low, found.high], axis=1)
        made[names] = found.made
    result[["difference", "low", "high"]] = numbers
    result["interval"] = made
    undefined = result["difference"].isna()
    result["status"] = np.where(undefined, "undefined", "ok")
    result["reason"] = result["reason"].where(undefined, None)
    return result[list(tables.SCHEMAS["contrasts"].columns)]


def levels_of_summary(summary: pd.DataFrame) -> pd.DataFrame:
    """(dataset, stratum, level) of the groups of a table `summary` that have a usable row, each once."""
    there = summary[(summary["rows"] > 0) & (summary["stratum"] != "")]
    return there[["dataset", *STRATUM]].drop_duplicates(ignore_index=True)


def _pairs(levels: pd.DataFrame) -> pd.DataFrame:
    """(dataset, stratum, first, second) of the strata with two levels."""
    both = levels.groupby(["dataset", "stratum"])["level"].agg(first="min", second="max", many="nunique")
    return both[both["many"] == len(LEVELS)].drop(columns="many").reset_index()


def _part(
    scores: pd.DataFrame, strata: pd.DataFrame, pairs: pd.DataFrame, by: list[str], unit: str
) -> Part | None:
    """The groups of one part; None where it has no row with a level."""
    scores = scores[usable_rows(scores, by)]
    rows = levels_of(scores, strata)
    rows["dataset"] = scores["dataset"].to_numpy()[rows["row"]]
    rows = rows.merge(pairs, on=["dataset", "stratum"])
    if rows.empty:
        return None
    at = rows["row"].to_numpy()
    number = scores.groupby(by, sort=True, observed=True).ngroup().to_numpy()
    keys = rows.assign(group=number[at]).groupby(["group", "stratum"], sort=True, observed=True)
    group = keys.ngroup().to_numpy()
    first = np.unique(group, return_index=True)[1]
    codes = coded(scores, unit)
    subjects = subjects_of(scores, codes, unit)
    codes = codes.iloc[at].assign(group=group, arm=(rows["level"] == rows["second"]).to_numpy().astype(int))
    result = scores[by].iloc[at[first]].reset_index(drop=True)
    result = result.assign(**rows[["stratum", *LEVELS]].iloc[first].reset_index(drop=True))
    kept = codes[_counts(codes)]
    for arm, level in enumerate(LEVELS):
        images = kept[kept["arm"] == arm].groupby("group")["image"].nunique()
        result[f"images_{level}"] = images.reindex(result.index, fill_value=0).astype("int64")
    counted = kept.groupby("group")[["subject", "seed"]].nunique().reindex(result.index, fill_value=0)
    result = result.assign(subjects=counted["subject"], seeds=counted["seed"])
    return Part(result.assign(reason=_reasons(codes, result)), cells.collect(kept), subjects)


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
