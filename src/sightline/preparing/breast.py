"""Where the breast lies in a mammogram: the largest piece of tissue, on a small version of the picture.

Burnt-in labels, white borders of scanned film, noise and inverted pictures are told from it. No model: a
level between background and tissue, connected pieces, holes filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sightline.frames import touched

LONGEST = 256  # pixels of the small version's longer side
BORDER, WHITE, WHOLE = 0.06, 0.9, 0.95  # of a side at most, of the range at least, of a line's pixels
LEAST = 0.02  # of the picture's area, or it is no breast
NOISE = 4.0  # standard deviations of the background
FAINT = 0.08  # of the way from the background to Otsu's level: skin and fat are faint
OPENING = 2  # pixels of the small version: thinner links to labels and borders are cut


@dataclass(frozen=True)
class Tissue:
    """A region of a picture: `mask`, bool on a small grid over the whole picture, and its box's edges.

    `box` is (xmin, ymin, xmax, ymax) in the picture's pixels, edges, within the picture.
    """

    mask: np.ndarray
    box: tuple[float, float, float, float]

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The whole pixels that the box touches: left, top, right, bottom, the last two exclusive."""
        return touched(self.box)

    @property
    def lies_right(self) -> bool:
        """Whether the tissue's weight lies in the right half: there the chest wall is."""
        columns = self.mask.sum(axis=0)
        middle = (np.arange(len(columns)) + 0.5) / len(columns)
        return bool((columns * middle).sum() > 0.5 * columns.sum())


def find(image: Image.Image) -> Tissue | None:
    """The breast in a picture (mode L, RGB or F), or None where nothing looks like one.

    The box has a margin of one pixel of the small version (of `LONGEST`), for skin that is too faint.
    """
    from scipy import ndimage  # a quarter of a second, and few pictures need it

    small = _small(image)
    if not np.isfinite(small).all() or np.ptp(small) == 0.0:
        return None
    inside = _within_border(small)
    if _is_inverted(small[inside]):
        small, inside = small.max() - small, (slice(None), slice(None))
    found = np.zeros(small.shape, dtype=bool)
    found[inside] = small[inside] > _level(small[inside])
    # the edge of the picture is no edge of the tissue
    padded = np.pad(found, OPENING, mode="edge")
    opened = ndimage.binary_opening(padded, ndimage.generate_binary_structure(2, 1), iterations=OPENING)
    pieces, count = ndimage.label(opened[OPENING:-OPENING, OPENING:-OPENING])
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    mask = ndimage.binary_fill_holes(pieces == 1 + int(sizes.argmax()))
    if mask.mean() < LEAST:
        return None
    return Tissue(mask, _box(mask, image.size))


def _small(image: Image.Image) -> np.ndarray:
    """The picture's grey values, float32 (h, w), each the mean of an area."""
    factor = max(1.0, max(image.size) / LONGEST)
    size = tuple(max(1, round(side / factor)) for side in image.size)
    grey = image if image.mode in ("L", "F") else image.convert("L")
    return np.asarray(grey.resize(size, Image.Resampling.BOX), dtype=np.float32)


def _within_border(small: np.ndarray) -> tuple[slice, slice]:
    """What is left without lines at the edges that are white throughout: of film, not of tissue."""
    white = small >= small.min() + WHITE * np.ptp(small)
    slices = []
    for axis in (0, 1):
        lines = white.mean(axis=1 - axis) >= WHOLE
        most = max(1, round(BORDER * len(lines)))
        first = int(np.argmin(lines[: most + 1])) if not lines[: most + 1].all() else 0
        last = int(np.argmin(lines[::-1][: most + 1])) if not lines[::-1][: most + 1].all() else 0
        # the line beside a white one is half of it
        slices.append(slice(first + (first > 0), len(lines) - last - (last > 0)))
    return slices[0], slices[1]


def _is_inverted(small: np.ndarray) -> bool:
    """Whether the background is bright: most of the edge lies above Otsu's level (MONOCHROME1 in a PNG)."""
    edge = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]])
    return bool(np.median(edge) > _otsu(small))


def _otsu(small: np.ndarray) -> float:
    """The level that parts the values into two classes of least variance (Otsu 1979), on 256 levels."""
    counts, edges = np.histogram(small, bins=256)
    middles = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[::-1][1:]
    sums = np.cumsum(counts * middles)
    low = sums[:-1] / np.maximum(below, 1)
    high = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below.astype(float) * above * (high - low) ** 2
    best = np.flatnonzero(between == between.max())
    return float(edges[1 + best[len(best) // 2]])


def _level(small: np.ndarray) -> float:
    """Above what a pixel is tissue: above the background's values, faint tissue included.

    The background is the first peak of the histogram from the dark side; its spread is taken from the values
    below the peak, for those above may be tissue.
    """
    otsu = _otsu(small)
    dark = small[small <= otsu]
    counts, edges = np.histogram(dark, bins=64)
    held = np.convolve(counts, np.ones(3), mode="same")
    peak = int(np.flatnonzero(held >= 0.5 * held.max())[0])  # the first that is about as high as any
    while peak + 1 < len(held) and held[peak + 1] > held[peak]:
        peak += 1
    inside = dark[(dark >= edges[max(peak - 1, 0)]) & (dark <= edges[min(peak + 2, len(edges) - 1)])]
    background = float(np.median(inside))
    below = dark[dark <= background]
    spread = float(np.sqrt(np.mean((below - background) ** 2)))
    return background + max(NOISE * spread, FAINT * (otsu - background))


def _box(mask: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box around a mask with a margin of one of its pixels, in a picture of `size` (width, height)."""
    ends = []
    for axis, length in ((0, size[0]), (1, size[1])):  # x, then y
        held = np.flatnonzero(mask.any(axis=axis))
        step = length / mask.shape[1 - axis]
        ends.append((max(0.0, (held[0] - 1) * step), min(float(length), (held[-1] + 2) * step)))
    (xmin, xmax), (ymin, ymax) = ends
    return xmin, ymin, xmax, ymax
