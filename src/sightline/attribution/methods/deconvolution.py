"""Deconvolution: the gradient with ReLUs that act on the way back alone (Zeiler and Fergus 2014).

On the way back a ReLU passes what is positive, wherever its input was; max-pooling goes back to its maxima
(the paper's switches: all that it sees of the image, so that a network without them is refused).

Other nonlinearities keep their derivative; where one of them stands in a ReLU's place (SiLU, PReLU, ...), or
the network has no ReLU, the method is not applicable, for it would give the plain gradient, wholly or in
parts. Maps sum the channels, signed.
"""

from __future__ import annotations

from math import prod

from sightline.attribution.engines import graph, guided
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "relu")
IDENTITY = "differs_from_gradient"
FAMILY = "gradient"
SOURCE = "Zeiler and Fergus 2014, arXiv:1311.2901"


def check(model: Explained, targets: Targets) -> str | None:
    """A reason where the network's activations are not ReLUs, else None."""
    reason = guided.refusal(model)
    if reason is None and not any("maxpool" in kind for kind in graph.activations(model.unshared)):
        return "without max-pooling nothing of the image enters: the map would be the same for every image"
    return reason


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """One forward; each target once backwards with the rule and once without, for the gap."""
    return Cost(1, 2 * targets, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """One Maps (B, T, [D,] H, W); `gap` is its relative L2 distance to the plain gradient (0: no effect)."""
    found = guided.guided_gradients(model, images, targets, "deconvolution")
    return guided.as_maps(found, images, targets.names)
