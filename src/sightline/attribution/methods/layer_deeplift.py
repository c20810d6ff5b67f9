"""DeepLIFT's contributions of a layer's cells (Shrikumar et al. 2017; captum's LayerDeepLift).

The multipliers' rules, and which networks have them, are in `rescale`: any elementwise nonlinearity,
max-pooling and products of two tensors; attention, softmax and normalisation by the image's own statistics
have none, so that such networks are not applicable.
"""

from __future__ import annotations

from collections.abc import Sequence

from sightline.attribution.engines import fills, rescale
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
    "baseline": {
        "type": "string",
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "The reference (`fills`): 0 in normalised units, the image's darkest value, its mean, "
        "the image blurred, or the mean of the reference images.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "layer")
IDENTITY = "completeness"
FAMILY = "layer"
SOURCE = "Shrikumar et al. 2017, arXiv:1704.02685"


def check(
    model: Explained, targets: Targets, layers: Sequence[str] = ("last",), baseline: str = "zero"
) -> str | None:
    """A reason where the layers or the baseline are not to be had, or maps would be incomplete, else None."""
    return model.has_layers(layers) or fills.lacks(baseline, model) or rescale.refusal(model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    layers: Sequence[str] = ("last",),
    baseline: str = "zero",
) -> Cost:
    """The image and its reference once; each target once backwards."""
    return Cost(2, targets, 2, targets * model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    baseline: str = "zero",
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer, summed over channels, signed.

    The gap is that of completeness: the map's sum against the target less that of the reference. It is None
    where other paths lead past the layer.
    """
    references = [fills.fill(baseline, model, images.pixels)]
    found, outputs = rescale.contributions(model, images, targets, references, list(model.modules(layers)))
    return rescale.as_maps(model, images, targets, found, outputs)
