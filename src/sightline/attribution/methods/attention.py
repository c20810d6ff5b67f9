"""An attention map of the network, as it is: it serves no class (the gates of Schlemper et al. 2019).

Any module's output can be read so: what the architecture names as attention (soft attention, gates), or a
module by its own name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "name": {
        "type": "string",
        "default": "am1",
        "description": "A name in the architecture's ATTENTION (ag_sononet: `am1`, `am2`), or of a module.",
    },
    "part": {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "Which tensor of a module that gives several, from 0.",
    },
    "channels": {
        "type": "string",
        "enum": ["one", "mean", "norm"],
        "default": "one",
        "description": "What a cell's value is: that of the `one` channel there is, the channels' mean, or "
        "their length (square root of the sum of squares).",
    },
}
PER_TARGET = False
GRID = "layer"
NEEDS = ("attention",)
IDENTITY = None
FAMILY = "attention"
SOURCE = "Schlemper et al. 2019, arXiv:1808.08114"


def check(
    model: Explained, targets: Targets, name: str = "am1", part: int = 0, channels: str = "one"
) -> str | None:
    """A reason where neither the architecture's ATTENTION nor a module has the name, else None."""
    if name not in model.attention and model.has_layers([name]):
        named = ", ".join(model.attention) or "none"
        return f"the network has no attention map and no module '{name}'; the architecture names {named}"
    return None


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, name: str = "am1", part: int = 0,
    channels: str = "one",
) -> Cost:  # fmt: skip
    """One forward."""
    layer, module = _module(model, name)
    image = torch.zeros((1, *shape), device=model.device)
    return Cost(1, 0, 1, _seen(model, layer, module, image, part)[0][0, 0].numel())


def explain(
    model: Explained, images: Images, targets: Targets, name: str = "am1", part: int = 0,
    channels: str = "one",
) -> list[Maps]:  # fmt: skip
    """The module's output as one map (B, 1, *grid), target "", unsigned where no value is below zero."""
    layer, module = _module(model, name)
    seen, outputs = _seen(model, layer, module, images.pixels, part)
    if channels == "one" and seen.shape[1] != 1:
        raise NotApplicable(f"'{name}' gives {seen.shape[1]} values per cell; ask for their mean or norm")
    values = (
        seen.mean(dim=1) if channels == "mean" else seen.norm(dim=1) if channels == "norm" else seen[:, 0]
    )
    return [
        Maps(
            source=layer,
            targets=targets.names,
            values=values[:, None].float().cpu().numpy(),
            frame=model.frame(layer, images.shape, tuple(values.shape[1:])),
            signed=bool((values < 0).any()),
            outputs=outputs.float().cpu().numpy(),
        )
    ]


def _module(model: Explained, name: str) -> tuple[str, nn.Module]:
    """The module's own name, and the module."""
    ((layer, module),) = model.modules([model.attention.get(name, name)]).items()
    return layer, module


def _seen(
    model: Explained, layer: str, module: nn.Module, pixels: Tensor, part: int
) -> tuple[Tensor, Tensor]:
    """The module's output on its grid (B, K, *grid), and the network's outputs."""
    found: list[object] = []

    def keep(_module: nn.Module, _inputs: tuple, output: object) -> None:
        found[:] = [output]

    handle = module.register_forward_hook(keep)
    try:
        with torch.no_grad():
            outputs = model.network(pixels)
    finally:
        handle.remove()
    output = found[0] if found else None
    if isinstance(output, (tuple, list)):
        output = output[part] if part < len(output) else None
    return model.grid(layer, output), outputs
