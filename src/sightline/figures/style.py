"""The one look of every figure: sizes for papers, one colour per method, maps' colours, and deterministic
SVG files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from sightline import publishing
from sightline.figures import words

WIDTH = 7.2  # inches: a paper's full width (183 mm)
TEXT, SMALL = 7.0, 6.0  # points
INK, FAINT, RULE, BAND = "#1b1b1b", "#6b6b6b", "#d9d9d9", "#e9eef2"

# Okabe and Ito's colours, safe for colour-blind readers; baselines are black to grey, so methods stand out.
COLOURS = {
    "interobserver": "#1b1b1b",
    "hull": "#636363",
    "center_bias": "#8f8f8f",
    "center_bias_none": "#8f8f8f",
    "center_bias_image": "#8f8f8f",
    "center_bias_subject": "#8f8f8f",
    "uniform_noise": "#b3b3b3",
    "gradcam": "#0072B2",
    "am1": "#E69F00",
    "am2": "#D55E00",
}
FREE = (  # Okabe and Ito's, then Tol's muted ones
    *("#009E73", "#CC79A7", "#56B4E9", "#882255", "#44AA99", "#999933", "#332288", "#AA4499", "#117733"),
    *("#661100", "#6699CC", "#C2A83E"),
)
PUBLISHED = "#8c564b"
FIRST, SECOND, THIRD = "#0072B2", "#D55E00", "#009E73"  # for levels that are neither method nor model

UNSIGNED, SIGNED = "inferno", "RdBu_r"  # perceptually uniform; diverging, symmetric about zero

SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sightline",
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "figure.facecolor": "white",
    "figure.dpi": 100,
}


def methods(names: Iterable[str]) -> list[str]:
    """The distinct methods in the order of every figure and table: baselines, methods by family, then by
    name."""
    rank = {name: index for index, name in enumerate(words.METHODS)}
    return sorted(set(names), key=lambda name: (rank.get(words.kind(name), len(rank)), name))


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each method. Give the study's whole list, so that a method has one colour in every
    figure."""
    found = methods(names)
    others = [name for name in found if name not in COLOURS]
    free = {name: FREE[index % len(FREE)] for index, name in enumerate(others)}
    return {name: COLOURS.get(name) or free[name] for name in found}


def map_colours(is_signed: bool) -> Colormap:
    """The colours of a map: perceptually uniform where it has one sign, diverging where it has two."""
    return matplotlib.colormaps[SIGNED if is_signed else UNSIGNED]


def settings():
    """A context in which figures are drawn and saved with the house's settings, whatever the user's are."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **SETTINGS, "backend": "agg"})


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches, outside pyplot (nothing global is kept)."""
    return Figure(figsize=(width, height))


def empty(message: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    with settings():
        result = figure(WIDTH, 0.6)
        result.text(0.5, 0.5, message, ha="center", va="center", color=FAINT)
    return result


def save(drawn: Figure, path: str | Path, dpi: int = 200) -> None:
    """Write the figure as SVG, PDF or PNG by `path`'s ending: equal figures give equal bytes, moved into
    place when whole."""
    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    dates = {
        "svg": {"Date": None, "Creator": "Sightline"},
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
    }
    if kind not in dates:
        raise ValueError(f"{path}: figures are written as .svg, .pdf or .png")
    with settings(), publishing.whole(path) as part:
        drawn.savefig(part, format=kind, dpi=dpi, metadata=dates[kind])
