"""Grad-CAM++: positive gradients, each cell's weighted by higher derivatives (Chattopadhay et al. 2018).

Weights are their equations 5 and 19 with the class's score through an exponential, whose derivatives are
powers of the gradient: sum over cells of alpha ReLU(gradient), alpha = g^2 / (2 g^2 + g^3 sum of
activation). That ReLU is part of the weights and stays; the last one is a reading. Left out is the factor
exp(score), the same for a whole map (it would overflow, and maps are compared up to scale). The authors'
code scales each channel's alphas to sum 1 besides, which the paper does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sightline.attribution.engines import cam
from sightline.attribution.maps import Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "layer")
IDENTITY = None
FAMILY = "cam"
SOURCE = "Chattopadhay et al. 2018, arXiv:1710.11063"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer. Raises `NotApplicable` where a weight has a pole (see `weights`)."""
    return cam.explain(model, images, targets, layers, weights)


def weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K): sum over cells of alpha ReLU(gradient), alpha = 1 / (2 + gradient x sum of activation).

    Raises `NotApplicable` where a channel's activations sum so far below zero that this is no weight: their
    derivation supposes activations that a ReLU made.
    """
    sums = activation.flatten(2).sum(dim=2).reshape(*activation.shape[:2], *[1] * (activation.ndim - 2))
    positive = gradient.relu()
    below = 2 + positive * sums
    if (below <= 0).any():
        raise NotApplicable(
            "the layer's activations are negative in sum, where Grad-CAM++ has no weights; choose a layer "
            "that ends in a ReLU"
        )
    return (positive / below).flatten(2).sum(dim=2)
