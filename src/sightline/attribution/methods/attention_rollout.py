"""Attention rollout: how much of each patch reaches the token that is read, layer after layer.

Abnar & Zuidema 2020, equation 1: A~(l) = A(l) A~(l - 1), where A is the heads' mean attention mixed with
the identity (the residual connection), each row of sum 1. It serves no class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.attribution.engines import attention
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "residual": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.5,
        "description": "The share of the identity in each layer's matrix (the residual connection).",
    },
    "fusion": {
        "type": "string",
        "enum": ["mean", "max", "min"],
        "default": "mean",
        "description": "How heads become one matrix; rows of `max` and `min` are scaled to sum 1.",
    },
}
PER_TARGET = False
GRID = "layer"
NEEDS = ("attention", "tokens")
IDENTITY = "conservation"  # shares of a row: those of all tokens sum to 1
FAMILY = "attention"
SOURCE = "Abnar & Zuidema 2020, arXiv:2005.00928"


def check(model: Explained, targets: Targets, residual: float = 0.5, fusion: str = "mean") -> str | None:
    """A reason where the network has no tokens made of patches, else None."""
    return attention.check(model)


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, residual: float = 0.5, fusion: str = "mean"
) -> Cost:
    """One forward, and the network's head once backwards (it shows which tokens the outputs read)."""
    return Cost(1, 1, 1, model.tokens().cells)


def explain(
    model: Explained, images: Images, targets: Targets, residual: float = 0.5, fusion: str = "mean"
) -> list[Maps]:
    """One Maps (B, 1, *grid), source the last layer's module, target "", unsigned.

    The mean over the tokens that the outputs read (the class token, or the patches). `gap` is how far the
    shares of all tokens are from summing to 1.
    """
    found = attention.attended(model, images.pixels)
    rolled = rollout([layer.weights.detach() for layer in found.layers], residual, fusion)
    shares = rolled[:, found.read()].mean(dim=1, keepdim=True)  # (B, 1, L)
    name = found.layers[-1].name
    return [
        Maps(
            source=name,
            targets=targets.names,
            values=found.on_grid(shares).float().cpu().numpy(),
            frame=model.frame(name, images.shape, found.tokens.shape),
            signed=False,
            gap=(shares.sum(dim=2) - 1).abs().float().cpu().numpy(),
            outputs=found.outputs.detach().float().cpu().numpy(),
        )
    ]


def rollout(layers: list[Tensor], residual: float = 0.5, fusion: str = "mean") -> Tensor:
    """The product (B, L, L) of the layers' attention (B, heads, L, L), each mixed with the identity."""
    identity = torch.eye(layers[0].shape[-1]).to(layers[0])
    rolled = identity.expand(len(layers[0]), -1, -1)
    for weights in layers:
        fused = {"mean": weights.mean, "max": weights.amax, "min": weights.amin}[fusion](dim=1)
        if fusion != "mean":  # of a mean of shares the sum is 1 already, and a gap shows where it is not
            fused = fused / fused.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(fused.dtype).tiny)
        rolled = ((1 - residual) * fused + residual * identity) @ rolled
    return rolled
