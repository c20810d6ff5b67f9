"""What a variational autoencoder cannot rebuild: |x - decode(encode(x))|, pixel by pixel.

The autoencoder was trained on the dataset's training images (`sightline.models.vae`); where the error is
large, an image looks like none of them (Baur et al. 2021). The explained network has no part in it, and no
class has: this map is what any explanation should be held against.
"""

from __future__ import annotations

from math import prod

import torch

from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.frames import Frame

OPTIONS = {}
PER_TARGET = False
GRID = "input"
NEEDS = ("trained_aux",)
IDENTITY = None
FAMILY = "generative"
SOURCE = "Baur et al. 2021, arXiv:2004.03271"


def check(model: Explained, targets: Targets) -> str | None:
    """A reason where no autoencoder was trained, else None."""
    return None if model.auxiliary is not None else "no autoencoder was trained for this model's images"


def cost(model: Explained, shape: tuple[int, ...], targets: int) -> Cost:
    """No pass of the explained network."""
    return Cost(0, 0, 1, prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets) -> list[Maps]:
    """One Maps (B, 1, [D,] H, W): the absolute error, summed over channels; unsigned by definition."""
    with torch.no_grad():
        error = (images.pixels - model.auxiliary(images.pixels)).abs().sum(dim=1, keepdim=True)
    return [
        Maps(
            source="input",
            targets=targets.names,
            values=error.float().cpu().numpy(),
            frame=Frame.of_image(images.shape[1:]),
            signed=False,
        )
    ]
