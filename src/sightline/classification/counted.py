"""What follows from counts of right and wrong answers: precision, recall, F1 and their like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sightline.classification.calibration import binned
from sightline.classification.measured import (
    ALL,
    WEIGHTED,
    Measured,
    Weights,
    joined,
    least,
    mean_of,
    ratio,
    weighted,
    with_mean,
)
from sightline.classification.predicted import Predicted

COUNTED = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "npv", "f1")
OF_LABELS = (*COUNTED, "brier", "ece")
AVERAGED = ("precision", "recall", "f1")  # by how many images have each label, as scikit-learn's report
OF_SETS = ("accuracy", "balanced_accuracy", "brier", "ece")  # of exclusive labels, taken together
MISSING = {
    "accuracy": "no image",
    "balanced_accuracy": "one label value alone",
    "precision": "the label is never predicted",
    "recall": "no positive image",
    "specificity": "no negative image",
    "npv": "the label is always predicted",
    "f1": "the label is neither there nor predicted",
    "brier": "no image",
    "ece": "no image",
}


def metrics(predicted: Predicted) -> Measured:
    """Every metric of `OF_LABELS` of each label, of their mean, and of exclusive labels taken together.

    precision = PPV = TP / (TP + FP), recall = sensitivity = TP / (TP + FN), specificity = TN / (TN + FP), NPV
    = TN / (TN + FN), F1 = 2 TP / (2 TP + FP + FN), balanced accuracy = (recall + specificity) / 2, Brier
    score = mean of (probability - truth)^2, expected calibration error = over ten equally wide bins of the
    probability, the sum of |share of positives - mean probability| x share of the images (Guo et al. 2017).
    "mean" averages the labels that have the number; "weighted" by their
    positives. "all", of exclusive labels: the share of images whose highest label is the true one, the mean
    recall, half the sum of squares over labels, and the calibration error of the highest label's probability.
    """
    return joined([*_of_labels(predicted), *([_of_set(predicted)] if predicted.exclusive else [])])


def _sums(predicted: Predicted) -> dict[str, np.ndarray]:
    """Per subject, seed and label (subjects, S, L) the four counts, and what calibration needs."""
    known, truth = predicted.known, predicted.value == 1
    said = predicted.said & known
    away = np.where(known, predicted.probability - np.nan_to_num(predicted.value), 0.0)
    amounts = {
        "tp": said & truth,
        "fp": said & ~truth,
        "fn": ~said & truth,
        "tn": ~said & known & ~truth,
        "square": away**2,
    }
    return {name: predicted.by_subject(np.swapaxes(of, 0, 1).astype(float)) for name, of in amounts.items()}


def _of_labels(predicted: Predicted) -> list[Measured]:
    sums = _sums(predicted)
    known = np.broadcast_to(predicted.known, predicted.probability.shape)
    away = np.where(known, np.nan_to_num(predicted.value) - predicted.probability, 0.0)
    away = binned(predicted, predicted.probability, away)
    # Noise makes a bin's difference larger, never smaller. So that resamples do not add to that, each bin's
    # sign is held: the error is then a ratio of sums, and its interval lies about it.
    sums["off"] = (away * np.sign(away.sum(axis=0))).sum(axis=-1)

    def of_labels(weights: Weights) -> np.ndarray:
        """(draws, S, L, metrics)"""
        tp, fp, fn, tn, square, off = (weighted(weights, of) for of in sums.values())
        images = tp + fp + fn + tn
        recall, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
        found = {
            "accuracy": ratio(tp + tn, images),
            "balanced_accuracy": (recall + specificity) / 2,
            "precision": ratio(tp, tp + fp),
            "recall": recall,
            "specificity": specificity,
            "npv": ratio(tn, tn + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "brier": ratio(square, images),
            "ece": ratio(off, images),
        }
        return np.stack([found[name] for name in OF_LABELS], axis=-1)

    entering = _entering(sums)
    missing = [MISSING[metric] for metric in OF_LABELS]
    there, absent = (entering[:, OF_LABELS.index(name)] for name in ("recall", "specificity"))
    fewest = entering.copy()  # a mean of two shares varies as one share of so many
    both = ratio(4.0 * there * absent, (there + absent).astype(float))
    fewest[:, OF_LABELS.index("balanced_accuracy")] = np.nan_to_num(both)
    found = [with_mean(predicted, of_labels, entering, OF_LABELS, missing, fewest)]
    if predicted.exclusive:
        found.append(_by_support(predicted, of_labels, sums["tp"] + sums["fn"]))
    return found


def _by_support(
    predicted: Predicted,
    of_labels: Callable[[Weights], np.ndarray],
    support: np.ndarray,
) -> Measured:
    """The means of `AVERAGED` over labels, each weighted by its positives (subjects, S, L)."""
    of = [OF_LABELS.index(name) for name in AVERAGED]
    own = of_labels(np.ones((1, predicted.subjects)))

    def values(weights: Weights) -> np.ndarray:
        each = of_labels(weights)
        each = np.where(np.isnan(each), own, each)[..., of]
        share = weighted(weights, support)[..., None]
        return ratio((np.where(share > 0, each, 0.0) * share).sum(axis=2), share.sum(axis=2))

    everyone = np.full(len(of), predicted.subjects)
    missing = ["a label that is there is never predicted"] * len(of)
    return Measured([(WEIGHTED, name) for name in AVERAGED], values, everyone, everyone, missing)


def _entering(sums: dict[str, np.ndarray]) -> np.ndarray:
    """(L, metrics): how many subjects each number rests on."""
    tp, fp, fn, tn = (sums[name] for name in ("tp", "fp", "fn", "tn"))
    there, absent = least(tp + fn), least(tn + fp)
    found = dict.fromkeys(OF_LABELS, least(tp + fp + fn + tn)) | {
        "balanced_accuracy": np.minimum(there, absent),
        "precision": least(tp + fp),
        "recall": there,
        "specificity": absent,
        "npv": least(tn + fn),
        "f1": least(tp + fp + fn),
    }
    return np.stack(list(found.values()), axis=1)


def _of_set(predicted: Predicted) -> Measured:
    """The numbers of exclusive labels taken together."""
    known = predicted.known.all(axis=1)
    truth = predicted.value == 1
    right = (predicted.said & truth).any(axis=2) & known  # (S, N)
    highest = predicted.probability.max(axis=2)
    away = np.where(known, right - highest, 0.0)[..., None]
    by_bin = binned(predicted, highest[..., None], away)
    square = np.where(
        known, ((predicted.probability - np.nan_to_num(predicted.value)) ** 2).sum(axis=2) / 2, 0.0
    )
    images = predicted.by_subject(known.astype(float))  # (subjects,)
    sums = np.stack([predicted.by_subject(of.T.astype(float)) for of in (right, square)], axis=2)
    sums = np.concatenate([sums, (by_bin * np.sign(by_bin.sum(axis=0))).sum(axis=(2, 3))[..., None]], axis=2)
    hits = predicted.by_subject(np.swapaxes(predicted.said & truth, 0, 1).astype(float))  # (subjects, S, L)
    there = predicted.by_subject((truth & known[:, None]).astype(float))  # (subjects, L)
    own = ratio(hits.sum(axis=0), there.sum(axis=0))

    def values(weights: Weights) -> np.ndarray:
        right, square, calibrated = np.moveaxis(
            ratio(weighted(weights, sums), weighted(weights, images)[:, None, None]), 2, 0
        )
        recall = ratio(weighted(weights, hits), weighted(weights, there)[:, None])
        recall = np.where(np.isnan(recall), own, recall)
        return np.stack([right, mean_of(recall, axis=2), square, calibrated], axis=2)

    holders = (there > 0).sum(axis=0)
    entering = np.full(len(OF_SETS), (images > 0).sum())
    smallest = holders[holders > 0].min(initial=0) * (holders > 0).sum()
    fewest = np.where(np.array(OF_SETS) == "balanced_accuracy", np.minimum(smallest, entering), entering)
    names = [(ALL, name) for name in OF_SETS]
    return Measured(names, values, entering, fewest, ["no image"] * len(OF_SETS))
