"""How much of a map is left when the network's weights, or the image, are altered: agreement with the clean
map."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sightline.figures import style, trust, words

METRICS = ("spearman", "ssim")  # a panel each, where there are such rows
TALL, HEAD, FOOT = 1.55, 0.30, 0.42  # inches: a panel, a model's title, labels
LEFT, SIDE, EACH = 0.61, 1.75, 1.15  # inches: the values' labels, the legend, a condition at most
SPREAD = 0.56  # of the distance between two conditions, over which the methods stand beside each other


def draw(
    agreements: pd.DataFrame,
    dataset: str,
    conditions: Mapping[str, Mapping],
    methods: Sequence[str] = (),
) -> Figure:
    """Per model and metric a panel: conditions along the axis, a mark with its interval for each method.

    `agreements` is table `agreement_summary`, `conditions` gives name -> {kind, options}. The stages of a
    cascade of random weights stand first and are joined by lines that start at the unaltered network, whose
    agreement with itself is 1. `methods` is the study's whole list (colours).
    """
    frame = of_dataset(agreements, dataset, conditions)
    if frame["mean"].notna().sum() == 0:
        return style.empty("No agreement with the unaltered maps to draw")
    panels = list(frame[["model", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    models = list(dict.fromkeys(model for model, _ in panels))
    stages, others = _along(frame, conditions)
    colours = style.colours([*methods, *frame["method"]])
    head = HEAD if len(models) > 1 else 0.12
    total = TALL * len(panels) + head * len(models) + FOOT
    wide = min(style.WIDTH - SIDE - LEFT, EACH * len([*stages, *others]) + 0.9)
    with style.settings():
        figure = style.figure(LEFT + wide + SIDE, total)
        top, last = total, ""
        for model, metric in panels:
            if model != last:
                top -= head
                if len(models) > 1:
                    at = (top + 0.10) / total
                    figure.text(0.004, at, words.plain(model), weight="bold", size=8, va="baseline")
            last = model
            bottom, width = (top - TALL + 0.14) / total, figure.get_figwidth()
            place = (LEFT / width, bottom, wide / width, (TALL - 0.24) / total)
            axes = figure.add_axes(place)
            here = frame[(frame["model"] == model) & (frame["metric"] == metric)]
            _panel(axes, here, stages, others, colours)
            axes.set_ylabel(words.metric(metric).title)
            _ticks(axes, [*stages, *others], (model, metric) == panels[-1])
            top -= TALL
        _legend(figure, style.methods(frame.loc[frame["mean"].notna(), "method"]), colours)
    return figure


def of_dataset(agreements: pd.DataFrame, dataset: str, conditions: Mapping[str, Mapping]) -> pd.DataFrame:
    """The rows between a condition, `altered`, and the clean one, with model, method and metric.

    One reading per method: the first of those in the order of the tables.
    """
    here = agreements[(agreements["dataset"] == dataset) & agreements["metric"].isin(METRICS)]
    parts = [
        trust.with_condition(here, name).assign(altered=name) for name in conditions if name != trust.CLEAN
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else here.assign(altered="", method="", model="")
    rank = {name: place for place, name in enumerate(words.ordered(frame["reading"], words.READINGS))}
    frame = frame.assign(place=frame["reading"].map(rank)).sort_values("place", kind="stable")
    frame = frame.drop_duplicates(["model", "method", "metric", "altered"])
    order = {name: place for place, name in enumerate(METRICS)}
    return frame.assign(place=frame["metric"].map(order)).sort_values(["model", "place"], kind="stable")


def _along(frame: pd.DataFrame, conditions: Mapping[str, Mapping]) -> tuple[list[str], list[str]]:
    """The conditions along the axis: the stages of a cascade, then the others."""
    found = set(frame["altered"])
    stages = [name for name in trust.cascade(conditions) if name in found]
    return stages, [name for name in conditions if name in found and name not in stages]


def _panel(
    axes: Axes,
    here: pd.DataFrame,
    stages: Sequence[str],
    others: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    """Marks of every method; `stages` are joined from the unaltered network at 0 on."""
    at = _positions(stages, others)
    names = style.methods(here.loc[here["mean"].notna(), "method"])
    step = SPREAD / max(1, len(names) - 1)
    axes.axhline(0.0, color=style.FAINT, linewidth=0.8, dashes=(4, 2), zorder=1)
    for index, method in enumerate(names):
        shift = (index - (len(names) - 1) / 2) * step
        part = here[(here["method"] == method) & here["mean"].notna()].set_index("altered")
        along = [name for name in stages if name in part.index]
        if along:
            x, y = [0.0, *(at[name] + shift for name in along)], [1.0, *part.loc[along, "mean"]]
            axes.plot(x, y, color=colours[method], linewidth=0.7, alpha=0.6, zorder=2)
        for name, row in part.iterrows():
            if pd.notna(row["low"]):
                ends = [max(row["low"], -1.0), min(row["high"], 1.0)]
                axes.plot([at[name] + shift] * 2, ends, color=colours[method], linewidth=1.1, zorder=3)
            axes.plot([at[name] + shift], [row["mean"]], "o", color=colours[method], markersize=3.2, zorder=4)
    axes.set_xlim(-0.25 if stages else 0.4, max(at.values()) + 0.55)
    low = here[["mean", "low"]].min().min()
    axes.set_ylim(max(-1.05, min(-0.1, low - 0.08)), 1.06)
    axes.grid(axis="y", color=style.RULE, linewidth=0.4)
    axes.set_xticks([*([0.0] if stages else []), *at.values()])


def _positions(stages: Sequence[str], others: Sequence[str]) -> dict[str, float]:
    """Where each condition stands; a gap parts the stages from the others."""
    names = [*stages, *others]
    return {name: 1.0 + index + 0.35 * (bool(stages) and name in others) for index, name in enumerate(names)}


def _ticks(axes: Axes, names: Sequence[str], labelled: bool) -> None:
    """The conditions' names below the lowest panel."""
    labels = ["\n".join(textwrap.wrap(words.condition(name), 15)) for name in names]
    start = ["unaltered"] if len(axes.get_xticks()) > len(names) else []
    axes.set_xticklabels([*start, *labels] if labelled else [""] * (len(start) + len(labels)))


def _legend(figure: Figure, names: Sequence[str], colours: Mapping[str, str]) -> None:
    handles = [
        Line2D(
            [], [], color=colours[name], marker="o", markersize=3.2, linewidth=1.1, label=words.method(name)
        )
        for name in names
    ]
    place = (1.0 - (SIDE - 0.12) / figure.get_figwidth(), 1.0 - 0.1 / figure.get_figheight())
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=place, borderaxespad=0.0)


def caption(agreements: pd.DataFrame, dataset: str, conditions: Mapping[str, Mapping]) -> str:
    """The question, what the marks are, n and how the intervals were made."""
    frame = of_dataset(agreements, dataset, conditions).dropna(subset=["mean"])
    if frame.empty:
        return "How much of the maps is left when network or image are altered? Nothing was compared."
    stages, others = _along(frame, conditions)
    altered = ["the network's weights are drawn anew"] if stages else []
    altered += ["the network or the image is altered"] if others else []
    parts = [
        f"How much of the maps on {words.plain(dataset)} is left when {' or '.join(altered)}?",
        "Agreement with the map of the unaltered network and image, means and intervals ("
        f"{words.made_by(frame)}); n = {words.span(frame['images'])} images, "
        f"{words.seeds(frame['seeds'])} per model.",
        "Lines: weights are drawn anew stage after stage, from the output on; a method whose line stays high "
        "does not show what was learned."
        if stages
        else "",
        "A map that shows what was learned has nothing left with random weights (dashed: 0); far below 0 the "
        "same pattern has turned its sign.",
    ]
    return " ".join(part for part in parts if part)
