"""Cases as the gaze study's Figure 1 shows them: a row per image, the film, then every reference and map
over it."""

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

CELL, GAP, LABEL = 0.86, 0.05, 1.06  # inches: a panel's side, between panels, the rows' titles at the left
PIXELS = 256  # the longest side that is drawn: a page need not carry a film
OPACITY = 0.65  # of a map's strongest place; its weakest is clear, so that the film shows through
OUTLINE = "#7fe0ff"

TITLES = {"reader": "Reader", "other_readers": "Other readers"}


@dataclass(frozen=True)
class Outline:
    """A finding's box in image pixels, drawn as an axis-aligned `shape` (rectangle or ellipse)."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    shape: str = "rectangle"
    label: str = ""


@dataclass(frozen=True)
class Case:
    """A row: `image` (h, w) uint8; `panels` name -> map, any grid over the whole image; `signed` names maps
    with a sign.

    `notes` stand under the panels (a score, say). The title says why this case is shown: best, median, worst.
    """

    title: str
    image: np.ndarray
    panels: Mapping[str, np.ndarray]
    signed: frozenset[str] = frozenset()
    outlines: Sequence[Outline] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


def draw(cases: Sequence[Case], *, shared: Sequence[str] = ()) -> Figure:
    """Image, then its maps over it; unsigned maps in shares of their maximum (0 to 1), signed ones of their
    extreme (-1 to 1).

    Maps named in `shared` are compared in size too: within a row they have one maximum. Every scale is shown.
    """
    if not cases:
        return style.empty("No cases to show")
    names = list(dict.fromkeys(name for case in cases for name in case.panels))
    tall = [min(1.35, case.image.shape[0] / case.image.shape[1]) for case in cases]
    both = any(case.signed for case in cases) and any(set(case.panels) - case.signed for case in cases)
    under = 0.15 if any(case.notes for case in cases) else 0.04
    heights = [CELL * ratio + under + GAP for ratio in tall]
    width = max(LABEL + (CELL + GAP) * (len(names) + 1) + 0.05, LABEL + (5.0 if both else 2.4))
    head, foot = 0.30, 0.50
    total = head + sum(heights) + foot
    with style.settings():
        figure = style.figure(width, total)
        top = total - head
        _heads(figure, names, top)
        for case, ratio, height in zip(cases, tall, heights):
            title = "\n".join(textwrap.wrap(case.title, 16)[:5])
            figure.text(0.05 / width, (top - CELL * ratio / 2) / total, title, va="center")
            for column, name in enumerate(["", *names]):
                left = LABEL + (CELL + GAP) * column
                axes = figure.add_axes(
                    (left / width, (top - CELL * ratio) / total, CELL / width, CELL * ratio / total)
                )
                _cell(axes, case, name, shared)
            top -= height
        _scales(
            figure, any(case.signed for case in cases), any(set(case.panels) - case.signed for case in cases)
        )
    return figure


def _heads(figure: Figure, names: Sequence[str], top: float) -> None:
    for column, name in enumerate(["Image", *names]):
        label = name if column == 0 else TITLES.get(name, words.method(name))
        centre = LABEL + (CELL + GAP) * column + CELL / 2
        text = "\n".join(textwrap.wrap(label, 15)[:2])
        figure.text(
            centre / figure.get_figwidth(),
            (top + 0.04) / figure.get_figheight(),
            text,
            ha="center",
            va="baseline",
            weight="bold",
            size=style.SMALL,
            linespacing=1.05,
        )


def _cell(axes: Axes, case: Case, name: str, shared: Sequence[str]) -> None:
    axes.set_axis_off()
    if name and name not in case.panels:
        axes.text(
            0.5,
            0.5,
            "not made",
            ha="center",
            va="center",
            size=style.SMALL,
            color=style.FAINT,
            transform=axes.transAxes,
        )
        return
    height, width = case.image.shape
    picture = overlay(case.image, None if not name else _scaled(case, name, shared), name in case.signed)
    axes.imshow(picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="none", aspect="equal")
    for item in case.outlines:
        centre, size = (
            ((item.xmin + item.xmax) / 2, (item.ymin + item.ymax) / 2),
            (item.xmax - item.xmin, item.ymax - item.ymin),
        )
        look = {"fill": False, "edgecolor": OUTLINE, "linewidth": 0.7}
        axes.add_patch(
            Ellipse(centre, *size, **look)
            if item.shape == "ellipse"
            else Rectangle((item.xmin, item.ymin), *size, **look)
        )
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if name in case.notes:
        axes.text(
            0.5, -0.03, case.notes[name], ha="center", va="top", size=style.SMALL, transform=axes.transAxes
        )


def _scaled(case: Case, name: str, shared: Sequence[str]) -> np.ndarray:
    """A map in shares of its largest absolute value, or of the row's where it is `shared`; all zero stays
    zero."""
    together = [
        case.panels[other] for other in (shared if name in shared else [name]) if other in case.panels
    ]
    largest = max(float(np.nanmax(np.abs(values), initial=0.0)) for values in together)
    values = np.nan_to_num(np.asarray(case.panels[name], dtype=np.float64))
    return values / largest if largest > 0 else values


def overlay(image: np.ndarray, share: np.ndarray | None, is_signed: bool) -> np.ndarray:
    """The film (h, w) uint8 under a map in -1..1 on any grid over it: (h', w', 3) uint8, at most `PIXELS`
    on a side."""
    scale = min(1.0, PIXELS / max(image.shape))
    frame = Frame.resized(image.shape, tuple(max(1, round(side * scale)) for side in image.shape))
    film = (
        resample(image, Frame.resized(image.shape, image.shape), frame)[..., None].repeat(3, axis=-1) / 255.0
    )
    if share is not None:
        grid = resample(share, Frame.resized(image.shape, share.shape), frame)
        colour, opacity = _ink(grid, is_signed)
        film = (1.0 - opacity[..., None]) * film + opacity[..., None] * colour
    return np.round(np.clip(film, 0.0, 1.0) * 255.0).astype(np.uint8)


def _ink(share: np.ndarray, is_signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Colours (..., 3) and opacities (...) of shares."""
    at = (np.clip(share, -1, 1) + 1) / 2 if is_signed else np.clip(share, 0, 1)
    return style.map_colours(is_signed)(at)[..., :3], OPACITY * np.minimum(
        1.0, 1.6 * np.clip(np.abs(share), 0, 1)
    )


def _scales(figure: Figure, signed: bool, unsigned: bool) -> None:
    """The colours as they look over a mid-grey film, with their numbers."""
    kinds = [kind for kind, there in ((False, unsigned), (True, signed)) if there]
    width, total = figure.get_figwidth(), figure.get_figheight()
    for order, kind in enumerate(kinds):
        axes = figure.add_axes(((LABEL + 2.6 * order) / width, 0.33 / total, 2.2 / width, 0.08 / total))
        share = np.linspace(-1.0 if kind else 0.0, 1.0, 256)
        colour, opacity = _ink(share, kind)
        bar = (1.0 - opacity[:, None]) * 0.5 + opacity[:, None] * colour
        low = float(share[0])
        axes.imshow(bar[None], extent=(low, 1.0, 0.0, 1.0), aspect="auto", interpolation="none")
        axes.set_yticks([])
        axes.set_xticks([-1, 0, 1] if kind else [0, 0.5, 1])
        axes.set_xlabel(
            "signed map / its largest absolute value" if kind else "map / its maximum",
            labelpad=1,
            size=style.SMALL,
        )
        for spine in axes.spines.values():
            spine.set_visible(False)


def caption(cases: Sequence[Case], chosen: str) -> str:
    """The question and how the cases were `chosen` (a sentence)."""
    outlines = " Outlines: findings as marked by readers." if any(case.outlines for case in cases) else ""
    return (
        f"What do the maps show, beside what readers looked at? n = {len(cases)} images. {chosen} "
        "Every map is drawn in shares of its own maximum, clear where it is weak; no intervals." + outlines
    )
