"""LayerCAM: a layer's activations, each cell weighted by its own positive gradient (Jiang et al. 2021).

The ReLU of the gradient is part of the weights and stays; the last one, of the sum over channels, is a
reading. Their scaling of shallow layers by tanh(gamma M / max M), which serves the fusion of layers, is left
out too.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sightline.attribution.engines import cam
from sightline.attribution.maps import Explained, Images, Maps, Targets

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
SOURCE = "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of ReLU(gradient) x activation."""
    return cam.explain(model, images, targets, layers, weights)


def weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K, *grid): the positive part of the gradient."""
    return gradient.relu()
