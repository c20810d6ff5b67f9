"""The loss of training and of selecting an epoch: cross-entropy over what is known, and accuracy beside it.

binary: each label on its own; categorical: exactly one of the labels is true, and an image of which none or
several are is unknown. Targets (B, L) are 1, 0 or NaN (unknown).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def masked_loss(
    output: Tensor, targets: Tensor, weights: Tensor, kind: str = "binary", count: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of logits (B, L) over what is known, and how many of it there are.

    `binary` counts labels, `categorical` images. `count` is given where the batch is a part of a step: what
    the sum is divided by instead of its own.
    """
    if kind == "categorical":
        known, classes = classes_of(targets)
        each = functional.cross_entropy(
            output, classes, weight=weights.to(output.dtype), reduction="none"
        )  # (B,); its mean by weights is left aside, so that parts of a step add up
    else:
        known = ~targets.isnan()
        each = functional.binary_cross_entropy_with_logits(
            output,
            targets.nan_to_num().to(output.dtype),
            reduction="none",
            pos_weight=weights.to(output.dtype),
        )
    count = known.sum() if count is None else count
    return (each * known).sum() / count.clamp(min=1), count


def known_count(targets: Tensor, kind: str) -> Tensor:
    """How many known labels (binary) or images (categorical) `targets` (B, L) have."""
    return classes_of(targets)[0].sum() if kind == "categorical" else (~targets.isnan()).sum()


def classes_of(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Which images have exactly one true label (B,), and the index of it (B,); 0 where they have not."""
    true = targets == 1
    known = true.sum(dim=1) == 1
    return known, true.int().argmax(dim=1) * known


def right(output: Tensor, targets: Tensor) -> Tensor:
    """Of how many images the one true label has the highest logit, in (B, L)."""
    known, classes = classes_of(targets)
    return ((output.argmax(dim=1) == classes) & known).sum()


def class_weights(targets: np.ndarray, choice: str, kind: str = "binary") -> Tensor:
    """The weight (L,) of each label's positives (binary) or of each class's images (categorical).

    1, or where `choice` is balanced and the label occurs: negatives over positives; images over classes
    times the class's images, so that the mean weight of an image is 1.
    """
    if kind == "categorical":
        known, classes = classes_of(torch.from_numpy(targets))
        found = np.bincount(classes[known].numpy(), minlength=targets.shape[1])
        usable = (found > 0) & (choice == "balanced")
        weights = found.sum() / np.maximum(found, 1) / max((found > 0).sum(), 1)
    else:
        positives, negatives = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
        usable = (positives > 0) & (negatives > 0) & (choice == "balanced")
        weights = negatives / np.maximum(positives, 1)
    return torch.from_numpy(np.where(usable, weights, 1.0).astype(np.float32))
