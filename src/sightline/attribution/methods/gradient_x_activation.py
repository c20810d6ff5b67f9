"""Gradient x activation at a layer: the first-order share of each cell in the target.

As captum's LayerGradientXActivation, summed over channels. One engine with `hirescam` and
`linear_approximation`, which give the same numbers under their own names.
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
FAMILY = "layer"
SOURCE = "Kokhlikyan et al. 2020 (captum), arXiv:2009.07896"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of gradient x activation.

    The gap is that of completeness where what follows the layer is linear (`hirescam`).
    """
    return cam.explain(model, images, targets, layers, cam.by_gradient, torch.sum)
