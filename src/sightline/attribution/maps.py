"""The interface of every attribution method, and the run of one over a dataset's batches.

A method is a module of `attribution/methods` with literals, read without importing it,
    OPTIONS     its options (JSON schema properties), with the source's defaults
    PER_TARGET  False where its maps serve no class (one target, named "")
    GRID        "input" or "layer": where its values lie
    NEEDS       what the network must have, as words
    IDENTITY    what the gap of its maps measures (completeness, conservation, ...), or None
    FAMILY, SOURCE
and with functions
    check(model, targets, **options)            a reason why it cannot be right for this model, or None
    cost(model, shape, targets, **options)      passes and memory per image, as a Cost
    explain(model, images, targets, **options)  a list of Maps, one for each source grid
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from sightline import modules
from sightline.attribution.batches import Batch
from sightline.attribution.explained import Cost, Explained, Images, NotApplicable
from sightline.attribution.targets import Choice, Targets, classes, no_class
from sightline.frames import Frame

__all__ = [
    "Choice", "Cost", "Explained", "Explanation", "Images", "Maps", "Method", "NotApplicable", "Targets",
    "classes", "no_class", "run",
]  # fmt: skip
log = logging.getLogger(__name__)

# what a method or a network raises when it cannot serve a batch; anything else is an error of ours and
# stops the job
FAILURES = (RuntimeError, ValueError, AssertionError, IndexError, ArithmeticError)
# a RuntimeError of the machine, not of the method: a rerun may succeed, so it must not become a row
MACHINE = (torch.OutOfMemoryError, torch.AcceleratorError)


@dataclass(frozen=True)
class Maps:
    """Maps of a batch on one source grid: `values` (B, T, *grid), float32, signed as the method gives them.

    `frame` places the grid in the model's input pixels. `outputs` are the network's (B, n) on the unaltered
    images, where the method saw them. `gap` (B, T) says how far the method's IDENTITY is from holding.
    """

    source: str
    targets: tuple[str, ...]
    values: np.ndarray
    frame: Frame
    signed: bool = True
    gap: np.ndarray | None = None
    outputs: np.ndarray | None = None


@dataclass(frozen=True)
class Explanation:
    """What came of one batch: maps where `status` is ok; else not_applicable or failed, with the reason.

    `outputs` (B, n) are the network's; None where it failed to give them. `identity` names what the maps'
    gaps measure.
    """

    batch: Batch
    targets: Targets
    status: str
    reason: str | None
    maps: list[Maps]
    outputs: np.ndarray | None
    identity: str | None = None


@dataclass(frozen=True)
class Method:
    """A method's module by its name, or by the path of a user's file, with its options.

    `ended` says why it is not run: each of its maps has failed, for this reason.
    """

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)
    ended: str | None = None

    @cached_property
    def module(self) -> ModuleType:
        """The module `sightline.attribution.methods.<kind>`, or the file where `kind` is its path.

        Raises `ConfigError` where there is none.
        """
        return modules.load("sightline.attribution.methods", self.kind)


def run(
    method: Method,
    model: Explained,
    batches: Iterable[Batch],
    load: Callable[[Batch], Tensor],
    choice: Choice | None = None,
    seed: int = 0,
) -> Iterator[Explanation]:
    """Explain batch by batch, in order; `load` gives a batch's pixels (B, C, [D,] H, W), normalised.

    `choice` None stands for all classes; every draw follows from `seed`. A method that cannot be right gives
    not_applicable, an error in one batch `failed`; where images of a batch differ in that, they are explained
    one by one, so that no image loses its map to its company. Raises what `load` raises, and errors of the
    machine (out of memory).
    """
    choice = choice or Choice("all_classes", model.labels)
    for batch in batches:
        images = Images(load(batch).to(model.device), batch.images, seed)
        found = _explained(method, model, batch, images, choice)
        parts = [] if found.status == "ok" else _one_by_one(method, model, batch, images, choice, found)
        yield from parts if any(part.status == "ok" for part in parts) else [found]


def _one_by_one(
    method: Method, model: Explained, batch: Batch, images: Images, choice: Choice, found: Explanation
) -> list[Explanation]:
    """An Explanation for each image, where a batch has several and what was `found` may differ among them."""
    if len(images.names) == 1 or method.ended is not None or _refused(method, model, found.targets):
        return []
    parts = []
    for index, (name, frame) in enumerate(zip(batch.images, batch.frames)):
        one = Images(images.pixels[index : index + 1], (name,), images.seed)
        parts.append(_explained(method, model, Batch((name,), (frame,)), one, choice))
    return parts


def _refused(method: Method, model: Explained, targets: Targets) -> bool:
    """Whether the method does not suit the model, whatever the image."""
    try:
        return method.module.check(model, targets, **method.options) is not None
    except NotApplicable:
        return True


def _explained(method: Method, model: Explained, batch: Batch, images: Images, choice: Choice) -> Explanation:
    module = method.module
    model.passes.input_shape = images.shape
    outputs = outputs_of(model, images.pixels) if module.PER_TARGET and choice.asks_outputs else None
    if outputs is None and module.PER_TARGET and choice.asks_outputs:
        targets, status, why, maps = no_class(), "failed", "the network gave no outputs to choose by", []
    else:
        targets = choice.of(batch.images, outputs) if module.PER_TARGET else no_class()
        status, why, maps = _explain(method, model, images, targets)
    if status == "failed":
        log.warning(
            "%s: failed on %d image(s) from %s: %s", method.kind, len(batch.images), batch.images[0], why
        )
    if outputs is None:
        seen = [one.outputs for one in maps if one.outputs is not None]
        outputs = seen[0] if seen else outputs_of(model, images.pixels)
    return Explanation(batch, targets, status, why, maps, outputs, getattr(module, "IDENTITY", None))


def _explain(
    method: Method, model: Explained, images: Images, targets: Targets
) -> tuple[str, str | None, list[Maps]]:
    if method.ended is not None:
        return "failed", method.ended, []
    try:
        reason = method.module.check(model, targets, **method.options)
        if reason:
            return "not_applicable", reason, []
        return "ok", None, method.module.explain(model, images, targets, **method.options)
    except NotApplicable as reason:
        return "not_applicable", str(reason), []
    except MACHINE:
        raise
    except FAILURES as error:
        return "failed", f"{type(error).__name__}: {error}", []


def outputs_of(model: Explained, pixels: Tensor) -> np.ndarray | None:
    """The network's outputs (B, n) of images (B, C, [D,] H, W); None, with a warning, where it fails."""
    try:
        with torch.no_grad():
            return model.network(pixels).float().cpu().numpy()
    except MACHINE:
        raise
    except FAILURES as error:
        log.warning("the network gives no outputs for a batch of shape %s: %s", tuple(pixels.shape), error)
        return None
