"""IoU of a map with a region at a threshold that was tuned on other images: on other subjects', each time.

A map is brought to 0 (its lowest value) to 1 (its highest) and cut at fixed `THRESHOLDS`; the one with the
highest mean IoU is taken. Saporta et al. 2022 tune on a validation set, per finding and method, among 0.2,
0.3, ... 0.7 (their code). Here the images that are scored serve: an image's threshold comes from those of all
other subjects, per model, seed, condition, method, reading and reference, so that no image helps to choose
its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.metrics.similarity import Ranked, References

THRESHOLDS = tuple(step / 20 for step in range(1, 20))  # theirs among them
UNSETTLED = "there is no other subject to tune the threshold on"
METRICS = {
    "iou_tuned": {
        "references": ("region",),
        "center_bias": False,
        "chance": None,
        "symbol": "IoU, tuned",
        "description": "Overlap (IoU) of the region with the map cut at the other subjects' best threshold.",
    },
}


def ious(saliency: np.ndarray, region: np.ndarray) -> np.ndarray:
    """IoU (T,) of the boolean `region` with {map, from 0 to 1, > t} at each of `THRESHOLDS`, any dimension.

    NaN for a constant map or an empty region. Raises `ValueError` for unequal shapes or non-finite values.
    """
    if np.shape(saliency) != np.shape(region):
        raise ValueError(f"shapes differ: {np.shape(saliency)} and {np.shape(region)}")
    return _ious(Ranked(saliency), np.asarray(region, dtype=bool).ravel())


def tuned_threshold(maps: Sequence[np.ndarray], regions: Sequence[np.ndarray]) -> float:
    """The one of `THRESHOLDS` with the highest mean IoU over pairs of map and region (the lowest of equals).

    Pairs without IoU (see `ious`) do not count. Raises `ValueError` where none has any.
    """
    rows = np.array([ious(*pair) for pair in zip(maps, regions, strict=True)])
    rows = rows[~np.isnan(rows).any(axis=1)] if len(rows) else rows
    if not len(rows):
        raise ValueError("no threshold: every map is constant or every region empty")
    return THRESHOLDS[int(rows.mean(axis=0).argmax())]


def evaluate(
    names: Sequence[str], saliency: Ranked, references: References, center_biases: dict[str, References]
) -> dict[tuple[str, str], np.ndarray]:
    """{("iou_tuned", ""): IoUs (1, T) at all thresholds}; `across` makes them one number."""
    return {(name, ""): _ious(saliency, references.region)[None] for name in names if name in METRICS}


def across(values: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(n,): of each row of IoUs `values` (n, T) the one at the threshold best for the rows of other subjects.

    The best has the highest mean over those rows, the lowest threshold of equals; NaN where there is no other
    subject.
    """
    names, code = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) < 2:
        return np.full(len(values), np.nan)
    of_subject = np.zeros((len(names), values.shape[1]))
    np.add.at(of_subject, code, values)
    best = (of_subject.sum(axis=0) - of_subject).argmax(axis=1)  # (subjects,): the count divides all alike
    return values[np.arange(len(values)), best[code]]


def _ious(saliency: Ranked, region: np.ndarray) -> np.ndarray:
    if saliency.constant or not region.any():
        return np.full(len(THRESHOLDS), np.nan)
    passed = np.searchsorted(THRESHOLDS, saliency.unit)  # how many thresholds lie below each pixel
    counts = [np.bincount(part, minlength=len(THRESHOLDS) + 1) for part in (passed, passed[region])]
    taken, both = (np.cumsum(count[::-1])[::-1][1:] for count in counts)  # (T,) pixels above
    return both / (taken + np.count_nonzero(region) - both)
