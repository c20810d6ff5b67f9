"""Respond-CAM: channels weighted by the gradient where they respond (Zhao et al. 2018), made for 3-D images.

The weight of a channel is the sum over cells of activation times gradient over the sum of activation (they
add a small number to it; here a channel of zeros has weight 0). Their sum-to-score property: where what
follows the layer is linear, the map's cells sum to the score less the bias; the gap says how far they do
not. Without a ReLU, as theirs. XGrad-CAM came to the same weights later: the same numbers as `xgradcam`.
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
SOURCE = "Zhao et al. 2018, arXiv:1806.00102"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer, its channels weighted by `cam.by_share_of_activation`."""
    return cam.explain(model, images, targets, layers, cam.by_share_of_activation, torch.sum)
