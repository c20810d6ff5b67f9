"""What models said of images, as arrays: truth, scores, who the images are of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp

from sightline.errors import TableError

GROUP = ["dataset", "model", "condition"]
THRESHOLD = 0.5  # the probability from which a label is said to be there


@dataclass(frozen=True)
class Predicted:
    """The predictions of all seeds of one model, on one dataset under one condition.

    `value` (N, L) is 1, 0 or NaN (unknown), `score` (S, N, L) the log-odds of each label, `subject` (N,) the
    number of each image's subject, from 0. Where the labels are `exclusive` an image without exactly one
    positive is unknown, scores are those of softmax, and the label said is the highest one.
    """

    group: dict[str, str]  # dataset, model, condition
    labels: list[str]
    seeds: list[int]
    images: list[str]
    subject: np.ndarray
    value: np.ndarray
    score: np.ndarray
    exclusive: bool

    @property
    def subjects(self) -> int:
        """How many subjects there are."""
        return int(self.subject.max()) + 1

    @property
    def known(self) -> np.ndarray:
        """(N, L): whether it is known that the label is there, or is not."""
        return ~np.isnan(self.value)

    @cached_property
    def probability(self) -> np.ndarray:
        """(S, N, L): by the softmax of exclusive labels, by the sigmoid of each other one."""
        return expit(self.score)

    @cached_property
    def said(self) -> np.ndarray:
        """(S, N, L): whether the model says that the label is there."""
        if not self.exclusive:
            return self.probability >= THRESHOLD
        return self.score.argmax(axis=2)[:, :, None] == np.arange(len(self.labels))

    def rows(self) -> pd.DataFrame:
        """The table 'predictions' of this; `logit` is the score, by which images are ranked."""
        shape = self.score.shape
        seed, image, label = (each.ravel() for each in np.indices(shape))
        frame = pd.DataFrame(
            {
                "seed": np.array(self.seeds)[seed],
                "image": np.array(self.images, dtype=object)[image],
                "label": np.array(self.labels, dtype=object)[label],
                "logit": self.score.ravel(),
                "value": np.broadcast_to(self.value, shape).ravel(),
            }
        )
        return frame.assign(**self.group)

    def by_subject(self, amounts: np.ndarray) -> np.ndarray:
        """The sums (subjects, ...) of what images have, from amounts (N, ...)."""
        result = np.zeros((self.subjects, *amounts.shape[1:]))
        np.add.at(result, self.subject, amounts)
        return result


def collect(
    predictions: pd.DataFrame, subjects: pd.Series, exclusive: Collection[str] = ()
) -> Iterator[Predicted]:
    """The table `predictions` of any number of models and seeds, as one `Predicted` per `GROUP`, by name.

    `subjects` gives each image its subject, `exclusive` names the models whose labels exclude each other.
    Raises `TableError` where an image stands twice for one seed, has no subject, or where the seeds of a
    model hold other images or other truths.
    """
    twice = predictions[predictions.duplicated([*GROUP, "seed", "image", "label"])]
    if len(twice):
        row = twice.iloc[0]
        raise TableError(
            f"predictions: image {row['image']}, label '{row['label']}' stands twice for one seed"
        )
    for key, rows in predictions.groupby(GROUP, sort=True):
        group = dict(zip(GROUP, key))
        yield _collected(rows, group, subjects, group["model"] in exclusive)


def _collected(rows: pd.DataFrame, group: dict, subjects: pd.Series, exclusive: bool) -> Predicted:
    labels, seeds = sorted(set(rows["label"])), sorted(set(rows["seed"]))
    images = sorted(set(rows["image"]))
    of_seeds = [rows[rows["seed"] == seed] for seed in seeds]
    shape = (len(images), len(labels))
    value, score = np.empty((len(seeds), *shape)), np.empty((len(seeds), *shape))
    for place, part in enumerate(of_seeds):
        if len(part) != shape[0] * shape[1]:
            counts = {seed: len(one) for seed, one in zip(seeds, of_seeds)}
            raise TableError(
                f"predictions: {group}: the seeds hold other images: rows by seed are {counts}, of "
                f"{shape[0]} images x {shape[1]} labels; predict the same images with every seed"
            )
        ordered = part.sort_values(["image", "label"])
        value[place] = ordered["value"].to_numpy(float).reshape(shape)
        score[place] = ordered["logit"].to_numpy(float).reshape(shape)
    if not np.array_equal(value, np.broadcast_to(value[:1], value.shape), equal_nan=True):
        raise TableError(f"predictions: {group}: the seeds hold other truths of one image; read them anew")
    missing = [image for image in images if image not in subjects.index]
    if missing:
        raise TableError(f"predictions: image {missing[0]} has no subject")
    _, subject = np.unique(subjects.loc[images].to_numpy(str), return_inverse=True)
    truth = value[0]
    if exclusive:
        score = log_odds(score)
        truth = np.where((np.nan_to_num(truth).sum(axis=1) == 1)[:, None], truth, np.nan)
        truth = np.where(np.isnan(truth).any(axis=1)[:, None], np.nan, truth)
    return Predicted(group, labels, [int(seed) for seed in seeds], images, subject, truth, score, exclusive)


def log_odds(logit: np.ndarray) -> np.ndarray:
    """The log-odds (..., L) of each label under the softmax of logits (..., L): its own less all others'."""
    if logit.shape[-1] < 2:
        raise TableError("predictions: labels that exclude each other must be two or more")
    odds = np.empty_like(logit)
    for label in range(logit.shape[-1]):
        odds[..., label] = logit[..., label] - logsumexp(np.delete(logit, label, axis=-1), axis=-1)
    return odds
