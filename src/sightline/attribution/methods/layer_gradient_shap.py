"""Gradient SHAP at a layer: its gradients on random lines from reference images, times its own change.

As captum's LayerGradientShap; the idea of Lundberg and Lee 2017 carried to a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sightline.attribution.engines import paths
from sightline.attribution.engines.gradients import layer_maps, layer_values
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
    "samples": {
        "type": "integer",
        "minimum": 1,
        "default": 5,
        "description": "Random points per image (captum: 5).",
    },
    "noise": {
        "type": "number",
        "minimum": 0,
        "default": 0.0,
        "description": "Standard deviation of noise added to the image, as a share of its range of values.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "layer", "references")
IDENTITY = None
FAMILY = "layer"
SOURCE = "Lundberg and Lee 2017, arXiv:1705.07874 (captum's LayerGradientShap)"


def check(
    model: Explained,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    samples: int = 5,
    noise: float = 0.0,
) -> str | None:
    """A reason where there is no such layer or no reference image, else None."""
    if model.reference_images is None:
        return "it needs a set of reference images; the study names none"
    return model.has_layers(layers)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    layers: Sequence[str] = ("last",),
    samples: int = 5,
    noise: float = 0.0,
) -> Cost:
    """Three forwards per sample (both ends and the point between); once backwards per sample and target."""
    return Cost(3 * samples, samples * targets, model.micro_batch, targets * model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    samples: int = 5,
    noise: float = 0.0,
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: the samples' mean, summed over channels.

    A sample is (layer at the image - layer at a reference) x gradient at the layer, at a random place between
    the two in the input. There is no gap: a layer's values do not move along a straight line, so that theory
    promises no sum (`conductance` does). Raises `NotApplicable` where a layer has no grid, or no target
    depends on its cells.
    """
    modules = model.modules(layers)
    lines = paths.draw_lines(model, images, samples, noise, "layer_gradient_shap")

    def points(rows: Tensor, numbers: Tensor) -> tuple[Tensor, list[Tensor]]:
        start, end, place = lines.at(rows, numbers)
        before, _ = layer_values(model, start, modules)
        after, _ = layer_values(model, end, modules)
        return place, [(high - low) / samples for low, high in zip(before, after)]

    values = paths.along_layers(model, images.pixels, targets, modules, samples, points)
    return layer_maps(model, images, targets, list(modules), values)
