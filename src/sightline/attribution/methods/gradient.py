"""The gradient of a target with respect to the image (Simonyan, Vedaldi and Zisserman 2014)."""

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
SOURCE = "Simonyan et al. 2014, arXiv:1312.6034"


def check(model: Explained, targets: Targets) -> str | None:
    """None: it suits every network that can be differentiated."""
    return None


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """One forward, once backwards per target."""
    return Cost(1, targets, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """The gradient summed over the image's channels, (B, T, [D,] H, W).

    Signed; the paper shows the largest magnitude over the channels, of which the magnitude is a reading.
    """
    recorded = at_input(model, images.pixels, targets)
    values = torch.stack([gradient.sum(dim=1) for (gradient,) in recorded.gradients()], dim=1)
    return input_maps(images, targets, values, outputs=recorded.outputs)
