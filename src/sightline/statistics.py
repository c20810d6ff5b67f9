"""Groups of scores as means with intervals: the summary table, also by strata of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sightline import cells, intervals
from sightline.errors import TableError
from sightline.randomness import generator

BY = ("dataset", "model", "condition", "method", "reading", "reference", "metric", "center_bias")
STRATUM = ("stratum", "level")
CODED = ("dataset", "image", "subject", "seed", "value")
COUNTS = ("rows", "images", "subjects", "seeds", "excluded", "excluded_why")


@dataclass(frozen=True)
class Part:
    """What is left of scores that were read: a row per group, the cells of those with a usable row.

    `groups` has the columns grouped by and the counts of the summary; `columns` maps its rows to their
    cells; `subjects` (dataset, image, subject, code) tells what the cells' codes of subjects stand for.
    """

    groups: pd.DataFrame
    columns: dict[int, cells.Cells]
    subjects: pd.DataFrame


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
    result = summarise_parts([scores], None, by, interval)
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
    return summarise_parts([scores], strata, by, interval)


def summarise_parts(
    parts: Iterable[pd.DataFrame],
    strata: pd.DataFrame | None,
    by: Sequence[str] = BY,
    interval: str | intervals.Options = "crossed_bootstrap",
) -> pd.DataFrame:
    """`summarise_strata` (without `strata`: `summarise`) of scores that come in parts, read one at a time.

    All rows of a group must be in one part; the result is that of all of them together, to the last bit.
    Memory is that of one part, and of a number per group, seed and subject.
    """
    options = interval if isinstance(interval, intervals.Options) else intervals.Options(interval)
    by = list(by)
    found = [part_of(scores, by, options.unit, strata) for scores in parts]
    groups, columns = together(found, [*by, *(STRATUM if strata is not None else ())])
    result = pd.concat([groups, estimates(columns, len(groups), options)], axis=1)
    result["sd"] = [columns[g].sd[0] if g in columns else np.nan for g in result.index]
    names = [name for name in groups if name not in COUNTS]
    return result[[*names, "mean", "low", "high", "sd", *COUNTS, "interval"]]


def part_of(scores: pd.DataFrame, by: list[str], unit: str, strata: pd.DataFrame | None = None) -> Part:
    """The groups of `by` (with `strata` also per level of each) of scores that hold all rows of a group."""
    usable = usable_rows(scores, by)
    number = scores.groupby(by, sort=True, dropna=False, observed=True).ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1]
    groups, at = scores[by].iloc[first].reset_index(drop=True), np.arange(len(scores))
    if strata is not None:
        levels = levels_of(scores, strata)
        at = np.concatenate([at, levels["row"].to_numpy()])
        everything = pd.DataFrame({"stratum": "", "level": ""}, index=range(len(scores)))
        keys = pd.concat([everything, levels[list(STRATUM)]], ignore_index=True).assign(group=number[at])
        number = keys.groupby(["group", *STRATUM], sort=True, observed=True).ngroup().to_numpy()
        keys = keys.iloc[np.unique(number, return_index=True)[1]].reset_index(drop=True)
        groups = groups.iloc[keys["group"]].reset_index(drop=True).assign(**keys[list(STRATUM)])
    here = scores[[name for name in CODED if name in scores.columns]][usable]
    codes, known = coded(here, unit), usable[at]
    rows = codes.iloc[(np.cumsum(usable) - 1)[at[known]]].assign(group=number[known])
    counted = rows.groupby("group").agg(
        rows=("value", "size"),
        images=("image", "nunique"),
        subjects=("subject", "nunique"),
        seeds=("seed", "nunique"),
    )
    status = scores["status"] if "status" in scores.columns else pd.Series("missing", scores.index)
    excluded, why = _excluded(status.iloc[at[~known]], number[~known])
    counts = counted.reindex(groups.index, fill_value=0).astype("int64")
    counts["excluded"] = excluded.reindex(groups.index, fill_value=0).astype("int64")
    counts["excluded_why"] = why.reindex(groups.index, fill_value="")
    return Part(
        pd.concat([groups, counts], axis=1), cells.collect(rows), subjects_of(scores[usable], codes, unit)
    )


def together(parts: Sequence[Part], by: list[str]) -> tuple[pd.DataFrame, dict[int, cells.Cells]]:
    """All groups, sorted by `by`, and their cells by row; subjects have one code in all parts.

    Raises `TableError` for an image of two subjects.
    """
    if len(parts) == 1:
        return parts[0].groups, parts[0].columns
    known = pd.concat([part.subjects for part in parts]).drop_duplicates(["dataset", "image", "subject"])
    twice = known.duplicated(["dataset", "image"])
    if twice.any():
        raise TableError(f"scores: image {known['image'][twice].iloc[0]!r} belongs to more than one subject")
    names = pd.MultiIndex.from_frame(known[["dataset", "subject"]].drop_duplicates()).sort_values()
    groups = pd.concat([part.groups for part in parts], ignore_index=True)
    order = groups[by].sort_values(by, kind="stable").index.to_numpy()
    place, start, columns = np.argsort(order), 0, {}
    for part in parts:
        own = part.subjects.drop_duplicates("code").sort_values("code")[["dataset", "subject"]]
        codes = names.get_indexer(pd.MultiIndex.from_frame(own))
        for group, column in part.columns.items():
            columns[int(place[start + group])] = replace(column, subjects=codes[column.subjects])
        start += len(part.groups)
    return groups.iloc[order].reset_index(drop=True), dict(sorted(columns.items()))


def subjects_of(scores: pd.DataFrame, codes: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Each image once: dataset, image, subject (the image itself where that is the unit) and its `code`."""
    first = np.unique(codes["image"].to_numpy(), return_index=True)[1]
    images, subject = scores.iloc[first], unit if unit in scores.columns else "image"
    return pd.DataFrame(
        {
            "dataset": images["dataset"].to_numpy() if "dataset" in scores.columns else "",
            "image": images["image"].to_numpy(),
            "subject": images[subject].to_numpy(),
            "code": codes["subject"].to_numpy()[first],
        }
    )


def levels_of(scores: pd.DataFrame, strata: pd.DataFrame) -> pd.DataFrame:
    """(row, stratum, level): the levels of the rows of `scores` in `strata`, rows by their place."""
    keys = [name for name in ("dataset", "image", "model", "seed") if name in scores.columns]
    return with_levels(scores[keys].assign(row=np.arange(len(scores))), strata)[["row", *STRATUM]]


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


def _excluded(status: pd.Series, number: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """Per group, of the rows left out: how many there are, and why ('undefined: 3; not_applicable: 2')."""
    counts = pd.DataFrame({"group": number, "status": status.to_numpy(dtype=object)}).value_counts()
    counts = counts.reset_index().sort_values(["group", "count", "status"], ascending=[True, False, True])
    words = counts["status"].astype(str) + ": " + counts["count"].astype(str)
    return counts.groupby("group")["count"].sum(), words.groupby(counts["group"]).agg("; ".join)
