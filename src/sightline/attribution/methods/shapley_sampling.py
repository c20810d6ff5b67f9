"""Shapley values of features, over random orders in which they enter the image (Castro et al. 2009).

Each order starts at the fill and adds one feature after another; a feature's value is the mean of what the
output gains when it enters. The gains of an order sum to f(x) - f(fill), so the values do too, whatever the
number of orders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.attribution.engines import fills
from sightline.attribution.engines.identities import relative_gap
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
    "orders": {
        "type": "integer",
        "minimum": 1,
        "default": 25,
        "description": "Random orders of the features; 25 is captum's default.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What stands where a feature is absent.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = "completeness"
FAMILY = "perturbation"
SOURCE = "Castro et al. 2009, doi:10.1016/j.cor.2008.04.004; Strumbelj and Kononenko 2010"


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
    orders: int = 25,
    fill: str = "zero",
) -> Cost:
    """A forward for each order and partial set of features, two for none and all; of superpixels, about."""
    partial = orders * (expected_count(shape, features_as, count) - 1)
    values = targets * cost_in_values(shape, features_as, count)
    return Cost(2 + partial, 0, min(model.micro_batch, max(1, partial)), values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    features_as: str = "grid",
    count: int = 64,
    compactness: float = 0.1,
    orders: int = 25,
    fill: str = "zero",
) -> list[Maps]:
    """One Maps: (B, T, *cells) of a grid, (B, T, [D,] H, W) of superpixels; gap: completeness."""
    full, outputs = unaltered(model, images, targets)
    covers = fills.fill(fill, model, images.pixels)
    found = [features(pixels, features_as, count, compactness) for pixels in images.pixels]
    values, expected = [], []
    for image, one in enumerate(found):
        generator = images.generator(image, "shapley_sampling")
        drawn = torch.rand((orders, one.count), generator=generator).argsort(dim=1)
        coalitions = torch.cat([torch.zeros((1, one.count), dtype=torch.bool), entering(drawn)])
        reached = of_coalitions(
            model, targets, image, images.pixels[image], covers[image], one.labels, coalitions
        )
        values.append(_mean_gains(drawn, reached[0], reached[1:], full[image]))
        expected.append(full[image] - reached[0])
    total = torch.stack([value.sum(dim=0) for value in values])
    gap = relative_gap(total, torch.stack(expected), outputs)
    maps, frame = stored(found, values)
    return [Maps("input", targets.names, maps, frame, gap=gap, outputs=outputs)]


def entering(orders: Tensor) -> Tensor:
    """The sets on the way of each order (P, n): its first one, two ... n - 1, (P (n - 1), n), bool."""
    rank = orders.argsort(dim=1)  # rank[p, j]: when feature j enters
    steps = torch.arange(1, orders.shape[1])
    return (rank[:, None, :] < steps[:, None]).flatten(0, 1)


def _mean_gains(orders: Tensor, empty: Tensor, partial: Tensor, full: Tensor) -> Tensor:
    """The mean over orders (P, n) of each feature's gain: (n, T), from `partial` (P (n - 1), T)."""
    count, targets = len(orders), len(full)
    path = torch.cat(
        [
            empty.expand(count, 1, targets),
            partial.reshape(count, orders.shape[1] - 1, targets),
            full.expand(count, 1, targets),
        ],
        dim=1,
    )  # (P, n + 1, T)
    gains = path.diff(dim=1)
    at = orders.argsort(dim=1)[:, :, None].expand_as(gains)
    return gains.gather(1, at).mean(dim=0)
