"""Confusion matrices: what is said of which truth, by model."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sightline.figures import classified, forest, style, words

TOP, BOTTOM, GAP = 0.52, 0.40, 0.30  # inches
WIDE, FEW = 0.58, 3  # inches of a cell of a label of its own; labels whose matrix has room for intervals
STATES = ("positive", "negative")
SHADES = LinearSegmentedColormap.from_list("shares", ["#ffffff", style.FIRST])
DARK = 0.6  # the share from which text is white


def draw(shares: pd.DataFrame) -> Figure:
    """Per dataset a matrix per model: rows are truths, columns what is said, shades the share of each row.

    `shares` as table 'confusion_shares'. Of labels that exclude each other every pair; of others a row per
    label with the images that have it and those that have not.
    """
    frame = shares[shares["condition"] == "clean"]
    if frame.empty:
        return style.empty("No model was tested")
    lines = _lines(frame)
    with style.settings():
        heights = [TOP + max(_size(part)[1] for part in parts) + BOTTOM for _, parts in lines]
        figure = style.figure(style.WIDTH, sum(heights))
        top = sum(heights)
        for (title, parts), height in zip(lines, heights):
            figure.text(0.004, (top - 0.12) / sum(heights), title, weight="bold", size=8, va="center")
            left = _margin(parts[0])
            for part in parts:
                width, tall = _size(part)
                _panel(figure, (left, top - TOP - tall, width, tall), part, part is parts[0])
                left += width + GAP
            top -= height
    return figure


def _lines(frame: pd.DataFrame) -> list[tuple[str, list[pd.DataFrame]]]:
    """The matrices, as many in a line as fit, with the dataset's name where its first line is."""
    lines: list[tuple[str, list[pd.DataFrame]]] = []
    for dataset, here in frame.groupby("dataset"):
        title, parts = words.plain(dataset), [part for _, part in here.groupby("model")]
        size = _size(parts[0])[0]
        across = max(1, int((style.WIDTH - _margin(parts[0])) / (size + GAP)))
        for start in range(0, len(parts), across):
            lines.append((title, parts[start : start + across]))
            title = ""
    return lines


def _is_square(part: pd.DataFrame) -> bool:
    """Whether labels exclude each other."""
    return set(part["label"]) == {classified.ALL}


def _names(part: pd.DataFrame) -> list[str]:
    """The labels, in order: those that are rows."""
    return classified.labels_in_order(part.assign(label=part["truth"]) if _is_square(part) else part)


def _margin(part: pd.DataFrame) -> float:
    """Inches that the names of the rows take."""
    longest = max(len(_short(name)) for name in _names(part))
    return 0.34 + forest.CHARACTER * min(longest, 24)


def _size(part: pd.DataFrame) -> tuple[float, float]:
    """Width and height of a matrix in inches."""
    many = len(_names(part))
    if not _is_square(part):
        return 4 * WIDE, 0.19 * many
    cell = 0.62 if many <= FEW else max(0.17, min(0.34, 2.0 / many))
    return cell * many, cell * many * (0.75 if many <= FEW else 1.0)


def _panel(figure: Figure, box: tuple[float, float, float, float], part: pd.DataFrame, first: bool) -> None:
    (left, bottom, width, height), (wide, total) = box, figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / total, width / wide, height / total))
    names = _names(part)
    columns = len(names) if _is_square(part) else 4
    cells = _cells(part, names)
    for row, column, cell in cells:
        _cell(axes, (row, column), cell, len(names) if _is_square(part) else 0)
    axes.set(xlim=(0, columns), ylim=(len(names), 0))
    shown = [_short(name) for name in names] if first else [""] * len(names)
    axes.set_yticks([row + 0.5 for row in range(len(names))], shown)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(words.plain(part["model"].iloc[0]), weight="bold", pad=16 if columns == 4 else 5)
    if _is_square(part):
        axes.set_xticks([column + 0.5 for column in range(columns)], [_short(name) for name in names])
        axes.set_xlabel("predicted")
        axes.set_ylabel("true" if first else "")
        return
    axes.set_xticks([0.5, 1.5, 2.5, 3.5], ["found", "missed", "false alarm", "rejected"])
    axes.axvline(2, color="white", linewidth=3)
    for at, text in ((1, "positive images"), (3, "negative images")):
        axes.annotate(text, (at, 0), xytext=(0, 4), textcoords="offset points", ha="center", size=style.SMALL)


def _cells(part: pd.DataFrame, names: list[str]) -> list[tuple[int, int, pd.Series]]:
    """(row, column, cell) of a matrix."""
    found = []
    for _, cell in part.iterrows():
        if _is_square(part):
            found.append((names.index(cell["truth"]), names.index(cell["predicted"]), cell))
        else:
            of = STATES.index(cell["truth"])
            column = 2 * of + (0 if cell["predicted"] == "positive" else 1)
            found.append((names.index(cell["label"]), column, cell))
    return found


def _cell(axes: Axes, place: tuple[int, int], cell: pd.Series, many: int) -> None:
    """A cell's shade, its share and count; `many` labels exclude each other (0: they do not)."""
    row, column = place
    share = cell["share"]
    known = pd.notna(share)
    colour = SHADES(share) if known else "#f4f4f4"
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.6))
    look = {"ha": "center", "va": "center", "color": "white" if known and share > DARK else style.INK}
    count = (
        f"{cell['count']:,.0f}" if cell["count"] >= 10 or cell["count"] % 1 == 0 else f"{cell['count']:.1f}"
    )
    if not 0 < many <= FEW:
        text = count if many else (f"{share:.0%} ({count})" if known else "none")
        axes.text(column + 0.5, row + 0.5, text, size=style.SMALL if not many else min(6, 46 / many), **look)
        return
    axes.text(column + 0.5, row + 0.28, f"{share:.0%}" if known else "undefined", weight="bold", **look)
    if pd.notna(cell["low"]):
        span = f"[{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]"
        axes.text(column + 0.5, row + 0.54, span, size=style.SMALL - 0.5, **look)
    axes.text(column + 0.5, row + 0.78, count, size=style.SMALL - 0.5, **look)


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}\N{HORIZONTAL ELLIPSIS}"


def caption(shares: pd.DataFrame) -> str:
    """The question, what cells hold, and how intervals were made."""
    frame = shares[shares["condition"] == "clean"]
    square = frame["label"].eq(classified.ALL)
    rows = (
        ""
        if square.all()
        else (
            " Found or missed: images with the label, by what is predicted; false alarm or rejected: images "
            "without it."
        )
    )
    few = any(
        _is_square(part) and len(_names(part)) <= FEW for _, part in frame.groupby(["dataset", "model"])
    )
    parts = [
        "Which labels do the models confuse? Shades: the share of the images with a truth"
        + (" (a row)." if square.all() else ", which is half a row: images with the label, and without."),
        "Cells: share, interval in percent, and images "
        f"(means over seeds; {classified.made_by(frame[square])})."
        if few
        else "Numbers: images, means over seeds."
        if square.all()
        else "Cells: share, and images, means over seeds.",
        f"{words.seeds(frame.loc[frame['share'].notna(), 'seeds'])} per model.",
    ]
    return " ".join(parts) + rows
