"""How much of a saliency map lies inside a region: lungs, a finding's box, a marker.

Mass is the map's positive part: negative values are evidence against, and count as none. Maps are float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.metrics.similarity import Ranked, References

METRICS = {
    "mass_inside": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,  # the region's share of the area
        "symbol": "mass inside",
        "description": "Share of the map's positive mass that lies inside the region.",
    },
    "mass_over_area": {
        "references": ("region",),
        "center_bias": False,
        "chance": 1.0,
        "symbol": "mass / area",
        "description": "Share of the map's mass inside the region over the region's share of the area.",
    },
    "pointing_game": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,  # the region's share of the area
        "symbol": "pointing game",
        "description": "Whether the map's maximum lies inside the region (of tied maxima, their share).",
    },
}


def mass_inside(saliency: np.ndarray, region: np.ndarray) -> float:
    """Share (0 to 1) of the positive mass of `saliency` inside the boolean `region` of equal shape.

    NaN where the map has no positive value. (The "energy-based pointing game" of Wang et al. 2020.)
    """
    return _one("mass_inside", saliency, region)


def mass_over_area(saliency: np.ndarray, region: np.ndarray) -> float:
    """`mass_inside` over the region's share of the area: 1 by chance; NaN without positive mass or region."""
    return _one("mass_over_area", saliency, region)


def pointing_game(saliency: np.ndarray, region: np.ndarray) -> float:
    """1 where the maximum of `saliency` lies in `region`, else 0; of tied maxima, the share that do.

    A constant map thus scores the region's share of the area. (Zhang et al. 2018, without their tolerance.)
    """
    return _one("pointing_game", saliency, region)


def evaluate(
    names: Sequence[str], saliency: Ranked, references: References, center_biases: dict[str, References]
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, ""): score (1,)} of one map against the region of `references`; NaN where undefined."""
    region = references.region
    return {
        (name, ""): np.array([_SCORES[name](saliency.values, region)]) for name in names if name in METRICS
    }


def _share(values: np.ndarray, region: np.ndarray) -> float:
    mass = np.maximum(values, 0.0)
    total = mass.sum(dtype=np.float64)
    return float(mass[region].sum(dtype=np.float64) / total) if total > 0.0 else float("nan")


def _share_over_area(values: np.ndarray, region: np.ndarray) -> float:
    return _share(values, region) / float(region.mean()) if region.any() else float("nan")


def _share_of_maxima(values: np.ndarray, region: np.ndarray) -> float:
    return float(region[values == values.max()].mean())


_SCORES = {"mass_inside": _share, "mass_over_area": _share_over_area, "pointing_game": _share_of_maxima}


def _one(name: str, saliency: np.ndarray, region: np.ndarray) -> float:
    if np.shape(saliency) != np.shape(region):
        raise ValueError(f"shapes differ: {np.shape(saliency)} and {np.shape(region)}")
    return _SCORES[name](Ranked(saliency).values, np.asarray(region, dtype=bool).ravel())
