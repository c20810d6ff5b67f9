"""What artefacts are made from: a dataset's images in batches, with what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.batches import Batch
from sightline.attribution.explained import Explained, NotApplicable
from sightline.errors import DatasetError
from sightline.frames import Frame
from sightline.randomness import derived_seed

Region = tuple[np.ndarray, Frame]  # a mask on any grid, and the grid's place in the image


def _silent(items: Iterable, _what: str) -> Iterable:
    return items


@dataclass(frozen=True)
class Material:
    """Images as `maps.run` gets them; `load` gives a batch's pixels (B, C, [D,] H, W), normalised.

    `truth` gives an image's labels in the model's order: 1, 0, NaN where unknown. `regions` gives, by name,
    an image's mask, None where it has no such region. `span` are the normalised values of black and of white.
    `progress(items, what)` yields the items of a long loop and tells how far it is.
    """

    batches: Sequence[Batch]
    load: Callable[[Batch], Tensor]
    truth: Callable[[str], np.ndarray] | None = None
    regions: Mapping[str, Callable[[str], Region | None]] = field(default_factory=dict)
    span: tuple[Sequence[float], Sequence[float]] | None = None
    seed: int = 0
    progress: Callable[[Iterable, str], Iterable] = _silent

    @staticmethod
    def of(pixels: Tensor, size: int = 4, **known: object) -> Material:
        """Images (N, C, [D,] H, W) named by their index, in batches of `size`, without a file."""
        frame = Frame.of_image(tuple(pixels.shape[2:]))
        names = [str(index) for index in range(len(pixels))]
        parts = [tuple(names[at : at + size]) for at in range(0, len(names), size)]
        batches = [Batch(part, (frame,) * len(part)) for part in parts]
        return Material(batches, lambda batch: pixels[[int(name) for name in batch.images]], **known)

    @property
    def images(self) -> list[str]:
        """The images' ids, in the order of the batches."""
        return [image for batch in self.batches for image in batch.images]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(C, [D,] H, W) of the first batch's images. Raises `DatasetError` where there is no image."""
        if not self.batches:
            raise DatasetError("no image to make artefacts from: check the splits and the skipped table")
        return tuple(self.load(self.batches[0]).shape[1:])

    def pixels(self, model: Explained, what: str = "batches") -> Iterator[tuple[Batch, Tensor]]:
        """Each batch with its pixels, on the model's device."""
        for batch in self.progress(self.batches, what):
            yield batch, self.load(batch).to(model.device)

    def first(self, model: Explained, count: int) -> tuple[list[str], Tensor]:
        """The first `count` images of the first image's shape: ids, and pixels (n, C, [D,] H, W)."""
        names: list[str] = []
        found: list[Tensor] = []
        for batch in self.batches:
            if len(names) >= count:
                break
            pixels = self.load(batch)
            if tuple(pixels.shape[1:]) == self.shape:
                found.append(pixels)
                names += batch.images
        return names[:count], torch.cat(found)[:count].to(model.device)

    def holding(self, concept: str, labels: Sequence[str]) -> list[str]:
        """The images with the region `concept`, or else with the label (value 1), in order.

        Raises `NotApplicable` where it is neither.
        """
        if concept in self.regions:
            return [image for image in self.images if self.regions[concept](image) is not None]
        if concept in labels and self.truth is not None:
            at = list(labels).index(concept)
            return [image for image in self.images if self.truth(image)[at] == 1]
        known = [*self.regions, *(labels if self.truth is not None else [])]
        raise NotApplicable(f"'{concept}' is no region and no label: {', '.join(known) or 'there are none'}")

    def generator(self, *purpose: object) -> torch.Generator:
        """A generator on the CPU for one purpose."""
        return torch.Generator().manual_seed(derived_seed(self.seed, *purpose) % 2**63)
