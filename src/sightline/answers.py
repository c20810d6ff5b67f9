"""The study's answer in a few sentences, made from its numbers and from nothing else."""

from __future__ import annotations

import pandas as pd

from sightline.figures import rows, words

GAZE, REGION = ("sauc", "sncc", "auc", "ncc"), ("mass_over_area", "mass_inside", "pointing_game", "auc")
SIDES = {"above": "above chance", "across": "not distinguishable from chance", "below": "below chance"}
SHARED = "One metric speaks for each reference here; the other metrics, all readings and groups are below."


def main_metric(metrics: pd.Series, reference: str = "") -> str | None:
    """The metric that speaks for a reference: the first there is of those for gaze, or for a region."""
    known = REGION if words.is_region(metrics, reference) else GAZE
    found = set(metrics)
    return next((name for name in known if name in found), None)


def answer(
    summary: pd.DataFrame,
    classification: pd.DataFrame | None = None,
    comparisons: pd.DataFrame | None = None,
    *,
    areas: rows.Areas | None = None,
    center_bias: str | None = None,
) -> list[str]:
    """One sentence for each reference, then random weights, leaving the image out, and the models' AUC.

    Tables as in `tables`; `areas` gives (dataset, reference) the region's mean share of the area;
    `center_bias` as in `figures.intervals.draw`. Intervals decide: above, below, or not distinguishable.
    """
    frame = rows.overall(rows.with_center_bias(summary, center_bias)).dropna(subset=["mean", "low", "high"])
    main = {place: main_metric(rows.at(frame, place)["metric"], place[1]) for place in rows.places(frame)}
    several = len({dataset for dataset, _ in main}) > 1
    sentences: list[str] = []
    for place, metric in main.items():
        if metric is not None:
            here = rows.at(frame, place)
            in_region = words.is_region(here["metric"], place[1])
            here = here[here["metric"] == metric]
            sentences += _reference(here, in_region, several, (areas or {}).get(place))
    if comparisons is not None:
        sentences += _beside_random(rows.with_center_bias(comparisons, center_bias), main, several)
    sentences += _leaving_out(rows.overall(summary))
    if classification is not None:
        sentences += _classifies(classification)
    return sentences or [
        "There is no score to answer with; the sections below say which inputs and scores are missing, "
        "and why."
    ]


def _clean(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["condition"] == "clean") | words.is_baseline(frame)]


def _name(row: pd.Series) -> str:
    """A row in running text: method, reading, model."""
    reading = f" ({words.plain(row['reading'])})" if row["reading"] else ""
    return f"{words.method(row['method'])}{reading} of {words.plain(row['model'])}"


def _side(row: pd.Series, value: float) -> str:
    """Where the interval lies: above, below or across `value`."""
    if row["low"] > value:
        return "above"
    return "below" if row["high"] < value else "across"


def _reference(here: pd.DataFrame, in_region: bool, several: bool, area: float | None) -> list[str]:
    """What the maps score against one reference by one metric: the best of them, and how many beat chance.

    The best is the map with the highest lower end of its interval.
    """
    known, first = _clean(here), here.iloc[0]
    chance = area if first["metric"] in words.AREA_METRICS else words.metric(first["metric"]).chance
    maps = known[~words.is_baseline(known)].sort_values(["low", "mean"], ascending=False)
    readers = known[(known["method"] == "interobserver") & (not in_region)]
    told = []
    if len(readers):
        reader = readers.iloc[0]
        place = "" if len(maps) or chance is None else f", {SIDES[_side(reader, chance)]}"
        told.append(f"readers agree with one another at {words.estimate(reader)}{place}")
    if len(maps):
        best = maps.iloc[0]
        place = f", which {_relation(best, readers.iloc[0])} the readers' interval" if len(readers) else ""
        told.append(
            f"the {'best ' if len(maps) > 1 else ''}map, {_name(best)}, has {words.estimate(best)}{place}"
        )
        told += [_counts(maps, chance)] if chance is not None else []
    return [f"{_start(first, in_region, several, chance)}: {'; '.join(told)}."] if told else []


def _start(row: pd.Series, in_region: bool, several: bool, chance: float | None) -> str:
    """What a sentence speaks of: "Against gaze (sAUC, chance 0.5)"."""
    measure = words.metric(row["metric"])
    even = "chance" if measure.chance is not None else "share of the area"
    level = "" if chance is None else f", {even} {f'{chance:.2f}'.rstrip('0').rstrip('.')}"
    where = f"On {words.plain(row['dataset'])}, " if several else ""
    text = f"{where}{'inside' if in_region else 'against'} {words.plain(row['reference'])}"
    text = f"{text} ({measure.title}{level})"
    return text[0].upper() + text[1:]


def _relation(row: pd.Series, other: pd.Series) -> str:
    if row["high"] < other["low"]:
        return "lies below"
    return "lies above" if row["low"] > other["high"] else "overlaps"


def _counts(maps: pd.DataFrame, chance: float) -> str:
    """How many maps' intervals lie above, across and below chance."""
    sides = maps.apply(_side, axis=1, value=chance).value_counts()
    if len(maps) == 1:
        return f"it is {SIDES[sides.index[0]]}"
    return f"of {len(maps)} maps " + ", ".join(
        f"{sides[side]} {SIDES[side]}" for side in SIDES if side in sides
    )


def _beside_random(comparisons: pd.DataFrame, main: dict, several: bool) -> list[str]:
    """The paired differences between trained and random weights, by the metric of each reference."""
    known = comparisons[(comparisons["stratum"] == "") & (comparisons["b"] == comparisons["a"] + "+random")]
    known = known.dropna(subset=["difference", "low", "high"])
    known = known[[main.get((row.dataset, row.reference)) == row.metric for row in known.itertuples()]]
    if known.empty:
        return []
    sides = known.apply(_side, axis=1, value=0.0).value_counts()
    told = {"above": "higher", "across": "not distinguishable", "below": "lower"}
    counts = ", ".join(f"{sides[side]} {text}" for side, text in told.items() if side in sides)
    best = known.sort_values(["low", "difference"], ascending=False).iloc[0]
    where = f"{words.plain(best['dataset'])}, " if several else ""
    amount = words.number(best["difference"], best["low"], best["high"])
    amount = amount if amount[0] == "\N{MINUS SIGN}" or not best["difference"] > 0 else f"+{amount}"
    change = f"{words.metric(best['metric']).title} {amount} "
    change += words.interval(best["low"], best["high"], best["metric"], difference=True)
    return [
        f"Trained against random weights, on the same images: of {len(known)} differences {counts}; the "
        f"highest is that of {words.side(best['a'])}, {where}{words.plain(best['reference'])}: {change}."
    ]


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


def _classifies(classification: pd.DataFrame) -> list[str]:
    frame = classification[(classification["label"] == "mean") & (classification["condition"] == "clean")]
    frame = frame.dropna(subset=["auc"]).sort_values("auc", ascending=False)
    if frame.empty:
        return []
    several = frame["dataset"].nunique() > 1
    parts = [
        f"{words.plain(row['model'])}{' on ' + words.plain(row['dataset']) if several else ''} "
        f"{words.estimate(row, 'auc')}, {SIDES[_side(row, 0.5)]}"
        for _, row in frame.iterrows()
    ]
    return [f"The models' mean AUC over labels: {'; '.join(parts)}."]
