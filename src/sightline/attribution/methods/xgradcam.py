"""XGrad-CAM: channels weighted by their mean gradient, each cell counting by its activation (Fu et al. 2020).

The weight of a channel is the sum over cells of gradient times activation over the sum of activation, so
that the map keeps the sum of gradient times activation (their axiom of conservation: the score less the
bias, where what follows the layer is linear; the gap says how far not). Meant for layers that end in a ReLU:
the activations of others may sum to nearly zero, and weights then grow without bound. Signed: the ReLU is a
reading. The authors' code adds 1e-7 to the sum; here a channel of zeros has weight 0. The same numbers as
`respond_cam`.
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
SOURCE = "Fu et al. 2020, arXiv:2008.02312"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer, its channels weighted by `cam.by_share_of_activation`."""
    return cam.explain(model, images, targets, layers, cam.by_share_of_activation, torch.sum)
