"""The study's answer in a few sentences, made from its numbers and from nothing else."""

from __future__ import annotations

import pandas as pd

from sightline import tables
from sightline.figures import rows, words
from sightline.report import classification_report
from sightline.report.chance import SIDES, lies
from sightline.report.facts import Plan

RANDOM = "random"  # the condition that has the same network untrained
SHARED = (
    "The map named is the configuration's first: model, method, reading. Other maps, metrics and groups are "
    "below."
)


def answer(
    summary: pd.DataFrame,
    classification: pd.DataFrame | None = None,
    comparisons: pd.DataFrame | None = None,
    *,
    plan: Plan | None = None,
    areas: rows.Areas | None = None,
    center_bias: str | None = None,
) -> list[str]:
    """One sentence for each reference, in the plan's order, then leaving the image out, and the models' AUC.

    Tables as in `tables`; `areas` gives (dataset, reference) the region's mean share of the area;
    `center_bias` as in `figures.intervals.draw`. Intervals decide: above, below, or not distinguishable.
    """
    plan = plan or Plan()
    frame = rows.overall(rows.with_center_bias(summary, center_bias)).dropna(subset=["mean", "low", "high"])
    frame = rows.arranged(frame, plan.places)
    pairs = tables.empty("comparisons") if comparisons is None else comparisons
    pairs = rows.with_center_bias(pairs[pairs["stratum"] == ""], center_bias)
    places = rows.places(frame)
    several = len({dataset for dataset, _ in places}) > 1
    sentences: list[str] = []
    for place in places:
        here, compared = rows.at(frame, place), rows.at(pairs, place)
        where = f"on {words.plain(place[0])}, " if several else ""
        area = (areas or {}).get(place)
        if words.is_region(here["metric"], place[1]):
            told = _region(here, compared, plan, area)
        else:
            told = _gaze(here, compared, plan)
        sentences += [(where + told)[0].upper() + (where + told)[1:]] if told else []
    sentences += _leaving_out(rows.overall(summary))
    if classification is not None:
        sentences += classification_report.answers(classification)
    return sentences or [
        "There is no score to answer with; the sections below say which inputs and scores are missing, "
        "and why."
    ]


def _clean(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["condition"] == "clean") | words.is_baseline(frame)]


def _maps(here: pd.DataFrame, plan: Plan, metric: str | None, condition: str = "clean") -> pd.DataFrame:
    """The maps' rows by one metric under one condition, the primary map first."""
    found = here[(here["metric"] == metric) & (here["condition"] == condition) & ~words.is_baseline(here)]
    order = {name: index for index, name in enumerate(plan.maps)}
    names = found[["model", "method", "reading"]].itertuples(index=False, name=None)
    return found.assign(order=[order.get(name, len(order)) for name in names]).sort_values(
        "order", kind="stable"
    )


def _gaze(here: pd.DataFrame, compared: pd.DataFrame, plan: Plan) -> str:
    """What readers and maps score against gaze: the primary map, and how many maps beat chance."""
    metric = words.main_metric(here["metric"])
    if metric is None:
        return ""
    chance = words.metric(metric).chance
    maps = _maps(here, plan, metric)
    readers = here[(here["method"] == "interobserver") & (here["metric"] == metric)]
    told = []
    if len(readers):
        side = f", {SIDES[lies(readers.iloc[0], chance)]}" if maps.empty else ""
        told.append(f"readers agree with one another at {words.estimate(readers.iloc[0])}{side}")
    if len(maps):
        primary = maps.iloc[0]
        beside = (
            f", which {_relation(primary, readers.iloc[0])} the readers' interval" if len(readers) else ""
        )
        told.append(f"{_name(primary)} has {words.estimate(primary)}{beside}")
        told += _random(here, compared, primary)
        told.append(_counts(here, plan, metric, chance))
    start = (
        f"against {words.plain(here['reference'].iloc[0])} ({words.metric(metric).title}, chance {chance:g})"
    )
    return f"{start}: {'; '.join(told)}." if told else ""


def _region(here: pd.DataFrame, compared: pd.DataFrame, plan: Plan, area: float | None) -> str:
    """How much of the primary map lies inside a region, beside the region's area and random weights."""
    metric = "mass_inside" if area is not None and "mass_inside" in set(here["metric"]) else None
    metric = metric or words.main_metric(here["metric"], here["reference"].iloc[0])
    maps = _maps(here, plan, metric)
    if maps.empty:
        return ""
    primary, region = maps.iloc[0], words.plain(here["reference"].iloc[0])
    if metric == "mass_inside":
        size = "" if area is None else f"{area:.2f}" if area >= 0.1 else words.short(area)
        share = f", whose share of the area is {size}" if size else ""
        told = [f"{_name(primary)} has {words.estimate(primary)} of its mass inside {region}{share}"]
    else:
        told = [
            f"{_name(primary)} has {words.metric(metric).title} {words.estimate(primary)} inside {region}"
        ]
    told += _random(here, compared, primary)
    for name in dict.fromkeys(
        ["mass_over_area", metric]
    ):  # beside each image's own area, where it was scored
        chance = area if name in words.AREA_METRICS else words.metric(name).chance
        if chance is not None and len(_maps(here, plan, name)):
            by = f"by {words.metric(name).title}, " if name != metric else ""
            told.append(by + _counts(here, plan, name, chance))
            break
    return f"{'; '.join(told)}."


def _name(row: pd.Series) -> str:
    """A row in running text: method, reading, model."""
    reading = f" ({words.plain(row['reading'])})" if row["reading"] else ""
    return f"{words.method(row['method'])}{reading} of {words.plain(row['model'])}"


def _relation(row: pd.Series, other: pd.Series) -> str:
    if row["high"] < other["low"]:
        return "lies below"
    return "lies above" if row["low"] > other["high"] else "overlaps"


def _random(here: pd.DataFrame, compared: pd.DataFrame, primary: pd.Series) -> list[str]:
    """The score of the primary map's network with random weights, and the paired difference to it."""
    same = here["condition"] == RANDOM
    for key in ("model", "method", "reading", "metric"):
        same &= here[key] == primary[key]
    if not same.any():
        return []
    told = [f"with random weights {words.estimate(here[same].iloc[0])}"]
    name = f"{primary['method']}/{primary['reading']}@{primary['model']}"
    pair = compared[(compared["a"] == name) & (compared["b"] == f"{name}+{RANDOM}")]
    pair = pair[pair["metric"] == primary["metric"]].dropna(subset=["difference", "low", "high"])
    return [*told, *(f"paired difference {words.difference(row)}" for _, row in pair.head(1).iterrows())]


def _counts(here: pd.DataFrame, plan: Plan, metric: str, chance: float) -> str:
    """How many maps' intervals lie above, across and below chance; the same with random weights."""
    maps, random = (_maps(here, plan, metric, condition) for condition in ("clean", RANDOM))
    start = "it is " if len(maps) == 1 else f"of {len(maps)} maps "
    beside = f" (with random weights: {_sides(random, chance)})" if len(random) else ""
    return start + _sides(maps, chance) + beside


def _sides(maps: pd.DataFrame, chance: float) -> str:
    sides = maps.apply(lies, axis=1, value=chance).value_counts()
    if len(maps) == 1:
        return SIDES[sides.index[0]]
    return ", ".join(f"{sides[side]} {SIDES[side]}" for side in SIDES if side in sides)


def leaving_out(summary: pd.DataFrame, metric: str) -> pd.Series:
    """The change of a shuffled metric's means from the pooled center bias to the one without the image.

    Index: dataset, model, condition, method, reading, reference; without noise and the center bias itself.
    """
    known = _clean(summary).dropna(subset=["mean"])
    known = known[(known["metric"] == metric) & ~words.of_center_bias(known)]
    part = known.set_index(["dataset", "model", "condition", "method", "reading", "reference"])
    wide = {name: part.loc[part["center_bias"] == name, "mean"] for name in ("none", "image")}
    return (wide["image"] - wide["none"]).dropna()


def _leaving_out(summary: pd.DataFrame) -> list[str]:
    for metric in ("sauc", "sncc"):
        change = leaving_out(summary, metric)
        if change.empty:
            continue
        low, high = plus(change.min()), plus(change.max())
        amount = low if low == high else f"{low} to {high} (mean {plus(change.mean())})"
        over = "maps and baselines" if len(change) > 1 else "map or baseline"
        return [
            f"Leaving the image out of its own center bias changes {words.metric(metric).title} by {amount}, "
            f"over {len(change)} {over}."
        ]
    return []


def plus(value: float) -> str:
    """A change with its sign and three decimals."""
    text = words.signed(value, 3)
    return text if text[0] == "\N{MINUS SIGN}" or float(text) == 0 else f"+{text}"
