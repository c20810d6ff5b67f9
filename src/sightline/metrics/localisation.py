"""How much of a saliency map lies inside a region: lungs, a finding's box, a marker.

Mass is the map's positive part: negative values are evidence against, and count as none. What is cut from a
map at a threshold or as its highest pixels is its upper side, whatever the sign. Maps are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    "iou_otsu": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,
        "symbol": "IoU, Otsu",
        "description": "Overlap (IoU) of the region with the pixels above the map's Otsu threshold.",
    },
    "iou_quantile": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,  # area share a: about a / (2 - a)
        "symbol": "IoU, equal area",
        "description": "Overlap (IoU) of the region with as many of the map's highest pixels.",
    },
    "iou_max": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,
        "symbol": "IoU, best",
        "description": "Overlap (IoU) at the threshold that suits this map and region best: an upper bound.",
    },
    "pixel_precision": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,  # the region's share of the area
        "symbol": "precision, Otsu",
        "description": "Share of the pixels above the map's Otsu threshold that lie inside the region.",
    },
    "pixel_recall": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,  # the share of the area above the threshold
        "symbol": "recall, Otsu",
        "description": "Share of the region that lies above the map's Otsu threshold.",
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


def iou_otsu(saliency: np.ndarray, region: np.ndarray) -> float:
    """Intersection over union (0 to 1) of `region` and the pixels above the map's Otsu threshold.

    See `Ranked.above_otsu`. NaN for a constant map, which has no such threshold, and, as for all overlaps
    here, an empty region. (Saporta et al. 2022; their code first rounds a map to 256 levels.)
    """
    return _one("iou_otsu", saliency, region)


def iou_quantile(saliency: np.ndarray, region: np.ndarray) -> float:
    """IoU of `region` (k pixels) and the map's k highest pixels, ties as in `highest`.

    A constant map, all ties, scores a / (2 - a) where a is the region's share of the area: chance.
    """
    return _one("iou_quantile", saliency, region)


def iou_max(saliency: np.ndarray, region: np.ndarray) -> float:
    """The highest IoU of `region` and {map >= t} over all thresholds t: chosen with the answer in sight.

    An upper bound of every thresholded IoU, not what a reader could reach; at least the region's share of the
    area.
    """
    return _one("iou_max", saliency, region)


def pixel_precision(saliency: np.ndarray, region: np.ndarray) -> float:
    """Share of the pixels above Otsu's threshold that lie in `region`; NaN as `iou_otsu`."""
    return _one("pixel_precision", saliency, region)


def pixel_recall(saliency: np.ndarray, region: np.ndarray) -> float:
    """Share of `region` above Otsu's threshold; NaN as `iou_otsu`."""
    return _one("pixel_recall", saliency, region)


def highest(values: np.ndarray, count: float) -> np.ndarray:
    """Weights (N,) from 0 to 1 of the `count` highest of `values` (N,), with sum `count` (0 < count <= N).

    Pixels tied at the edge share the places that are left in equal parts, so that their order cannot matter.
    """
    edge = values.size - int(np.ceil(count))
    least = np.partition(values, edge)[edge]
    above, tied = values > least, values == least
    return above + tied * ((count - above.sum()) / tied.sum())


def evaluate(
    names: Sequence[str], saliency: Ranked, references: References, center_biases: dict[str, References]
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, ""): score (1,)} of one map against the region of `references`; NaN where undefined."""
    region = references.region
    return {(name, ""): np.array([_SCORES[name](saliency, region)]) for name in names if name in METRICS}


def _share(saliency: Ranked, region: np.ndarray) -> float:
    mass = np.maximum(saliency.values, 0.0)
    total = mass.sum(dtype=np.float64)
    return float(mass[region].sum(dtype=np.float64) / total) if total > 0.0 else float("nan")


def _share_over_area(saliency: Ranked, region: np.ndarray) -> float:
    return _share(saliency, region) / float(region.mean()) if region.any() else float("nan")


def _share_of_maxima(saliency: Ranked, region: np.ndarray) -> float:
    return float(region[saliency.values == saliency.values.max()].mean())


def _at_otsu(divisor: Callable[[float, float, float], float]) -> Callable[[Ranked, np.ndarray], float]:
    """Pixels in both the region and the cut map over `divisor`(region, cut map, both), in pixels."""

    def share(saliency: Ranked, region: np.ndarray) -> float:
        if saliency.constant or not region.any():
            return float("nan")
        both = np.count_nonzero(region & saliency.above_otsu)
        return both / divisor(np.count_nonzero(region), np.count_nonzero(saliency.above_otsu), both)

    return share


def _iou_of_equal_area(saliency: Ranked, region: np.ndarray) -> float:
    area = np.count_nonzero(region)
    if not area:
        return float("nan")
    both = highest(saliency.values, area)[region].sum()
    return float(both / (2 * area - both))


def _best_iou(saliency: Ranked, region: np.ndarray) -> float:
    if not region.any():
        return float("nan")
    # from the highest value down: how many pixels each threshold takes, and how many of the region
    taken = np.cumsum(np.bincount(saliency.ranks)[::-1])
    both = np.cumsum(np.bincount(saliency.ranks, weights=region)[::-1])
    return float((both / (taken + both[-1] - both)).max())


_SCORES: dict[str, Callable[[Ranked, np.ndarray], float]] = {
    "mass_inside": _share,
    "mass_over_area": _share_over_area,
    "pointing_game": _share_of_maxima,
    "iou_otsu": _at_otsu(lambda region, cut, both: region + cut - both),
    "iou_quantile": _iou_of_equal_area,
    "iou_max": _best_iou,
    "pixel_precision": _at_otsu(lambda region, cut, both: cut),
    "pixel_recall": _at_otsu(lambda region, cut, both: region),
}


def _one(name: str, saliency: np.ndarray, region: np.ndarray) -> float:
    if np.shape(saliency) != np.shape(region):
        raise ValueError(f"shapes differ: {np.shape(saliency)} and {np.shape(region)}")
    return _SCORES[name](Ranked(saliency), np.asarray(region, dtype=bool).ravel())
