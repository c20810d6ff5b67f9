"""Contrastive excitation backpropagation: winning for the class less winning against it (Zhang et al. 2016).

Against it: the same with the classifier's weights negated, as if for the class's opposite. What all classes
share cancels. Preconditions as in `excitation_backprop`, and the last layer is linear. Maps sum the channels,
signed (the authors cut them at 0, which is a reading here); with nothing lost they sum to 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from sightline.attribution.engines import excitation, relevance
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice), module names, or `input` "
        "(the pixels, where none is negative). The authors take a layer in the middle.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "relu", "layer", "linear_head")
IDENTITY = "conservation"
FAMILY = "relevance"
SOURCE = "Zhang et al. 2016, arXiv:1608.00507"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where there is no such layer, or activations are not ReLUs, else None."""
    named = [name for name in layers if name != "input"]
    return model.has_layers(named) or relevance.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """One forward; each target twice backwards to the layers."""
    return Cost(1, 2 * targets, 2, targets * excitation.cells(model, shape, layers))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer; the gap is how far their sum is from 0.

    Raises `NotApplicable` as excitation backpropagation does, and where the last layer is not linear.
    """
    return excitation.explain(model, images, targets, layers, contrast=True)
