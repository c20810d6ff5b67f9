"""Infidelity: how far the map is from predicting what noise does to the output (Yeh et al. 2019, eq. 1).

Noise that is equal in all channels meets the sum of the attribution over channels, which is what maps are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.probing import Probed

OPTIONS = {
    "samples": {
        "type": "integer",
        "minimum": 2,
        "default": 50,
        "description": "Perturbations per image (the source takes 1000).",
    },
    "deviation": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.2,
        "description": "Standard deviation of the Gaussian noise, in units of the normalised input.",
    },
    "output": {
        "enum": ["sigmoid", "softmax", "logit"],
        "default": "logit",
        "description": "What the map should predict.",
    },
}
METRICS = {
    "infidelity": {
        "symbol": "infidelity",
        "description": "Mean squared error of the change of output that the map predicts under noise.",
        "better": "low",
    },
    "infidelity_scaled": {
        "symbol": "infidelity, scaled",
        "description": "The same at the map's best scale, over the mean squared change: 0 exact, 1 no help.",
        "better": "low",
    },
}
EXPLAINS = False


def probe(probed: Probed, samples: int = 50, deviation: float = 0.2, output: str = "logit") -> dict:
    """{"infidelity", "infidelity_scaled"}: (B, T); the scaled one NaN where the output never changes.

    A map's own scale is arbitrary for most methods (Grad-CAM's follows its channels): compare methods by the
    scaled form.
    """

    def noise(image: int) -> Iterator[Tensor]:
        draws = probed.images.generator(image, "infidelity")
        for _ in range(samples):
            yield deviation * torch.randn(probed.grid, generator=draws)

    def altered(image: int, _target: int) -> Iterator[Tensor]:
        pixels = probed.images.pixels[image]
        yield pixels
        yield from (pixels - one.to(pixels) for one in noise(image))

    outputs = probed.outputs(altered, output)  # (B, T, 1 + samples)
    changes = outputs[..., :1] - outputs[..., 1:]
    predicted = np.empty_like(changes)
    for image, maps in enumerate(probed.saliency):  # (T, *grid)
        flat = maps.reshape(len(maps), -1).astype(np.float64)
        for sample, one in enumerate(noise(image)):
            predicted[image, :, sample] = flat @ one.numpy().ravel()
    error = ((predicted - changes) ** 2).mean(axis=-1)
    squared, power = (predicted**2).sum(axis=-1), (changes**2).mean(axis=-1)
    # a map of zeros predicts no change at any scale
    scale = (predicted * changes).sum(axis=-1) / np.where(squared > 0.0, squared, 1.0)
    least = ((scale[..., None] * predicted - changes) ** 2).mean(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"infidelity": error, "infidelity_scaled": np.where(power > 0.0, least / power, np.nan)}


def passes(explain: float, targets: int, samples: int = 50, **options: object) -> float:
    """One forward for each sample, and the image."""
    return targets * (samples + 1)
