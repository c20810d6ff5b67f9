"""Numbers as functions of the subjects' weights, from which every resample is worked out.

A weight is 1, or how often a resample holds the subject. Where a number is a ratio of sums over images, the
sums are made by subject once, and any number of resamples is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.classification.predicted import Predicted

# what labels are averaged under, beside the labels' own names
MEAN, WEIGHTED, ALL = "mean", "weighted", "all"
SHARE = "share"  # of images, where a number has no other name
# what lies at 0 or 1 where all answers are alike
SHARES = {SHARE, "accuracy", "balanced_accuracy", "precision", "recall", "specificity", "npv", "f1"}
SHARES |= {"average_precision"}  # a mean over positives

Weights = np.ndarray  # (draws, subjects)


@dataclass(frozen=True)
class Measured:
    """Numbers by name, as a function of the subjects' weights.

    `names` are what `columns` says; `values(weights (draws, subjects))` is (draws, seeds, names), NaN where
    nothing is to be divided by. `entering` (names,) counts the subjects on which a number rests, in
    the seed with the fewest, `fewest` those that speak for it where no answer is wrong (of a mean of labels,
    as many as in the smallest label, for each label);
    `missing` says of what there is none where a number is undefined. Numbers whose last name is in `SHARES`
    are shares of images, or made of such.
    """

    names: list[tuple]
    values: Callable[[Weights], np.ndarray]
    entering: np.ndarray
    fewest: np.ndarray
    missing: list[str]
    columns: tuple[str, ...] = ("label", "metric")


def joined(parts: list[Measured]) -> Measured:
    """Several `Measured` as one."""
    return Measured(
        [name for part in parts for name in part.names],
        lambda weights: np.concatenate([part.values(weights) for part in parts], axis=2),
        np.concatenate([part.entering for part in parts]),
        np.concatenate([part.fewest for part in parts]),
        [why for part in parts for why in part.missing],
    )


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    return np.divide(
        above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan), where=below > 0
    )


def weighted(weights: Weights, sums: np.ndarray) -> np.ndarray:
    """Sums (draws, ...) under weights (draws, subjects) of sums by subject (subjects, ...)."""
    return (weights @ sums.reshape(len(sums), -1)).reshape(len(weights), *sums.shape[1:])


def mean_of(each: np.ndarray, axis: int) -> np.ndarray:
    """The mean over `axis` of what is defined; NaN where nothing is."""
    there = ~np.isnan(each)
    return ratio(np.where(there, each, 0.0).sum(axis=axis), there.sum(axis=axis).astype(float))


def least(images: np.ndarray) -> np.ndarray:
    """How many subjects have images (subjects, S, ...), in the seed with the fewest that has any."""
    holders = (images > 0).sum(axis=0)
    return np.where(holders > 0, holders, np.where(holders.any(axis=0), len(images), 0)).min(axis=0)


def with_mean(
    predicted: Predicted,
    of_labels: Callable[[Weights], np.ndarray],
    entering: np.ndarray,
    metrics: Sequence,
    missing: list[str],
    fewest: np.ndarray | None = None,
) -> Measured:
    """Numbers of labels (draws, S, L, metrics), and the mean over those labels that have them.

    A label that a resample leaves nothing of keeps its own number there. `entering` is (L, metrics), and so
    is `fewest` where it is not the same.
    """
    own = of_labels(np.ones((1, predicted.subjects)))

    def values(weights: Weights) -> np.ndarray:
        each = of_labels(weights)
        each = np.where(np.isnan(each), own, each)
        return np.concatenate([each.reshape(*each.shape[:2], -1), mean_of(each, axis=2)], axis=2)

    everyone = np.full(len(metrics), predicted.subjects)
    # where none is wrong, all unseen errors may be in the smallest label, which is one of several in the mean
    held = ~np.isnan(own[0]).any(axis=0)  # (L, metrics)
    fewest = entering if fewest is None else fewest
    together = np.where(held, fewest, predicted.subjects).min(axis=0) * held.sum(axis=0)
    together = np.minimum(together, predicted.subjects)
    return Measured(
        [(label, metric) for label in [*predicted.labels, MEAN] for metric in metrics],
        values,
        np.concatenate([entering.ravel(), everyone]),
        np.concatenate([fewest.ravel(), together]),
        [*missing * len(predicted.labels), *["no label has it"] * len(metrics)],
    )
