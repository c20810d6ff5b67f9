"""Whether the maps can be trusted, in a few sentences made from numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from sightline.figures import style, trust, words

ALIKE = 0.5  # rank correlation with the map of the untrained network: above, most of the map is not learned
SAYS = (  # of the probes: how a method that is best by one is told of
    ("deletion", "low"),
    ("insertion", "high"),
    ("road", "high"),
    ("sensitivity_max", "low"),
    ("infidelity_scaled", "low"),
)


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
            *_probes([columns[name] for name, _ in SAYS if name in columns]),
            *_gaps(columns.get(trust.GAP)),
            *_lost(one, maps),
        ]
        about = f"{words.plain(one.model)} on {words.plain(one.dataset)}: " if len(asked) > 1 else ""
        sentences += [about + sentence if about else sentence for sentence in told]
    return sentences


def _random(column: trust.Column | None) -> list[str]:
    """Which maps change with random weights, by the interval of the rank correlation."""
    if column is None:
        return []
    marks = column.marks.dropna(subset=["mean", "low", "high"])
    change = marks[marks["high"] < ALIKE]
    stay = marks[marks["low"] > ALIKE]
    told = [
        f"{_valued(change)} {_verb(change, 'changes', 'change')}" if len(change) else "",
        f"{_valued(stay)} {_verb(stay, 'stays', 'stay')} mostly as before, which owes more to image and "
        "architecture than to what was learned"
        if len(stay)
        else "",
        f"of {_names(between)} the interval does not say"
        if len(between := _rest(marks, change, stay))
        else "",
    ]
    told = "; ".join(part for part in told if part)
    start = (
        f"With random weights (Spearman with the trained network's map, interval below or above {ALIKE:g})"
    )
    return [f"{start}: {told}."] if told else []


def _rest(marks: pd.DataFrame, *taken: pd.DataFrame) -> pd.DataFrame:
    return marks[~marks.index.isin([index for part in taken for index in part.index])]


def _probes(columns: Sequence[trust.Column]) -> list[str]:
    """Which method is best by each probe, and whose intervals overlap with its."""
    told = []
    for column in columns:
        marks = column.marks.dropna(subset=["mean", "low", "high"])
        if len(marks) < 2:
            continue
        best = marks.loc[marks["mean"].idxmin() if column.better == "low" else marks["mean"].idxmax()]
        near = marks[(marks["low"] <= best["high"]) & (marks["high"] >= best["low"])].drop(index=best.name)
        beside = f", with overlapping intervals {_names(near)}" if len(near) else ""
        value = words.estimate(best.to_dict() | {"metric": column.key})
        told.append(f"by {column.panel.title} {words.method(best['method'])} {value}{beside}")
    followed = "Which maps follow the model best (on the probed images)"
    return [f"{followed}: {'; '.join(told)}."] if told else []


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
        halves += [f"does not for {_gapped(broken)}"] if len(broken) else []
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
    """The methods with their means, the furthest from the bound first."""
    order = marks.sort_values("mean", ascending=marks["mean"].mean() < ALIKE, kind="stable")
    return listed(
        f"{words.method(row['method'])} ({words.number(row['mean'], row['low'], row['high'])})"
        for _, row in order.iterrows()
    )


def _gapped(marks: pd.DataFrame) -> str:
    return listed(
        f"{words.method(row['method'])} ({words.signed(row['mean'], 2)})"
        for _, row in _sorted(marks).iterrows()
    )


def _verb(marks: pd.DataFrame, one: str, several: str) -> str:
    return one if len(marks) == 1 else several


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
