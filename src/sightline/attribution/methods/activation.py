"""A layer's activation: the mean over its channels, which serves no class."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.attribution.engines.gradients import layer_maps, layer_values
from sightline.attribution.engines.paths import ROUNDING
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
PER_TARGET = False
GRID = "layer"
NEEDS = ("forward", "layer")
IDENTITY = None
FAMILY = "layer"
SOURCE = "Kokhlikyan et al. 2020 (captum's LayerActivation), arXiv:2009.07896"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no such layer, else None. That it has a grid shows when it runs."""
    return model.has_layers(layers)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """One forward."""
    return Cost(1, 0, 1, model.cells(layers))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, 1, *grid) per layer: the mean over channels of its output, target "".

    Raises `NotApplicable` where a layer has no grid, or its channels add up to the same in every cell (a
    layer normalisation's do: their mean is taken away).
    """
    modules = model.modules(layers)
    values, outputs = layer_values(model, images.pixels, modules)
    laid = {name: model.grid(name, value) for name, value in zip(modules, values)}
    grids = [one.mean(dim=1, keepdim=True) for one in laid.values()]
    for (name, one), grid in zip(laid.items(), grids):
        if grid.std() <= ROUNDING * one.std():
            raise NotApplicable(
                f"the mean over channels at layer '{name}' is the same in every cell but for rounding: it "
                "was taken away (layer normalisation); choose another layer"
            )
    return layer_maps(model, images, targets, list(modules), grids, outputs=outputs)
