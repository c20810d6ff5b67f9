"""Feature ablation: how much the output falls when one feature of the image is replaced.

f(x) - f(x without the feature), for each cell of a grid or each superpixel; exact where features add up, and
blind to what only several of them hide together (then `shapley_sampling`).
"""

from __future__ import annotations

import torch

from sightline.attribution.engines import fills
from sightline.attribution.engines.masking import of_coalitions, unaltered
from sightline.attribution.engines.superpixels import cost_in_values, expected_count, features, stored
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "features_as": {
        "enum": ["grid", "superpixels"],
        "default": "grid",
        "description": "Equal cells, or each image's superpixels (SLIC).",
    },
    "count": {
        "type": "integer",
        "minimum": 2,
        "default": 64,
        "description": "About how many features an image has. The source takes any.",
    },
    "compactness": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
        "description": "Of superpixels: nearness against likeness; larger is rounder.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What replaces a feature.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = None
FAMILY = "perturbation"
SOURCE = "Kokhlikyan et al. 2020 (captum), arXiv:2009.07896"


def check(model: Explained, targets: Targets, fill: str = "zero", **_options: object) -> str | None:
    """A reason where the fill is not to be had, else None: any network will do."""
    return fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    features_as: str = "grid",
    count: int = 64,
    compactness: float = 0.1,
    fill: str = "zero",
) -> Cost:
    """A forward for each feature and one of the image itself; of superpixels, about."""
    number = expected_count(shape, features_as, count)
    values = targets * cost_in_values(shape, features_as, count)
    return Cost(1 + number, 0, min(model.micro_batch, number), values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    features_as: str = "grid",
    count: int = 64,
    compactness: float = 0.1,
    fill: str = "zero",
) -> list[Maps]:
    """One Maps: (B, T, *cells) of a grid, (B, T, [D,] H, W) of superpixels."""
    full, outputs = unaltered(model, images, targets)
    covers = fills.fill(fill, model, images.pixels)
    found = [features(pixels, features_as, count, compactness) for pixels in images.pixels]
    falls = []
    for image, one in enumerate(found):
        without = ~torch.eye(one.count, dtype=torch.bool)
        left = of_coalitions(model, targets, image, images.pixels[image], covers[image], one.labels, without)
        falls.append(full[image] - left)  # (features, T)
    values, frame = stored(found, falls)
    return [Maps("input", targets.names, values, frame, outputs=outputs)]
