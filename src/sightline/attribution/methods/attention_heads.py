"""What each head of a transformer's layer attends to: one map per head, for no class.

The row of the class token where the head of the network reads it alone (the maps of Caron et al. 2021,
figure 1); where it reads other tokens, the mean of their rows: what the patches receive.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sightline.attribution.engines import attention
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Modules that compute attention (of a timm ViT: `blocks.11.attn`), `last` or `all`.",
    },
}
PER_TARGET = False
GRID = "layer"
NEEDS = ("attention", "tokens")
IDENTITY = "conservation"  # shares of a row: those of all tokens sum to 1
FAMILY = "attention"
SOURCE = "Caron et al. 2021, arXiv:2104.14294"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no tokens made of patches, else None."""
    return attention.check(model)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """One forward, and the network's head once backwards (it shows which tokens the outputs read)."""
    image = torch.zeros((1, *shape), device=model.device)
    found = attention.attended(model, image, every=False)
    heads = sum(layer.weights.shape[1] for layer in _chosen(found, layers))
    return Cost(1, 1, 1, heads * found.tokens.cells)


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """Maps (B, 1, *grid) of each head, source `<module>.head<number>`, unsigned; target "".

    `gap` is how far the shares of all tokens, class token included, are from summing to 1.
    """
    found = attention.attended(model, images.pixels, every=False)
    read = found.read()
    maps = []
    for layer in _chosen(found, layers):
        shares = layer.weights.detach()[:, :, read].mean(dim=2)  # (B, heads, L)
        frame = model.frame(layer.name, images.shape, found.tokens.shape)
        for head in range(shares.shape[1]):
            one = shares[:, head : head + 1]
            maps.append(
                Maps(
                    source=f"{layer.name}.head{head}",
                    targets=targets.names,
                    values=found.on_grid(one).float().cpu().numpy(),
                    frame=frame,
                    signed=False,
                    gap=(one.sum(dim=2) - 1).abs().float().cpu().numpy(),
                    outputs=found.outputs.detach().float().cpu().numpy(),
                )
            )
    return maps


def _chosen(found: attention.Attended, layers: Sequence[str]) -> list[attention.Attention]:
    known = {layer.name: layer for layer in found.layers}
    chosen: dict[str, attention.Attention] = {}
    for name in layers:
        if name == "all":
            chosen |= known
        elif name == "last":
            chosen[found.layers[-1].name] = found.layers[-1]
        elif name in known:
            chosen[name] = known[name]
        else:
            raise NotApplicable(f"no attention among all tokens in '{name}'; there is in {', '.join(known)}")
    return list(chosen.values())
