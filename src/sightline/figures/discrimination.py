"""ROC and precision-recall curves with bands, a line per model, and per label where there are several."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sightline.figures import classified, style, words

SIDE, SMALL, TOP, BOTTOM = 1.75, 0.95, 0.40, 0.42  # inches: large panels, small ones, above, below
LEFT, GAP, ACROSS = 0.42, 0.62, 6  # inches; small panels side by side
MOST = 20  # labels that have a small panel each
AXES = {"roc": ("false positive rate", "true positive rate"), "pr": ("recall", "precision")}
AREAS = {"roc": "auc", "pr": "average_precision"}


def draw(discrimination: pd.DataFrame, classification: pd.DataFrame) -> Figure:
    """Per dataset the two curves that speak for its labels, and below a small ROC curve of each label.

    Tables as in `tables`; conditions other than clean are left out. Areas stand beside the curves.
    """
    frame = discrimination[(discrimination["condition"] == "clean") & discrimination["y"].notna()]
    if frame.empty:
        return style.empty("No model was tested")
    classification = classification[classification["condition"] == "clean"]
    colours = classified.colours(frame["model"])
    blocks = [
        (here, classification[classification["dataset"] == name]) for name, here in frame.groupby("dataset")
    ]
    heights = [_height(of) for _, of in blocks]
    with style.settings():
        figure = style.figure(style.WIDTH, sum(heights))
        top = sum(heights)
        for (here, of), height in zip(blocks, heights):
            _block(figure, top, here, of, colours)
            top -= height
    return figure


def _height(of: pd.DataFrame) -> float:
    lines = -(-len(_small(of)) // ACROSS)
    return TOP + SIDE + BOTTOM + (lines * (SMALL + 0.24) + 0.22 if lines else 0.0)


def _small(of: pd.DataFrame) -> list[str]:
    """The labels that have a panel of their own."""
    labels = classified.labels_in_order(of)
    return labels if classified.spoken(of) == classified.MEAN and len(labels) <= MOST else []


def _block(
    figure: Figure, top: float, here: pd.DataFrame, of: pd.DataFrame, colours: Mapping[str, str]
) -> None:
    wide, total = figure.get_size_inches()
    label = classified.spoken(of)
    figure.text(
        0.004, (top - 0.13) / total, words.plain(of["dataset"].iloc[0]), weight="bold", size=8, va="center"
    )
    for index, curve in enumerate(AXES):
        left = LEFT + index * (SIDE + GAP)
        box = (left / wide, (top - TOP - SIDE) / total, SIDE / wide, SIDE / total)
        axes = figure.add_axes(box)
        rows = here[(here["curve"] == curve) & (here["label"] == label)]
        _curves(axes, rows, colours, band=True)
        _guide(axes, curve, of, label)
        axes.set(xlabel=AXES[curve][0], ylabel=AXES[curve][1])
        axes.set_title(
            f"{'ROC' if curve == 'roc' else 'Precision and recall'}, {_said(label)}", weight="bold"
        )
    _areas(figure, (LEFT + 2 * (SIDE + GAP) - 0.3, top - TOP), of, label, colours)
    for place, name in enumerate(_small(of)):
        step = (wide - LEFT) / ACROSS
        left = LEFT + (place % ACROSS) * step
        bottom = top - TOP - SIDE - BOTTOM - 0.22 - (place // ACROSS) * (SMALL + 0.24) - SMALL
        axes = figure.add_axes((left / wide, bottom / total, (step - 0.16) / wide, SMALL / total))
        rows = here[(here["curve"] == "roc") & (here["label"] == name)]
        _curves(axes, rows, colours, band=False)
        if len(rows):
            _guide(axes, "roc", of, name)
        axes.set_title(_short(name), size=style.SMALL, pad=3)
        axes.tick_params(labelbottom=False, labelleft=False)
        if rows.empty:
            axes.text(0.5, 0.5, "undefined", ha="center", va="center", size=style.SMALL, color=style.FAINT)


def _said(label: str) -> str:
    return "mean of labels" if label == classified.MEAN else label


def _short(label: str) -> str:
    return label if len(label) <= 18 else f"{label[:17]}\N{HORIZONTAL ELLIPSIS}"


def _curves(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str], band: bool) -> None:
    for model, line in rows.groupby("model"):
        line = line.sort_values("x")
        if band:
            axes.fill_between(
                line["x"], line["low"], line["high"], color=colours[model], alpha=0.16, linewidth=0, zorder=2
            )
        axes.plot(line["x"], line["y"], color=colours[model], linewidth=1.1 if band else 0.9, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])


def _guide(axes: Axes, curve: str, of: pd.DataFrame, label: str) -> None:
    """What a model that knows nothing has: the diagonal, or the share of positives."""
    look = {"color": style.FAINT, "linewidth": 0.7, "dashes": (4, 2), "zorder": 1}
    if curve == "roc":
        axes.plot([0, 1], [0, 1], **look)
        return
    axes.plot([0, 1], [prevalence(of, label)] * 2, **look)


def prevalence(of: pd.DataFrame, label: str) -> float:
    """The share of positives of a label of one dataset, or its mean over labels."""
    rows = of[(of["metric"] == "auc") & ~of["label"].isin(classified.TOGETHER)].drop_duplicates("label")
    share = rows.set_index("label")["positives"] / rows.set_index("label")["images"].clip(lower=1)
    return float(share.mean() if label == classified.MEAN else share[label])


def _areas(
    figure: Figure,
    corner: tuple[float, float],
    of: pd.DataFrame,
    label: str,
    colours: Mapping[str, str],
) -> None:
    """The models' names in their colours, with the areas under their curves."""
    (left, top), (wide, total) = corner, figure.get_size_inches()
    for place, (model, rows) in enumerate(of[of["label"] == label].groupby("model")):
        lines = [words.plain(model)]
        for curve, metric in AREAS.items():
            row = rows[rows["metric"] == metric]
            if len(row):
                name = "AUC" if curve == "roc" else "AP"
                lines.append(f"{name} {words.estimate(row.iloc[0], 'value')}")
        at = top - 0.06 - place * 0.46
        for index, line in enumerate(lines):
            look = {"weight": "bold"} if index == 0 else {"size": style.SMALL}
            figure.text(
                left / wide, (at - index * 0.13) / total, line, color=colours[model], va="center", **look
            )


def caption(discrimination: pd.DataFrame, classification: pd.DataFrame) -> str:
    """The question, how lines and bands were made, n."""
    frame = discrimination[(discrimination["condition"] == "clean") & discrimination["y"].notna()]
    of = classification[classification["condition"] == "clean"]
    labels = any(_small(part) for _, part in of.groupby("dataset"))
    return (
        "What do the models give up for what they find, at any threshold? Lines are means over seeds at each "
        "false positive rate (ROC) or recall, bands their intervals, place by place "
        f"({classified.made_by(frame)}). Dashed: what a model that knows nothing has (the diagonal; the "
        f"share of positives). AP: average precision. n = {words.span(of['images'])} images, "
        f"{words.seeds(frame['seeds'])} per model."
        + (" Small panels: the ROC curve of each label, from 0 to 1 on both axes." if labels else "")
        + (
            " Of two labels that exclude each other one is drawn; the other's ROC curve is its mirror image."
            if any(
                classified.is_exclusive(part) and classified.spoken(part) != classified.MEAN
                for _, part in of.groupby("dataset")
            )
            else ""
        )
    )
