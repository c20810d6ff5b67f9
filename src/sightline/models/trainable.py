"""Whether a recipe and its data can train at all: said before the first epoch."""

from __future__ import annotations

import numpy as np
import torch

from sightline.errors import ConfigError, DatasetError
from sightline.models.examples import Examples
from sightline.models.loss import classes_of
from sightline.models.recipe import Recipe


def check(train: Examples, validation: Examples, recipe: Recipe, device: str) -> None:
    """Raise `ConfigError` for a recipe that cannot run on `device`, `DatasetError` for data that do not do.

    They must train every output, and `validation` select an epoch: known labels, both values for an AUC.
    """
    if recipe.precision == "float16" and torch.device(device).type == "cpu":
        raise ConfigError("recipe.precision: float16 needs a GPU; choose bfloat16 or float32")
    if recipe.batch < 2:
        raise ConfigError(f"recipe.batch: {recipe.batch}; batch normalisation needs at least 2 images a step")
    for name, examples in (("training", train), ("validation", validation)):
        if len(examples) == 0:
            raise DatasetError(f"no {name} image: check the splits of the images table and the skipped table")
    if len(train) == 1:
        raise DatasetError(f"one training image, {train.images[0]}: batch normalisation needs at least two")
    if recipe.loss == "categorical":
        _check_classes(train, validation)
    else:
        _check_labels(train, validation)
    if recipe.select_by == "val_auc" and not _has_auc(validation.targets, recipe.loss):
        raise DatasetError(
            "select_by val_auc: no label has both a positive and a negative in validation; take val_loss"
        )


def _has_auc(targets: np.ndarray, kind: str) -> bool:
    """Whether some label has both values in `targets` (N, L); of a categorical loss, among known images."""
    if kind == "categorical":
        known, classes = classes_of(torch.from_numpy(targets))
        return len(classes[known].unique()) > 1
    return bool(((targets == 1).any(axis=0) & (targets == 0).any(axis=0)).any())


def _check_labels(train: Examples, validation: Examples) -> None:
    unknown = [
        label for label, known in zip(train.labels, (~np.isnan(train.targets)).any(axis=0)) if not known
    ]
    if unknown:
        raise DatasetError(
            f"no training image has a known value of {', '.join(unknown)}: take it out of the label set"
        )
    if np.isnan(validation.targets).all():
        raise DatasetError("no validation image has a known label: no epoch can be selected")


def _check_classes(train: Examples, validation: Examples) -> None:
    if len(train.labels) < 2:
        raise ConfigError(
            f"recipe.loss categorical: the label set has {', '.join(train.labels)} alone; a softmax needs "
            "two labels that exclude each other (or loss: binary)"
        )
    known, classes = classes_of(torch.from_numpy(train.targets))
    absent = sorted(set(range(len(train.labels))) - set(classes[known].tolist()))
    if absent:
        raise DatasetError(
            f"recipe.loss categorical: no training image has {', '.join(train.labels[i] for i in absent)} "
            "as its one label: take it out of the label set, or choose loss: binary if several may be true"
        )
    if not classes_of(torch.from_numpy(validation.targets))[0].any():
        raise DatasetError(
            "recipe.loss categorical: no validation image has exactly one label: no epoch can be selected"
        )
