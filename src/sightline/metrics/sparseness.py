"""How concentrated a map is, without any reference. Magnitudes count: the sign is left out.

On an interpolated map these describe the map as it is scored; methods compare fairly on one scoring frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sightline.metrics.similarity import Ranked, References

TOP = 0.1  # share of the pixels
METRICS = {
    "gini": {
        "references": ("none",),
        "center_bias": False,
        "chance": None,
        "symbol": "Gini index",
        "description": "Gini index of the map's magnitudes: 0 where all are equal, towards 1 for one pixel.",
    },
    "complexity": {
        "references": ("none",),
        "center_bias": False,
        "chance": None,
        "symbol": "entropy",
        "description": "Entropy (nats) of the pixels' shares of the map's magnitude; low is concentrated.",
    },
    "effective_area": {
        "references": ("none",),
        "center_bias": False,
        "chance": None,
        "symbol": "effective area",
        "description": "Share of the image over which an even map with the same entropy would spread.",
    },
    "mass_in_top_tenth": {
        "references": ("none",),
        "center_bias": False,
        "chance": None,
        "symbol": "mass in top 10 %",
        "description": "Share of the map's magnitude in the tenth of the pixels that has most of it.",
    },
}


def gini(saliency: np.ndarray) -> float:
    """Gini index of |map|: 0 (constant) to 1 - 1/N (one of N pixels); NaN, as all here, for a map of zeros.

    Sparseness of Chalasani et al. 2020, as Hurley and Rickard 2009 define the index. Quantus adds 1e-7 to
    each pixel of a map divided by its largest; nothing is added here. Raises `ValueError` as all here for
    values that are not finite.
    """
    return _SCORES["gini"](_shares(Ranked(saliency)))


def complexity(saliency: np.ndarray) -> float:
    """Entropy in nats of |map| / sum |map|: 0 (one pixel) to ln N (constant). Bhatt et al. 2020."""
    return _SCORES["complexity"](_shares(Ranked(saliency)))


def effective_area(saliency: np.ndarray) -> float:
    """exp(`complexity`) / N: 1/N (one pixel) to 1 (constant). Unlike it, free of the number of pixels N."""
    return _SCORES["effective_area"](_shares(Ranked(saliency)))


def mass_in_top_tenth(saliency: np.ndarray) -> float:
    """Share of sum |map| in the 10 % of the pixels with most: 0.1 (constant) to 1.

    Where a tenth of the pixels is no whole number, the last one counts in part.
    """
    return _SCORES["mass_in_top_tenth"](_shares(Ranked(saliency)))


def evaluate(
    names: Sequence[str],
    saliency: Ranked,
    references: References | None,
    center_biases: dict[str, References],
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, ""): score (1,)} of one map; there is no reference."""
    shares = _shares(saliency)
    return {(name, ""): np.array([_SCORES[name](shares)]) for name in names if name in METRICS}


def _shares(saliency: Ranked) -> np.ndarray:
    """The pixels' shares (N,) of the map's magnitude, ascending; NaN for a map of zeros."""
    magnitude = np.sort(np.abs(saliency.values)).astype(np.float64)
    return magnitude / (magnitude.sum() or np.nan)


def _gini(shares: np.ndarray) -> float:
    n = shares.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ shares / n)


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares != 0.0]
    return float(-(some @ np.log(some)) + 0.0)  # no -0


def _in_top(shares: np.ndarray) -> float:
    count = TOP * shares.size
    whole = int(count)
    from_top = shares[::-1]
    return float(from_top[:whole].sum() + (count - whole) * from_top[whole])


_SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "gini": _gini,
    "complexity": _entropy,
    "effective_area": lambda shares: float(np.exp(_entropy(shares)) / shares.size),
    "mass_in_top_tenth": _in_top,
}
