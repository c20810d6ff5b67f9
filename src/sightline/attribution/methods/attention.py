"""An attention map of the architecture, as it is: it serves no class (the gates of Schlemper et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.attribution.maps import Explained, Maps, NotApplicable, Targets

OPTIONS = {
    "name": {
        "type": "string",
        "default": "am1",
        "description": "A name in the architecture's ATTENTION (ag_sononet: `am1`, `am2`).",
    },
}
PER_TARGET = False


def check(model: Explained, targets: Targets, name: str = "am1") -> str | None:
    """A reason where the architecture names no such attention map, else None."""
    if name not in model.attention:
        return f"the network has no attention map '{name}'; it has {', '.join(model.attention) or 'none'}"
    return None


def explain(model: Explained, images: Tensor, targets: Targets, name: str = "am1") -> list[Maps]:
    """The module's output (B, 1, *grid) as one map, target "", unsigned where no value is below zero."""
    module = model.attention[name]
    found: list[object] = []

    def keep(_module: nn.Module, _inputs: tuple, output: object) -> None:
        found[:] = [output]

    handle = model.network.get_submodule(module).register_forward_hook(keep)
    try:
        with torch.no_grad():
            outputs = model.network(images)
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
    frame = model.frame(module, tuple(images.shape[1:]), tuple(attention.shape[2:]))
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
