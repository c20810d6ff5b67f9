"""Guided Grad-CAM: guided gradients where Grad-CAM is positive (Selvaraju et al. 2017, section 3.2).

The product of a layer's Grad-CAM, its ReLU taken and brought onto the input, with guided backpropagation's
gradient. That ReLU is inside the definition and stays: two negatives would make evidence. The map is placed
where the layer's cells lie, and interpolated linearly. Channels are summed, signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from sightline.attribution.engines import guided
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.attribution.methods import gradcam
from sightline.frames import Frame, resample

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
GRID = "input"
NEEDS = ("gradient", "relu", "layer")
IDENTITY = "differs_from_gradient"
FAMILY = "cam"
SOURCE = "Selvaraju et al. 2017, arXiv:1610.02391"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no such layer, or its activations are not ReLUs; else None."""
    return model.has_layers(layers) or guided.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """A forward and a backward per target for Grad-CAM; for the guided gradients a forward and two."""
    return Cost(2, 3 * targets, 1, targets * len(model.modules(layers)) * prod(shape[1:]))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, [D,] H, W) per layer, on the input's pixels; `gap` is that of `guided_backprop`."""
    found = guided.guided_gradients(model, images, targets, "guided_backpropagation")
    (gradients,) = guided.as_maps(found, images, targets.names)  # summed over channels: Grad-CAM has none
    coarse = gradcam.explain(model, images, targets, layers)
    maps = []
    for one in coarse:
        fine = resample(np.maximum(one.values, 0), one.frame, Frame.of_image(images.shape[1:]))
        values = (fine * gradients.values).astype(np.float32)
        maps.append(
            Maps(one.source, targets.names, values, gradients.frame, gap=gradients.gap, outputs=one.outputs)
        )
    return maps
