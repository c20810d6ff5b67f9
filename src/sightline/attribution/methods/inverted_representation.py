"""Inverted representation: what of the image a layer no longer holds (Mahendran and Vedaldi 2015).

In the literature this is a picture: the image, found by gradient descent from noise, that the layer
represents as it does the given one. It is a property of the layer and serves no class. As a map it is the
given image less that reconstruction (`reconstruct` gives the picture): near zero where the layer keeps what
was there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from sightline.attribution.engines.cam import leaves
from sightline.attribution.engines.gradients import input_maps, layer_values
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "layer": {
        "type": "string",
        "default": "last",
        "description": "The layer: `last` (the architecture's choice, its last module) or a module's name.",
    },
    "steps": {
        "type": "integer",
        "minimum": 1,
        "default": 200,
        "description": "Steps of the descent.",
    },
    "rate": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.05,
        "description": "Adam's learning rate, in the image's standard deviations.",
    },
    "norm_weight": {
        "type": "number",
        "minimum": 0,
        "default": 1e-4,
        "description": "Weight of the mean of the pixels' sixth powers (pixels in standard deviations).",
    },
    "variation_weight": {
        "type": "number",
        "minimum": 0,
        "default": 1e-3,
        "description": "Weight of the mean squared difference of neighbours, in the same unit.",
    },
}
PER_TARGET = False
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = "reconstruction"
FAMILY = "layer"
SOURCE = "Mahendran and Vedaldi 2015, arXiv:1412.0035"
POWER = 6  # the paper's alpha; its beta is 2


@dataclass(frozen=True)
class Descent:
    """How a reconstruction is sought: see OPTIONS."""

    steps: int = 200
    rate: float = 0.05
    norm_weight: float = 1e-4
    variation_weight: float = 1e-3


def check(model: Explained, targets: Targets, layer: str = "last", **descent: float) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers([layer])


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, layer: str = "last", **descent: float
) -> Cost:
    """A forward and a backward per step, two forwards more for the layer's values at both ends."""
    steps = Descent(**descent).steps
    return Cost(steps + 2, steps, 1, prod(shape[1:]))


def explain(
    model: Explained, images: Images, targets: Targets, layer: str = "last", **descent: float
) -> list[Maps]:
    """Image - reconstruction, summed over channels, (B, 1, [D,] H, W), signed; target "".

    The gap is the paper's own loss: the squared distance of the layer's values at the two, over the squared
    norm of those at the image. Their constants belong to their units (pixels of 0-255, a norm over the
    training set) and their descent is plain, with momentum; here all is in the image's standard deviations,
    and by Adam.
    """
    found, gap, outputs = reconstruct(model, images, layer, Descent(**descent))
    values = (images.pixels - found).sum(dim=1, keepdim=True)
    return input_maps(images, targets, values, gap.cpu().numpy()[:, None], outputs)


def reconstruct(
    model: Explained, images: Images, layer: str, descent: Descent
) -> tuple[Tensor, Tensor, Tensor]:
    """The image (B, C, [D,] H, W) that the layer represents as it does the given one.

    With it, its relative distance in the layer (B,), and the network's outputs at the given image. Each
    image starts from noise of its own. Raises `NotApplicable` where the layer gives no
    tensor, nothing but zeros, or does not depend on the image.
    """
    name, module = list(model.modules([layer]).items())[-1]
    (wanted,), outputs = layer_values(model, images.pixels, {name: module})
    norm = wanted.flatten(1).square().sum(dim=1)
    if not norm.all():
        raise NotApplicable(f"layer '{name}' gives nothing but zeros for an image")
    scale = images.pixels.flatten(1).std(dim=1).view(-1, *[1] * (images.pixels.ndim - 1))
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    start = [
        torch.randn(images.shape, generator=images.generator(row, "inverted_representation"))
        for row in range(len(images.pixels))
    ]
    free = (0.1 * torch.stack(start)).to(images.pixels).requires_grad_()  # in standard deviations
    optimiser = torch.optim.Adam([free], descent.rate)
    for _ in range(descent.steps):
        with torch.enable_grad():
            distance = _distance(model, free * scale, (name, module), wanted, norm)
            loss = distance + descent.norm_weight * free.flatten(1).pow(POWER).mean(dim=1)
            loss = loss + descent.variation_weight * variation(free)
            (free.grad,) = torch.autograd.grad(loss.sum(), [free])
        model.passes.backwards += len(free)  # it starts at the layer, where no pass is counted
        optimiser.step()
    found = (free * scale).detach()
    with torch.no_grad():
        return found, _distance(model, found, (name, module), wanted, norm), outputs


def _distance(
    model: Explained, pixels: Tensor, layer: tuple[str, nn.Module], wanted: Tensor, norm: Tensor
) -> Tensor:
    """Of each image, |layer - wanted|^2 / |wanted|^2."""
    name, module = layer
    with leaves({name: module}) as found:
        model.network(pixels)
    if torch.is_grad_enabled() and found[name].is_leaf:
        raise NotApplicable(f"layer '{name}' does not depend on the image")
    return (found[name] - wanted).flatten(1).square().sum(dim=1) / norm


def variation(images: Tensor) -> Tensor:
    """The mean over pixels of the squared differences to the next pixel along each axis, summed over axes."""
    return sum(images.diff(dim=axis).square().flatten(1).mean(dim=1) for axis in range(2, images.ndim))
