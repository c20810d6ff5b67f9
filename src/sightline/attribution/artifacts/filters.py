"""The weights of convolutions, filter by filter: what a first layer answers to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sightline.attribution.artifact import Artifact
from sightline.attribution.explained import Explained
from sightline.attribution.material import Material

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "Convolutions by module name; empty: the first one.",
    },
    "count": {
        "type": "integer",
        "minimum": 1,
        "default": 64,
        "description": "Filters shown of a layer, its first ones.",
    },
}
NEEDS = ("convolution",)
SCOPE = "model"
SOURCE = "Krizhevsky et al. 2012, NeurIPS 25, figure 3"


def check(model: Explained, layers: Sequence[str] = (), count: int = 64) -> str | None:
    """A reason where a layer is no convolution, or the network has none, else None."""
    convolutions = _convolutions(model)
    if not convolutions:
        return "the network has no convolution"
    others = [name for name in layers if name not in convolutions]
    return f"{', '.join(others)}: no convolution; there is {', '.join(convolutions)}" if others else None


def make(model: Explained, data: Material, layers: Sequence[str] = (), count: int = 64) -> list[Artifact]:
    """Per layer the weights (filters, input channels, *kernel), signed."""
    convolutions = _convolutions(model)
    made = []
    for name in layers or list(convolutions)[:1]:
        weights = _weights(convolutions[name])
        shown = weights[:count].float().cpu().numpy()
        says = [f"{len(shown)} of {len(weights)} filters of {name}, summed over {weights.shape[1]} inputs."]
        facts = {"titles": [str(number) for number in range(len(shown))], "look": "signed", "says": says}
        made.append(Artifact(name, "images", shown, facts))
    return made


def _convolutions(model: Explained) -> dict[str, nn.Module]:
    """By name, those with a kernel of more than one cell."""
    return {
        name: module
        for name, module in model.network.named_modules()
        if isinstance(module, nn.modules.conv._ConvNd) and module.weight[0, 0].numel() > 1
    }


def _weights(convolution: nn.Module) -> Tensor:
    """(filters, input channels, *kernel): a transposed convolution holds them the other way round."""
    weights = convolution.weight.detach()
    if not convolution.transposed:
        return weights
    groups = convolution.groups  # (inputs, filters / groups, *kernel): each group's own block
    blocks = weights.unflatten(0, (groups, -1)).transpose(1, 2)  # (groups, filters, inputs, *kernel)
    return blocks.flatten(0, 1)
