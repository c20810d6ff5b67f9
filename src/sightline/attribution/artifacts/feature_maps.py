"""What single channels of a layer give for given images: the channels that vary most over the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines import ascent
from sightline.attribution.explained import Explained
from sightline.attribution.material import Material

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers: `last` (the architecture's choice) or module names.",
    },
    "examples": {
        "type": "integer",
        "minimum": 1,
        "default": 2,
        "description": "Images shown, the dataset's first ones.",
    },
    "count": {
        "type": "integer",
        "minimum": 1,
        "default": 16,
        "description": "Channels shown per image, those with the largest standard deviation over its cells.",
    },
}
NEEDS = ("forward", "layer")
SCOPE = "dataset"
SOURCE = "Zeiler & Fergus 2014, arXiv:1311.2901"


def check(
    model: Explained, layers: Sequence[str] = ("last",), examples: int = 2, count: int = 16
) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers(layers)


def make(
    model: Explained, data: Material, layers: Sequence[str] = ("last",), examples: int = 2, count: int = 16
) -> list[Artifact]:
    """The images (images, C, [D,] H, W); for each, per layer, its channels (count, 1, *grid), signed."""
    names, pixels = data.first(model, examples)
    whole = pixels.float().cpu().numpy()
    made = [Artifact("images", "images", whole, {"titles": names, "look": "image"})]
    for image, one in zip(names, pixels.split(1)):
        for name, module in model.modules(layers).items():
            with torch.no_grad():
                grid = ascent.activations(model, name, module, one)[0]  # (K, *grid)
            spread = grid.flatten(1).std(dim=1, correction=0)
            chosen = spread.argsort(descending=True, stable=True)[:count].tolist()
            shown = grid[chosen][:, None].float().cpu().numpy()
            facts = {
                "titles": [str(channel) for channel in chosen],
                "look": "signed" if (shown < 0).any() else "map",
                "says": [
                    f"{len(chosen)} of {len(grid)} channels of {name}, those that vary most over an image."
                ],
            }
            made.append(Artifact(f"{image}: {name}", "images", shown, facts))
    return made
