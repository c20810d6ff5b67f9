"""Internal influence: a layer's mean gradient between a baseline and the image (Leino et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sightline.attribution.engines import fills, paths
from sightline.attribution.engines.gradients import layer_maps
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
    "steps": {
        "type": "integer",
        "minimum": 1,
        "default": 50,
        "description": "Points on the line (captum: 50).",
    },
    "rule": {
        "enum": ["gauss_legendre", "left", "right", "middle", "trapezoid"],
        "default": "gauss_legendre",
        "description": "How the integral becomes a sum (captum: `gauss_legendre`).",
    },
    "baseline": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "Where the line starts (`fills`).",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "layer")
IDENTITY = None
FAMILY = "layer"
SOURCE = "Leino et al. 2018, arXiv:1802.03788"


def check(
    model: Explained,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> str | None:
    """A reason where there is no such layer or baseline, else None. That it has a grid shows when it runs."""
    return model.has_layers(layers) or fills.lacks(baseline, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    layers: Sequence[str] = ("last",),
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> Cost:
    """A forward per step; what follows the layers once backwards per step and target."""
    return Cost(steps, steps * targets, model.micro_batch, targets * model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    steps: int = 50,
    rule: str = "gauss_legendre",
    baseline: str = "zero",
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: the line's mean gradient at the layer, summed over channels.

    Not multiplied with the activation (equation 1 with the uniform distribution on the line). Raises
    `NotApplicable` where a layer has no grid, no target depends on its cells, or the channels' gradients
    cancel (in a transformer, where all that follows normalises over channels: choose the normalised layer).
    """
    modules = model.modules(layers)
    start = fills.fill(baseline, model, images.pixels)
    way = images.pixels - start
    positions, weights = paths.quadrature(rule, steps)

    def points(rows: Tensor, numbers: Tensor) -> tuple[Tensor, list[Tensor]]:
        place = start[rows] + paths.column(positions[numbers], way) * way[rows]
        return place, [weights[numbers]] * len(modules)

    values = paths.along_layers(model, images.pixels, targets, modules, steps, points)
    return layer_maps(model, images, targets, list(modules), values)
