"""Conductance: integrated gradients as they flow through a layer (Dhamdhere, Sundararajan and Yan 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.attribution.engines import cam, fills, paths
from sightline.attribution.engines.gradients import at_layers, completeness, layer_maps
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
        "description": "Parts of the line (captum: 50).",
    },
    "rule": {
        "enum": ["trapezoid", "left"],
        "default": "trapezoid",
        "description": "The gradient of a part: the mean of its ends', or that of its first end (captum).",
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
IDENTITY = "completeness"
FAMILY = "layer"
SOURCE = "Dhamdhere et al. 2018, arXiv:1805.12233; Shrikumar et al. 2018, arXiv:1807.09946"


def check(
    model: Explained,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    steps: int = 50,
    rule: str = "trapezoid",
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
    rule: str = "trapezoid",
    baseline: str = "zero",
) -> Cost:
    """A forward per end of a part; what follows the layers once backwards per end and target."""
    return Cost(steps + 1, (steps + 1) * targets, model.micro_batch, targets * model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    steps: int = 50,
    rule: str = "trapezoid",
    baseline: str = "zero",
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer, summed over channels.

    The line is cut into equal parts; each gives gradient at the layer x change of the layer (Shrikumar et al.
    2018: exact in the limit, for the price of a gradient). The gap is that of completeness: the whole layer's
    sum (with the tokens before those of the patches, which no map has) against f(image) - f(baseline). There
    is none where the image reaches the target past the layer too, as inside a residual branch: theory
    promises nothing there. Raises `NotApplicable` where a layer has no grid, or no target depends on its
    cells.
    """
    modules = model.modules(layers)
    start = fills.fill(baseline, model, images.pixels)
    lines = [
        _line(model, (start[row], images.pixels[row], row), targets, modules, (steps, rule))
        for row in range(len(images.pixels))
    ]
    outputs = torch.stack([said for _, said, _ in lines])
    change = torch.stack([scalars[1] - scalars[0] for _, _, scalars in lines])  # (B, T)
    values, gaps = [], []
    for number, name in enumerate(modules):
        whole = torch.stack([totals[number] for totals, _, _ in lines])  # (B, T, *layer)
        passed = cam.head(model, name, images.shape).at_zero is None
        summed = whole.double().flatten(2).sum(dim=2)
        gaps.append(None if passed else completeness(summed, change, outputs))
        values.append(torch.stack([model.grid(name, one).sum(dim=1) for one in whole]))
        paths.refuse_if_by_class_token(name, values[-1], whole[0], model)
    return layer_maps(model, images, targets, list(modules), values, gaps, outputs)


def _line(
    model: Explained,
    ends: tuple[Tensor, Tensor, int],
    targets: Targets,
    modules: dict[str, nn.Module],
    parts: tuple[int, str],
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Each layer's conductance (T, *layer) for one image, the outputs there, the targets at both ends (2, T).

    `ends` are the baseline, the image and its row in the batch; `parts` the steps and the rule.
    """
    start, end, row = ends
    steps, rule = parts
    totals: list[Tensor] = []
    levels: list[Tensor] = []  # of the last point, by layer (1, *layer)
    slopes: list[list[Tensor]] = [[] for _ in range(targets.count)]  # the same, by target and layer
    scalars: list[Tensor] = []
    for numbers in torch.arange(steps + 1).split(model.micro_batch):
        share = paths.column(numbers.double() / steps, start[None])
        place = torch.lerp(start[None], end[None], share)  # exact at both ends
        recorded = at_layers(model, place, targets, modules, torch.full_like(numbers, row))
        scalars += [recorded.scalars.detach()]
        here = [leaf.detach() for leaf in recorded.at]
        totals = totals or [one.new_zeros((targets.count, *one.shape[1:])) for one in here]
        values = [torch.cat([*levels[at : at + 1], one]) for at, one in enumerate(here)]
        for target, gradients in enumerate(recorded.gradients()):
            for at, gradient in enumerate(gradients):
                slope = torch.cat([*slopes[target][at : at + 1], gradient])
                slope = 0.5 * (slope[1:] + slope[:-1]) if rule == "trapezoid" else slope[:-1]
                totals[at][target] += (slope * values[at].diff(dim=0)).sum(dim=0)
            slopes[target] = [gradient[-1:] for gradient in gradients]
        levels = [one[-1:] for one in here]
    return totals, recorded.outputs[-1], torch.cat(scalars)[[0, -1]]
