"""DeepLIFT averaged over reference images, an estimate of SHAP values (Lundberg and Lee 2017).

The multipliers' rules, and which networks have them, are in `rescale`: any elementwise nonlinearity,
max-pooling and products of two tensors; attention, softmax and normalisation by the image's own statistics
have none, so that such networks are not applicable. Every image is compared with every reference image.
"""

from __future__ import annotations

from math import prod

from sightline.attribution.engines import rescale
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "references")
IDENTITY = "completeness"
FAMILY = "gradient"
SOURCE = "Lundberg and Lee 2017, arXiv:1705.07874; Shrikumar et al. 2017, arXiv:1704.02685"


def check(model: Explained, targets: Targets) -> str | None:
    """A reason where reference images are not to be had, or maps would be incomplete, else None."""
    return _lacks(model) or rescale.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """The image once, each reference once (for a whole batch), and each target backwards per reference."""
    count = 0 if model.reference_images is None else len(model.reference_images)
    return Cost(1 + count, targets * count, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """One Maps (B, T, [D,] H, W), summed over channels, signed.

    The gap is that of completeness: the map's sum against the target less its mean over the references.
    """
    if model.references is None:
        raise NotApplicable(_lacks(model))
    references = model.references.to(images.pixels).split(1)
    found, outputs = rescale.contributions(model, images, targets, references)
    return rescale.as_maps(model, images, targets, found, outputs)


def _lacks(model: Explained) -> str | None:
    return (
        "it needs a set of reference images; the study names none" if model.reference_images is None else None
    )
