"""Which answers are given for which truths."""

from __future__ import annotations

import numpy as np

from sightline.classification.measured import ALL, SHARE, Measured, least, ratio, weighted
from sightline.classification.predicted import Predicted

STATES = {True: "positive", False: "negative"}  # of one label


def counts(predicted: Predicted) -> tuple[list[tuple[str, str, str]], np.ndarray]:
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


def shares(predicted: Predicted) -> Measured:
    """Of the images with a truth, the share that each answer has; names are (label, truth, predicted)."""
    names, images = counts(predicted)
    rows = {}  # (label, truth) -> its columns
    for place, name in enumerate(names):
        rows.setdefault(name[:2], []).append(place)
    row_of = [rows[name[:2]] for name in names]
    totals = np.stack([images[..., columns].sum(axis=-1) for columns in row_of], axis=-1)
    entering = least(totals)
    return Measured(
        [(*name, SHARE) for name in names],
        lambda weights: ratio(weighted(weights, images), weighted(weights, totals)),
        entering,
        entering,
        ["no image with this truth"] * len(names),
        ("label", "truth", "predicted", "metric"),
    )
