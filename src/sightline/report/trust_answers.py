"""Whether the maps can be trusted, in a few sentences made from numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from sightline.figures import style, trust, words

ALIKE = 0.5  # rank correlation with the map of the untrained network: above, most of the map is not learned
FOLLOWS = ("deletion", "insertion", "road", "infidelity_scaled")  # probes of how a map follows the model
STEADY = ("sensitivity_max",)  # probes of how it changes where the image hardly does


def answers(
    asked: Sequence[trust.Asked], summary: pd.DataFrame, agreements: pd.DataFrame, maps: pd.DataFrame
) -> list[str]:
    """Sentences on what is asked, dataset by model: random weights, probes, identities, what did not fit.

    Tables `summary`, `agreement_summary`, `map_summary`. Intervals decide where there are intervals; of gaps,
    the median over maps.
    """
    sentences: list[str] = []
    for one in asked:
        columns = {column.key: column for column in trust.columns(one, summary, agreements, maps)}
        told = [
            *_random(columns.get(trust.RANDOM)),
            *_probes("Which maps follow the model best", columns, FOLLOWS),
            *_probes("Which change least where the image hardly changes", columns, STEADY),
            *_steady(trust.altered(one, agreements)),
            *_gaps(columns.get(trust.GAP)),
            *_lost(one, maps),
        ]
        about = f"{words.plain(one.model)} on {words.plain(one.dataset)}: " if len(asked) > 1 else ""
        sentences += [about + sentence if about else sentence for sentence in told]
    return sentences


def _random(column: trust.Column | None) -> list[str]:
    """Which maps change with random weights, by the interval of the rank correlation, and which turn over."""
    if column is None:
        return []
    marks = column.marks.dropna(subset=["mean", "low", "high"])
    parts = {
        ("changes", "change"): marks[(marks["high"] < ALIKE) & (marks["low"] > -ALIKE)],
        ("stays", "stay"): marks[marks["low"] > ALIKE],
        ("turns its sign", "turn their sign"): marks[marks["high"] < -ALIKE],
    }
    taken = [index for part in parts.values() for index in part.index]
    between = marks[~marks.index.isin(taken)]
    told = [
        f"the map of {_valued(part)} {one}" if len(part) == 1 else f"the maps of {_valued(part)} {several}"
        for (one, several), part in parts.items()
        if len(part)
    ]
    told += [f"of {_valued(between)} the interval does not say"] if len(between) else []
    if not told:
        return []
    owed = len(marks) > len(next(iter(parts.values()))) + len(between)
    start = (
        "With random weights (Spearman with the trained network's map within, above or below "
        f"\N{PLUS-MINUS SIGN}{ALIKE:g})"
    )
    end = (
        ". What does not change owes more to image and architecture than to what was learned."
        if owed
        else "."
    )
    return [f"{start}: {'; '.join(told)}{end}"]


def _probes(start: str, columns: Mapping[str, trust.Column], names: Sequence[str]) -> list[str]:
    """Which method is best by each of the probes `names`, and whose intervals overlap with its."""
    told = []
    for column in [columns[name] for name in names if name in columns]:
        marks = column.marks.dropna(subset=["mean", "low", "high"])
        if len(marks) < 2:
            continue
        best = marks.loc[marks["mean"].idxmin() if column.better == "low" else marks["mean"].idxmax()]
        near = marks[(marks["low"] <= best["high"]) & (marks["high"] >= best["low"])].drop(index=best.name)
        if len(near) == len(marks) - 1:
            span = f"{words.signed(marks['mean'].min(), 2)} to {words.signed(marks['mean'].max(), 2)}"
            told.append(
                f"by {column.panel.title} none stands out ({span}; all intervals overlap the best one's)"
            )
            continue
        beside = f" (intervals that overlap: {_names(near)})" if len(near) else ""
        value = words.estimate(best.to_dict() | {"metric": column.key})
        told.append(f"by {column.panel.title}, {words.method(best['method'])} with {value}{beside}")
    return [f"{start}: {'; '.join(told)}."] if told else []


def _steady(cells: pd.DataFrame) -> list[str]:
    """Whose maps change least and most where images are altered, and which transformation changes most."""
    whole = trust.complete(cells)
    ways = whole["altered"].nunique()
    by_method, by_way = trust.margin(whole, "method"), trust.margin(whole, "altered")
    if by_method.empty:
        return []
    what = "the transformation" if ways == 1 else f"{ways} transformations"
    start = f"Under {what} of the image (mean Spearman with the map of the unaltered one)"
    order = by_method.sort_values("mean", ascending=False, kind="stable")
    best = order.iloc[0]
    told = [f"{_ranked(order, 0)}"]
    if len(order) > 1:
        near = order.iloc[1:][order.iloc[1:]["high"] >= best["low"]]
        beside = f" (intervals that overlap: {listed(map(words.method, near.index))})" if len(near) else ""
        told = [f"the maps of {told[0]} change least{beside}, those of {_ranked(order, -1)} most"]
    if ways > 1:
        hard = by_way.sort_values("mean", kind="stable")
        most, least = (_ranked(hard, at, words.condition) for at in (0, -1))
        told.append(f"{most} changes maps most, {least} least")
    return [f"{start}: {'; '.join(told)}."]


def _ranked(order: pd.DataFrame, at: int, name: Callable[[str], str] = words.method) -> str:
    row = order.iloc[at]
    return f"{name(order.index[at])} ({words.number(row['mean'], row['low'], row['high'])})"


def _gaps(column: trust.Column | None) -> list[str]:
    """For which methods the own identity holds, in the median over maps."""
    if column is None:
        return []
    marks = column.marks.dropna(subset=["mean"])
    held, apart = marks[~marks["apart"].astype(bool)], marks[marks["apart"].astype(bool)]
    told = []
    for identity, part in held.groupby("note", sort=False):
        fine, broken = part[part["mean"] <= trust.TOLERANCE], part[part["mean"] > trust.TOLERANCE]
        halves = [f"holds to {100 * trust.TOLERANCE:g} % for {_names(fine)}"] if len(fine) else []
        verb = "does not" if halves else f"does not hold to {100 * trust.TOLERANCE:g} %"
        halves += [f"{verb} for {_gapped(broken)}"] if len(broken) else []
        told.append(f"{identity} {', '.join(halves)}")
    sentences = [f"In the median over maps, {'; '.join(told)}."] if told else []
    if len(apart):
        sentences.append(
            f"{_gapped(apart)}: the map's distance from the plain gradient, relative to it; no identity says "
            "how much of that is right."
        )
    return sentences


def _lost(asked: trust.Asked, maps: pd.DataFrame) -> list[str]:
    """Which methods have no map and why; of which some maps failed or are zero everywhere."""
    lost = trust.lost(asked, maps)
    told = [f"No map of {words.method(name)}, {lost[name]}." for name in style.methods(lost)]
    part = trust.here(asked, maps)
    for column, said in (("failed", "failed"), ("all_zero", "are zero everywhere")):
        some = part[(part["ok"] > 0) & (part[column] > 0)]
        counts = [
            f"{words.method(row['method'])} {row[column]:,} of {row['maps']:,}"
            for _, row in _sorted(some).iterrows()
        ]
        told += [f"Maps that {said}: {', '.join(counts)}."] if counts else []
    return told


# ---- words


def _sorted(marks: pd.DataFrame) -> pd.DataFrame:
    order = style.methods(marks["method"])
    return marks.iloc[sorted(range(len(marks)), key=lambda at: order.index(marks["method"].iloc[at]))]


def _names(marks: pd.DataFrame) -> str:
    return listed(words.method(name) for name in style.methods(marks["method"]))


def _valued(marks: pd.DataFrame) -> str:
    """The methods with their means, the nearest to 0 first."""
    order = marks.sort_values("mean", key=abs, kind="stable")
    return listed(
        f"{words.method(row['method'])} ({words.number(row['mean'], row['low'], row['high'])})"
        for _, row in order.iterrows()
    )


def _gapped(marks: pd.DataFrame) -> str:
    return listed(
        f"{words.method(row['method'])} ({words.signed(row['mean'], 2)})"
        for _, row in _sorted(marks).iterrows()
    )


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
