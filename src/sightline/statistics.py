"""Groups of scores as means with intervals: the summary table, also by strata of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sightline import cells, intervals
from sightline.errors import TableError
from sightline.randomness import generator

BY = ("dataset", "model", "condition", "method", "reading", "reference", "metric", "center_bias")
STRATUM = ("stratum", "level")


def summarise(
    scores: pd.DataFrame, by: Sequence[str] = BY, interval: str | intervals.Options = "crossed_bootstrap"
) -> pd.DataFrame:
    """A row per group of `by`: mean, interval and who was counted, in the columns of table 'summary'.

    The mean is over images of the mean over an image's rows (its readers), then over seeds; `interval` is a
    method of `sightline.intervals`, or `Options`. `scores` holds image and value, and where it has them
    status, seed, subject. Rows whose status is not ok are excluded and counted by reason; a group without
    usable row has a null mean. A group with one seed (a baseline) has an interval over subjects. Equal rows
    give equal results in any order. Raises `TableError` for a missing column, an ok row without finite
    value, an image of two subjects.
    """
    options = interval if isinstance(interval, intervals.Options) else intervals.Options(interval)
    by = list(by)
    usable = usable_rows(scores, by)
    groups = scores.groupby(by, sort=True, dropna=False, observed=True)
    number = groups.ngroup().to_numpy()
    result = scores[by].assign(_group=number).drop_duplicates("_group").sort_values("_group")
    result = result.drop(columns="_group").reset_index(drop=True)
    rows = coded(scores[usable], options.unit).assign(group=number[usable])
    columns = cells.collect(rows)
    result = pd.concat([result, estimates(columns, len(result), options)], axis=1)
    result.insert(len(by) + 3, "sd", [columns[g].sd[0] if g in columns else np.nan for g in result.index])
    counted = rows.groupby("group").agg(
        rows=("value", "size"),
        images=("image", "nunique"),
        subjects=("subject", "nunique"),
        seeds=("seed", "nunique"),
    )
    excluded, why = _excluded(scores, usable, number)
    counts = counted.reindex(result.index, fill_value=0).astype("int64")
    counts["excluded"] = excluded.reindex(result.index, fill_value=0).astype("int64")
    counts["excluded_why"] = why.reindex(result.index, fill_value="")
    result[list(counts)] = counts
    result = result[[column for column in result if column != "interval"] + ["interval"]]
    if set(BY) <= set(by) and not set(STRATUM) & set(by):
        for place, column in enumerate(STRATUM):
            result.insert(len(by) + place, column, "")
    return result


def summarise_strata(
    scores: pd.DataFrame,
    strata: pd.DataFrame,
    by: Sequence[str] = BY,
    interval: str | intervals.Options = "crossed_bootstrap",
) -> pd.DataFrame:
    """`summarise` over all images, and again per level of each stratum of table `strata`.

    Rows of `strata` with a model (or a seed) serve the scores of that model (or seed) alone. An image
    without level is in none of the stratum's groups.
    """
    everything = scores.assign(stratum="", level="")
    return summarise(
        pd.concat([everything, with_levels(scores, strata)], ignore_index=True), [*by, *STRATUM], interval
    )


def with_levels(scores: pd.DataFrame, strata: pd.DataFrame) -> pd.DataFrame:
    """The rows of `scores` that have a level in `strata`, once per stratum, with stratum and level."""
    depends = strata[["model", "seed"]].notna().assign(stratum=strata["stratum"]).drop_duplicates()
    if depends["stratum"].duplicated().any():
        name = depends["stratum"][depends["stratum"].duplicated()].iloc[0]
        raise TableError(
            f"table 'strata', stratum {name!r}: model and seed must be given in all its rows or in none"
        )
    parts = []
    for model_too in (False, True):
        for seed_too in (False, True):
            chosen = strata[(strata["model"].notna() == model_too) & (strata["seed"].notna() == seed_too)]
            if chosen.empty:
                continue
            keys = ["dataset", "image", *["model"] * model_too, *["seed"] * seed_too]
            levels = chosen[[*keys, "stratum", "value"]].rename(columns={"value": "level"})
            if seed_too:
                levels = levels.astype({"seed": "int64"})
            if levels.duplicated([*keys, "stratum"]).any():
                twice = levels[levels.duplicated([*keys, "stratum"])].iloc[0].to_dict()
                raise TableError(f"table 'strata': two levels of one stratum for {twice}; keep one")
            parts.append(scores.merge(levels, on=keys, how="inner"))
    return pd.concat(parts, ignore_index=True) if parts else scores.iloc[:0].assign(stratum="", level="")


def usable_rows(scores: pd.DataFrame, by: Sequence[str]) -> np.ndarray:
    """(rows,) True where the status is ok (without that column: where there is a value); checks columns."""
    missing = [column for column in [*by, "image", "value"] if column not in scores.columns]
    if missing:
        raise TableError(
            f"scores lack the column(s) {', '.join(missing)}, which this summary groups by; "
            f"they have {', '.join(map(str, scores.columns))}"
        )
    if "status" not in scores.columns:
        return scores["value"].notna().to_numpy()
    usable = (scores["status"] == "ok").to_numpy()
    wrong = usable & ~np.isfinite(scores["value"].to_numpy(dtype=np.float64, na_value=np.nan))
    if wrong.any():
        row = scores[wrong].iloc[0]
        raise TableError(
            f"scores: {wrong.sum()} row(s) with status ok have no finite value, first: {row.to_dict()}; "
            "such a row needs the status 'undefined' and a reason"
        )
    return usable


def coded(scores: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The rows as whole numbers: arm (0), seed, subject, image, with value; for `cells.collect`, but group.

    Subjects are numbered in sorted order within their dataset; `unit` 'image' makes each image its own
    subject.
    """
    within = ["dataset"] if "dataset" in scores.columns else []

    def numbered(column: str) -> np.ndarray:
        if scores[column].isna().any():
            raise TableError(f"scores: empty {column} in {int(scores[column].isna().sum())} row(s)")
        return scores.groupby([*within, column], sort=True, observed=True).ngroup().to_numpy()

    image = numbered("image")
    subject = numbered("subject") if unit == "subject" and "subject" in scores.columns else image
    rows = pd.DataFrame(
        {"image": image, "subject": subject, "value": scores["value"].to_numpy(dtype=np.float64)}
    )
    rows["arm"] = 0
    rows["seed"] = scores["seed"].to_numpy() if "seed" in scores.columns else 0
    pairs = rows[["image", "subject"]].drop_duplicates()
    if pairs["image"].duplicated().any():
        at = np.flatnonzero(image == pairs["image"][pairs["image"].duplicated()].iloc[0])[0]
        raise TableError(f"scores: image {scores['image'].iloc[at]!r} belongs to more than one subject")
    return rows


def estimates(columns: dict[int, cells.Cells], groups: int, options: intervals.Options) -> pd.DataFrame:
    """(groups,) mean, low, high and interval (how it was made) by `options`; null where a group has no cells.

    Draws depend on the study's seed, the numbers of subjects and seeds, and on nothing else.
    """
    numbers, made = np.full((groups, 3), np.nan), np.full(groups, "no usable row", dtype=object)
    method = intervals.find(options.method)
    for names, table in cells.designs(columns):
        found = method(table, options, generator(options.seed, "interval", len(table.sums), table.arms))
        numbers[names] = np.stack([found.mean, found.low, found.high], axis=1)
        made[names] = found.made
    return pd.DataFrame(numbers, columns=["mean", "low", "high"]).assign(interval=made)


def _excluded(scores: pd.DataFrame, usable: np.ndarray, number: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """Per group: how many rows were left out, and why ('undefined: 3; not_applicable: 2')."""
    status = (
        scores["status"][~usable]
        if "status" in scores.columns
        else pd.Series("missing", scores.index)[~usable]
    )
    counts = pd.DataFrame({"group": number[~usable], "status": status.to_numpy(dtype=object)}).value_counts()
    counts = counts.reset_index().sort_values(["group", "count", "status"], ascending=[True, False, True])
    words = counts["status"].astype(str) + ": " + counts["count"].astype(str)
    return counts.groupby("group")["count"].sum(), words.groupby(counts["group"]).agg("; ".join)
