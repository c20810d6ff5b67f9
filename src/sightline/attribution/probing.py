"""Probes: whether the model's output follows a map (faithfulness), and the map the image (robustness).

A probe is a module of `attribution/probes` with literals
    OPTIONS   its options (JSON schema properties), with the source's defaults
    METRICS   name -> {symbol, description, better: "low" or "high"} of the numbers it gives
    EXPLAINS  True where it explains altered images again (its cost is the method's)
and functions
    probe(probed, **options) -> dict        {metric: values (B, T)}; NaN where undefined
    passes(explain, targets, **options)     forward passes per image, `explain` being those of the method
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.explained import Explained, Images
from sightline.attribution.targets import Targets
from sightline.errors import ConfigError

OUTPUTS = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda outputs: outputs.softmax(dim=1),
    "logit": lambda outputs: outputs,
}


@dataclass(frozen=True)
class Probe:
    """A probe's module by its name, with its options."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def module(self) -> ModuleType:
        """The module `sightline.attribution.probes.<kind>`. Raises `ConfigError` where there is none."""
        path = f"sightline.attribution.probes.{self.kind}"
        if not self.kind.isidentifier() or importlib.util.find_spec(path) is None:
            raise ConfigError(f"probe {self.kind!r}: there is no file attribution/probes/{self.kind}.py")
        return importlib.import_module(path)


@dataclass(frozen=True)
class Probed:
    """What a probe is given: a batch, its targets, and their maps on the input's grid.

    `saliency` (B, T, [D,] H, W) is signed; `again(images)` gives the same maps of altered images, explained
    by the same method with the same draws.
    """

    model: Explained
    images: Images
    targets: Targets
    saliency: np.ndarray
    again: Callable[[Images], np.ndarray]

    @property
    def grid(self) -> tuple[int, ...]:
        """([D,] H, W)."""
        return self.images.shape[1:]

    def outputs(self, altered: Callable[[int, int], Iterator[Tensor]], output: str) -> np.ndarray:
        """The target's output on altered images: (B, T, n).

        `altered(image, target)` yields the n alterations (C, [D,] H, W) of one image for one target's map,
        which go through the network `micro_batch` at a time. `output` is one of `OUTPUTS`.
        """
        count = self.targets.count
        found = [
            [self._one(image, target, altered(image, target), output) for target in range(count)]
            for image in range(len(self.images.pixels))
        ]
        return np.array(found, dtype=np.float64)

    def _one(self, image: int, target: int, altered: Iterator[Tensor], output: str) -> list[float]:
        values: list[float] = []
        while rows := [one for _, one in zip(range(self.model.micro_batch), altered)]:
            with torch.no_grad():
                outputs = self.model.network(torch.stack(rows).to(self.model.device))
                whose = torch.full((len(rows),), image)
                values += self.targets.scalars(OUTPUTS[output](outputs), whose)[:, target].tolist()
        return values


def ranked(saliency: np.ndarray, draws: torch.Generator) -> np.ndarray:
    """Pixel indices (flat) from the highest value of `saliency` to the lowest; ties in a drawn order."""
    shuffled = torch.randperm(saliency.size, generator=draws).numpy()
    return shuffled[np.argsort(-saliency.ravel()[shuffled], kind="stable")]


def fractions(steps: int) -> np.ndarray:
    """0 to 1 in `steps` equal steps."""
    return np.linspace(0.0, 1.0, steps + 1)


def area(curve: np.ndarray) -> np.ndarray:
    """Area under curves (..., n) over 0 to 1 at equal steps, by trapezoids."""
    return np.trapezoid(curve, dx=1.0 / (curve.shape[-1] - 1), axis=-1)
