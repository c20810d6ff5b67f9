"""What tells whether a method's maps can be trusted: from tables, a column of estimates for each question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from sightline.figures import forest, rows, words
from sightline.figures.measures import PROBES

CLEAN = "clean"
RANDOM = "random weights"  # the key of the column of agreement with them
GAP = "gap"  # the key of the column of identities' gaps
TOLERANCE = (
    0.05  # a gap above which an identity does not hold; the value that integrated gradients' authors take
)
SMALLEST = 1e-8  # gaps below are drawn there: rounding
MOST_PROBES = 4
UNALTERED = ("clean", "randomise")  # kinds of conditions that leave the image as it is
SHOWN_PROBES = ("deletion", "insertion", "road", "sensitivity_max", "infidelity_scaled")  # first in a picture

DISTANCE = "differs_from_gradient"  # no identity that should hold: how far a map is from the plain gradient


@dataclass(frozen=True)
class Asked:
    """Which maps are asked about: a dataset, a model, each method's reading, and a reference ("": none).

    `readings` gives method -> reading in the study's order; `random` is the condition under which the network
    has random weights ("": none); `altered` are those under which the image is altered.
    """

    dataset: str
    model: str
    readings: Mapping[str, str]
    reference: str = ""
    random: str = ""
    center_bias: str | None = None
    areas: rows.Areas = field(default_factory=dict)
    altered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A question and its answer for each method: `marks` has method, mean, low, high, why (no mean), note.

    `better` is "high", "low", "zero" or ""; `intervals` say how they were made, as tables do. On a `log` axis
    what lies below `SMALLEST` stands there. A note is written by a mark; one that is `apart` is of another
    kind.
    """

    panel: forest.Panel
    marks: pd.DataFrame
    better: str = ""
    log: bool = False
    intervals: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The metric's name, `RANDOM` or `GAP`."""
        return self.panel.key


MARK = ["method", "mean", "low", "high", "why", "note", "apart"]


def columns(
    asked: Asked, summary: pd.DataFrame, agreements: pd.DataFrame, maps: pd.DataFrame
) -> list[Column]:
    """The columns that the tables can fill: reference, probes, random weights, identity.

    Tables as in `tables`: `summary`, `agreement_summary`, `map_summary`.
    """
    found = [
        _reference(asked, summary),
        *_probes(asked, summary),
        _random(asked, agreements),
        _gap(asked, maps),
    ]
    return [column for column in found if column is not None]


def here(asked: Asked, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table by cell of the asked dataset and model under the clean condition."""
    same = (frame["dataset"] == asked.dataset) & (frame["model"] == asked.model)
    return frame[same & (frame["condition"] == CLEAN) & frame["method"].isin(list(asked.readings))]


def _in_reading(asked: Asked, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["reading"] == frame["method"].map(asked.readings)]


def _reference(asked: Asked, summary: pd.DataFrame) -> Column | None:
    """The score against the reference, by the metric that speaks for it."""
    frame = rows.overall(rows.with_center_bias(summary, asked.center_bias))
    against = rows.at(frame, (asked.dataset, asked.reference))
    metric = words.main_metric(against["metric"], asked.reference)
    part = _in_reading(asked, here(asked, against))
    found = _of_metric(part[part["metric"] == metric], metric, words.plain(asked.reference))
    area = asked.areas.get((asked.dataset, asked.reference)) if metric in words.AREA_METRICS else None
    return found and replace(found, panel=replace(found.panel, area=area))


def _probes(asked: Asked, summary: pd.DataFrame) -> list[Column | None]:
    """A column for each probe that there is, the usual ones first, four at most."""
    frame = here(asked, rows.alone(summary, PROBES))
    shown = words.ordered(frame["metric"], [*SHOWN_PROBES, *PROBES])[:MOST_PROBES]
    return [_of_metric(frame[frame["metric"] == name], name) for name in shown]


def _of_metric(part: pd.DataFrame, metric: str | None, against: str = "") -> Column | None:
    if metric is None or part.empty:
        return None
    text = words.metric(metric)
    title = f"{text.title}, {against}" if against else text.title
    limits = words.possible(metric, value=max(part["mean"].dropna(), key=abs, default=None))
    panel = forest.Panel(metric, title, text.axis, text.chance, limits=limits)
    marks = part.assign(why=part["excluded_why"].map(words.reason), note="", apart=False)[MARK]
    return Column(panel, marks, text.better, intervals=tuple(part["interval"]))


def with_condition(agreements: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows of table `agreement_summary` between `condition` and the clean one, with a column method."""
    sides = (agreements["condition_a"] == condition) & (agreements["condition_b"] == CLEAN)
    sides |= (agreements["condition_a"] == CLEAN) & (agreements["condition_b"] == condition)
    found = agreements[(agreements["axis"] == "condition") & sides]
    found = found.assign(method=found["method_a"], model=found["model_a"], condition=CLEAN)
    return found.drop_duplicates(["dataset", "model", "method", "reading", "metric"])


def _random(asked: Asked, agreements: pd.DataFrame) -> Column | None:
    """The rank correlation of each method's maps with those of the network with random weights."""
    found = with_condition(agreements, asked.random)
    part = _in_reading(asked, here(asked, found[found["metric"] == "spearman"]))
    if part.empty:
        return None
    panel = forest.Panel(RANDOM, "Random weights", "Spearman", 0.0, limits=(-1.0, 1.0))
    marks = part.assign(why=part["excluded_why"].map(words.reason), note="", apart=False)[MARK]
    return Column(panel, marks, "zero", intervals=tuple(part["interval"]))


def altered(asked: Asked, agreements: pd.DataFrame) -> pd.DataFrame:
    """The rows of table `agreement_summary` that say what altering the image does to the maps, by rank.

    With columns method and `altered` (the condition), these in the order of `asked`.
    """
    ranks = agreements[agreements["metric"] == "spearman"]
    parts = [with_condition(ranks, name).assign(altered=name) for name in asked.altered]
    if not parts:
        return ranks[:0].assign(method="", altered="")
    return _in_reading(asked, here(asked, pd.concat(parts, ignore_index=True)))


def altering(conditions: Mapping[str, Mapping]) -> tuple[str, ...]:
    """The conditions (name -> {kind, ...}) under which the image, not the network, is altered."""
    return tuple(name for name, one in conditions.items() if one["kind"] not in UNALTERED)


def complete(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of `altered` of the methods that have a value wherever some method has one."""
    known = cells.dropna(subset=["mean"])
    whole = known.groupby("method")["altered"].transform("nunique") == known["altered"].nunique()
    return known[whole]


def margin(cells: pd.DataFrame, along: str) -> pd.DataFrame:
    """mean, low, high by `along` (method, altered): means over `complete` cells.

    Where an end of a cell is not known, so is the mean's. The ends are means of ends: the mean's own interval
    is at most as wide.
    """
    order = list(dict.fromkeys(cells[along]))
    ends = {name: (name, lambda column: column.mean(skipna=False)) for name in ("mean", "low", "high")}
    return cells.groupby(along).agg(**ends).reindex(order)


def _gap(asked: Asked, maps: pd.DataFrame) -> Column | None:
    """The median gap of each method's identity, with quartiles over maps."""
    part = here(asked, maps)
    if part["gap"].isna().all():
        return None
    names = {"gap": "mean", "gap_low": "low", "gap_high": "high"}
    marks = part.rename(columns=names).assign(
        why=["none" if ok else "" for ok in part["ok"]],  # a method without an identity
        note=[
            "from the gradient" if name == DISTANCE else words.plain(name)
            for name in part["identity"].fillna("")
        ],
        apart=part["identity"] == DISTANCE,
    )
    panel = forest.Panel(GAP, "Identity gap", "relative, log scale", TOLERANCE, limits=(SMALLEST, math.inf))
    return Column(panel, marks[MARK], "low", log=True)


def identity(name: str | None) -> str:
    """An identity in words, as it stands in table `map_summary`; "" for none."""
    if name == DISTANCE:
        return "distance from the gradient"
    return "" if pd.isna(name) else words.plain(name)


def lost(asked: Asked, maps: pd.DataFrame) -> dict[str, str]:
    """Method -> why none of its maps is there: "not applicable: the reason"."""
    part = here(asked, maps)
    found = {}
    for row in part[part["ok"] == 0].itertuples():
        status = "not applicable" if row.not_applicable >= row.failed else "failed"
        found[row.method] = f"{status}: {row.reason}"
    return found


def cascade(conditions: Mapping[str, Mapping]) -> list[str]:
    """The conditions that draw weights anew, from the fewest stages to all of the network.

    `conditions` gives name -> {kind, options}. Stages that are counted or drawn in another way than the first
    such condition's are left out, for they are no steps of one cascade.
    """
    drawn = {name: one["options"] for name, one in conditions.items() if one["kind"] == "randomise"}
    ways = {
        name: (options.get("order"), options.get("mode"), options.get("stages"))
        for name, options in drawn.items()
        if options.get("layers") != "all"
    }
    first = next(iter(ways.values()), None)
    steps = {name: options["layers"] for name, options in drawn.items() if ways.get(name, first) == first}
    return sorted(steps, key=lambda name: math.inf if steps[name] == "all" else steps[name])


def untrained(conditions: Mapping[str, Mapping]) -> str:
    """The condition under which all weights are drawn anew, or "" where there is none."""
    all_drawn = [name for name in cascade(conditions) if conditions[name]["options"].get("layers") == "all"]
    return all_drawn[0] if all_drawn else ""
