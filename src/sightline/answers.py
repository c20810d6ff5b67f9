"""The study's answer in sentences, made from its numbers and from nothing else."""

from __future__ import annotations

import pandas as pd

from sightline.figures import rows, words

MAIN = ("sauc", "auc", "sncc", "ncc")  # the metric that the first sentence speaks of: the first there is


def answer(
    summary: pd.DataFrame,
    classification: pd.DataFrame | None = None,
    *,
    areas: rows.Areas | None = None,
    center_bias: str | None = None,
) -> list[str]:
    """Sentences that answer: nearest to the readers? above chance? inside the region? what does leaving out
    change?

    `summary` and `classification` as in `tables`; `areas` gives (dataset, reference) the region's mean share
    of the area; `center_bias` as in `figures.intervals.draw`. Intervals decide: above, below, or not
    distinguishable.
    """
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    places = frame[rows.PLACE].drop_duplicates().sort_values(rows.PLACE)
    sentences: list[str] = []
    for dataset, reference in places.itertuples(index=False):
        here = frame[(frame["dataset"] == dataset) & (frame["reference"] == reference)]
        where = f"On {words.plain(dataset)}, " if places["dataset"].nunique() > 1 else ""
        sentences += [
            *_against_readers(here, where),
            *_in_region(here, where, (areas or {}).get((dataset, reference))),
        ]
    sentences += _leaving_out(rows.overall(summary))
    if classification is not None:
        sentences += _classifies(classification)
    return [sentence[0].upper() + sentence[1:] for sentence in sentences] or [
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


def _against_readers(here: pd.DataFrame, where: str) -> list[str]:
    known = _clean(here).dropna(subset=["mean", "low", "high"])
    metric = next((name for name in MAIN if (known["metric"] == name).any()), None)
    if metric is None:
        return []
    known = known[known["metric"] == metric]
    title, chance = words.metric(metric).title, words.metric(metric).chance
    readers = known[known["method"] == "interobserver"]
    maps = known[~words.is_baseline(known)].sort_values("mean", ascending=False)
    sentences = []
    if len(readers):
        reader = readers.iloc[0]
        sentences.append(
            f"{where}readers agree with one another at {title} {words.estimate(reader)}, "
            f"{_told(reader, chance)}."
        )
    if len(maps) and len(readers):
        best = maps.loc[(maps["mean"] - reader["mean"]).abs().idxmin()]
        overlap = "overlaps" if best["low"] <= reader["high"] and best["high"] >= reader["low"] else ""
        relation = overlap or ("lies below" if best["high"] < reader["low"] else "lies above")
        sentences.append(
            f"{where}{_name(best)} comes nearest to the agreement between readers: {title} "
            f"{words.estimate(best)}; "
            ""
            f"its interval {relation} theirs."
        )
    return sentences + ([where + _above_chance(maps, title, chance)] if len(maps) else [])


def _told(row: pd.Series, chance: float) -> str:
    return {
        "above": f"above chance ({chance:g})",
        "below": f"below chance ({chance:g})",
        "across": f"not distinguishable from chance ({chance:g})",
    }[_side(row, chance)]


def _above_chance(maps: pd.DataFrame, title: str, chance: float) -> str:
    """How many maps' intervals lie above, across and below chance, with their names, or the range of their
    means."""
    sides = maps.apply(_side, axis=1, value=chance)
    told = {"above": "above chance", "across": "not distinguishable from chance", "below": "below chance"}
    parts = []
    for side, text in told.items():
        found = maps[sides == side]
        names = [f"{_name(row)} {words.estimate(row)}" for _, row in found.iterrows()]
        if len(names) > 3:
            names = [f"from {names[0]} to {names[-1]}"]
        if names:
            parts.append(f"{len(found)} {text} ({'; '.join(names)})")
    return f"by the interval of their {title} (chance {chance:g}), of {len(maps)} maps {_and(parts)}."


def _and(parts: list[str]) -> str:
    verbs = [
        f"{part.split(' ', 1)[0]} {'is' if part.startswith('1 ') else 'are'} {part.split(' ', 1)[1]}"
        for part in parts
    ]
    return verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"


def _in_region(here: pd.DataFrame, where: str, area: float | None) -> list[str]:
    """A sentence per map: its mass (or hits, where no mass is scored) against the region's area and random
    weights."""
    maps = here[~words.is_baseline(here)].dropna(subset=["mean", "low", "high"])
    metric = next((name for name in words.AREA_METRICS if (maps["metric"] == name).any()), "")
    sentences = []
    for _, row in maps[(maps["condition"] == "clean") & (maps["metric"] == metric)].iterrows():
        region = words.plain(row["reference"])
        does = (
            f"puts {words.estimate(row)} of its mass inside {region}"
            if metric == "mass_inside"
            else f"has its maximum inside {region} in {words.estimate(row)} of the images (a share)"
        )
        text = f"{where}{_name(row)} {does}"
        if area is not None:
            told = {"above": "more than", "below": "less than", "across": "not distinguishable from"}[
                _side(row, area)
            ]
            text += f", {told} the {area:.2f} of the area that {region} {_cover(region)}"
        sentences.append(text + _beside_random(maps, row) + ".")
    return sentences


def _cover(region: str) -> str:
    return "cover" if region.endswith("s") else "covers"


def _beside_random(maps: pd.DataFrame, row: pd.Series) -> str:
    same = maps["condition"].str.startswith("random")
    for column in ("model", "method", "reading", "metric"):
        same &= maps[column] == row[column]
    if not same.any():
        return ""
    other = maps[same].iloc[0]
    apart = row["low"] > other["high"] or row["high"] < other["low"]
    relation = "the intervals do not overlap" if apart else "the intervals overlap"
    return f"; with random weights it is {words.estimate(other)}: {relation}"


def _leaving_out(summary: pd.DataFrame) -> list[str]:
    """The change of the first shuffled metric from the pooled center bias to the one without the image."""
    known = _clean(summary).dropna(subset=["mean"])
    key = ["dataset", "model", "condition", "method", "reading", "reference"]
    for metric in ("sauc", "sncc"):
        part = known[known["metric"] == metric].set_index(key)
        wide = {name: part.loc[part["center_bias"] == name, "mean"] for name in ("none", "image")}
        change = (wide["image"] - wide["none"]).dropna()
        change = change[~change.index.get_level_values("method").isin(["uniform_noise", "center_bias"])]
        if change.empty:
            continue
        low, high = change.min(), change.max()
        title = words.metric(metric).title
        amount = _plus(low) if _plus(low) == _plus(high) else f"{_plus(low)} to {_plus(high)}"
        mean = "" if _plus(low) == _plus(high) else f", {_plus(change.mean())} on average"
        return [
            f"leaving the image out of its own center bias changes {title} by {amount}{mean} "
            f"({len(change)} maps and baselines; differences of means, on the same images)."
        ]
    return []


def _plus(value: float) -> str:
    text = words.signed(value, 3)
    return text if text[0] == "\N{MINUS SIGN}" or float(text) == 0 else f"+{text}"


def _classifies(classification: pd.DataFrame) -> list[str]:
    frame = classification[(classification["label"] == "mean") & (classification["condition"] == "clean")]
    frame = frame.dropna(subset=["auc"]).rename(columns={"auc": "mean"}).sort_values("mean", ascending=False)
    if frame.empty:
        return []
    several = frame["dataset"].nunique() > 1
    parts = [
        f"{words.plain(row['model'])}{' on ' + words.plain(row['dataset']) if several else ''} "
        f"{words.estimate(row)}"
        for _, row in frame.iterrows()
    ]
    return [f"the models' mean AUC over labels is: {'; '.join(parts)}."]
