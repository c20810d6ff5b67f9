"""How good a network is on the validation images: what the epoch that is kept is chosen by."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sightline.classification.auc import auc
from sightline.models.examples import Examples
from sightline.models.loss import classes_of, masked_loss
from sightline.models.prediction import logits
from sightline.models.recipe import Recipe


def judge(
    network: nn.Module, validation: Examples, recipe: Recipe, weights: Tensor
) -> dict[str, float | None]:
    """val_loss, val_auc and val_accuracy over what is known; the last where asked for, or categorical.

    The AUC is the mean of the labels' (categorical: of each class against the others, by its odds), None
    where no label has both values. Accuracy as `accuracy`.
    """
    said = logits(network, validation, recipe.batch, weights.device)
    targets = torch.from_numpy(validation.targets)
    loss, _ = masked_loss(torch.from_numpy(said).double(), targets, weights.cpu(), recipe.loss)
    found = {"val_loss": float(loss), "val_auc": mean_auc(said, validation.targets, recipe.loss)}
    if recipe.loss == "categorical" or recipe.select_by == "val_accuracy":
        found["val_accuracy"] = accuracy(said, validation.targets, recipe.loss)
    return found


def mean_auc(said: np.ndarray, targets: np.ndarray, kind: str) -> float | None:
    """The mean AUC of logits (N, L) for targets (N, L) over the labels that have both values, or None."""
    if kind == "categorical":
        known, classes = (value.numpy() for value in classes_of(torch.from_numpy(targets)))
        said, targets = odds(said[known]), np.eye(targets.shape[1], dtype=np.float32)[classes[known]]
    aucs = [auc(value, logit) for value, logit in zip(targets.T, said.T)]
    defined = [value for value in aucs if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None


def odds(logits: np.ndarray) -> np.ndarray:
    """The logarithm of each class's odds (N, L) under the softmax of `logits` (N, L): ln p - ln(1 - p)."""
    said = torch.from_numpy(logits).double()
    others = said[:, None, :].masked_fill(torch.eye(said.shape[1], dtype=torch.bool), -torch.inf)
    return (said - others.logsumexp(dim=2)).numpy()


def accuracy(said: np.ndarray, targets: np.ndarray, kind: str) -> float:
    """The share of right answers in logits (N, L): by the highest (categorical), or by a probability of 0.5.

    Binary: the mean over labels of each label's share, among its known values.
    """
    if kind == "categorical":
        known, classes = (value.numpy() for value in classes_of(torch.from_numpy(targets)))
        return float((said.argmax(axis=1) == classes)[known].mean())
    known = ~np.isnan(targets)
    right = (((said > 0) == (targets == 1)) & known).sum(axis=0)
    return float((right / np.maximum(known.sum(axis=0), 1))[known.any(axis=0)].mean())
