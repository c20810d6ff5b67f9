"""The gradient of a target times the image (Shrikumar et al. 2016)."""

from __future__ import annotations

from math import prod

import torch

from sightline.attribution.engines.gradients import at_input, input_maps
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = None
FAMILY = "gradient"
SOURCE = "Shrikumar et al. 2016, arXiv:1605.01713"


def check(model: Explained, targets: Targets) -> str | None:
    """None: it suits every network that can be differentiated."""
    return None


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """One forward, once backwards per target."""
    return Cost(1, targets, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """Gradient x normalised image, summed over channels, (B, T, [D,] H, W).

    Its sum is the target only in a ReLU network without any bias (Euler's theorem), which no trained one is;
    `fullgrad` adds the biases' part, and has the gap.
    """
    recorded = at_input(model, images.pixels, targets)
    values = [(gradient * images.pixels).sum(dim=1) for (gradient,) in recorded.gradients()]
    return input_maps(images, targets, torch.stack(values, dim=1), outputs=recorded.outputs)
