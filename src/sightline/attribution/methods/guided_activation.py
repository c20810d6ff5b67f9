"""A layer's activations, guided back to the pixels (Chatterjee et al. 2022, TorchEsegeta).

The scalar is the sum of the layer's activations, of all channels or one; its gradient in the pixels is taken
with the rule of guided backpropagation (Springenberg et al. 2015) at every ReLU up to the layer, as captum's
NeuronGuidedBackprop does for a neuron. It serves no class. Maps sum the input's channels, signed.
"""

from __future__ import annotations

from math import prod

from sightline.attribution.engines import guided
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "layer": {
        "type": "string",
        "default": "last",
        "description": "The layer: `last`, or a module's name.",
    },
    "channel": {
        "type": ["integer", "null"],
        "minimum": 0,
        "default": None,
        "description": "The channel whose activations are summed; null for all.",
    },
}
PER_TARGET = False
GRID = "input"
NEEDS = ("gradient", "relu", "layer")
IDENTITY = "differs_from_gradient"
FAMILY = "layer"
SOURCE = "Chatterjee et al. 2022, doi:10.3390/app12041834; Springenberg et al. 2015, arXiv:1412.6806"


def check(model: Explained, targets: Targets, layer: str = "last", channel: int | None = None) -> str | None:
    """A reason where there is no such layer or activations are not ReLUs, else None."""
    return model.has_layers([layer]) or guided.refusal(model)


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, layer: str = "last", channel: int | None = None
) -> Cost:
    """One forward; two backwards from the layer, with the rule and without."""
    return Cost(1, 2, 1, prod(shape[1:]))


def explain(
    model: Explained, images: Images, targets: Targets, layer: str = "last", channel: int | None = None
) -> list[Maps]:
    """One Maps (B, 1, [D,] H, W); `gap` as in guided backpropagation.

    Raises `NotApplicable` where `layer` stands for several modules, has no grid or no such channel.
    """
    names = list(model.modules([layer]))
    if len(names) > 1:
        raise NotApplicable(f"layer '{layer}' stands for {', '.join(names)}; name one of them")
    found = guided.activation_gradients(model, images, names[0], channel)
    return guided.as_maps(found, images, targets.names)
