"""Grad-CAM: a layer's activations, each channel weighted by its mean gradient (Selvaraju et al. 2017).

Their equations 1 and 2, signed: the ReLU is a reading. Several layers give one map each under one
constant, so that they may be summed: the chest x-ray gaze study's map of a class is the ReLU of their
resampled sum, over the total number of channels.
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
SOURCE = "Selvaraju et al. 2017, arXiv:1610.02391"


check, cost = cam.check, cam.cost


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of the target's mean gradient x activation."""
    return cam.explain(model, images, targets, layers, weights)


def weights(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K): the mean over cells of the gradient (equation 1)."""
    return cam.mean_over_cells(gradient)
