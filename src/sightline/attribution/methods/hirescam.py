"""HiResCAM: a layer's activations times the target's gradient, cell by cell (Draelos and Carin 2020).

The map of a class is the sum over channels of gradient times activation, without a ReLU. Where what follows
the layer is linear, as in their proof (a flattening or mean and one linear layer), its cells sum to the
score less the bias; the gap says how far they do not. A ReLU right after the layer leaves it so. The same
numbers as `linear_approximation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

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
IDENTITY = "completeness"
FAMILY = "cam"
SOURCE = "Draelos and Carin 2020, arXiv:2011.08891"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of gradient x activation."""
    return cam.explain(model, images, targets, layers, cam.by_gradient, torch.sum)
