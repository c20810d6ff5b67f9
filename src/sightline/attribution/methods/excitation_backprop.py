"""Excitation backpropagation: the probability that an activation wins for the class (Zhang et al. 2016).

From the class down, each unit's probability goes to its inputs in proportion to activation times excitatory
(positive) weight: their marginal winning probability. Additions share by what each branch adds. For ReLU
networks whose layers see activations of at least 0 above the place that is explained; a batch normalisation
is merged into the convolution before it, and one that has none (DenseNet) stops the method above it.

Maps sum the channels and are at least 0. They sum to 1, but for what is lost at units that nothing excites (a
bias alone made them active).
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
NEEDS = ("gradient", "relu", "layer")
IDENTITY = "conservation"
FAMILY = "relevance"
SOURCE = "Zhang et al. 2016, arXiv:1608.00507"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where there is no such layer, or activations are not ReLUs, else None."""
    named = [name for name in layers if name != "input"]
    return model.has_layers(named) or relevance.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """One forward; each target once backwards to the layers."""
    return Cost(1, targets, 2, targets * excitation.cells(model, shape, layers))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer; the gap is how far their sum is from 1.

    Raises `NotApplicable` where activations above a layer are negative, or a target is no sum of outputs.
    """
    return excitation.explain(model, images, targets, layers)
