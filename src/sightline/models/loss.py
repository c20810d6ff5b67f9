"""The loss of training and of selecting an epoch: binary cross-entropy over the labels that are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def masked_loss(output: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean binary cross-entropy with logits over the known targets (B, L), and how many they are."""
    known = ~targets.isnan()
    each = functional.binary_cross_entropy_with_logits(
        output, targets.nan_to_num().to(output.dtype), reduction="none", pos_weight=weights.to(output.dtype)
    )
    count = known.sum()
    return (each * known).sum() / count.clamp(min=1), count


def class_weights(targets: np.ndarray, kind: str) -> Tensor:
    """The weight of each label's positives (L,): 1, or negatives over positives where there are both."""
    positives, negatives = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
    usable = (positives > 0) & (negatives > 0) & (kind == "balanced")
    return torch.from_numpy(np.where(usable, negatives / np.maximum(positives, 1), 1.0).astype(np.float32))
