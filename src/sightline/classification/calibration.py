"""Whether probabilities are what they say: how often what is given one comes true."""

from __future__ import annotations

import numpy as np

from sightline.classification.measured import ALL, SHARE, Measured, least, ratio, weighted
from sightline.classification.predicted import Predicted

BINS = 10  # of predicted probability, equally wide, closed below; the last one closed above too


def binned(predicted: Predicted, probability: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Sums by subject and bin (subjects, S, K, BINS) of amounts (S, N, K), by their probability (S, N, K)."""
    seeds, _, many = probability.shape
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    result = np.zeros((predicted.subjects, seeds, many, BINS))
    seed, image, column = np.indices(probability.shape, sparse=True)
    np.add.at(result, (predicted.subject[image], seed, column, bins), amounts)
    return result


def calibration(predicted: Predicted) -> tuple[Measured, np.ndarray, np.ndarray]:
    """The share of right answers in each bin of probability; names are (label, bin).

    And in the order of the names the mean probability (S, names), NaN in an empty bin, and the images of each
    bin (S, names). Label "all": of exclusive labels, whether the highest one is true by its probability; of
    others, all labels' answers in one.
    """
    known = np.broadcast_to(predicted.known, predicted.probability.shape)
    truth, probability = np.nan_to_num(predicted.value) * known, predicted.probability

    def in_bins(amounts: np.ndarray) -> np.ndarray:
        each = binned(predicted, probability, np.where(known, amounts, 0.0))
        return np.concatenate([each, each.sum(axis=2, keepdims=True)], axis=2)

    images, right, total = (in_bins(amounts) for amounts in (np.ones_like(probability), truth, probability))
    if predicted.exclusive:
        highest = probability.max(axis=2, keepdims=True)
        held = known.all(axis=2, keepdims=True)
        is_right = ((predicted.said & (predicted.value == 1)).any(axis=2, keepdims=True)).astype(float)
        for of, amounts in ((images, np.ones_like(highest)), (right, is_right), (total, highest)):
            of[:, :, -1:] = binned(predicted, highest, np.where(held, amounts, 0.0))
    flat = (len(images), len(predicted.seeds), -1)
    images, right, total = (of.reshape(flat) for of in (images, right, total))
    entering = least(images)
    measured = Measured(
        [(label, at, SHARE) for label in [*predicted.labels, ALL] for at in range(BINS)],
        lambda weights: ratio(weighted(weights, right), weighted(weights, images)),
        entering,
        entering,
        ["no image"] * right.shape[2],
        ("label", "bin", "metric"),
    )
    return measured, ratio(total.sum(axis=0), images.sum(axis=0)), images.sum(axis=0)
