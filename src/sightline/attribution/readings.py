"""Readings: what is done to stored maps before they are scored. Never part of a method.

In the order of the chest x-ray gaze study's code: each class's map is resampled and summed over layers, then
clipped (its ReLU), then the classes are mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.frames import Frame, resample

MIXES = ("thresholded", "weighted", "uniform", "predicted", "labelled", "none")
CLIPS = {"none": np.asarray, "relu": lambda values: np.maximum(values, 0.0), "abs": np.abs}


@dataclass(frozen=True)
class Source:
    """Maps of one image on one source grid: values (T, *grid) by target; `frame` places it in the image."""

    source: str
    targets: tuple[str, ...]
    values: np.ndarray
    frame: Frame


@dataclass(frozen=True)
class Outputs:
    """A model's outputs for one image, in its order of labels; `values` are the truth, NaN where unknown."""

    labels: tuple[str, ...]
    logits: np.ndarray
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """A class mix and what is done to the sign of each class's map before it.

    `classes`: one of `MIXES` or the name of a class; `clip`: one of `CLIPS`.
    """

    classes: str = "none"
    clip: str = "none"

    def __post_init__(self) -> None:
        """Refuse an unknown clip with a `ValueError`; whether a class exists shows with the labels."""
        if self.clip not in CLIPS:
            raise ValueError(f"unknown clip {self.clip!r}; expected one of {', '.join(CLIPS)}")


@dataclass(frozen=True)
class Read:
    """One map in the frame that was asked for, or (`values` None) the status that its score inherits."""

    values: np.ndarray | None
    status: str = "ok"
    reason: str | None = None


def read(sources: Sequence[Source], outputs: Outputs | None, reading: Reading, target: Frame) -> Read:
    """One reading of one image's maps; see `read_all`."""
    return read_all(sources, outputs, [reading], target)[0]


def read_all(
    sources: Sequence[Source], outputs: Outputs | None, readings: Sequence[Reading], target: Frame
) -> list[Read]:
    """One Read per reading, of `target`'s shape, float64: sum over classes of psi x clip(sum over sources).

    Maps that serve no class (target "") are not mixed, whatever the reading's classes. `outputs` may be None
    for readings that do not use them. A reading that cannot be made has status not_applicable and its reason.
    Readings of one image share the resampling of its maps, so give them together.
    """
    if not sources:
        return [Read(None, "failed", "no map was stored")] * len(readings)
    targets = sources[0].targets
    if any(source.targets != targets for source in sources):
        return [Read(None, "failed", "the source layers hold maps of different classes")] * len(readings)
    psis = [_psi(targets, outputs, reading.classes) for reading in readings]
    clips = {reading.clip for reading in readings} - {"none"}
    mixed = [
        psi for psi, reading in zip(psis, readings) if reading.clip != "none" and not isinstance(psi, str)
    ]
    # (classes in use, *target)
    used = np.flatnonzero(np.any(mixed, axis=0)) if mixed else np.zeros(0, dtype=int)
    each = _summed(sources, np.eye(len(targets))[used], target) if used.size else None
    clipped = {clip: CLIPS[clip](each) for clip in clips if each is not None}
    found = []
    for psi, reading in zip(psis, readings):
        if isinstance(psi, str):
            found.append(Read(None, "not_applicable", psi))
        elif reading.clip == "none":
            found.append(Read(_summed(sources, psi[None], target)[0]))
        else:
            found.append(Read(np.tensordot(psi[used], clipped[reading.clip], axes=1)))
    return found


def _summed(sources: Sequence[Source], weights: np.ndarray, target: Frame) -> np.ndarray:
    """Class mixes (rows of `weights`, (n, T)) taken on the native grids, in `target`, summed over sources."""
    total = np.zeros((len(weights), *target.shape))
    for source in sources:
        values = np.tensordot(weights, np.asarray(source.values, dtype=np.float64), axes=1)
        total += resample(values, source.frame, target)
    return total


def class_weights(outputs: Outputs | None, classes: str) -> dict[str, float] | str:
    """The weight psi of each class with a weight that is not zero, or the reason why there is none.

    uniform: 1. weighted: sigmoid(logit). thresholded: 1 where logit >= 0 and, where none is, the first
    label (the study's "No Finding", as its code; the paper writes > 0). predicted: the highest logit (first
    among equals). labelled: every label that is true. Otherwise `classes` names one class.
    """
    if classes == "none":
        return "the reading mixes no classes, but the map is one of several classes"
    if classes not in MIXES:
        return {classes: 1.0}
    if outputs is None:
        return "the model's outputs are not known"
    labels, logits = outputs.labels, np.asarray(outputs.logits, dtype=np.float64)
    if classes == "uniform":
        chosen = np.ones(len(labels), dtype=bool)
    elif not np.isfinite(logits).all() and classes != "labelled":
        return "the model's outputs are not finite"
    elif classes == "weighted":
        with np.errstate(over="ignore"):
            psi = 1.0 / (1.0 + np.exp(-logits))
        return {label: float(weight) for label, weight in zip(labels, psi) if weight > 0.0}
    elif classes == "thresholded":
        chosen = logits >= 0.0
        chosen = chosen if chosen.any() else np.arange(len(labels)) == 0
    elif classes == "predicted":
        chosen = np.arange(len(labels)) == logits.argmax()
    elif outputs.values is None or not (np.asarray(outputs.values) == 1).any():
        return "no class is labelled positive"
    else:
        chosen = np.asarray(outputs.values) == 1
    return {label: 1.0 for label, one in zip(labels, chosen) if one}


def _psi(targets: tuple[str, ...], outputs: Outputs | None, classes: str) -> np.ndarray | str:
    """Weights (T,) in the order of `targets`, or the reason why there are none."""
    if targets == ("",) or (classes == "none" and len(targets) == 1):
        return np.ones(1)
    weights = class_weights(outputs, classes)
    if isinstance(weights, str):
        return weights
    missing = [label for label in weights if label not in targets]
    if missing:
        return f"no map was kept of {', '.join(missing)}"
    return np.array([weights.get(name, 0.0) for name in targets])
