"""Guided backpropagation: the gradient, negative signals cut at every ReLU (Springenberg et al. 2015).

On the way back a ReLU passes what is positive where its input was positive.

Other nonlinearities keep their derivative; where one of them stands in a ReLU's place (SiLU, PReLU, ...), or
the network has no ReLU, the method is not applicable, for it would give the plain gradient, wholly or in
parts. Maps sum the channels, signed.
"""

from __future__ import annotations

from math import prod

from sightline.attribution.engines import guided
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "relu")
IDENTITY = "differs_from_gradient"
FAMILY = "gradient"
SOURCE = "Springenberg et al. 2015, arXiv:1412.6806"


def check(model: Explained, targets: Targets) -> str | None:
    """A reason where the network's activations are not ReLUs, else None."""
    return guided.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """One forward; each target once backwards with the rule and once without, for the gap."""
    return Cost(1, 2 * targets, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """One Maps (B, T, [D,] H, W); `gap` is its relative L2 distance to the plain gradient (0: no effect)."""
    found = guided.guided_gradients(model, images, targets, "guided_backpropagation")
    return guided.as_maps(found, images, targets.names)
