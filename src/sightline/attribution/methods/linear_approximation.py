"""Linear approximation: the first-order share of each cell of a layer in the score (as TorchRay has it).

The sum over channels of gradient times activation, signed: how the score would change to first order if the
cell were zero. The same numbers as `hirescam` (one engine, two names), which has the gap's meaning.
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
SOURCE = "Fong, Patrick and Vedaldi 2019 (TorchRay), arXiv:1910.08485"

check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of gradient x activation."""
    return cam.explain(model, images, targets, layers, cam.by_gradient, torch.sum)
