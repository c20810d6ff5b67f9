"""Deletion: the output while the map's highest pixels go first (Petsiuk et al. 2018, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.engines import fills
from sightline.attribution.probing import Probed, area, fractions, ranked

OPTIONS = {
    "steps": {
        "type": "integer",
        "minimum": 1,
        "default": 20,
        "description": "Equal steps from the whole image to none of it (the source takes 224).",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What a deleted pixel becomes (`attribution/engines/fills.py`; the source: zero).",
    },
    "output": {
        "enum": ["sigmoid", "softmax", "logit"],
        "default": "sigmoid",
        "description": "What is followed: the target's probability (several labels: sigmoid) or logit.",
    },
}
METRICS = {
    "deletion": {
        "symbol": "deletion",
        "description": "Area under the output while the map's highest pixels are deleted first.",
        "better": "low",
    },
}
EXPLAINS = False


def probe(probed: Probed, steps: int = 20, fill: str = "zero", output: str = "sigmoid") -> dict:
    """{"deletion": area (B, T)}; a constant map deletes in a drawn order."""
    blank = fills.fill(fill, probed.model, probed.images.pixels)
    return {"deletion": area(curve(probed, probed.images.pixels, blank, steps, output))}


def passes(explain: float, targets: int, steps: int = 20, **options: object) -> float:
    """One forward for each step, and the whole image."""
    return targets * (steps + 1)


def curve(probed: Probed, start: Tensor, end: Tensor, steps: int, output: str) -> np.ndarray:
    """The output (B, T, steps + 1) while pixels go from `start` to `end`, the map's highest first."""

    def altered(image: int, target: int) -> Iterator[Tensor]:
        order = ranked(probed.saliency[image, target], probed.images.generator(image, "ties"))
        for share in fractions(steps):
            gone = torch.zeros(order.size, dtype=torch.bool)
            gone[torch.from_numpy(order[: round(share * order.size)].copy())] = True
            where = gone.reshape(probed.grid).to(start.device)
            yield torch.where(where, end[image], start[image])

    return probed.outputs(altered, output)
