"""DeepLIFT with the rescale rule: contributions to the difference from a reference (Shrikumar et al. 2017).

The multipliers' rules, and which networks have them, are in `rescale`: any elementwise nonlinearity,
max-pooling and products of two tensors; attention, softmax and normalisation by the image's own statistics
have none, so that such networks are not applicable.
"""

from __future__ import annotations

from math import prod

from sightline.attribution.engines import fills, rescale
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "baseline": {
        "type": "string",
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "The reference (`fills`): 0 in normalised units, the image's darkest value, its mean, "
        "the image blurred, or the mean of the reference images.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = "completeness"
FAMILY = "gradient"
SOURCE = "Shrikumar et al. 2017, arXiv:1704.02685"


def check(model: Explained, targets: Targets, baseline: str = "zero") -> str | None:
    """A reason where the baseline are not to be had, or maps would be incomplete, else None."""
    return fills.lacks(baseline, model) or rescale.refusal(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, baseline: str = "zero") -> Cost:
    """The image and its reference once; each target once backwards."""
    return Cost(2, targets, 2, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets, baseline: str = "zero") -> list[Maps]:
    """One Maps (B, T, [D,] H, W), summed over channels, signed.

    The gap is that of completeness: the map's sum against the target less that of the reference.
    """
    references = [fills.fill(baseline, model, images.pixels)]
    found, outputs = rescale.contributions(model, images, targets, references)
    return rescale.as_maps(model, images, targets, found, outputs)
