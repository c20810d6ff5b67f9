"""The page's tables: finished text in a reader's order, with the digits that intervals support."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

import pandas as pd

from sightline.figures import rows, style, words
from sightline.report import answers
from sightline.report.page import Table


def scores_tables(summary: pd.DataFrame, center_bias: str | None = None) -> list[Table]:
    """A table per dataset and reference: every map and baseline, best first by its main metric."""
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    several = frame["dataset"].nunique() > 1
    return [
        _scores(rows.at(frame, place), place, (f"{words.plain(place[0])}, a" if several else "A"))
        for place in rows.places(frame)
    ]


def _scores(here: pd.DataFrame, place: tuple[str, str], start: str) -> Table:
    main = words.main_metric(here["metric"], place[1]) or ""
    metrics = words.ordered(here["metric"], [main, *words.METRICS])  # the sorting one first
    in_region, order = words.is_region(metrics, place[1]), style.methods(here["method"])
    found = []
    for key, part in here.groupby(["model", "method", "reading", "condition"]):
        mean = part.set_index("metric")["mean"].get(main, float("nan"))
        cells = {row["metric"]: words.estimate(row) for _, row in part.iterrows()}
        sort = (pd.isna(mean), 0.0 if pd.isna(mean) else -mean, order.index(key[1]), key)
        found.append((sort, _named(key, part, in_region) | _cells(cells, metrics) | _counted(part)))
    frame = pd.DataFrame([row for _, row in sorted(found, key=lambda pair: pair[0])])
    complete = (frame[LEFT_OUT] == "0").all()
    lost = words.explained(here["excluded_why"])
    caption = (
        f"{start}gainst {words.plain(place[1])}: which maps score best? Mean and interval per metric, best "
        f"first by {words.metric(main).title}, with baselines among them. "
        f"Intervals: {words.made_by(here)}. n: images"
        + (" × seeds." if (~words.is_baseline(here)).any() else ".")
        + ("" if complete else f" {LEFT_OUT}, in the metric that lost most: {lost}.")
    )
    return Table(caption, frame.drop(columns=LEFT_OUT) if complete else frame, frozenset({*NAMES, LEFT_OUT}))


NAMES, LEFT_OUT = ("Map", "Model"), "Scores left out"


def _named(key: tuple[str, str, str, str], part: pd.DataFrame, in_region: bool) -> dict[str, str]:
    """A row's names: method and reading; model and condition."""
    model, method, reading, condition = key
    made = words.method(method, in_region) + (f", {words.plain(reading)}" if reading else "")
    if words.is_baseline(part).iloc[0]:
        return dict(zip(NAMES, (made, "baseline")))
    altered = "" if condition == "clean" else f", {words.condition(condition)}"
    return dict(zip(NAMES, (made, words.plain(model) + altered)))


def _cells(cells: dict[str, str], metrics: list[str]) -> dict[str, str]:
    return {words.metric(name).title: cells.get(name, "") for name in metrics}


def _counted(part: pd.DataFrame) -> dict[str, str]:
    """n, and what was left out of the metric that lost most: "10 not applicable; 2 undefined"."""
    worst = part.loc[part["excluded"].idxmax()]
    left = re.sub(
        r"(\w+): (\d+)", lambda found: f"{int(found[2]):,} {words.plain(found[1])}", worst["excluded_why"]
    )
    seeds = "" if words.is_baseline(part).iloc[0] else f" × {part['seeds'].max()}"
    return {"n": f"{part['images'].max():,}{seeds}", LEFT_OUT: left if worst["excluded"] else "0"}


def leave_out_table(summary: pd.DataFrame) -> list[Table]:
    """What leaving the image out changes: a row per map or baseline, a column per center bias."""
    frame = rows.overall(summary)
    clean = (frame["condition"] == "clean") | words.is_baseline(frame)
    frame = frame[clean & (frame["center_bias"] != "") & ~words.of_center_bias(frame)]
    if frame["center_bias"].nunique() < 2:
        return []
    titles = {"none": "Pooled", "image": "Without the image", "subject": "Without the subject"}
    ways = words.ordered(frame["center_bias"], titles)
    order, found = style.methods(frame["method"]), []
    keys = ["dataset", "reference", "metric", "model", "method", "reading"]
    for key, part in frame.groupby(keys):
        cells = {row["center_bias"]: words.estimate(row) for _, row in part.iterrows()}
        means = part.set_index("center_bias")["mean"]
        change = means.get("image", float("nan")) - means.get("none", float("nan"))
        name = _named((key[3], key[4], key[5], "clean"), part, False)
        row = {"Dataset": words.plain(key[0]), "Metric": words.metric(key[2]).title} | name
        row |= {titles.get(way, words.plain(way)): cells.get(way, "") for way in ways}
        row["Change"] = "undefined" if pd.isna(change) else answers.plus(change)
        sort = (*key[:3], key[3] != "", key[3], order.index(key[4]), key[5])
        found.append((sort, row))
    table = pd.DataFrame([row for _, row in sorted(found, key=lambda pair: pair[0])])
    if table["Dataset"].nunique() == 1:
        table = table.drop(columns="Dataset")
    caption = (
        "What does leaving the image out of its own center bias change? Means and intervals "
        f"({words.made_by(frame)}); change: the mean without the image less the pooled one."
    )
    return [Table(caption, table, frozenset({"Dataset", "Metric", *NAMES}))]


def comparisons_tables(comparisons: pd.DataFrame) -> list[Table]:
    """One table per family of tests, by reference, metric and p."""
    return [_compared(family, part) for family, part in comparisons.groupby("family")]


def _compared(family: str, part: pd.DataFrame) -> Table:
    averaged = bool(part["test"].str.contains("seeds averaged").any() and (part["seeds"] > 1).any())
    metrics = words.ordered(part["metric"], words.METRICS)
    places = rows.places(part)
    part = part.assign(
        place=[places.index(place) for place in part[rows.PLACE].itertuples(index=False, name=None)],
        order=part["metric"].map(metrics.index),
    ).sort_values(["place", "order", "p_corrected", "a", "b", "level"], na_position="last")
    frame = pd.DataFrame(
        {
            "Dataset": part["dataset"].map(words.plain),
            "Reference": part["reference"].map(words.plain),
            "Metric": [words.metric(name).title for name in part["metric"]],
            "Center bias": part["center_bias"].map(lambda name: words.CENTER_BIAS.get(name, name)),
            "Group": part["level"],
            "First": part["a"].map(words.side),
            "Second": part["b"].map(words.side),
            "Difference": [words.difference(row) for _, row in part.iterrows()],
            "p for these seeds" if averaged else "p": [_probability(value) for value in part["p_corrected"]],
            "Images": [f"{value:,}" for value in part["images"]],
        }
    )
    idle = [name for name in ("Dataset", "First", "Second", "Images") if frame[name].nunique() == 1]
    idle += ["Center bias"] if (part["center_bias"].replace("", pd.NA).dropna().nunique()) < 2 else []
    idle += ["Group"] if not part["level"].str.len().any() else []
    same = "".join(
        f" {name}: {frame[name].iloc[0]}." for name in ("First", "Second", "Images") if name in idle
    )
    caption = _comparison_caption(family, part, same)
    left = frozenset({"Dataset", "Reference", "Metric", "Center bias", "Group", "First", "Second"})
    return Table(caption, frame.drop(columns=idle), left)


def _comparison_caption(family: str, part: pd.DataFrame, same: str) -> str:
    """The question, what all rows of a family share (`same`), and how intervals and p were made."""
    return (
        f"Is the difference more than chance? Family '{words.plain(family)}': first minus second on the same "
        f"images.{same} Intervals: {words.made_by(part)}. "
        f"Test: {words.made_by(part.assign(interval=part['test']))}; p corrected within the {len(part)} of "
        "the family."
    )


def contrasts_tables(
    contrasts: pd.DataFrame, summary: pd.DataFrame, center_bias: str | None = None
) -> list[Table]:
    """A table per dataset and reference: each map where the model is right and wrong, and the difference."""
    known = rows.with_center_bias(contrasts, center_bias)
    known = known[(known["stratum"] == OF_PREDICTIONS) & (known["reference"] != "")]
    known = known[known["metric"].isin(CONTRASTED) & (known["condition"] == "clean")]
    found = rows.with_center_bias(summary, center_bias)
    found = found[found["stratum"] == OF_PREDICTIONS]
    return [_contrasted(rows.at(known, place), rows.at(found, place), place) for place in rows.places(known)]


OF_PREDICTIONS = "prediction"  # the stratum that depends on the model
CONTRASTED = ("sauc", "mass_inside", "pointing_game", "iou_quantile")  # table contrasts has all metrics
OF_MAP = ["model", "condition", "method", "reading", "metric"]


def _contrasted(here: pd.DataFrame, levels: pd.DataFrame, place: tuple[str, str]) -> Table:
    """The main metric first, models and methods in the figures' order."""
    told = {tuple(row[[*OF_MAP, "level"]]): words.estimate(row) for _, row in levels.iterrows()}
    metrics = words.ordered(
        here["metric"], [words.main_metric(here["metric"], place[1]) or "", *words.METRICS]
    )
    order, found = style.methods(here["method"]), []
    for _, row in here.iterrows():
        key = tuple(row[OF_MAP])
        names = _named((key[0], key[2], key[3], key[1]), row.to_frame().T, True)
        found.append(
            (
                (metrics.index(row["metric"]), key[0], order.index(key[2]), key[3]),
                {"Metric": words.metric(row["metric"]).title, **names}
                | {level.capitalize(): told.get((*key, level), "") for level in (row["first"], row["second"])}
                | {"Difference": words.difference(row) if row["status"] == "ok" else f"none: {row['reason']}"}
                | {"Images": f"{row['images_first']:,} and {row['images_second']:,}"},
            )
        )
    frame = pd.DataFrame([row for _, row in sorted(found, key=lambda pair: pair[0])])
    caption = (
        f"{words.plain(place[0])}, against {words.plain(place[1])}: do maps differ between images about "
        "which the model is right and wrong? Means with intervals, their difference over seeds and subjects "
        f"({words.made_by(here)}); images that have the level under any seed, unaltered."
    )
    return Table(caption, frame, frozenset({"Metric", *NAMES}))


def _probability(value: float) -> str:
    if pd.isna(value):
        return "undefined"
    return (
        "< 0.001" if value < 0.001 else f"{min(1.0, value):.3f}" if value < 0.1 else f"{min(1.0, value):.2f}"
    )


def cohort_table(cohort: pd.DataFrame) -> Table:
    """What every filter left, in the order of the filters."""
    order = {"training": 0, "evaluation": 1}
    frame = cohort.assign(
        order=cohort["flow"].map(order).fillna(2), place=pd.factorize(cohort["dataset"])[0]
    ).sort_values(["place", "order", "flow", "step"])
    result = pd.DataFrame(
        {
            "Dataset": frame["dataset"].map(words.plain),
            "Purpose": frame["flow"].map(words.plain),
            "Kept": frame["filter"],
            "Images": [f"{value:,}" for value in frame["images"]],
            "Subjects": [f"{value:,}" for value in frame["subjects"]],
        }
    )
    return Table("Images and subjects after every filter.", result, frozenset({"Dataset", "Purpose", "Kept"}))


def skipped_table(skipped: pd.DataFrame, free: Collection[str] = ()) -> Table:
    """How many inputs were refused, and why, most first; never which (a page may leave the disk).

    Of datasets that are not `free` to be passed on, reasons stand without what they quote, paths and numbers.
    """
    reasons = [
        named if row.dataset in free else _wordy(named)
        for row in skipped.itertuples()
        for named in [_nameless(row.reason, row.item, row.path)]
    ]
    counts = (
        skipped.assign(reason=reasons)
        .groupby(["dataset", "stage", "reason"])
        .size()
        .reset_index(name="inputs")
    )
    counts = counts.sort_values(["inputs", "dataset", "stage", "reason"], ascending=[False, True, True, True])
    frame = pd.DataFrame(
        {
            "Dataset": counts["dataset"].map(words.plain),
            "Stage": counts["stage"].map(words.plain),
            "Reason": counts["reason"],
            "Inputs": [f"{value:,}" for value in counts["inputs"]],
        }
    )
    caption = "Inputs that were refused, and why. The table 'skipped' beside the results names each."
    return Table(caption, frame, frozenset({"Dataset", "Stage", "Reason"}))


NAMING = re.compile(
    r"""(?<!\w)(['"]).*?\1(?!\w)|[^\s()]*(?:[/\\\d]|\w\.\w)[^\s()]*""", re.DOTALL
)  # quoted; path, number


def _wordy(reason: str) -> str:
    """A reason in its own words alone: what it quotes, paths and numbers become three dots."""
    return re.sub(r"\.\.\.(?:[\s,x]+\.\.\.)+", "...", NAMING.sub("...", reason))


def _nameless(reason: str, item: str, path: str) -> str:
    """A reason without the names of its file and item, so that equal reasons are counted together."""
    for name in sorted(
        {path, item, PurePosixPath(path).name, PurePosixPath(path).stem} - {"", "."}, key=len, reverse=True
    ):
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(input)", reason)
    return reason
