"""What follows from the order of scores: ROC and precision-recall curves, and average precision.

All from weights of subjects, as in `measured`: an image weighs what its subject does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sightline.classification.measured import Measured, Weights, ratio, with_mean
from sightline.classification.predicted import Predicted

GRID = np.linspace(0.0, 1.0, 101)  # of false positive rates (ROC) and of recalls (PR)
AVERAGE_PRECISION = "average_precision"


class Ranking:
    """One seed's images in the order of one label's scores, highest first; equal scores count together."""

    def __init__(self, value: np.ndarray, score: np.ndarray, subject: np.ndarray):
        known = np.flatnonzero(~np.isnan(value))
        order = known[np.argsort(-score[known], kind="stable")]
        self.subject = subject[order]
        self.positive = value[order] == 1
        run = np.cumsum(np.diff(score[order], prepend=np.inf) != 0) - 1  # equal scores share one
        self.last = np.flatnonzero(np.diff(run, append=-1))
        self.gaining = self.last[np.unique(run[self.positive])]  # of the runs that hold a positive

    def counts(self, weights: Weights, gaining: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """True positives, and all images above: (draws, thresholds) each, under weights (draws, subjects).

        Thresholds go downwards; `gaining` asks for those alone at which there are new positives.
        """
        if not len(self.subject):
            return np.zeros((len(weights), 1)), np.zeros((len(weights), 1))
        places = self.gaining if gaining else self.last
        images = weights.take(self.subject, axis=1)
        above = np.cumsum(images, axis=1).take(places, axis=1)
        images *= self.positive
        return np.cumsum(images, axis=1, out=images).take(places, axis=1), above


Curve = Callable[[Ranking, Weights], np.ndarray]  # (draws, columns)


def average_precision_of(ranking: Ranking, weights: Weights) -> np.ndarray:
    """(draws, 1): the sum over thresholds of precision times what recall grows by; NaN without positives.

    scikit-learn's average_precision_score: the area under the steps of the precision-recall curve, without
    interpolation, which would be too optimistic (Davis and Goadrich 2006).
    """
    if not ranking.positive.any():
        return np.full((len(weights), 1), np.nan)
    true, above = ranking.counts(weights, gaining=True)
    gained = np.diff(true, axis=1, prepend=0.0)
    precision = np.divide(true, above, out=above, where=above > 0)
    return ratio(np.einsum("rt,rt->r", gained, precision), true[:, -1])[:, None]


def roc_of(ranking: Ranking, weights: Weights) -> np.ndarray:
    """(draws, GRID): the true positive rate at each false positive rate, linear between thresholds.

    Where the curve is vertical its upper end; NaN in draws without a positive or a negative.
    """
    true, above = ranking.counts(weights)
    false = above - true
    zero = np.zeros((len(true), 1))
    rate, recall = (
        np.hstack([zero, ratio(false, false[:, -1:])]),
        np.hstack([zero, ratio(true, true[:, -1:])]),
    )
    usable = ~np.isnan(rate[:, -1]) & ~np.isnan(recall[:, -1])
    result = np.full((len(true), len(GRID)), np.nan)
    rate, recall = rate[usable], recall[usable]
    at = _places(rate, GRID + 1e-12, "right") - 1
    after = np.minimum(at + 1, rate.shape[1] - 1)
    row = np.arange(len(rate))[:, None]
    step = rate[row, after] - rate[row, at]
    along = np.divide(GRID - rate[row, at], step, out=np.zeros_like(step), where=step > 0).clip(0.0, 1.0)
    result[usable] = recall[row, at] + along * (recall[row, after] - recall[row, at])
    return result


def precision_of(ranking: Ranking, weights: Weights) -> np.ndarray:
    """(draws, GRID): the precision at the highest threshold that reaches each recall; NaN without positives.

    At recall 0 that of the first threshold with a positive, so that the line begins where there is one.
    """
    true, above = ranking.counts(weights)
    recall = ratio(true, true[:, -1:])
    usable = ~np.isnan(recall[:, -1])
    result = np.full((len(true), len(GRID)), np.nan)
    asked = np.maximum(GRID - 1e-12, 1e-12)
    at = np.minimum(_places(recall[usable], asked, "left"), true.shape[1] - 1)
    row = np.flatnonzero(usable)[:, None]
    result[usable] = ratio(true[row, at], above[row, at])
    return result


def _places(rising: np.ndarray, asked: np.ndarray, side: str) -> np.ndarray:
    """Where in each row of `rising` (draws, n), within 0 to 1, the values `asked` belong: (draws, asked)."""
    row = 2.0 * np.arange(len(rising))[:, None]  # rows lie apart, so that one search serves all
    found = np.searchsorted((rising + row).ravel(), (asked + row).ravel(), side=side)
    return found.reshape(len(rising), len(asked)) - rising.shape[1] * np.arange(len(rising))[:, None]


def average_precision(predicted: Predicted) -> Measured:
    """Average precision of each label, and its mean; chance is the share of positives."""
    entering = _holders(predicted, 1)[:, None]
    of_labels = _of_labels(predicted, average_precision_of)
    return with_mean(predicted, of_labels, entering, [AVERAGE_PRECISION], ["no positive image"])


def roc(predicted: Predicted) -> Measured:
    """The ROC curve of each label and their mean on `GRID`; names are (label, place on the grid).

    The mean curve is the labels' mean at each false positive rate (vertical averaging, Fawcett 2006).
    """
    entering = np.minimum(_holders(predicted, 1), _holders(predicted, 0))
    return _curves(predicted, roc_of, entering, "one label value alone")


def precision_recall(predicted: Predicted) -> Measured:
    """The precision-recall curve of each label and their mean at each recall; names as in `roc`."""
    return _curves(predicted, precision_of, _holders(predicted, 1), "no positive image")


def _curves(predicted: Predicted, curve: Curve, entering: np.ndarray, missing: str) -> Measured:
    places = list(range(len(GRID)))
    entering = np.repeat(entering[:, None], len(GRID), axis=1)
    return with_mean(predicted, _of_labels(predicted, curve), entering, places, [missing] * len(GRID))


def _of_labels(predicted: Predicted, curve: Curve) -> Callable[[Weights], np.ndarray]:
    """`curve` of every seed and label, (draws, S, L, its columns), as a function of weights."""
    ranked = [
        [
            Ranking(predicted.value[:, label], score[:, label], predicted.subject)
            for label in range(len(predicted.labels))
        ]
        for score in predicted.score
    ]

    def of_labels(weights: Weights) -> np.ndarray:
        found = [[curve(label, weights) for label in seed] for seed in ranked]
        return np.moveaxis(np.array(found), 2, 0)

    return of_labels


def _holders(predicted: Predicted, value: int) -> np.ndarray:
    """(L,): how many subjects have an image whose label has `value`."""
    return np.array([len(np.unique(predicted.subject[held])) for held in (predicted.value == value).T])
