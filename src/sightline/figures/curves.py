"""Learning curves: how training went, per model, each seed a thin line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sightline.figures import style, words

KINDS = {
    "loss": "cross-entropy",
    "auc": "mean AUC over labels",
    "accuracy": "accuracy",
    "rate": "learning rate",
}
COLUMNS, HEIGHT = 4, 1.35


def draw(curves: pd.DataFrame, best: Mapping[tuple[str, int], int] | None = None) -> Figure:
    """Rows: loss, AUC and what else was recorded; columns: models. Thin lines are seeds, thick ones medians.

    `curves` as in `tables`; training is blue, validation orange-red. `best` gives (model, seed) the epoch
    kept, drawn as a dot.
    """
    frame = curves.dropna(subset=["value"])
    if frame.empty:
        return style.empty("No model was trained")
    frame = frame.assign(kind=[_kind(name) for name in frame["quantity"]])
    models, kinds = sorted(set(frame["model"])), words.ordered(frame["kind"], KINDS)
    with style.settings():
        rows = len(kinds) * -(-len(models) // COLUMNS)
        columns = min(COLUMNS, max(2, len(models)))
        height = 0.55 + HEIGHT * rows + 0.3
        figure = style.figure(style.WIDTH, height)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for axes in grid.flat:
            axes.set_visible(False)
        for index, model in enumerate(models):
            for order, kind in enumerate(kinds):
                axes = grid[(index // COLUMNS) * len(kinds) + order, index % COLUMNS]
                part = frame[(frame["model"] == model) & (frame["kind"] == kind)]
                axes.set_visible(len(part) > 0)  # accuracy is of models whose labels exclude each other
                _panel(axes, part, best or {})
                _limits(axes, frame.loc[frame["kind"] == kind, "value"])
                if order == 0:
                    axes.set_title(words.plain(model), weight="bold")
                if order == len(kinds) - 1:
                    axes.set_xlabel("epoch")
                before = set(models[index - index % COLUMNS : index])
                if not before & set(frame.loc[frame["kind"] == kind, "model"]):
                    axes.set_ylabel(KINDS.get(kind, words.plain(kind)))
        figure.align_ylabels()
        figure.subplots_adjust(
            left=0.085, right=0.985, top=1 - 0.28 / height, bottom=0.72 / height, wspace=0.22, hspace=0.16
        )
        _legend(figure, frame, bool(best))
    return figure


def _kind(quantity: str) -> str:
    name = quantity.lower()
    for kind in KINDS:
        if kind in name.split("_") or name.endswith(kind):
            return kind
    return "rate" if name == "lr" else quantity


def _colour(quantity: str) -> str:
    """Training, validation, or neither (the learning rate)."""
    name = quantity.lower()
    return style.FIRST if "train" in name else style.SECOND if "val" in name else style.FAINT


def _panel(axes: Axes, frame: pd.DataFrame, best: Mapping[tuple[str, int], int]) -> None:
    for quantity, part in frame.groupby("quantity"):
        colour = _colour(quantity)
        for (model, seed), line in part.groupby(["model", "seed"]):
            line = line.sort_values("epoch")
            dot = (
                {"marker": "o", "markersize": 2.0} if len(line) == 1 else {}
            )  # a line of one point is nothing
            look = {"color": colour, "linewidth": 0.6, "alpha": 0.55, "zorder": 2}
            axes.plot(line["epoch"], line["value"], **look, **dot)
            kept = line[line["epoch"] == best.get((model, seed), -1)]
            if len(kept):
                axes.plot(kept["epoch"], kept["value"], "o", color=colour, markersize=2.6, zorder=4)
        middle = part.groupby("epoch")["value"].median()
        dot = {"marker": "_", "markersize": 9.0} if len(middle) == 1 else {}
        axes.plot(middle.index, middle, color=colour, linewidth=1.5, zorder=3, **dot)
    axes.grid(axis="y", color=style.RULE, linewidth=0.4)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelbottom=True)


def _limits(axes: Axes, values: pd.Series) -> None:
    """One scale for one quantity across models; a burst of the first epochs does not flatten the rest."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.quantile(0.995))
    margin = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)


def _legend(figure: Figure, frame: pd.DataFrame, best: bool) -> None:
    present = set(frame["quantity"].map(_colour))
    handles = [
        Line2D([], [], color=colour, linewidth=1.5, label=label)
        for colour, label in ((style.FIRST, "training"), (style.SECOND, "validation"))
        if colour in present
    ]
    handles.append(Line2D([], [], color=style.FAINT, linewidth=0.6, label="one seed"))
    handles.append(Line2D([], [], color=style.FAINT, linewidth=1.5, label="median of the seeds"))
    if best:
        handles.append(
            Line2D([], [], color=style.FAINT, marker="o", linestyle="", markersize=2.6, label="epoch kept")
        )
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))


def kept(trainings: pd.DataFrame) -> dict[tuple[str, int], int]:
    """(model, seed) -> the epoch whose weights were kept, of those that were trained (table `trainings`)."""
    found = trainings.dropna(subset=["best_epoch"])
    keys = zip(found["model"], found["seed"])
    return {key: int(epoch) for key, epoch in zip(keys, found["best_epoch"])}


def caption(
    curves: pd.DataFrame,
    best: Mapping[tuple[str, int], int] | None = None,
    trainings: pd.DataFrame | None = None,
) -> str:
    """The question, and how many seeds and epochs there are; `best` as in `draw`.

    `trainings` as in `tables` tells what models began with, where that is not what their seeds drew.
    """
    seeds = words.span(curves.groupby("model")["seed"].nunique()) if len(curves) else "0"
    epochs = words.span(curves.groupby("model")["epoch"].nunique()) if len(curves) else "0"
    return (
        "Did training settle, and alike for every seed? Thin lines are seeds "
        f"(n = {seeds} per model, {epochs} epochs), thick lines their median. No intervals: every run is "
        "shown. The scale of each row is shared by the models and ends at the 99.5th percentile."
        + (" Dots: the epoch whose weights were kept." if best else "")
        + ("" if trainings is None else _beginnings(trainings))
    )


def _beginnings(trainings: pd.DataFrame) -> str:
    """A sentence for each beginning other than random weights, and for each trunk that was held still."""
    said = ""
    for initial, part in trainings[trainings["epochs"] > 0].groupby("initial"):
        if initial != "random":
            said += f" {_named(part)} began with: {initial}."
    partly = trainings[(trainings["trained"] < trainings["parameters"]) & (trainings["epochs"] > 0)]
    for (trained, parameters), part in partly.groupby(["trained", "parameters"]):
        said += f" {_named(part)}: {trained:,} of {parameters:,} weights were trained."
    return said


def _named(part: pd.DataFrame) -> str:
    return ", ".join(words.plain(model) for model in sorted(set(part["model"])))
