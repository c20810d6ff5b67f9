"""CAM: the linear layer's weights of a class on the channels whose mean it reads (Zhou et al. 2016).

Their equation 2, M(x, y) = sum over channels of w f(x, y); its mean over cells is the score less the bias,
and the gap says how far it is not. Grad-CAM times the number of cells. There is only one where a mean over
cells and linear operations alone follow the layer: this is tried on noise, and anything else is not
applicable. `last` stands for the tensor that is averaged, also where a function made it (DenseNet's last
ReLU).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sightline.attribution.engines import cam, graph
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
NEEDS = ("linear_head", "layer")
IDENTITY = "completeness"
FAMILY = "cam"
SOURCE = "Zhou et al. 2016, arXiv:1512.04150"

check, cost = cam.check, cam.cost


# network -> the same as a graph whose ReLUs are modules, or None where it cannot be traced
_TRACED: WeakKeyDictionary[nn.Module, Explained | None] = WeakKeyDictionary()


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer. Raises `NotApplicable` where the head or a target is not linear."""
    pooled = _pooled(model, images, layers)
    name = next(iter(pooled.modules(layers)))
    at_zero = cam.head(pooled, name, images.shape).at_zero
    some = at_zero + torch.linspace(-1, 1, at_zero.shape[1]).to(at_zero)  # (1, n)
    some = some.expand(len(images.pixels), -1)
    if not torch.allclose(targets.scalars(2 * some), 2 * targets.scalars(some), rtol=1e-4):
        raise NotApplicable("a target is not linear in the network's outputs")
    return cam.explain(pooled, images, targets, layers, weights, torch.mean)


def weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K): the derivative by a channel's mean, which is the linear layer's weight."""
    return gradient.flatten(2).sum(dim=2)


def _pooled(model: Explained, images: Images, layers: Sequence[str]) -> Explained:
    """The network, or its graph, in which each of `layers` is followed by a mean and linear operations."""
    if _linear(model, images, layers):
        return model
    if tuple(layers) == ("last",) and "last" not in model.layers:
        traced = _traced(model, images)
        if traced is not None and _linear(traced, images, layers):
            return traced
    raise NotApplicable("what follows the layer is not a mean over its cells and linear operations alone")


def _linear(model: Explained, images: Images, layers: Sequence[str]) -> bool:
    return all(cam.head(model, name, images.shape).linear for name in model.modules(layers))


def _traced(model: Explained, images: Images) -> Explained | None:
    if model.network not in _TRACED:
        try:
            network = graph.verify(model.unshared, model.network, images.pixels)
            _TRACED[model.network] = replace(model, network=network, layers={}, attention={})
        except NotApplicable:
            _TRACED[model.network] = None
    traced = _TRACED[model.network]
    if traced is not None:
        traced.passes.input_shape = images.shape
    return traced
