"""Relevance of patches by attention and its gradient: Chefer, Gur & Wolf 2021 (generic attention).

Their equations 5 and 6 for a network of self-attention: R starts as the identity, and each layer adds
A^ R, where A^ is the heads' mean of the positive part of gradient x attention. Not their earlier method
(arXiv:2012.09838), which propagates relevance through every operation between.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.attribution.engines import attention
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "attention", "tokens")
IDENTITY = None
FAMILY = "attention"
SOURCE = "Chefer et al. 2021, arXiv:2103.15679"


def check(model: Explained, targets: Targets) -> str | None:
    """A reason where the network has no tokens made of patches, else None."""
    return attention.check(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """One forward, one backward per target."""
    return Cost(1, targets, 1, targets * model.tokens().cells)


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """One Maps (B, T, *grid), of the last layer's module, unsigned: the positive part is in the recursion.

    The mean over the tokens that the targets read (the class token, or the patches) of their rows of R less
    the identity.
    """
    found = attention.attended(model, images.pixels)
    scalars = targets.scalars(found.outputs)  # (B, T)
    # images are independent in evaluation mode: the gradient of the batch's sum is each image's own
    gradients = [found.gradients(scalars[:, target].sum()) for target in range(targets.count)]
    read = attention.read_rows([layers[-1] for layers in gradients])
    weights = [layer.weights.detach() for layer in found.layers]
    shares = torch.stack([relevance(weights, layers)[:, read].mean(dim=1) for layers in gradients], dim=1)
    name = found.layers[-1].name
    return [
        Maps(
            source=name,
            targets=targets.names,
            values=found.on_grid(shares).float().cpu().numpy(),
            frame=model.frame(name, images.shape, found.tokens.shape),
            signed=False,
            outputs=found.outputs.detach().float().cpu().numpy(),
        )
    ]


def relevance(weights: list[Tensor], gradients: list[Tensor]) -> Tensor:
    """R less the identity, (B, L, L), from the layers' attention and its gradients, (B, heads, L, L) each."""
    identity = torch.eye(weights[0].shape[-1]).to(weights[0])
    total = identity.expand(len(weights[0]), -1, -1)
    for attention_, gradient in zip(weights, gradients):
        total = total + (attention_ * gradient).clamp_min(0).mean(dim=1) @ total
    return total - identity
