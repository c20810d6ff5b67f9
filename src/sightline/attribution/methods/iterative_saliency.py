"""Iterative saliency: the gradient, again and again, of the image without what was salient before.

Gonzalez-Gonzalo et al. 2018: the most salient regions are painted over from their surroundings and the map is
computed anew, until the image no longer counts as positive; the map is the weighted sum of all maps.
"""

from __future__ import annotations

from math import exp, prod

import torch
from torch import Tensor

from sightline.attribution.engines import paths
from sightline.attribution.engines.fills import blurred, inpainted
from sightline.attribution.engines.gradients import at_input, input_maps
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "iterations": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "Maps per target at most.",
    },
    "share": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 0.5,
        "default": 0.02,
        "description": "Share of the image's pixels that each iteration paints over.",
    },
    "smoothing": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.01,
        "description": "Standard deviation of the Gaussian that turns salient pixels into regions, as a "
        "share of the image's longest side.",
    },
    "decay": {
        "type": "number",
        "minimum": 0,
        "default": 0.1,
        "description": "The map of iteration k = 0, 1, ... has the weight exp(-decay k).",
    },
    "stop": {
        "type": ["number", "null"],
        "default": 0.0,
        "description": "A target at or below this ends its iterations (0: a logit of probability 0.5); "
        "null: never.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = None
FAMILY = "gradient"
SOURCE = "Gonzalez-Gonzalo et al. 2018 (MIDL); 2019, arXiv:1910.07373"


def check(
    model: Explained,
    targets: Targets,
    iterations: int = 10,
    share: float = 0.02,
    smoothing: float = 0.01,
    decay: float = 0.1,
    stop: float | None = 0.0,
) -> str | None:
    """A reason where the iterations would paint over the whole image, else None."""
    if iterations * share >= 1:
        return f"{iterations} iterations of {share} of the pixels leave no image to paint from"
    return None


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    iterations: int = 10,
    share: float = 0.02,
    smoothing: float = 0.01,
    decay: float = 0.1,
    stop: float | None = 0.0,
) -> Cost:
    """At most a forward and a backward per iteration and target, none shared; `stop` ends them early."""
    passes = iterations * targets
    return Cost(passes, passes, model.micro_batch, targets * prod(shape[1:]))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    iterations: int = 10,
    share: float = 0.02,
    smoothing: float = 0.01,
    decay: float = 0.1,
    stop: float | None = 0.0,
) -> list[Maps]:
    """The weighted sum of the iterations' gradients, summed over channels, (B, T, [D,] H, W), signed.

    Regions are where the smoothed magnitude of the gradient is largest among pixels not yet painted over. The
    weighted sum, the painting and the stop are the authors'; the constants here (share, smoothing, weights,
    iterations) are not, and the painting (`fills.inpainted`) is one that works in 3-D. The first map counts
    even where the target is at or below `stop` from the start.
    """
    shape = images.shape[1:]
    values = images.pixels.new_zeros((len(images.pixels), targets.count, *shape))
    count = max(1, round(share * prod(shape)))
    for rows, columns in paths.chunks(len(images.pixels), targets.count, model.micro_batch):
        hidden = torch.zeros((len(rows), 1, *shape), dtype=torch.bool, device=images.pixels.device)
        for iteration in range(iterations):
            pixels = inpainted(images.pixels[rows], hidden)
            saliency, scores = _saliency(model, pixels, targets, rows, columns)
            positive = torch.full_like(rows, True, dtype=torch.bool) if stop is None else scores > stop
            counted = positive if iteration else torch.ones_like(positive)
            values[rows[counted], columns[counted]] += exp(-decay * iteration) * saliency[counted]
            if not positive.any() or iteration == iterations - 1:
                break
            rows, columns, saliency = rows[positive], columns[positive], saliency[positive]
            hidden = hidden[positive] | _most(saliency, hidden[positive], count, smoothing * max(shape))
    return input_maps(images, targets, values)


def _saliency(
    model: Explained, pixels: Tensor, targets: Targets, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each row of `pixels`, the gradient (R, [D,] H, W) and score (R,) of one target of one image."""

    def own(outputs: Tensor, _rows: Tensor | None = None) -> Tensor:
        return targets.scalars(outputs, rows).gather(1, columns.to(outputs.device)[:, None])

    recorded = at_input(model, pixels, Targets(("",), own))
    ((gradient,),) = recorded.gradients()
    return gradient.sum(dim=1), recorded.scalars.detach()[:, 0].cpu()


def _most(saliency: Tensor, hidden: Tensor, count: int, deviation: float) -> Tensor:
    """The `count` pixels not `hidden` where the smoothed magnitude is largest, (R, 1, [D,] H, W) bool."""
    smooth = blurred(saliency.abs()[:, None], deviation).masked_fill(hidden, -1.0)
    chosen = smooth.flatten(1).topk(count, dim=1).indices
    return torch.zeros_like(hidden).flatten(1).scatter(1, chosen, True).view_as(hidden)
