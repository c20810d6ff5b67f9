"""Gradient x detail: what each pixel's difference from its surroundings adds to a target, to first order.

The worked example of docs/extending.md, a method of a user's own: gradient x (image - its local mean).
For a network that is linear in its input the map's sum is f(image) - f(local mean).
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.frames import Frame

OPTIONS = {
    "radius": {
        "type": "integer",
        "minimum": 1,
        "default": 3,
        "description": "Of the local mean, pixels: its window has 2 x radius + 1 on each side.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = None
FAMILY = "gradient"
SOURCE = "docs/extending.md"


def check(model: Explained, targets: Targets, radius: int = 3) -> str | None:
    """A reason where the window is wider than the image, so that nothing is local; else None."""
    side = min(model.input_shape[1:])
    if 2 * radius + 1 > side:
        return f"a window of {2 * radius + 1} pixels does not fit into an image of {side}: lower radius"
    return None


def cost(model: Explained, shape: tuple[int, ...], targets: int, radius: int = 3) -> Cost:
    """One forward, one backward per target; a value per pixel and target."""
    return Cost(forwards=1, backwards=targets, rows=1, values=targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets, radius: int = 3) -> list[Maps]:
    """One Maps (B, T, [D,] H, W): the gradient times the detail, signed, summed over channels."""
    pixels = images.pixels.detach().requires_grad_()  # (B, C, [D,] H, W)
    detail = (pixels - local_mean(pixels, radius)).detach()
    with torch.enable_grad():
        outputs = model.network(pixels)
        scalars = targets.scalars(outputs)  # (B, T)
    values = []
    for target in range(targets.count):
        # images are independent in evaluation mode: the gradient of the batch's sum is each image's own
        last = target == targets.count - 1
        (gradient,) = torch.autograd.grad(scalars[:, target].sum(), pixels, retain_graph=not last)
        values.append((gradient * detail).sum(dim=1))  # (B, [D,] H, W)
    return [
        Maps(
            source="input",
            targets=targets.names,
            values=torch.stack(values, dim=1).float().cpu().numpy(),
            frame=Frame.of_image(images.shape[1:]),
            outputs=outputs.detach().float().cpu().numpy(),
        )
    ]


def local_mean(pixels: Tensor, radius: int) -> Tensor:
    """The mean of the window around each pixel, of its part inside the image; (B, C, [D,] H, W)."""
    pool = {4: functional.avg_pool2d, 5: functional.avg_pool3d}[pixels.ndim]
    return pool(pixels, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
