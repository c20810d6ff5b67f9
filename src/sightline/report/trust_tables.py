"""The page's tables on trust in maps: what became of them, probes, agreements, sparseness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from sightline.figures import rows, style, trust, words
from sightline.figures.measures import AGREEMENTS, PROBES, SPARSENESS
from sightline.report.page import Table

LEFT = frozenset({"Dataset", "Model", "Map", "Condition", "Compared", "Identity", "Why not"})
BETTER = {"high": "high is good", "low": "low is good"}


def tables_of(summary: pd.DataFrame, agreements: pd.DataFrame, maps: pd.DataFrame) -> list[Table]:
    """Every table on trust that there are rows for, in the order of reading."""
    return [
        *alone_table(
            summary, PROBES, "Do the maps follow the model? Probes of the predicted class's signed map"
        ),
        *agreements_tables(agreements),
        *fate_table(maps),
        *alone_table(summary, SPARSENESS, "How concentrated are the maps? Neither end is good as such"),
    ]


def alone_table(summary: pd.DataFrame, metrics: Iterable[str], question: str) -> list[Table]:
    """Metrics that need no reference: a row per map, a column per metric, in the order of methods."""
    frame = rows.alone(summary, metrics)
    frame = frame[(frame["images"] > 0) | ~words.is_baseline(frame)]
    if frame.empty:
        return []
    shown = words.ordered(frame["metric"], metrics)
    readings = frame["reading"].nunique() > 1
    keys, found = ["dataset", "model", "condition", "method", "reading"], []
    for key, part in frame.groupby(keys):
        cells = {row["metric"]: words.estimate(row) for _, row in part.iterrows()}
        name = words.method(key[3]) + (f", {words.plain(key[4])}" if readings and key[4] else "")
        row = _named(key[0], key[1] if not words.is_baseline(part).iloc[0] else "", key[2], name)
        row |= {words.metric(metric).title: cells.get(metric, "") for metric in shown}
        found.append((_place(key[:4], frame["method"]), row | {"n": _counted(part)}))
    better = [
        f"{words.metric(name).title}: {BETTER[words.metric(name).better]}"
        for name in shown
        if words.metric(name).better
    ]
    caption = (
        f"{question}. {'; '.join(better)}{'. ' if better else ''}Means and intervals "
        f"({words.made_by(frame)}); n: images × seeds."
    )
    return [Table(caption, _frame(found), LEFT)]


def agreements_tables(agreements: pd.DataFrame) -> list[Table]:
    """How alike maps are, a table or two per agreement of the configuration.

    Between conditions a table per measure, a column for each altered condition; else a row per pair, the
    least alike first. `MEASURES` alone are told of.
    """
    found: list[Table] = []
    told = agreements[agreements["metric"].isin(MEASURES) & (agreements["images"] > 0)]
    order = {axis: place for place, axis in enumerate(ASKS)}
    told = told.assign(place=told["axis"].map(order)).sort_values("place", kind="stable")
    for kind, part in told.groupby("kind", sort=False):
        if (part["axis"] == "condition").all() and _against_clean(part).all():
            found += [_altered(kind, part, name) for name in ("spearman", "ssim")]
        else:
            found.append(_agreed(kind, part))
    return found


def _against_clean(frame: pd.DataFrame) -> pd.Series:
    return (frame["condition_a"] == trust.CLEAN) | (frame["condition_b"] == trust.CLEAN)


def _altered(kind: str, frame: pd.DataFrame, measure: str) -> Table:
    """One measure between altered and clean maps: a row per map, a column per condition, most alike first."""
    altered = frame["condition_a"].where(frame["condition_a"] != trust.CLEAN, frame["condition_b"])
    frame = frame.assign(altered=altered, cell=[words.estimate(row) for _, row in frame.iterrows()])
    least = frame.groupby("altered")["mean"].mean().sort_values(ascending=False, kind="stable")
    frame = frame[frame["metric"] == measure]
    readings, found = frame["reading"].nunique() > 1, []
    several = frame.groupby(["dataset", "model_a", "method_a"])["reading"].nunique().max() > 1
    for key, part in frame.groupby(["dataset", "model_a", "method_a", "reading"]):
        name = words.method(key[2]) + (f", {words.plain(key[3])}" if readings and several else "")
        cells = dict(zip(part["altered"], part["cell"]))
        row = _named(key[0], key[1], trust.CLEAN, name)
        row |= {words.condition(one): cells.get(one, "") for one in least.index}
        place = _place((key[0], key[1], trust.CLEAN, key[2]), frame["method_a"])
        found.append(((*place, key[3]), row | {"n": _counted(part)}))
    lost = frame["excluded"].sum() > 0
    caption = (
        f"{ASKS['condition']} Agreement '{words.plain(kind)}': {words.metric(measure).title} with the map of "
        "the unaltered network and image, a column for each alteration. Means and intervals "
        f"({words.made_by(frame)}); n: images × seeds."
        + (" An image counts where both maps are there, of the class that is read." if lost else "")
    )
    return Table(caption, _frame(found), LEFT)


MEASURES = ("spearman", "spearman_abs", "ssim", "top_overlap")  # the others stand in the table on disk
ASKS = {
    "condition": "What is left of a map when network or image are altered?",
    "seed": "Do networks that differ in their seed alone give the same map?",
    "method": "Do methods agree with each other?",
    "model": "Do models agree with each other?",
}


def _agreed(kind: str, frame: pd.DataFrame) -> Table:
    axis = frame["axis"].iloc[0]
    shown = words.ordered(frame["metric"], AGREEMENTS)
    keys = ["dataset", "model_a", "condition_a", "method_a", "model_b", "condition_b", "method_b", "reading"]
    found = []
    for key, part in frame.groupby(keys, sort=False):
        sides = dict(zip(keys, key))
        means = part.set_index("metric")["mean"]
        cells = {row["metric"]: words.estimate(row) for _, row in part.iterrows()}
        row = _sides(axis, sides) | {words.metric(name).title: cells.get(name, "") for name in shown}
        first = means.get(shown[0], float("nan"))
        place = (sides["dataset"], sides["model_a"], pd.isna(first), 0.0 if pd.isna(first) else first, key)
        found.append((place, row | {"n": _counted(part)}))
    caption = (
        f"{ASKS.get(axis, '')} Agreement '{words.plain(kind)}', least alike first by "
        f"{words.metric(shown[0]).title}. Means and intervals ({words.made_by(frame)}); n: images × seeds."
    )
    return Table(caption, _frame(found), LEFT)


def _sides(axis: str, sides: dict[str, str]) -> dict[str, str]:
    """What a row compares, in words."""
    first, second = (_side(axis, sides[f"{axis}_{side}"]) if axis != "seed" else "" for side in "ab")
    compared = f"{first} and {second}" if axis != "seed" else "two seeds"
    named = _named(
        sides["dataset"],
        "" if axis == "model" else sides["model_a"],
        trust.CLEAN if axis == "condition" else sides["condition_a"],
        "" if axis == "method" else words.method(sides["method_a"]),
    )
    return named | ({} if axis == "seed" else {"Compared": compared})


def _side(axis: str, name: str) -> str:
    return words.method(name) if axis == "method" else words.condition(name)


def fate_table(maps: pd.DataFrame) -> list[Table]:
    """What became of each method's maps, and how far its identity is from holding."""
    found = []
    for key, part in maps.groupby(["dataset", "model", "condition", "method"]):
        row = part.iloc[0]
        gap = "" if pd.isna(row["gap"]) else words.short(row["gap"])
        gap += (
            "" if pd.isna(row["gap"]) else f" [{words.short(row['gap_low'])}, {words.short(row['gap_high'])}]"
        )
        cells = {
            "Maps": f"{row['maps']:,}",
            "Not applicable": f"{row['not_applicable']:,}",
            "Failed": f"{row['failed']:,}",
            "All zero": f"{row['all_zero']:,}",
            "Identity": trust.identity(row["identity"]),
            "Gap": gap,
            "Why not": row["reason"],
        }
        found.append((_place(key, maps["method"]), _named(*key[:3], words.method(key[3])) | cells))
    if not found:
        return []
    caption = (
        "What became of the maps, and does each method's own identity hold? Maps over images, targets, "
        f"layers and seeds. Gap: median [quartiles] over maps, relative; above {100 * trust.TOLERANCE:g} % "
        "an identity is said not to hold. The distance from the gradient is no identity: it says how much "
        "the method changes it."
    )
    return [Table(caption, _frame(found), LEFT)]


# ---- what the tables share


def _named(dataset: str, model: str, condition: str, name: str) -> dict[str, str]:
    names = {"Dataset": words.plain(dataset), "Model": words.plain(model), "Map": name}
    return names | {"Condition": "" if condition == trust.CLEAN else words.condition(condition)}


def _place(key: Sequence[str], methods: Iterable[str]) -> tuple:
    """Dataset, baselines first, model, clean first, method."""
    dataset, model, condition, method = key
    return dataset, model, condition != trust.CLEAN, condition, style.methods(methods).index(method)


def _counted(part: pd.DataFrame) -> str:
    seeds = part["seeds"].max()
    return f"{part['images'].max():,}" + (f" × {seeds}" if seeds else "")


def _frame(found: Sequence[tuple[tuple, dict[str, str]]]) -> pd.DataFrame:
    """The rows in order, without columns of names that say one thing or nothing."""
    frame = pd.DataFrame([row for _, row in sorted(found, key=lambda pair: pair[0])])
    told = ["Maps", "n", "Gap"]
    idle = [
        name
        for name in frame
        if name not in told
        and (frame[name] == "").all()
        or name in ("Dataset", "Model")
        and frame[name].nunique() == 1
    ]
    return frame.drop(columns=idle)
