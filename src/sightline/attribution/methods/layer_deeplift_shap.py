"""A layer's DeepLIFT contributions averaged over reference images (captum's LayerDeepLiftShap).

The multipliers' rules, and which networks have them, are in `rescale`: any elementwise nonlinearity,
max-pooling and products of two tensors; attention, softmax and normalisation by the image's own statistics
have none, so that such networks are not applicable. Every image is compared with every reference image.
"""

from __future__ import annotations

from collections.abc import Sequence

from sightline.attribution.engines import rescale
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

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
NEEDS = ("gradient", "layer", "references")
IDENTITY = "completeness"
FAMILY = "layer"
SOURCE = "Lundberg and Lee 2017, arXiv:1705.07874; Shrikumar et al. 2017, arXiv:1704.02685"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where layers or references are not to be had, or maps would be incomplete, else None."""
    return model.has_layers(layers) or _lacks(model) or rescale.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """The image once, each reference once (for a whole batch), and each target backwards per reference."""
    count = 0 if model.reference_images is None else len(model.reference_images)
    return Cost(1 + count, targets * count, 1, targets * model.cells(layers))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer, summed over channels, signed.

    The gap is that of completeness: the map's sum against the target less its mean over the references. It is
    None where other paths lead past the layer.
    """
    if model.references is None:
        raise NotApplicable(_lacks(model))
    references = model.references.to(images.pixels).split(1)
    found, outputs = rescale.contributions(model, images, targets, references, list(model.modules(layers)))
    return rescale.as_maps(model, images, targets, found, outputs)


def _lacks(model: Explained) -> str | None:
    return (
        "it needs a set of reference images; the study names none" if model.reference_images is None else None
    )
