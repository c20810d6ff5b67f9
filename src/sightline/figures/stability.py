"""What altering the image does to each method's maps: a matrix, methods across, transformations down."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sightline.figures import overlays, style, trust, words

NAMES, GAP, MARGIN = 0.86, 0.07, 0.56  # inches: the rows' names, between cells, the column of means
CELL, SMALLEST = 0.74, 0.50  # inches: the widest cell, and the narrowest
ABOVE, UNDER, SUM, FOOT = (
    0.37,
    0.235,
    0.36,
    0.50,
)  # the titles; below a map; the row of means; the colours' scales
BAR = 0.045  # height of a bar
PIXELS = 128  # the longest side of a picture that is drawn
ALL = "mean of all"


@dataclass(frozen=True)
class Pictures:
    """One image under each condition (uint8, (h, w) or (h, w, 3)) and the maps on it as they were made.

    `maps` gives (condition, method) -> a map on any grid over the altered image (NaN: no map there), or why;
    `signed` names the methods whose maps have signs.
    """

    images: Mapping[str, np.ndarray]
    maps: Mapping[tuple[str, str], np.ndarray | str]
    signed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Place:
    """Where things lie, in inches: `across` gives each column's left edge, `tops` each row's upper edge."""

    width: float
    total: float
    cell: tuple[float, float]  # width, height (0: there are no pictures)
    across: Mapping[str, float]
    tops: Mapping[str, float]


def draw(cells: pd.DataFrame, pictures: Pictures | None = None, methods: Sequence[str] = ()) -> Figure:
    """The maps of one image under each transformation, and under each map the agreement over all images.

    `cells` as `trust.altered` gives them: a mean and interval per method and transformation (`altered`), in
    their order. Without pictures there are numbers alone. `methods` is the study's whole list (colours).
    """
    if cells["mean"].notna().sum() == 0:
        return style.empty("No agreement with the maps of unaltered images to draw")
    columns, rows = style.methods(cells["method"]), list(dict.fromkeys(cells["altered"]))
    colours = style.colours([*methods, *columns])
    place = _placed(columns, rows, pictures)
    with style.settings():
        figure = style.figure(place.width, place.total)
        _titles(figure, place, columns, pictures is not None)
        for row in place.tops:
            _named(figure, place, row)
        if pictures is not None:
            _pictured(figure, place, columns, pictures)
        _agreements(figure, place, cells, colours)
        if pictures is not None:
            _scales(figure, pictures, columns)
    return figure


def _placed(columns: Sequence[str], rows: Sequence[str], pictures: Pictures | None) -> _Place:
    shown = [trust.CLEAN, *columns] if pictures else list(columns)  # the image stands under the clean's name
    room = style.WIDTH - NAMES - MARGIN - 0.12
    wide = min(CELL, max(SMALLEST, room / len(shown) - GAP))
    shapes = [image.shape for image in pictures.images.values()] if pictures else []
    tall = wide * min(1.35, max((height / width for height, width, *_ in shapes), default=0.0))
    across = {name: NAMES + at * (wide + GAP) for at, name in enumerate(shown)}
    across[ALL] = NAMES + len(shown) * (wide + GAP) + 0.08
    heights = {trust.CLEAN: tall + GAP} if pictures else {}
    heights |= {row: tall + UNDER for row in rows} | ({ALL: SUM} if len(rows) > 1 else {})
    total = ABOVE + sum(heights.values()) + (FOOT if pictures else 0.06)
    tops, at = {}, total - ABOVE
    for row, height in heights.items():
        tops[row] = at
        at -= height
    return _Place(across[ALL] + MARGIN + 0.04, total, (wide, tall), across, tops)


# ---- words beside the matrix


def _titles(figure: Figure, place: _Place, columns: Sequence[str], pictured: bool) -> None:
    heads = {name: overlays.heading(name) for name in columns} | {ALL: "Mean of methods"}
    heads |= {trust.CLEAN: "Image"} if pictured else {}
    bottom = (place.total - ABOVE + 0.05) / place.total
    for name, text in heads.items():
        middle = place.across[name] + (MARGIN if name == ALL else place.cell[0]) / 2
        lines = "\n".join(textwrap.wrap(text.replace("\n", " "), max(9, int(place.cell[0] / 0.055))))
        look = {"ha": "center", "va": "bottom", "size": style.SMALL, "linespacing": 1.05}
        figure.text(middle / place.width, bottom, lines, weight="bold", **look)


def _named(figure: Figure, place: _Place, row: str) -> None:
    """A row's name, beside its pictures."""
    names = {trust.CLEAN: "Unaltered", ALL: "Mean of the rows above"}
    text = names.get(row, words.condition(row).capitalize())
    tall = place.cell[1] if row != ALL and place.cell[1] else UNDER
    middle = place.tops[row] - (SUM - UNDER if row == ALL else 0.0) - tall / 2
    wrapped = "\n".join(textwrap.wrap(text, 12))
    look = {"va": "center", "linespacing": 1.1, "weight": "bold"}
    figure.text(0.04 / place.width, middle / place.total, wrapped, **look)


# ---- pictures


def _pictured(figure: Figure, place: _Place, columns: Sequence[str], pictures: Pictures) -> None:
    for row in place.tops:
        image = pictures.images.get(row)
        if image is None:
            continue
        _show(_axes(figure, place, trust.CLEAN, row), image, overlays.overlay(image, None, False, PIXELS))
        for name in columns:
            axes = _axes(figure, place, name, row)
            found = pictures.maps.get((row, name), "not made")
            if isinstance(found, str):
                look = {"ha": "center", "va": "center", "size": style.SMALL - 0.5, "color": style.FAINT}
                axes.text(0.5, 0.5, "\n".join(textwrap.wrap(found, 11)), transform=axes.transAxes, **look)
                continue
            share = overlays.scaled(found, name in pictures.signed)
            _show(axes, image, overlays.overlay(image, share, name in pictures.signed, PIXELS))
            if overlays.is_constant(share):
                overlays.constant(axes, "constant")


def _axes(figure: Figure, place: _Place, column: str, row: str) -> Axes:
    wide, tall = place.cell
    left, bottom = place.across[column], place.tops[row] - tall
    axes = figure.add_axes((left / place.width, bottom / place.total, wide / place.width, tall / place.total))
    axes.set_axis_off()
    return axes


def _show(axes: Axes, image: np.ndarray, picture: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="none", aspect="equal")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _scales(figure: Figure, pictures: Pictures, columns: Sequence[str]) -> None:
    kinds = sorted({name in pictures.signed for name in columns})
    for order, kind in enumerate(kinds):
        label = "signed map / its largest absolute value" if kind else "map"
        ends = ["\N{MINUS SIGN}1", "0", "1"] if kind else ["its minimum", "its maximum"]
        overlays.scale(figure, NAMES + 2.7 * order, kind, label, ends)


# ---- agreement


def _agreements(figure: Figure, place: _Place, cells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """A number and a bar under each map; at the margins means, the steadiest and the hardest in bold."""
    whole = trust.complete(cells)
    by_row, by_method = trust.margin(whole, "altered"), trust.margin(whole, "method")
    for cell in cells.to_dict("records"):
        _value(figure, place, (cell["method"], cell["altered"]), cell, colours[cell["method"]])
    hardest = by_row["mean"].idxmin() if len(by_row) > 1 else None
    for name, mark in by_row.iterrows() if len(by_method) > 1 else ():
        _value(figure, place, (ALL, name), mark, style.FAINT, bold=name == hardest)
    if ALL in place.tops:
        steadiest = by_method["mean"].idxmax() if len(by_method) > 1 else None
        for name, mark in by_method.iterrows():
            _value(figure, place, (name, ALL), mark, colours[name], bold=name == steadiest)
        at = (place.tops[ALL] - 0.06) / place.total
        ends = (0.04 / place.width, 1.0 - 0.04 / place.width)
        figure.add_artist(Line2D(ends, (at, at), color=style.RULE, linewidth=0.6))


def _value(
    figure: Figure, place: _Place, at: tuple[str, str], mark: Mapping, colour: str, bold: bool = False
) -> None:
    """A bar from 0 to 1 that is filled to the mean, a line over its interval, the number below it."""
    column, row = at
    margin = column == ALL
    wide = MARGIN - 0.1 if margin else place.cell[0]
    left = place.across[column] + (0.05 if margin else 0.0)
    top = place.tops[row] - (SUM - UNDER if row == ALL else place.cell[1]) - 0.035
    x, y = left / place.width, (top - BAR) / place.total
    size = (wide / place.width, BAR / place.total)
    figure.add_artist(Rectangle((x, y), *size, facecolor=style.BAND, edgecolor="none"))
    value = mark["mean"]
    if pd.notna(value):
        filled = min(abs(value), 1.0) * size[0]
        opacity = 1.0 if value >= 0 else 0.35
        figure.add_artist(
            Rectangle((x, y), filled, size[1], facecolor=colour, alpha=opacity, edgecolor="none")
        )
        ends = np.clip([mark["low"], mark["high"]], 0.0, 1.0) if pd.notna(mark["low"]) else (0.0, 0.0)
        if ends[1] > ends[0]:
            line = x + np.array(ends) * size[0]
            figure.add_artist(Line2D(line, [y + size[1] / 2] * 2, color=style.INK, linewidth=0.7))
    text = words.signed(value, 2) if pd.notna(value) else "undefined"
    look = {"weight": "bold"} if bold else {}
    y = (top - BAR - 0.015) / place.total
    figure.text((left + wide / 2) / place.width, y, text, ha="center", va="top", size=style.SMALL, **look)


# ---- words


def caption(
    cells: pd.DataFrame,
    pictures: Pictures | None = None,
    *,
    about: str,
    chosen: str = "",
    lost: Mapping[str, str] | None = None,
) -> str:
    """The question, which image, how maps are drawn, what the numbers are, n and how intervals were made.

    `about` names model and dataset, `chosen` says how the image was picked, `lost` method -> why it has no
    maps.
    """
    known = cells.dropna(subset=["mean"])
    if known.empty:
        return f"How much do the maps of {about} change when the image is altered? Nothing was compared."
    several = known["method"].nunique() > 1 and known["altered"].nunique() > 1
    parts = [
        f"How much do the maps of {about} change when the image is altered?",
        "Left: one image as the model sees it, unaltered and under each transformation; beside it each "
        f"method's map of it as it was made, of the first model seed, on its own scale. {chosen}"
        if pictures
        else "",
        "Numbers and bars (0 to 1): mean rank correlation (Spearman, over pixels, with signs) of the map "
        "with that of the unaltered image, after a map of a moved image was moved back (over the pixels that "
        "the moved image still shows); "
        f"n = {words.span(known['images'])} images, {words.seeds(known['seeds'])}.",
        f"Black lines: intervals ({words.made_by(known)})." if known["low"].notna().any() else "",
        "Faint bars: the correlation is negative." if (known["mean"] < 0).any() else "",
        "At the right and below: means of these means, of the methods that have one in every row; bold: the "
        "transformation that changes maps most, the method whose maps change least. Their lines are means of "
        "the intervals' ends, so at least as wide as their own intervals would be."
        if several
        else "",
        "A map that ought to change (the model answers otherwise) is no worse for it: this says how steady a "
        "method is, not whether it is right.",
        *(f"No maps of {words.method(name)}: {why}." for name, why in (lost or {}).items()),
    ]
    return " ".join(part for part in parts if part)
