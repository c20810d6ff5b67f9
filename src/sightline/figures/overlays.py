"""Cases as the gaze study's Figure 1 shows them: an image, then every reference and map over it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle

from sightline.figures import style, words
from sightline.frames import Frame, resample

CELL, GAP, LABEL = 0.86, 0.05, 0.98  # inches: a panel's side, between panels, the cases' titles at the left
PANELS = 8  # side by side at most: a case with more takes two lines or more, the references in the first
HEAD, FOOT, CASE = 0.40, 0.50, 0.10  # inches: titles above panels, the scale below, between cases
PIXELS = 256  # the longest side that is drawn: a page need not carry a film
OPACITY = 0.65  # of a map's strongest place; its weakest is clear, so that the film shows through
OUTLINE = "#7fe0ff"
REGION = "#ffd34d"

IMAGE = ""  # the panel without a map
REFERENCES = {
    "reader": "Reader",
    "other_readers": "Other readers",
    "hull": "Lung hull",
    "center_bias": "Center bias",
}  # panels that are no model's maps, in their order


@dataclass(frozen=True)
class Outline:
    """A box in pixels of the case's image, drawn as an axis-aligned `shape` (rectangle or ellipse)."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    shape: str = "rectangle"
    label: str = ""


@dataclass(frozen=True)
class Case:
    """An image (h, w) or (h, w, 3) uint8 and `panels`, name -> map on any grid over the whole image.

    Where a map is NaN there is none: beyond what the model saw of the image. `signed` names maps with a sign;
    `absent` says why a panel that other cases have is not there. The title says why this case is shown: best,
    worst, or its rank. `region` is a mask on any grid over the image, where the reference lies.
    """

    title: str
    image: np.ndarray
    panels: Mapping[str, np.ndarray]
    signed: frozenset[str] = frozenset()
    outlines: Sequence[Outline] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    region: np.ndarray | None = None


def lines(cases: Sequence[Case]) -> list[list[str]]:
    """The panels of a case, line by line: the image, the references, the maps; `PANELS` in a line at most."""
    found = dict.fromkeys(name for case in cases for name in (*case.panels, *case.absent))
    references = [name for name in REFERENCES if any(name in case.panels for case in cases)]
    maps = [name for name in found if name not in REFERENCES]
    together = [IMAGE, *references, *maps]
    if len(together) <= PANELS:
        return [together]
    count = -(-len(maps) // PANELS)  # lines of maps, evenly filled
    each = -(-len(maps) // count)
    return [[IMAGE, *references], *(maps[start : start + each] for start in range(0, len(maps), each))]


def draw(cases: Sequence[Case]) -> Figure:
    """The panels of each case side by side; where a case takes several lines, each line has its own titles.

    Unsigned maps from their minimum (clear) to their maximum, signed ones in shares of their extreme.
    """
    if not cases:
        return style.empty("No cases to show")
    table = lines(cases)
    heights = [_line_height(case, len(table)) for case in cases]
    signed = any(case.signed for case in cases)
    unsigned = any(set(case.panels) - case.signed for case in cases)
    width = LABEL + (CELL + GAP) * max(map(len, table)) + 0.05
    width = max(width, LABEL + (5.4 if signed and unsigned else 2.8))
    total = sum(height * len(table) + CASE for height in heights) + FOOT
    total += HEAD if len(table) == 1 else 0.0
    with style.settings():
        figure = style.figure(width, total)
        top = total - (HEAD if len(table) == 1 else 0.0)
        for case, height in zip(cases, heights):
            middle = top - height * len(table) / 2
            figure.text(0.05 / width, middle / total, wrapped(case.title, 15), va="center")
            for index, names in enumerate(table):
                titled = len(table) > 1 or case is cases[0]
                _line(figure, case, names, top - height * index - (HEAD if len(table) > 1 else 0.0), titled)
            top -= height * len(table) + CASE
        _scales(figure, signed, unsigned)
    return figure


def _ratio(case: Case) -> float:
    return min(1.35, case.image.shape[0] / case.image.shape[1])


def _line_height(case: Case, count: int) -> float:
    """Inches of one line of panels of a case that takes `count` of them."""
    return CELL * _ratio(case) + GAP + (HEAD if count > 1 else 0.0)


def _line(figure: Figure, case: Case, names: Sequence[str], top: float, titled: bool) -> None:
    """The panels `names` of a case, their upper edge at `top` inches."""
    width, total, tall = figure.get_figwidth(), figure.get_figheight(), CELL * _ratio(case)
    for column, name in enumerate(names):
        left = LABEL + (CELL + GAP) * column
        _cell(figure.add_axes((left / width, (top - tall) / total, CELL / width, tall / total)), case, name)
        if titled:
            place = ((left + CELL / 2) / width, (top + 0.04) / total)
            look = {"ha": "center", "va": "baseline", "weight": "bold", "size": style.SMALL}
            figure.text(*place, heading(name), linespacing=1.05, **look)


def heading(name: str) -> str:
    """A panel's title, in four lines at most: what tells maps apart comes last."""
    label = "Image" if name == IMAGE else REFERENCES.get(name, words.method(name))
    return "\n".join(wrapped(label, 17).split("\n")[:4])


def wrapped(text: str, width: int) -> str:
    """Each line of `text` in lines of at most `width` characters, where words allow."""
    return "\n".join(piece for part in text.split("\n") for piece in textwrap.wrap(part, width))


def _cell(axes: Axes, case: Case, name: str) -> None:
    axes.set_axis_off()
    if name and name not in case.panels:
        text = "\n".join(textwrap.wrap(case.absent.get(name, "not made"), 14))
        look = {"ha": "center", "va": "center", "size": style.SMALL, "color": style.FAINT}
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
        return
    height, width = case.image.shape[:2]
    share = scaled(case.panels[name], name in case.signed) if name else None
    picture = overlay(case.image, share, name in case.signed)
    axes.imshow(picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="none", aspect="equal")
    if share is not None and is_constant(share):
        constant(axes)
    marks(axes, case)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def constant(axes: Axes, text: str = "constant map") -> None:
    """Say on a film, light or dark, that its map is constant."""
    look = {"ha": "center", "va": "bottom", "size": style.SMALL, "color": "white"}
    box = {"boxstyle": "square,pad=0.25", "facecolor": "#1b1b1bcc", "edgecolor": "none"}
    axes.text(0.5, 0.04, text, transform=axes.transAxes, bbox=box, **look)


def marks(axes: Axes, case: Case) -> None:
    """The edge of the case's region and its outlines, on its image."""
    if case.region is not None and case.region.any() and not case.region.all():
        x, y = (
            (np.arange(count) + 0.5) * side / count - 0.5
            for count, side in zip(case.region.shape[::-1], case.image.shape[1::-1])
        )
        axes.contour(x, y, case.region.astype(float), levels=[0.5], colors=REGION, linewidths=0.8)
    for item in case.outlines:
        axes.add_patch(patch(item))


def patch(item: Outline) -> Ellipse | Rectangle:
    """The outline as it is drawn on its case's image."""
    size = (item.xmax - item.xmin, item.ymax - item.ymin)
    look = {"fill": False, "edgecolor": OUTLINE, "linewidth": 0.7}
    if item.shape == "ellipse":
        return Ellipse(((item.xmin + item.xmax) / 2, (item.ymin + item.ymax) / 2), *size, **look)
    return Rectangle((item.xmin, item.ymin), *size, **look)


def scaled(values: np.ndarray, is_signed: bool) -> np.ndarray:
    """A map for drawing: signed in shares of its largest absolute value, unsigned from its minimum (0) to its
    maximum (1); zero everywhere where it is constant; NaN where there is no map."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=np.nan)
    known = values[~np.isnan(values)]
    low = 0.0 if is_signed else float(known.min(initial=np.inf))
    largest = float(np.abs(known - low).max(initial=0.0))
    return (values - low) / largest if largest > 0 else np.zeros_like(values)


def is_constant(share: np.ndarray) -> bool:
    """Whether a map that is `scaled` has one value alone."""
    return not np.nan_to_num(share).any()


def overlay(image: np.ndarray, share: np.ndarray | None, is_signed: bool, pixels: int = PIXELS) -> np.ndarray:
    """The film (h, w) or (h, w, 3) uint8 under a map in -1..1 on any grid over it: (h', w', 3) uint8, at most
    `pixels` on a side. Where the map is NaN there is the film alone."""
    shape = image.shape[:2]
    scale = min(1.0, pixels / max(shape))
    frame = Frame.resized(shape, tuple(max(1, round(side * scale)) for side in shape))
    planes = np.moveaxis(np.atleast_3d(image), -1, 0)  # (1 or 3, h, w)
    film = np.moveaxis(resample(planes, Frame.of_image(shape), frame), 0, -1) / 255.0
    film = np.broadcast_to(film, (*frame.shape, 3))
    if share is not None:
        whole, known = Frame.resized(shape, share.shape), ~np.isnan(share)
        grid = resample(np.where(known, share, 0.0), whole, frame)
        if not known.all():  # the mean of what there is, up to the edge of it
            part = resample(known.astype(float), whole, frame)
            grid = np.where(part >= 0.5, grid / np.maximum(part, 0.5), 0.0)
        if np.isin(share[known], (0.0, 1.0)).all():  # a mask keeps its edge
            grid = (grid >= 0.5).astype(float)
        colour, opacity = _ink(grid, is_signed)
        film = (1.0 - opacity[..., None]) * film + opacity[..., None] * colour
    return np.round(np.clip(film, 0.0, 1.0) * 255.0).astype(np.uint8)


def _ink(share: np.ndarray, is_signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Colours (..., 3) and opacities (...) of shares."""
    at = (np.clip(share, -1, 1) + 1) / 2 if is_signed else np.clip(share, 0, 1)
    opacity = OPACITY * np.minimum(1.0, 1.6 * np.clip(np.abs(share), 0, 1))
    return style.map_colours(is_signed)(at)[..., :3], opacity


def _scales(figure: Figure, signed: bool, unsigned: bool) -> None:
    """The colours as they look over a mid-grey film, with what they stand for."""
    kinds = [kind for kind, there in ((False, unsigned), (True, signed)) if there]
    for order, kind in enumerate(kinds):
        label = "signed map / its largest absolute value" if kind else "map"
        ends = ["\N{MINUS SIGN}1", "0", "1"] if kind else ["its minimum", "its maximum"]
        scale(figure, LABEL + 2.6 * order, kind, label, ends)


def scale(figure: Figure, left: float, signed: bool, label: str, ends: Sequence[str]) -> None:
    """A bar of a map's colours over mid-grey, `left` inches from the side, with ticks `ends` and a label."""
    width, total = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((left / width, 0.33 / total, 2.2 / width, 0.08 / total))
    share = np.linspace(-1.0 if signed else 0.0, 1.0, 256)
    colour, opacity = _ink(share, signed)
    bar = (1.0 - opacity[:, None]) * 0.5 + opacity[:, None] * colour
    axes.imshow(bar[None], extent=(float(share[0]), 1.0, 0.0, 1.0), aspect="auto", interpolation="none")
    axes.set_yticks([])
    axes.set_xticks(np.linspace(share[0], 1.0, len(ends)), ends)
    axes.set_xlabel(label, labelpad=1, size=style.SMALL)
    for spine in axes.spines.values():
        spine.set_visible(False)


def caption(cases: Sequence[Case], chosen: str, region: str = "") -> str:
    """The question, how the cases were `chosen` (sentences), and what the line around a `region` is."""
    outlines = " Outlines: the marked regions." if any(case.outlines for case in cases) else ""
    outlines += f" Yellow line: {region}." if region else ""
    beside = ", beside what readers looked at" if any("reader" in case.panels for case in cases) else ""
    return (
        f"What do the maps show{beside}? n = {len(cases)} images. {chosen} "
        "Every map is drawn on its own scale, clear where it is weak: colours do not compare the sizes of "
        "two maps; no intervals." + outlines
    )
