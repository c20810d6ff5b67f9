"""What follows from counts of right and wrong answers: precision, recall, calibration, confusion.

Every number is a ratio of sums over images, or made of such ratios. So it is worked out from sums by subject
and a weight for each subject (1, or how often a resample holds the subject), for many resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.classification.predicted import Predicted

BINS = 10  # of predicted probability, equally wide, closed below; the last one closed above too
# what labels are averaged under, beside the labels' own names
MEAN, WEIGHTED, ALL = "mean", "weighted", "all"
# of these, which lie at an end of 0 to 1 where no answer is wrong (or none is right)
COUNTED = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "npv", "f1")
SHARES = {*COUNTED, "share"}
OF_LABELS = (*COUNTED, "brier", "ece")
AVERAGED = ("precision", "recall", "f1")  # by how many images have each label, as scikit-learn's report
OF_SETS = ("accuracy", "balanced_accuracy", "brier", "ece")  # of exclusive labels, taken together

STATES = {True: "positive", False: "negative"}  # of one label, in a confusion matrix

Weights = np.ndarray  # (draws, subjects)


@dataclass(frozen=True)
class Measured:
    """Numbers by name, as a function of the subjects' weights.

    `names` are what `columns` says; `values(weights (draws, subjects))` is (draws, seeds, names), NaN where
    nothing is to be divided by. `entering` (names,) counts the subjects on which a number rests, `fewest`
    those on which the least of the ratios rests that it is made of, each in the seed with the fewest;
    `missing` says of what there is none where a number is undefined. Numbers whose last name is in `SHARES`
    are shares of images, or means of such.
    """

    names: list[tuple]
    values: Callable[[Weights], np.ndarray]
    entering: np.ndarray
    fewest: np.ndarray
    missing: list[str]
    columns: tuple[str, ...] = ("label", "metric")


MISSING = {
    "accuracy": "no image",
    "balanced_accuracy": "one label value alone",
    "precision": "the label is never said",
    "recall": "no positive image",
    "specificity": "no negative image",
    "npv": "the label is always said",
    "f1": "the label is neither there nor said",
    "brier": "no image",
    "ece": "no image",
}


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    return np.divide(
        above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan), where=below > 0
    )


def metrics(predicted: Predicted) -> Measured:
    """Every metric of `OF_LABELS` of each label, of their mean, and of exclusive labels taken together.

    precision = PPV = TP / (TP + FP), recall = sensitivity = TP / (TP + FN), specificity = TN / (TN + FP), NPV
    = TN / (TN + FN), F1 = 2 TP / (2 TP + FP + FN), balanced accuracy = (recall + specificity) / 2, Brier
    score = mean of (probability - truth)^2, expected calibration error = over `BINS` equally wide bins of the
    probability, the sum of |share of positives - mean probability| x share of the images (Naeini et al. 2015,
    whose bins are equally full). "mean" averages the labels that have the number; "weighted" by their
    positives. "all", of exclusive labels: the share of images whose highest label is the true one, the mean
    recall, half the sum of squares over labels, and the calibration error of the highest label's probability.
    """
    return joined([*_of_labels(predicted), *([_of_set(predicted)] if predicted.exclusive else [])])


def joined(parts: list[Measured]) -> Measured:
    """Several `Measured` as one."""
    return Measured(
        [name for part in parts for name in part.names],
        lambda weights: np.concatenate([part.values(weights) for part in parts], axis=2),
        np.concatenate([part.entering for part in parts]),
        np.concatenate([part.fewest for part in parts]),
        [why for part in parts for why in part.missing],
    )


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


def binned(predicted: Predicted, probability: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Sums by subject and bin (subjects, S, K, BINS) of amounts (S, N, K), by their probability (S, N, K)."""
    seeds, _, many = probability.shape
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    result = np.zeros((predicted.subjects, seeds, many, BINS))
    seed, image, column = np.indices(probability.shape, sparse=True)
    np.add.at(result, (predicted.subject[image], seed, column, bins), amounts)
    return result


def weighted(weights: Weights, sums: np.ndarray) -> np.ndarray:
    """Sums (draws, ...) under weights (draws, subjects) of sums by subject (subjects, ...)."""
    return (weights @ sums.reshape(len(sums), -1)).reshape(len(weights), *sums.shape[1:])


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
    found = [with_mean(predicted, of_labels, entering, OF_LABELS, missing)]
    if predicted.exclusive:
        found.append(_by_support(predicted, of_labels, sums["tp"] + sums["fn"], entering))
    return found


def with_mean(
    predicted: Predicted,
    of_labels: Callable[[Weights], np.ndarray],
    entering: np.ndarray,
    metrics: Sequence,
    missing: list[str],
) -> Measured:
    """Numbers of labels (draws, S, L, metrics), and the mean over those labels that have them.

    A label that a resample leaves nothing of keeps its own number there. `entering` is (L, metrics).
    """
    own = of_labels(np.ones((1, predicted.subjects)))

    def values(weights: Weights) -> np.ndarray:
        each = of_labels(weights)
        each = np.where(np.isnan(each), own, each)
        return np.concatenate([each.reshape(*each.shape[:2], -1), mean_of(each, axis=2)], axis=2)

    everyone = np.full(len(metrics), predicted.subjects)
    fewest = np.where(np.isnan(own[0]).any(axis=0), predicted.subjects, entering).min(axis=0)
    return Measured(
        [(label, metric) for label in [*predicted.labels, MEAN] for metric in metrics],
        values,
        np.concatenate([entering.ravel(), everyone]),
        np.concatenate([entering.ravel(), fewest]),
        [*missing * len(predicted.labels), *["no label has it"] * len(metrics)],
    )


def _by_support(
    predicted: Predicted,
    of_labels: Callable[[Weights], np.ndarray],
    support: np.ndarray,
    entering: np.ndarray,
) -> Measured:
    """The means of `AVERAGED` over labels, each weighted by its positives (subjects, S, L)."""
    of = [OF_LABELS.index(name) for name in AVERAGED]
    own = of_labels(np.ones((1, predicted.subjects)))

    def values(weights: Weights) -> np.ndarray:
        each = of_labels(weights)
        each = np.where(np.isnan(each), own, each)[..., of]
        share = weighted(weights, support)[..., None]
        return ratio((np.where(share > 0, each, 0.0) * share).sum(axis=2), share.sum(axis=2))

    there = support.any(axis=(0, 1))
    fewest = entering[there][:, of].min(axis=0, initial=predicted.subjects)
    everyone = np.full(len(of), predicted.subjects)
    missing = ["a label that is there is never said"] * len(of)
    return Measured([(WEIGHTED, name) for name in AVERAGED], values, everyone, fewest, missing)


def mean_of(each: np.ndarray, axis: int) -> np.ndarray:
    """The mean over `axis` of what is defined; NaN where nothing is."""
    there = ~np.isnan(each)
    return ratio(np.where(there, each, 0.0).sum(axis=axis), there.sum(axis=axis).astype(float))


def least(images: np.ndarray) -> np.ndarray:
    """How many subjects have images (subjects, S, ...), in the seed with the fewest that has any."""
    holders = (images > 0).sum(axis=0)
    return np.where(holders > 0, holders, np.where(holders.any(axis=0), len(images), 0)).min(axis=0)


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
    fewest = np.where(np.array(OF_SETS) == "balanced_accuracy", holders[holders > 0].min(initial=0), entering)
    names = [(ALL, name) for name in OF_SETS]
    return Measured(names, values, entering, fewest, ["no image"] * len(OF_SETS))


def confusion_counts(predicted: Predicted) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """(label, truth, said), and their images by subject and seed (subjects, S, names).

    Of exclusive labels (label "all") every pair of labels; of others, each label's own four.
    """
    known, truth, said = predicted.known, predicted.value == 1, predicted.said
    labels = predicted.labels
    if predicted.exclusive:
        pairs = [(one, other) for one in range(len(labels)) for other in range(len(labels))]
        amounts = [truth[:, one] & said[:, :, other] & known[:, one] for one, other in pairs]
        names = [(ALL, labels[one], labels[other]) for one, other in pairs]
    else:
        names, amounts = [], []
        for place, label in enumerate(labels):
            for there in (True, False):
                for yes in (True, False):
                    names.append((label, STATES[there], STATES[yes]))
                    here = (truth[:, place] == there) & known[:, place]
                    amounts.append(here & (said[:, :, place] == yes))
    return names, predicted.by_subject(np.stack(amounts, axis=-1).swapaxes(0, 1).astype(float))


def confusion_shares(predicted: Predicted) -> Measured:
    """Of the images with a truth, the share that each answer has; names are (label, truth, predicted)."""
    names, counts = confusion_counts(predicted)
    rows = {}  # (label, truth) -> its columns
    for place, name in enumerate(names):
        rows.setdefault(name[:2], []).append(place)
    row_of = [rows[name[:2]] for name in names]
    totals = np.stack([counts[..., columns].sum(axis=-1) for columns in row_of], axis=-1)
    entering = least(totals)
    return Measured(
        [(*name, "share") for name in names],
        lambda weights: ratio(weighted(weights, counts), weighted(weights, totals)),
        entering,
        entering,
        ["no image with this truth"] * len(names),
        ("label", "truth", "predicted", "metric"),
    )


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
        [(label, at, "share") for label in [*predicted.labels, ALL] for at in range(BINS)],
        lambda weights: ratio(weighted(weights, right), weighted(weights, images)),
        entering,
        entering,
        ["no image"] * right.shape[2],
        ("label", "bin", "metric"),
    )
    return measured, ratio(total.sum(axis=0), images.sum(axis=0)), images.sum(axis=0)
