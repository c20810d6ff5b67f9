"""What describes a model or a dataset as a whole: grids of images, tables as dots, images as points."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sightline.figures import style, words

QUESTIONS = {
    "filters": "What does a layer of the network answer to, by its weights?",
    "feature_maps": "What do single channels make of an image?",
    "class_maximisation": "What would an image look like that the network is surest of?",
    "deep_dream": "What does a layer see in an image, if it may change it?",
    "feature_visualisation": "Which image does a channel answer to most?",
    "network_dissection": "Do single units find what was marked in the images?",
    "feature_projection": "How do the images lie to each other for the network, and which lie apart?",
    "tcav": "Does a class depend on a concept?",
}
LEFT, RIGHT, GAP, TITLE, HEAD, FOOT = 0.1, 0.1, 0.06, 0.15, 0.26, 0.1  # inches
TILE, LEAST, BAR = 0.82, 0.5, 0.42  # a tile's side, the least side, the scale below
ROW, MOST_ROWS = 0.15, 30  # a table's row, and how many are drawn
LABELS, NOTES, AXIS = 1.6, 0.62, 0.58
PANEL, LEGEND = 2.8, 0.14  # a scatter's side, a line of its legend
MOST_GROUPS = 8
MINUS = re.compile(r"(?<!\S)-(?=\d)")  # of a number, not in a name
GROUPS = (style.FIRST, style.SECOND, style.THIRD, *style.FREE[1:3], "#E69F00", *style.FREE[3:5])


class Artifact(Protocol):
    """What is drawn (`sightline.attribution.artifact`)."""

    item: str
    kind: str
    values: np.ndarray
    facts: Mapping


@dataclass(frozen=True)
class _Block:
    """A part of the figure over its whole width: its height in inches, and what draws it from its top."""

    height: float
    draw: Callable[[Figure, float], None]


def draw(artifacts: Sequence[Artifact] | str) -> Figure:
    """All artefacts of one kind below each other, scatters side by side; a text says why there is none."""
    if isinstance(artifacts, str):
        return style.empty("\n".join(textwrap.wrap(f"Not applicable: {artifacts}", 110)))
    scatters = [one for one in artifacts if one.kind == "scatter"]
    blocks = [
        _images(one) if one.kind == "images" else _table(one) for one in artifacts if one not in scatters
    ]
    blocks += [_scatters(scatters[at : at + 2]) for at in range(0, len(scatters), 2)]
    total = sum(block.height for block in blocks)
    with style.settings():
        figure = style.figure(style.WIDTH, total)
        top = total
        for block in blocks:
            block.draw(figure, top)
            top -= block.height
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at inches from the left and from the bottom to their upper edge."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, (top - height) / tall, width / wide, height / tall))


def _text(figure: Figure, left: float, top: float, text: str, **look: object) -> None:
    wide, tall = figure.get_size_inches()
    figure.text(left / wide, top / tall, text, **look)


# ---- images


def plane(image: np.ndarray, look: str) -> np.ndarray:
    """An image (C, [D,] h, w) as (h, w): channels summed where signed, else their mean.

    A volume becomes its three middle planes (across depth, height, width) side by side, NaN between.
    """
    values = np.asarray(image, dtype=np.float64)
    values = values.sum(axis=0) if look == "signed" else values.mean(axis=0)
    if values.ndim == 2:
        return values
    planes = [np.take(values, side // 2, axis=axis) for axis, side in enumerate(values.shape)]
    height = max(len(one) for one in planes)
    parts = []
    finer = -(-48 // height)  # so that the gap is narrower than a cell
    planes, height = [one.repeat(finer, axis=0).repeat(finer, axis=1) for one in planes], finer * height
    for one in planes:
        below = np.full((height - len(one), one.shape[1]), np.nan)
        parts += [np.concatenate([one, below]), np.full((height, height // 24), np.nan)]
    return np.concatenate(parts[:-1], axis=1)


def _images(artifact: Artifact) -> _Block:
    look = artifact.facts["look"]
    planes = [plane(image, look) for image in artifact.values]
    ratio = planes[0].shape[1] / planes[0].shape[0]
    space = style.WIDTH - LEFT - RIGHT
    tall = TILE if ratio <= 2 else LEAST  # volumes are three planes wide
    gap = GAP if artifact.values.ndim == 4 else 3 * GAP
    columns = max(1, min(len(planes), int((space + gap) / (tall * ratio + gap))))
    lines = -(-len(planes) // columns)
    height = HEAD + lines * (tall + TITLE + GAP) + (FOOT if look == "image" else BAR)

    def fill(figure: Figure, top: float) -> None:
        _text(figure, LEFT, top - 0.14, words.plain(artifact.item), weight="bold", va="baseline")
        colours, limits = _scale(planes, look)
        for index, one in enumerate(planes):
            left = LEFT + (tall * ratio + gap) * (index % columns)
            up = top - HEAD - (tall + TITLE + GAP) * (index // columns) - TITLE
            axes = _axes(figure, left, up, tall * ratio, tall)
            own = limits or Normalize(np.nanmin(one), max(np.nanmax(one), np.nanmin(one) + 1e-12))
            axes.imshow(one, cmap=colours, norm=own, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            title = _short(
                MINUS.sub("\N{MINUS SIGN}", artifact.facts["titles"][index]), int(tall * ratio / 0.056)
            )
            _text(figure, left, up + 0.03, title, size=style.SMALL, va="baseline")
        if limits is not None:
            _bar(figure, top - height + BAR, colours, limits)

    return _Block(height, fill)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(1, most - 1)] + "\N{HORIZONTAL ELLIPSIS}"


def _scale(planes: Sequence[np.ndarray], look: str) -> tuple[Colormap | str, Normalize | None]:
    """Colours, and the one scale of all tiles; images are grey, each on its own."""
    if look == "image":
        return "gray", None
    every = np.concatenate([one.ravel() for one in planes])
    every = every[np.isfinite(every)]
    largest = float(np.abs(every).max()) or 1.0
    low, high = (-largest, largest) if look == "signed" else (float(every.min()), float(every.max()))
    return style.map_colours(look == "signed"), Normalize(low, high if high > low else low + 1.0)


def _bar(figure: Figure, top: float, colours: Colormap, limits: Normalize) -> None:
    axes = _axes(figure, LEFT + 0.15, top - 0.06, 2.0, 0.08)
    bar = figure.colorbar(ScalarMappable(limits, colours), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    middle = 0.0 if limits.vmin < 0 < limits.vmax else (limits.vmin + limits.vmax) / 2
    ticks = [limits.vmin, middle, limits.vmax]
    bar.set_ticks(ticks, labels=[f"{tick:.2g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    axes.tick_params(length=2, pad=1)


# ---- tables


def _table(artifact: Artifact) -> _Block:
    facts, values = artifact.facts, np.asarray(artifact.values, dtype=np.float64)
    at = {name: index for index, name in enumerate(facts["columns"])}
    marks = [values[:, at[name]] for name in facts["marks"]]
    order = np.arange(len(values))
    if len(values) > MOST_ROWS:  # the best first: the others would be a crowd
        order = np.argsort(-np.nan_to_num(np.max(marks, axis=0), nan=-np.inf), kind="stable")[:MOST_ROWS]
    height = HEAD + ROW * len(order) + AXIS + 0.1

    def fill(figure: Figure, top: float) -> None:
        head = words.plain(artifact.item)
        if len(order) < len(values):
            head += f": the {len(order)} highest of {len(values)}"
        _text(figure, LEFT, top - 0.14, head, weight="bold", va="baseline")
        notes = facts.get("notes", [])
        width = style.WIDTH - LABELS - NOTES * len(notes) - 0.15
        axes = _axes(figure, LABELS, top - HEAD, width, ROW * len(order))
        place = np.arange(len(order))
        _dots(axes, facts, values[order], at, place)
        axes.set_yticks(place, [_short(words.plain(facts["rows"][i]), 34) for i in order])
        for column, name in enumerate(notes):
            x = LABELS + width + NOTES * (column + 0.9)
            look = {"size": style.SMALL, "ha": "right", "va": "baseline"}
            _text(figure, x, top - HEAD + 0.03, name, color=style.FAINT, **look)
            for row, value in zip(place, values[order, at[name]]):
                _text(figure, x, top - HEAD - ROW * (row + 0.62), _told(value), **look)
        handles, labels = axes.get_legend_handles_labels()
        wide, tall = figure.get_size_inches()
        under = (LABELS / wide, (top - height + 0.08) / tall)
        figure.legend(handles, labels, loc="lower left", bbox_to_anchor=under, ncols=6, borderaxespad=0)

    return _Block(height, fill)


def _dots(axes: Axes, facts: Mapping, values: np.ndarray, at: Mapping[str, int], place: np.ndarray) -> None:
    value, word = facts.get("line", (None, ""))
    if value is not None:
        axes.axvline(value, color=style.FAINT, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1, label=word)
    for index, name in enumerate(facts["marks"]):
        spread = facts.get("spread", {}).get(name)
        found = values[:, at[name]]
        is_random = name.startswith("random")
        look = {
            "color": style.FAINT if is_random else GROUPS[index % len(GROUPS)],
            "zorder": 2 if is_random else 3,
        }
        if spread:
            low, high = (values[:, at[end]] for end in spread)
            axes.hlines(place, low, high, linewidth=1.0, **look)
        marker = "|" if is_random else "o"
        axes.plot(found, place, marker, markersize=5 if is_random else 3.2, label=words.plain(name), **look)
    axes.set(ylim=(len(place) - 0.5, -0.5), xlabel=facts["axis"])
    axes.grid(axis="x", color=style.RULE, linewidth=0.4)
    axes.tick_params(axis="y", length=0)
    axes.update_datalim([(0.0, 0.0)])  # zero is always shown
    axes.autoscale_view(scaley=False)


def _told(value: float) -> str:
    if not np.isfinite(value):
        return "\N{EN DASH}"
    text = f"{value:.0f}" if value == int(value) and abs(value) > 1 else f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


# ---- scatters


def _scatters(artifacts: Sequence[Artifact]) -> _Block:
    groups = Counter(name for one in artifacts[:1] for name in one.facts["groups"])
    kept = [name for name, _ in sorted(groups.items(), key=lambda item: (-item[1], item[0]))][:MOST_GROUPS]
    lines = -(-(len(kept) + 2) // 4)
    height = HEAD + PANEL + 0.45 + LEGEND * lines + 0.1

    def fill(figure: Figure, top: float) -> None:
        for index, one in enumerate(artifacts):
            left = 0.6 + (PANEL + 0.65) * index
            name = {"pca": "PCA", "tsne": "t-SNE"}.get(one.item, words.plain(one.item))
            _text(figure, left, top - 0.14, name, weight="bold", va="baseline")
            _points(_axes(figure, left, top - HEAD, PANEL, PANEL), one, kept)
        handles = [
            Line2D(
                [], [], marker="o", linestyle="", markersize=3.5, color=colour, markeredgewidth=0, label=label
            )
            for label, colour in zip([f"{words.plain(name)} ({groups[name]})" for name in kept], GROUPS)
        ]
        others = sum(groups.values()) - sum(groups[name] for name in kept)
        if others:
            look = {"marker": "o", "linestyle": "", "markersize": 3.5, "color": style.RULE}
            handles.append(Line2D([], [], label=f"others ({others})", **look))
        ring = {
            "marker": "o",
            "linestyle": "",
            "markersize": 6,
            "color": "none",
            "markeredgecolor": style.INK,
        }
        handles.append(Line2D([], [], markeredgewidth=0.7, label="outlier", **ring))
        wide, tall = figure.get_size_inches()
        under = (0.6 / wide, (top - height + 0.05) / tall)
        figure.legend(handles=handles, loc="lower left", bbox_to_anchor=under, ncols=4, borderaxespad=0)

    return _Block(height, fill)


def _points(axes: Axes, artifact: Artifact, kept: Sequence[str]) -> None:
    values, groups = artifact.values, np.array(artifact.facts["groups"])
    colours = dict(zip(kept, GROUPS))
    for name in [None, *reversed(kept)]:  # the rarest on top
        part = ~np.isin(groups, kept) if name is None else groups == name
        look = {"s": 8, "linewidths": 0, "alpha": 0.8, "zorder": 2}
        axes.scatter(*values[part, :2].T, color=colours.get(name, style.RULE), **look)
    ringed = values[values[:, 3] > 0]
    axes.scatter(*ringed[:, :2].T, s=26, facecolors="none", edgecolors=style.INK, linewidths=0.7, zorder=3)
    axes.set(xlabel=artifact.facts["columns"][0], ylabel=artifact.facts["columns"][1])
    axes.margins(0.05)
    axes.locator_params(nbins=5)
    axes.grid(color=style.RULE, linewidth=0.4)


def caption(kind: str, artifacts: Sequence[Artifact] | str, of: str) -> str:
    """The question of artefact `kind`, how it was made (each sentence once), `of` which model and dataset."""
    question = QUESTIONS.get(kind, f"{words.plain(kind).capitalize()}.")
    if isinstance(artifacts, str):
        return f"{question} {of}: not applicable, because {artifacts}."
    said = dict.fromkeys(sentence for one in artifacts for sentence in one.facts.get("says", []))
    looks = {one.facts["look"] for one in artifacts if one.kind == "images"}
    volumes = any(one.kind == "images" and one.values.ndim == 5 for one in artifacts)
    how = [
        "Images are drawn from their darkest to their brightest value, channels averaged."
        * ("image" in looks),
        "The tiles of a layer share one scale." * bool(looks - {"image"}),
        "Volumes: the three middle planes." * volumes,
    ]
    return " ".join([question, f"{of}.", *said, *filter(None, how), "No intervals."])
