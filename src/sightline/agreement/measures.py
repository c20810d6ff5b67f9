"""How alike two maps on one grid are: correlation, also of ranks, structural similarity, overlap of the top.

Each on the maps with their signs and, `_abs`, on their magnitudes, as Adebayo et al. 2018 ("Sanity checks for
saliency maps") do for rank correlation. What is made of one map is made once; pairs are array operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion, uniform_filter

from sightline.metrics.localisation import highest
from sightline.metrics.similarity import Ranked, standardised

MEASURES = {
    "pearson": {"low": -1.0, "symbol": "r", "description": "Correlation over pixels, with signs."},
    "pearson_abs": {"low": -1.0, "symbol": "r, |map|", "description": "Correlation of the magnitudes."},
    "spearman": {"low": -1.0, "symbol": "rho", "description": "Rank correlation over pixels, with signs."},
    "spearman_abs": {"low": -1.0, "symbol": "rho, |map|", "description": "Rank correlation of magnitudes."},
    "ssim": {"low": -1.0, "symbol": "SSIM", "description": "Structural similarity, with signs."},
    "ssim_abs": {"low": -1.0, "symbol": "SSIM, |map|", "description": "Structural similarity of magnitudes."},
    "top_overlap": {"low": 0.0, "symbol": "top 10 %", "description": "IoU of the highest tenth of pixels."},
}
WINDOW = 7  # side of the window of SSIM, in pixels of the grid; scikit-image's
SMALLEST = 3  # side of a grid on which there is an SSIM
TOP = 0.1  # share of the pixels
CHUNK = 2**16  # pixels of pairs that are worked on together: what a processor's cache holds

Pairs = Sequence[tuple[int, int]]


def measured(maps: np.ndarray, pairs: Pairs, inside: np.ndarray | None = None) -> np.ndarray:
    """Every measure of every pair (a, b) of places in `maps` (n, [D,] H, W): (pairs, measures), 1 for equals.

    `inside` (bool, [D,] H, W) says which pixels count, where not all do; SSIM is then the mean over the
    windows that lie within it. NaN where one of the two is constant (of the magnitudes: where these are), and
    SSIM on grids with a side below 3 or without such a window. Columns in the order of `MEASURES`. Raises
    `ValueError` for values that are not finite.
    """
    maps = np.asarray(maps, dtype=np.float64)
    if inside is not None:
        maps = np.where(inside, maps, 0.0)  # no scale is taken from what does not count
    found = {}
    for suffix, signed in (("", maps), ("_abs", np.abs(maps))):
        ranked = [Ranked(each, inside) for each in signed]
        constant = np.array([each.constant for each in ranked])
        found[f"pearson{suffix}"] = _correlations([each.standard for each in ranked], pairs)
        ranks = [standardised(each.below()) for each in ranked]
        found[f"spearman{suffix}"] = _correlations(ranks, pairs)
        found[f"ssim{suffix}"] = _without(constant, pairs, _ssims(signed, pairs, inside))
        if not suffix:
            found["top_overlap"] = _without(constant, pairs, _overlaps(ranked, pairs))
    return np.stack([found[name] for name in MEASURES], axis=1)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation over pixels of two maps of one shape, any dimension; NaN where one is constant."""
    return _one("pearson", a, b)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the ranks (in float32; ties share their mean rank); NaN where one is constant."""
    return _one("spearman", a, b)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of two maps (Wang et al. 2004), each first divided by its largest magnitude.

    The scale of an attribution means nothing across models and methods, its zero does. Then as
    skimage.metrics.structural_similarity: uniform windows of side 7 (on smaller grids the largest odd side
    that fits), sample covariance, windows that lie inside the grid, K1 = 0.01, K2 = 0.03, data range from the
    lowest to the highest value of both maps. NaN where one is constant or a side is below 3.
    """
    return _one("ssim", a, b)


def top_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of the tenth of the pixels with the highest values, of each map.

    Pixels tied at the edge count in part (`localisation.highest`), so that a map and itself score 1 and a
    union is never empty. NaN where one is constant. Two independent maps score about 0.053.
    """
    return _one("top_overlap", a, b)


def _one(name: str, a: np.ndarray, b: np.ndarray) -> float:
    if np.shape(a) != np.shape(b):
        raise ValueError(f"shapes differ: {np.shape(a)} and {np.shape(b)}")
    return float(measured(np.stack([a, b]), [(0, 1)])[0, list(MEASURES).index(name)])


def _correlations(standard: Sequence[np.ndarray], pairs: Pairs) -> np.ndarray:
    rows = np.stack(standard)
    first, second = np.transpose(pairs)
    return np.clip((rows @ rows.T)[first, second], -1.0, 1.0)


def _without(constant: np.ndarray, pairs: Pairs, values: np.ndarray) -> np.ndarray:
    first, second = np.transpose(pairs)
    return np.where(constant[first] | constant[second], np.nan, values)


def _chunks(pairs: Pairs, pixels: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places of the firsts and of the seconds, as many pairs together as `CHUNK` allows."""
    step = max(1, CHUNK // pixels)
    return [tuple(np.transpose(pairs[start : start + step])) for start in range(0, len(pairs), step)]


def _ssims(maps: np.ndarray, pairs: Pairs, counts: np.ndarray | None) -> np.ndarray:
    grid = maps.shape[1:]
    side = min(WINDOW, min(grid) - 1 + min(grid) % 2)
    if side < SMALLEST:
        return np.full(len(pairs), np.nan)
    largest = np.abs(maps).max(axis=tuple(range(1, maps.ndim)), keepdims=True)
    maps = maps / np.where(largest > 0.0, largest, 1.0)
    pixels = maps.reshape(len(maps), -1) if counts is None else maps[:, counts]
    low, high = (of(pixels, axis=1) for of in (np.min, np.max))
    inside = (slice(None), *[slice(side // 2, length - side // 2) for length in grid])
    windows = slice(None)  # whose pixels count
    if counts is not None:
        windows = np.flatnonzero(binary_erosion(counts, np.ones([side] * len(grid)))[inside[1:]])
        if not windows.size:
            return np.full(len(pairs), np.nan)

    def average(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, (1, *[side] * len(grid)))[inside]

    sample = side ** len(grid) / (side ** len(grid) - 1)
    mean = average(maps)
    variance = sample * (average(maps * maps) - mean * mean)
    found = []
    for a, b in _chunks(pairs, maps[0].size):
        covariance = sample * (average(maps[a] * maps[b]) - mean[a] * mean[b])
        data_range = np.maximum(high[a], high[b]) - np.minimum(low[a], low[b])
        c1, c2 = ((k * data_range.reshape(-1, *[1] * len(grid))) ** 2 for k in (0.01, 0.03))
        with np.errstate(invalid="ignore"):  # 0 / 0 of two constant maps, which have no SSIM
            likeness = (2 * mean[a] * mean[b] + c1) * (2 * covariance + c2)
            likeness /= (mean[a] ** 2 + mean[b] ** 2 + c1) * (variance[a] + variance[b] + c2)
        found.append(likeness.reshape(len(a), -1)[:, windows].mean(axis=1))
    return np.concatenate(found)


def _overlaps(ranked: Sequence[Ranked], pairs: Pairs) -> np.ndarray:
    count = TOP * ranked[0].values.size
    top = np.stack([highest(each.values, count) for each in ranked])
    both = np.concatenate(
        [np.minimum(top[a], top[b]).sum(axis=1) for a, b in _chunks(pairs, ranked[0].values.size)]
    )
    return both / (2 * count - both)
