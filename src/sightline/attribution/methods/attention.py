"""An attention map of the architecture, as it is: it serves no class (the gates of Schlemper et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "name": {
        "type": "string",
        "default": "am1",
        "description": "A name in the architecture's ATTENTION (ag_sononet: `am1`, `am2`).",
    },
}
PER_TARGET = False
GRID = "layer"
NEEDS = ("attention",)
IDENTITY = None
FAMILY = "attention"
SOURCE = "Schlemper et al. 2019, arXiv:1808.08114"


def check(model: Explained, targets: Targets, name: str = "am1") -> str | None:
    """A reason where the architecture names no such attention map, else None."""
    if name not in model.attention:
        return f"the network has no attention map '{name}'; it has {', '.join(model.attention) or 'none'}"
    return None


def cost(model: Explained, shape: tuple[int, ...], targets: int, name: str = "am1") -> Cost:
    """One forward."""
    return Cost(1, 0, 1, model.cells([model.attention[name]]))


def explain(model: Explained, images: Images, targets: Targets, name: str = "am1") -> list[Maps]:
    """The module's output (B, 1, *grid) as one map, target "", unsigned where no value is below zero."""
    module = model.attention[name]
    found: list[object] = []

    def keep(_module: nn.Module, _inputs: tuple, output: object) -> None:
        found[:] = [output]

    handle = model.network.get_submodule(module).register_forward_hook(keep)
    try:
        with torch.no_grad():
            outputs = model.network(images.pixels)
    finally:
        handle.remove()
    attention = found[0] if found else None
    if (
        not isinstance(attention, Tensor)
        or attention.ndim != model.spatial_dims + 2
        or attention.shape[1] != 1
    ):
        shape = tuple(attention.shape) if isinstance(attention, Tensor) else None
        raise NotApplicable(
            f"'{name}' gives {shape}, not one value per cell of a {model.spatial_dims}-D grid"
        )
    frame = model.frame(module, images.shape, tuple(attention.shape[2:]))
    return [
        Maps(
            source=module,
            targets=targets.names,
            values=attention.float().cpu().numpy(),
            frame=frame,
            signed=False,
            outputs=outputs.float().cpu().numpy(),
        )
    ]
