"""One column of trust figures: a mark per method at its row's height, the title above, the axis below."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sightline.figures import forest, style, trust, words

BETTER = {"high": "better \N{RIGHTWARDS ARROW}", "low": "\N{LEFTWARDS ARROW} better", "zero": "0 is best"}

Box = tuple[float, float, float, float]  # left, bottom, width, height in inches


def draw(
    figure: Figure,
    box: Box,
    column: trust.Column,
    middles: Mapping[str, float],
    colours: Mapping[str, str],
) -> None:
    """Draw `column` in `box`; `middles` gives each method that has a mark its height in inches."""
    (left, bottom, width, height), (wide, total) = box, figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / total, width / wide, height / total))
    axes.set_ylim(bottom, bottom + height)
    axes.spines["left"].set_visible(False)
    axes.patch.set_visible(False)
    axes.tick_params(left=False, labelleft=False)
    if column.log:
        axes.set_xscale("log")
    forest.guides(axes, column.panel, ())
    marks = column.marks[column.marks["method"].isin(list(middles))]
    for mark in marks.itertuples():
        _marked(axes, column, mark, middles[mark.method], colours[mark.method])
    _axis(axes, column, marks)
    _titled(figure, box, column)


def _titled(figure: Figure, box: Box, column: trust.Column) -> None:
    (left, bottom, width, height), (wide, total) = box, figure.get_size_inches()
    title = "\n".join(textwrap.wrap(column.panel.title, max(14, int(width / 0.062))))
    x, top = (left + width / 2) / wide, bottom + height
    look = {"ha": "center", "va": "bottom", "linespacing": 1.05}
    figure.text(x, (top + 0.16) / total, title, weight="bold", size=style.SMALL, **look)
    better = BETTER.get(column.better, "")
    figure.text(x, (top + 0.05) / total, better, size=style.SMALL - 0.5, color=style.FAINT, **look)


def _marked(axes: Axes, column: trust.Column, mark, at: float, colour: str) -> None:
    """A mark, its value below it and its note above it."""
    series = forest.Series("", "", filled=not mark.apart)
    if pd.isna(mark.mean):
        forest.absent(axes, at, mark.why)
        return
    value = words.short(mark.mean) if column.log else words.number(mark.mean, mark.low, mark.high)
    if column.log:
        low, mean, high = (max(end, trust.SMALLEST) for end in (mark.low, mark.mean, mark.high))
        mark = mark._replace(low=low, mean=mean, high=high)
    forest.mark(axes, mark, at, series, (colour, column.panel.limits))
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    look = {"ha": "center", "color": style.FAINT, "size": style.SMALL - 1.0, "textcoords": "offset points"}
    axes.annotate(value, (mark.mean, at), xytext=(0, -4.5), va="top", bbox=box, zorder=1.5, **look)
    above = {"xycoords": ("axes fraction", "data"), "xytext": (0, 4.5), "va": "bottom", "zorder": 1.5}
    axes.annotate(mark.note, (0.5, at), bbox=box if mark.note else None, **above, **look)


def _axis(axes: Axes, column: trust.Column, marks: pd.DataFrame) -> None:
    if column.log:
        most = max([trust.TOLERANCE, *marks["mean"].dropna(), *marks["high"].dropna()])
        axes.set_xlim(trust.SMALLEST / 2, 3 * max(1.0, most))
        axes.xaxis.set_major_locator(FixedLocator([1e-8, 1e-4, 1.0]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.power(round(np.log10(value)))))
    else:
        forest.limits(axes, marks, column.panel)
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(column.panel.axis, size=style.SMALL - 0.5, labelpad=2)
