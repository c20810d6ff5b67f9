"""Whether probabilities are what they say: observed shares over predicted ones, and how many are given."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sightline.figures import classified, style, words

SIDE, LOW, TOP, BOTTOM = 1.62, 0.42, 0.42, 0.40  # inches: a panel, the one below it, above, below
LEFT, ACROSS = 0.50, 3


def draw(calibration: pd.DataFrame, classification: pd.DataFrame) -> Figure:
    """Per dataset a panel with a line per model over all its labels, above what probabilities are given.

    Tables as in `tables`; conditions other than clean are left out.
    """
    frame = calibration[(calibration["condition"] == "clean") & (calibration["label"] == classified.ALL)]
    if frame.empty:
        return style.empty("No model was tested")
    colours = classified.colours(frame["model"])
    parts = list(frame.groupby("dataset"))
    lines = -(-len(parts) // ACROSS)
    height = TOP + SIDE + LOW + BOTTOM
    with style.settings():
        figure = style.figure(style.WIDTH, lines * height)
        wide, total = figure.get_size_inches()
        for place, (dataset, here) in enumerate(parts):
            left = LEFT + (place % ACROSS) * (style.WIDTH - 0.1) / ACROSS
            top = total - (place // ACROSS) * height - TOP
            upper = figure.add_axes((left / wide, (top - SIDE) / total, SIDE / wide, SIDE / total))
            box = (left / wide, (top - SIDE - LOW) / total, SIDE / wide, (LOW - 0.06) / total)
            lower = figure.add_axes(box, sharex=upper)
            errors = classification[
                (classification["dataset"] == dataset) & (classification["condition"] == "clean")
            ]
            _reliability(upper, here, colours)
            _named(upper, here, errors, colours)
            _given(lower, here, colours)
            upper.set_title(words.plain(dataset), weight="bold", pad=6)
            if place % ACROSS == 0:
                upper.set_ylabel("observed share")
                lower.set_ylabel("images", labelpad=8)
    return figure


def _reliability(axes: Axes, here: pd.DataFrame, colours: Mapping[str, str]) -> None:
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=0.7, dashes=(4, 2), zorder=1)
    for model, rows in here.dropna(subset=["observed"]).groupby("model"):
        rows, colour = rows.sort_values("bin"), colours[model]
        band = rows.dropna(subset=["low", "high"])
        look = {"color": colour, "linewidth": 0}
        axes.fill_between(band["predicted"], band["low"], band["high"], alpha=0.12, zorder=2, **look)
        axes.vlines(band["predicted"], band["low"], band["high"], color=colour, linewidth=0.6, zorder=3)
        axes.plot(
            rows["predicted"], rows["observed"], "o-", color=colour, markersize=2.4, linewidth=0.9, zorder=4
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.tick_params(labelbottom=False)


def _named(axes: Axes, here: pd.DataFrame, errors: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """The models' names and calibration errors, in the corner that good lines leave free."""
    models = sorted(set(here["model"]))
    for place, model in enumerate(models):
        rows = errors[(errors["model"] == model) & (errors["metric"] == "ece")]
        label = next((name for name in (classified.ALL, classified.MEAN) if name in set(rows["label"])), None)
        value = rows.loc[rows["label"] == label, "value"]
        text = words.plain(model) + (f" {value.iloc[0]:.2f}" if len(value) and value.notna().all() else "")
        look = {"color": colours[model], "size": style.SMALL, "va": "top", "zorder": 5}
        axes.text(0.03, 0.98 - 0.085 * place, text, **look)


def _given(axes: Axes, here: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """How many images are given a probability, by bin."""
    for model, rows in here.groupby("model"):
        rows = rows.sort_values("bin")
        edges = [*rows["bin_low"], rows["bin_high"].iloc[-1]]
        axes.stairs(rows["images"], edges, color=colours[model], linewidth=0.9)
    axes.set_ylim(0, None)
    axes.set_xlabel("predicted probability")
    axes.set_yticks([])


def caption(calibration: pd.DataFrame, classification: pd.DataFrame) -> str:
    """The question, what the points are, and how the intervals were made."""
    frame = calibration[(calibration["condition"] == "clean") & (calibration["label"] == classified.ALL)]
    of = classification[classification["condition"] == "clean"]
    exclusive = any(classified.is_exclusive(part) for _, part in of.groupby(["dataset", "model"]))
    what = (
        "how often the predicted label is right, over the probability that the model gave it"
        if exclusive
        else "how often a label is there, over its probability, all labels in one"
    )
    return (
        f"Are the probabilities what they say? Points: {what}, in ten equally wide bins, means over the "
        f"seeds that have images there, with intervals ({classified.made_by(frame)}). Dashed: a calibrated "
        "model. Beside the names: the expected calibration error, which small samples make larger. Below: "
        "how many images are given each probability."
    )
