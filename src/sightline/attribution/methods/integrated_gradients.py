"""Integrated gradients: the gradients on the line from a baseline to the image (Sundararajan et al. 2017)."""

from __future__ import annotations

from math import prod

import torch

from sightline.attribution.engines import fills, paths
from sightline.attribution.engines.gradients import completeness, input_maps, scalars_of
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "steps": {
        "type": "integer",
        "minimum": 1,
        "default": 50,
        "description": "Points on the line (the paper: 20 to 300; captum: 50).",
    },
    "rule": {
        "enum": ["gauss_legendre", "left", "right", "middle", "trapezoid"],
        "default": "gauss_legendre",
        "description": "How the integral becomes a sum: captum's `gauss_legendre`; the paper's is `right`.",
    },
    "baseline": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "Where the line starts (`fills`): 0 in normalised units, the image's darkest value, "
        "its mean, its blurred self, the reference images' mean.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = "completeness"
FAMILY = "gradient"
SOURCE = "Sundararajan et al. 2017, arXiv:1703.01365"


def check(
    model: Explained,
    targets: Targets,
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> str | None:
    """A reason where the baseline cannot be had, else None."""
    return fills.lacks(baseline, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> Cost:
    """A forward per step, backwards per step and target; two forwards more measure the gap."""
    return Cost(steps + 2, steps * targets, model.micro_batch, targets * prod(shape[1:]))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> list[Maps]:
    """(image - baseline) x mean gradient on the line, summed over channels, (B, T, [D,] H, W).

    The gap is that of completeness: the map's sum against f(image) - f(baseline).
    """
    start = fills.fill(baseline, model, images.pixels)
    positions, weights = paths.quadrature(rule, steps)
    way = images.pixels - start

    def points(image: torch.Tensor, number: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        line = way[image]
        place = start[image] + paths.column(positions[number], line) * line
        return place, paths.column(weights[number], line) * line

    values = paths.along_input(model, images.pixels, targets, steps, points)
    outputs, at_image = scalars_of(model, images.pixels, targets)
    _, at_start = scalars_of(model, start, targets)
    gap = completeness(values.double().flatten(2).sum(dim=2), at_image - at_start, outputs)
    return input_maps(images, targets, values, gap, outputs)
