"""Forest plots: rows of estimates with intervals, a panel per metric, a block per dataset and reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT as LEFT
from matplotlib.markers import CARETRIGHT as RIGHT
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sightline.figures import style

SLOT = 0.185  # inches a row takes
TOP, AXIS = 0.42, 0.42  # inches: titles above panels, ticks and label below
LEGEND, GAP = 0.30, 0.16  # inches: the legend, between panels
CHARACTER = 0.0585  # inches of a character of 7 points, on average
PANELS = 4  # side by side at most


@dataclass(frozen=True)
class Series:
    """One mark per row and panel; `colour` None takes the row's. Published values are drawn apart by
    `thin`."""

    key: str
    label: str
    marker: str = "o"
    filled: bool = True
    colour: str | None = None
    thin: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the plot, under `heading`; `note` stands at its right (n)."""

    key: str
    label: str
    heading: str
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """A metric: `chance` is a dashed line, `area` a dotted one, `band` (low, mean, high) a grey strip.

    The axis ends at `limits`, what there can be least and most; intervals beyond end in arrow heads there.
    """

    key: str
    title: str
    axis: str
    chance: float | None = None
    area: float | None = None
    band: tuple[float, float, float] | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True)
class Block:
    """Rows times panels; `marks` has row, panel, series, mean, low, high, why (where there is no mean)."""

    title: str
    rows: Sequence[Row]
    panels: Sequence[Panel]
    marks: pd.DataFrame


def draw(blocks: Sequence[Block], series: Sequence[Series], note: str = "images\n× seeds") -> Figure:
    """All blocks, one under the other, with one legend; `note` heads the column of `Row.note`."""
    lines = [
        (block, block.panels[start : start + PANELS], start == 0)
        for block in blocks
        for start in range(0, len(block.panels), PANELS)
    ]
    if not lines:
        return style.empty("No scores to draw")
    with style.settings():
        heights = [
            _height(block, series) + TOP + AXIS + (0.22 if first and block.title else 0.0)
            for block, _, first in lines
        ]
        total = sum(heights) + LEGEND
        figure = style.figure(style.WIDTH, total)
        top = total
        for (block, panels, first), height in zip(lines, heights):
            if first and block.title:
                figure.text(0.004, (top - 0.13) / total, block.title, weight="bold", size=8, va="center")
            _line(figure, block, panels, series, (top - height + AXIS, _height(block, series), total), note)
            top -= height
        _legend(figure, blocks, series)
    return figure


def _positions(block: Block, series: Sequence[Series]) -> tuple[dict[str, float], dict[str, float], float]:
    """Where rows and headings lie, in slots downwards, and how many slots there are; a row is as high as
    its marks."""
    rows, headings, at, last = {}, {}, 0.0, None
    for row in block.rows:
        if row.heading != last and row.heading:
            at += 0.0 if last is None else 0.3
            headings[row.heading] = at + 0.5
            at += 1.0
        last = row.heading
        step = 0.55 + 0.5 * max(1, len(_used(block, series, row.key)))
        rows[row.key] = at + step / 2.0
        at += step
    return rows, headings, at


def _used(block: Block, series: Sequence[Series], row: str) -> list[str]:
    """The series that have a mark in this row, in any panel."""
    present = set(block.marks.loc[block.marks["row"] == row, "series"])
    return [item.key for item in series if item.key in present]


def _height(block: Block, series: Sequence[Series]) -> float:
    return SLOT * _positions(block, series)[2] + 0.08


def _line(
    figure: Figure, block: Block, panels: Sequence[Panel], series: Sequence[Series], place, note: str
) -> None:
    """One line of panels beside the rows' labels; `place` is (bottom, height, figure height) in inches."""
    bottom, height, total = place
    rows, headings, slots = _positions(block, series)
    left = min(2.4, 0.16 + CHARACTER * max([len(row.label) + 2 for row in block.rows] + [12]))
    right = (
        0.16 + 0.05 * max(len(text) for text in [*(row.note for row in block.rows), *note.split("\n")])
        if note
        else 0.08
    )
    width = (style.WIDTH - left - right - 0.10) / max(len(panels), 2) - GAP
    labels = figure.add_axes((0.0, bottom / total, left / style.WIDTH, height / total))
    labels.set_axis_off()
    labels.set(xlim=(0, left), ylim=(slots, 0))
    for heading, at in headings.items():
        labels.text(0.03, at, heading, weight="bold", va="center")
    for row in block.rows:
        labels.text(0.13 if headings else 0.03, rows[row.key], row.label, va="center")
    for index, panel in enumerate(panels):
        start = left + 0.10 + index * (width + GAP)
        axes = figure.add_axes((start / style.WIDTH, bottom / total, width / style.WIDTH, height / total))
        _panel(axes, block, panel, series, (rows, headings, slots))
    if note:
        place = ((style.WIDTH - right) / style.WIDTH, bottom / total, right / style.WIDTH, height / total)
        _notes(figure.add_axes(place), block, rows, slots, (right, note))


def _notes(axes: Axes, block: Block, rows: dict[str, float], slots: float, column: tuple[float, str]) -> None:
    """The rows' notes at the right, under a heading; `column` is (width in inches, heading)."""
    width, heading = column
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(slots, 0))
    look = {"ha": "right", "color": style.FAINT, "size": style.SMALL}
    for row in block.rows:
        axes.text(width - 0.05, rows[row.key], row.note, va="center", **look)
    axes.annotate(heading, (width - 0.05, 0), xytext=(0, 5), textcoords="offset points", va="bottom", **look)


def _panel(axes: Axes, block: Block, panel: Panel, series: Sequence[Series], place) -> None:
    rows, _, slots = place
    marks = block.marks[block.marks["panel"] == panel.key]
    axes.set_ylim(slots, 0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False, labelleft=False)
    guides(axes, panel, rows.values())
    colours = {row.key: row.colour for row in block.rows}
    looks = {item.key: item for item in series}
    for key, at in rows.items():
        used = _used(block, series, key)
        here = marks[marks["row"] == key]
        if len(here) and here["mean"].isna().all():
            absent(axes, at, here["why"].iloc[0])
            continue
        for found in here.itertuples():
            shift = (used.index(found.series) - (len(used) - 1) / 2.0) * 0.5
            look = looks[found.series]
            drawn = (look.colour or colours[key], panel.limits)
            mark(axes, found, at + shift, look, drawn)
    limits(axes, marks, panel)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.set_title(panel.title, weight="bold", pad=5)
    axes.set_xlabel(panel.axis, size=style.SMALL)


def guides(axes: Axes, panel: Panel, rows: Iterable[float]) -> None:
    """A faint line per row, and the panel's strip and lines."""
    for at in rows:
        axes.axhline(at, color=style.RULE, linewidth=0.35, zorder=0)
    if panel.band:
        low, mean, high = panel.band
        axes.axvspan(low, high, color=style.BAND, linewidth=0, zorder=0)
        axes.axvline(mean, color="#9fb2c0", linewidth=0.8, zorder=0)
    if panel.chance is not None:
        axes.axvline(panel.chance, color=style.FAINT, linewidth=0.8, dashes=(4, 2), zorder=1)
    if panel.area is not None:
        axes.axvline(panel.area, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)


def mark(axes: Axes, row, at: float, item: Series, drawn: tuple[str, tuple[float, float]]) -> None:
    """Draw the mean, low, high of `row` at height `at`; where there is no mean, its `why`.

    `drawn` is (colour, limits): an end beyond them is an arrow head there.
    """
    colour, (least, most) = drawn
    if pd.isna(row.mean):
        absent(axes, at, row.why)
        return
    if not (pd.isna(row.low) or pd.isna(row.high)):
        ends = [max(row.low, least), min(row.high, most)]
        width = 0.7 if item.thin else 1.3
        axes.plot(ends, [at, at], color=colour, linewidth=width, solid_capstyle="butt", zorder=2)
        for end, beyond, head in ((ends[0], row.low < least, LEFT), (ends[1], row.high > most, RIGHT)):
            if beyond:
                axes.scatter([end], [at], s=14, marker=head, color=colour, linewidth=0, zorder=2)
    axes.plot(
        [row.mean],
        [at],
        item.marker,
        color=colour,
        markersize=3.4 if item.thin else 4.2,
        markerfacecolor=colour if item.filled else "white",
        markeredgewidth=0.9,
        zorder=3,
    )


def absent(axes: Axes, at: float, why: str) -> None:
    """Say `why` there is no mark, in the middle of the panel at height `at`."""
    place = {"xycoords": ("axes fraction", "data"), "ha": "center", "va": "center"}
    axes.annotate(why, (0.5, at), size=style.SMALL, color=style.FAINT, **place)


def limits(axes: Axes, marks: pd.DataFrame, panel: Panel) -> None:
    """Let the axis hold all `marks` and the panel's lines, within what there can be."""
    values = pd.concat([marks["mean"], marks["low"], marks["high"]]).dropna().tolist()
    values += [value for value in (panel.chance, panel.area, *(panel.band or ())) if value is not None]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        axes.set_xlim(0, 1)
        return
    low, high = max(min(values), panel.limits[0]), min(max(values), panel.limits[1])
    margin = 0.06 * (high - low) or 0.05
    axes.set_xlim(low - margin, high + margin)


def _legend(figure: Figure, blocks: Sequence[Block], series: Sequence[Series]) -> None:
    present = {key for block in blocks for key in block.marks["series"]}
    handles = [
        Line2D(
            [],
            [],
            marker=item.marker,
            color=item.colour or style.INK,
            linewidth=0.7 if item.thin else 1.3,
            markersize=4,
            markerfacecolor=(item.colour or style.INK) if item.filled else "white",
            label=item.label,
        )
        for item in series
        if item.key in present
    ]
    panels = [panel for block in blocks for panel in block.panels]
    if any(panel.chance is not None for panel in panels):
        handles.append(Line2D([], [], color=style.FAINT, linewidth=0.8, dashes=(4, 2), label="chance"))
    if any(panel.area is not None for panel in panels):
        handles.append(Line2D([], [], color=style.FAINT, linestyle=":", label="region's share of the area"))
    if any(panel.band is not None for panel in panels):
        handles.append(Patch(facecolor=style.BAND, edgecolor="#9fb2c0", linewidth=0.6, label="readers"))
    figure.legend(handles=handles, loc="lower center", ncols=min(6, len(handles)), bbox_to_anchor=(0.5, 0.0))
