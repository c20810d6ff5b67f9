"""The interface of every condition: how the network or its input is altered before it is explained.

A condition is a module of `attribution/conditions` with OPTIONS, a literal (JSON schema properties), and
any of
    alter_network(trained, build, input_shape, seed, **options)    another network than the trained one
    alter_pixels(image, generator, **options)                      another image, uint8 ([D,] H, W)
    warp(shape, **options)                                         the Frame of the altered image's pixels in
                                                                   the unaltered one, where they moved
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from sightline import modules
from sightline.frames import Frame
from sightline.randomness import generator

if TYPE_CHECKING:  # conditions of the input need no torch
    from torch import nn


@dataclass(frozen=True)
class Condition:
    """A condition's module by its name, with its options."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def module(self) -> ModuleType:
        """The module `sightline.attribution.conditions.<kind>`. Raises `ConfigError` where there is none."""
        return modules.load("sightline.attribution.conditions", self.kind)

    def network(
        self, trained: nn.Module, build: Callable[[], nn.Module], input_shape: tuple[int, ...], seed: int
    ) -> nn.Module:
        """The network that is explained: `trained` itself, or another one; `trained` is not changed.

        `build()` makes the same architecture with weights drawn from torch's generator; `seed` fixes them
        (derive it from the study's seed, the model and its seed). `input_shape` (C, [D,] H, W) is one that
        the network takes. Raises `ConfigError` where the options do not suit the network.
        """
        alter = getattr(self.module, "alter_network", None)
        return trained if alter is None else alter(trained, build, input_shape, seed, **self.options)

    def pixels(
        self, stored: np.ndarray, images: Sequence[str], seed: int, coloured: bool = False
    ) -> np.ndarray:
        """The grey values that are explained, uint8 (B, [D,] H, W), of the `stored` ones of `images`.

        `coloured` ones are (B, H, W, 3); each colour is altered alike, with the same draws, as the three
        equal channels of a grey picture are. What is random is drawn for each image from the study's `seed`,
        whatever batch it stands in. Raises `ValueError` where `stored` are not bytes.
        """
        alter = getattr(self.module, "alter_pixels", None)
        if alter is None:
            return stored
        if coloured:
            return np.stack([self.pixels(one, images, seed) for one in np.moveaxis(stored, -1, 0)], axis=-1)
        if stored.dtype != np.uint8:
            raise ValueError(f"condition {self.kind!r} alters stored grey values, uint8, not {stored.dtype}")
        return np.stack(
            [
                alter(pixels, generator(seed, "condition", self.kind, image), **self.options)
                for pixels, image in zip(stored, images, strict=True)
            ]
        )

    def placed(self, frame: Frame) -> Frame:
        """The frame of the altered pixels, given the frame of the stored ones: maps return through it."""
        warp = getattr(self.module, "warp", None)
        return frame if warp is None else frame.then(warp(frame.shape, **self.options))
