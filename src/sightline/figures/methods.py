"""The methods side by side: a row each, its maps of the same images, and beside them what they can be trusted
for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sightline.figures import columns, overlays, style, trust, words

TALL, LEAST, SHORT = 0.86, 0.50, 0.36  # inches: a row's height, at least, and of a row without maps
PAGE = 9.2  # inches that the rows take at most, as long as they are not too low
LABEL, PANEL, BETWEEN, GAP = 1.28, 0.76, 0.19, 0.05  # inches: names, a column, between columns, between maps
HEAD, FOOT, AXIS = 0.34, 0.52, 0.36  # inches: the cases' titles, the scales of colour, the columns' axes
ABOVE = 0.46  # inches of the columns' titles
PIXELS = 144  # the longest side of a map that is drawn
TOP = 99.5  # percentile of a row's values at which its colours end: single pixels do not dim the rest


@dataclass(frozen=True)
class Row:
    """A method: its reading in words, and `absent`, why it has no maps ("": it has)."""

    method: str
    reading: str = ""
    absent: str = ""


@dataclass(frozen=True)
class _Place:
    """Where things lie, in inches: widths of the parts, a row's height, and the rows' upper edges."""

    width: float
    total: float
    cell: tuple[float, float]
    start: float  # of the columns
    panel: float  # a column's width
    tops: tuple[float, ...]  # of the film's row, then of each method's
    heights: tuple[float, ...]


def draw(
    rows: Sequence[Row],
    found: Sequence[trust.Column],
    cases: Sequence[overlays.Case] = (),
    methods: Sequence[str] = (),
) -> Figure:
    """A row for each of `rows`, in order: maps of `cases` (panels by method), then a mark of each of `found`.

    The first row of pictures is the images with their `region` and outlines. The colours of a row's maps have
    one scale, which is written under its name. Without cases there are no pictures. `methods` is the study's
    whole list (colours).
    """
    if not rows or not (found or cases):
        return style.empty("No method to show")
    colours = style.colours([*methods, *(row.method for row in rows)])
    place = _placed(rows, len(found), cases)
    with style.settings():
        figure = style.figure(place.width, place.total)
        signed = [_pictures(figure, place, index, row, cases) for index, row in enumerate(rows)]
        _films(figure, place, cases)
        _columns(figure, place, rows, found, colours)
        kinds = [kind for kind in (False, True) if kind in signed]
        for order, kind in enumerate(kinds):
            ends = ["\N{MINUS SIGN}scale", "0", "scale"] if kind else ["lowest", "highest of the row"]
            label = "signed map" if kind else "map without signs"
            overlays.scale(figure, LABEL + 3.1 * order, kind, label, ends)
    return figure


def _placed(rows: Sequence[Row], count: int, cases: Sequence[overlays.Case]) -> _Place:
    ratio = max([min(1.35, case.image.shape[0] / case.image.shape[1]) for case in cases], default=1.0)
    full = sum(not row.absent for row in rows)
    tall = min(TALL, max(LEAST, (PAGE - SHORT * (len(rows) - full)) / (full + 1)))
    if not cases:
        tall = SHORT
    cell = ((tall - GAP) / ratio, tall - GAP)
    heights = [tall if cases else ABOVE, *(SHORT if row.absent else tall for row in rows)]
    if cases and count:
        heights[0] = max(heights[0], ABOVE)
    total = sum(heights) + AXIS + (HEAD + FOOT if cases else 0.06)
    tops, at = [], total - (HEAD if cases else 0.06)
    for height in heights:
        tops.append(at)
        at -= height
    start = LABEL + len(cases) * (cell[0] + GAP) + (0.12 if cases else 0.0)
    panel = PANEL if cases else _wide(start, count)
    width = max(start + count * (panel + BETWEEN) + 0.1, LABEL + (5.2 if cases else 0.0))
    return _Place(width, total, cell, start, panel, tuple(tops), tuple(heights))


def _wide(start: float, count: int) -> float:
    """The width of a column where there are no pictures: what a paper's width leaves."""
    return min(1.6, max(PANEL, (style.WIDTH - start - 0.1) / max(count, 1) - BETWEEN))


# ---- pictures


def _pictures(
    figure: Figure, place: _Place, index: int, row: Row, cases: Sequence[overlays.Case]
) -> bool | None:
    """A method's name and maps; whether they have signs (None: it has none)."""
    width, total, top, height = place.width, place.total, place.tops[index + 1], place.heights[index + 1]
    line = figure.add_artist(_line((0.04, place.width - 0.04), top, place))
    line.set_zorder(0)
    maps = {at: case.panels[row.method] for at, case in enumerate(cases) if row.method in case.panels}
    signed = any(row.method in case.signed for case in cases)
    low, high = _range(maps.values(), signed)
    under = [row.reading] if row.reading and not row.absent else []
    if maps and not row.absent:
        ends = (
            f"scale \N{PLUS-MINUS SIGN}{words.short(high)}"
            if signed
            else f"{words.short(low)} to {words.short(high)}"
        )
        under += [ends]
    name = "\n".join(textwrap.wrap(words.method(row.method), 19))
    text = "\n".join(textwrap.shorten(part, 26, placeholder=" \N{HORIZONTAL ELLIPSIS}") for part in under)
    middle = (top - height / 2) / total
    lines, small = name.count("\n") + 1, len(under)
    shift = 0.055 * small / total
    figure.text(0.06 / width, middle + shift, name, va="center", weight="bold", linespacing=1.1)
    if under:
        down = (0.058 * lines + 0.055 * small) / total
        look = {"color": style.FAINT, "size": style.SMALL - 0.5, "linespacing": 1.15}
        figure.text(0.06 / width, middle + shift - down, text, va="center", **look)
    if row.absent:
        look = {"color": style.FAINT, "size": style.SMALL, "va": "center"}
        wide = int((place.width - LABEL) / 0.053)
        told = textwrap.wrap(row.absent, min(120, wide))[:2]
        look["bbox"] = {"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none"}
        figure.text(LABEL / width, middle, "\n".join(told), **look)
        return None
    for at, case in enumerate(cases):
        axes = figure.add_axes(_cell(place, at, top))
        axes.set_axis_off()
        _map(axes, case, maps.get(at), (signed, low, high), case.absent.get(row.method, "not made"))
    return signed if maps else None


def _cell(place: _Place, at: int, top: float) -> tuple[float, float, float, float]:
    left = LABEL + at * (place.cell[0] + GAP)
    bottom = top - GAP / 2 - place.cell[1]
    return left / place.width, bottom / place.total, place.cell[0] / place.width, place.cell[1] / place.total


def _line(ends: tuple[float, float], at: float, place: _Place) -> Line2D:
    """A faint line over the whole width above a row."""
    x, y = [end / place.width for end in ends], [at / place.total] * 2
    return Line2D(x, y, color=style.RULE, linewidth=0.5)


def _range(maps, signed: bool) -> tuple[float, float]:
    """Where the colours of a row's maps end: the lowest value (of unsigned ones) and the `TOP` percentile."""
    values = np.concatenate([np.ravel(one) for one in maps] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    if signed:
        return 0.0, float(np.percentile(np.abs(values), TOP))
    low, high = float(values.min()), float(np.percentile(values, TOP))
    return (0.0 if 0.0 <= low < 0.02 * high else low), high


def _map(axes: Axes, case: overlays.Case, values: np.ndarray | None, scale, why: str) -> None:
    if values is None:
        text = "\n".join(textwrap.wrap(why, 12))
        look = {"ha": "center", "va": "center", "size": style.SMALL - 0.5, "color": style.FAINT}
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
        return
    signed, low, high = scale
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    share = np.clip(share, -1.0 if signed else 0.0, 1.0)
    _show(axes, case, overlays.overlay(case.image, share, signed, PIXELS))
    if np.nanmax(values) == np.nanmin(values):
        overlays.constant(axes)


def _show(axes: Axes, case: overlays.Case, picture: np.ndarray) -> None:
    height, width = case.image.shape[:2]
    axes.imshow(picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="none", aspect="equal")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), anchor="C")


def _films(figure: Figure, place: _Place, cases: Sequence[overlays.Case]) -> None:
    """The first row: the images, with what the maps are held against."""
    for at, case in enumerate(cases):
        cell = _cell(place, at, place.tops[0])
        axes = figure.add_axes(cell)
        axes.set_axis_off()
        _show(axes, case, overlays.overlay(case.image, None, False, PIXELS))
        overlays.marks(axes, case)
        title = "\n".join(case.title.split("\n")[:3])
        look = {"ha": "center", "va": "bottom", "size": style.SMALL - 0.5, "linespacing": 1.05}
        figure.text(cell[0] + cell[2] / 2, cell[1] + cell[3] + 0.03 / place.total, title, **look)


def _columns(
    figure: Figure,
    place: _Place,
    rows: Sequence[Row],
    found: Sequence[trust.Column],
    colours: Mapping[str, str],
) -> None:
    """The columns of marks beside the pictures: titles in the films' row, axes below the last method."""
    middles = {
        row.method: at - height / 2
        for row, at, height in zip(rows, place.tops[1:], place.heights[1:])
        if not row.absent
    }
    top, bottom = place.tops[1], place.tops[-1] - place.heights[-1]
    for index, column in enumerate(found):
        left = place.start + index * (place.panel + BETWEEN)
        columns.draw(figure, (left, bottom, place.panel, top - bottom), column, middles, colours)


# ---- words


def caption(
    rows: Sequence[Row],
    columns: Sequence[trust.Column],
    cases: Sequence[overlays.Case] = (),
    *,
    about: str,
    sizes: str = "",
    chosen: str = "",
    region: str = "",
) -> str:
    """The questions, how the maps were chosen and drawn, what each column is, and how intervals were made.

    `about` names model and dataset, `sizes` says n, `chosen` how the cases were picked, `region` what the
    yellow line is.
    """
    parts = [
        f"What does each method show of {about}, and can its maps be trusted?",
        f"n = {sizes}." if sizes else "",
    ]
    if cases:
        parts += [
            f"Maps: {len(cases)} images, the first model seed. {chosen}",
            f"Top row: the images; yellow line: {region}." if region else "",
            "Boxes: the marked regions." if any(case.outlines for case in cases) else "",
            "The colours of a row have one scale, written under its name, that ends at the 99.5th percentile "
            "of the row's values; two rows have two scales.",
        ]
    parts += [_said(column) for column in columns]
    ways = [way for column in columns for way in column.intervals]
    if ways:
        made = words.made_by(pd.DataFrame({"interval": ways}))
        parts.append(f"Dots are means, bars their intervals ({made}).")
        parts.append(_cut(columns))
    if any(column.key == trust.GAP for column in columns):
        parts.append("In the last column dots are medians, bars quartiles over maps: no intervals.")
    if any(row.absent for row in rows):
        parts.append("Methods that do not fit the model have a reason instead of maps.")
    return " ".join(part for part in parts if part)


def _said(column: trust.Column) -> str:
    """What a column asks, in a sentence."""
    if column.key == trust.RANDOM:
        return (
            "Random weights: the rank correlation with the map of the same network, untrained (dashed: 0). A "
            "map that stays as it is, or only turns its sign, when all that was learned is gone does not "
            "show what was learned."
        )
    if column.key == trust.GAP:
        return (
            "Identity gap: how far the method's own identity is from holding (dashed: "
            f"{100 * trust.TOLERANCE:g} %); hollow: no identity, but the distance from the plain gradient."
        )
    if column.key in trust.PROBES:
        return f"{column.panel.title}: {_lower(words.metric(column.key).meaning)}"
    dashed = " (dashed: chance)" if column.panel.chance is not None else ""
    return f"{column.panel.title}: does the map show the reference{dashed}?"


def _cut(found: Sequence[trust.Column]) -> str:
    """A sentence where an interval ends beyond its axis."""
    for column in found:
        low, high = column.panel.limits
        if not column.log and ((column.marks["low"] < low) | (column.marks["high"] > high)).any():
            return "Arrow heads: the interval goes on beyond what there can be."
    return ""


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
