"""What a network is fed: made ready by a thread, a few batches ahead of the step that takes them.

The thread reads the store (a memory map: the disk is met here), draws, and puts what goes to a GPU into
page-locked memory, from where it travels while the GPU computes. It makes the batches one after the other, in
their order, so that every draw is what it would be without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sightline.models.augmentation import Crops, drawn_crops, look_up
from sightline.models.examples import Examples
from sightline.models.inputs import normalise
from sightline.models.loss import known_count
from sightline.models.recipe import Recipe

Item = TypeVar("Item")
DEPTH = 2  # batches that are ready before they are asked for
LOOK_SECONDS = 0.1  # between two looks of a waiting thread at whether it is still needed


@dataclass(frozen=True)
class Step:
    """What one step of a training takes, on its device: images (B, 3, S, S), targets (B, L), known ones."""

    images: Tensor
    targets: Tensor
    count: Tensor  # of known targets, ()
    known: int  # the same, on the host


def steps(
    train: Examples,
    recipe: Recipe,
    order: Sequence[np.ndarray],
    drawn: np.random.Generator,
    place: torch.device,
) -> Iterator[Step]:
    """The steps of a pass on `place`: the images at the indices `order`, altered by what `drawn` draws."""
    for found, targets, count in ahead(host_parts(train, recipe, order, drawn, place)):
        known = int(count)  # before it travels: nothing waits for the device
        there = Crops(**{field.name: sent(getattr(found, field.name), place) for field in fields(Crops)})
        images = normalise(look_up(there, recipe.augmentation.fill))
        yield Step(images, sent(targets, place), sent(count, place), known)


def host_parts(
    train: Examples,
    recipe: Recipe,
    order: Sequence[np.ndarray],
    drawn: np.random.Generator,
    place: torch.device,
) -> Iterator[tuple[Crops, Tensor, Tensor]]:
    """What the thread makes of each of `steps`: crops, targets (B, L) and how many are known, `staged`."""
    for indices in order:
        found = drawn_crops(train.pixels(indices), recipe.side, recipe.augmentation, drawn)
        targets = torch.from_numpy(train.targets[indices])
        parts = {field.name: staged(getattr(found, field.name), place) for field in fields(Crops)}
        yield Crops(**parts), staged(targets, place), staged(known_count(targets, recipe.loss), place)


def staged(tensor: Tensor, place: torch.device) -> Tensor:
    """`tensor` (on the host) in memory from which it travels to `place` without anybody's waiting."""
    return tensor.pin_memory() if place.type == "cuda" else tensor


def sent(tensor: Tensor, place: torch.device) -> Tensor:
    """A `staged` tensor on `place`, in the order of what is computed there."""
    return tensor.to(place, non_blocking=True)


def ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """The same items in the same order, made by a thread, `depth` of them before they are asked for.

    Raises here what making one raises, after those before it. The thread is gone when the iteration ends,
    also where it is left early.
    """
    made: queue.Queue = queue.Queue(maxsize=depth)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), daemon=True)
    thread.start()
    try:
        while True:
            more, item = made.get()
            if isinstance(item, BaseException) and not more:
                raise item
            if not more:
                return
            yield item
    finally:
        left.set()
        thread.join()


def _make(items: Iterable[object], made: queue.Queue, left: threading.Event) -> None:
    """Put (True, item) for each, then (False, None), or (False, the error) that ended it."""
    last: BaseException | None = None
    try:
        for item in items:
            _put((True, item), made, left)
            if left.is_set():
                return
    except BaseException as error:  # raised where the items are taken
        last = error
    _put((False, last), made, left)


def _put(item: tuple[bool, object], made: queue.Queue, left: threading.Event) -> None:
    while not left.is_set():
        try:
            made.put(item, timeout=LOOK_SECONDS)
            return
        except queue.Full:
            continue
