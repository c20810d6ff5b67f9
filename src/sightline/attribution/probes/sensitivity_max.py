"""Sensitivity-max: the most a map changes when noise that no one sees is added (Yeh et al. 2019, eq. 3)."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from sightline.attribution.probing import Probed

OPTIONS = {
    "samples": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "Altered images; each is explained again.",
    },
    "radius": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.02,
        "description": "Largest change of a pixel, in units of the normalised input (uniform noise).",
    },
}
METRICS = {
    "sensitivity_max": {
        "symbol": "sensitivity-max",
        "description": "Largest relative change of the map among slightly altered images.",
        "better": "low",
    },
}
EXPLAINS = True


def probe(probed: Probed, samples: int = 10, radius: float = 0.02) -> dict:
    """{"sensitivity_max": (B, T)}: the largest ||changed map - map|| / ||map||; NaN for a map of zeros.

    The targets stay those of the unaltered images, and a method's own draws stay the same.
    """
    images, axes = probed.images, tuple(range(2, probed.saliency.ndim))
    generators = [images.generator(index, "sensitivity") for index in range(len(images.pixels))]
    norm = np.sqrt((probed.saliency.astype(np.float64) ** 2).sum(axis=axes))  # (B, T)
    largest = np.zeros_like(norm)
    for _ in range(samples):
        noise = torch.stack([torch.rand(images.shape, generator=one) for one in generators])
        pixels = images.pixels + radius * (2.0 * noise.to(images.pixels) - 1.0)
        again = probed.again(dataclasses.replace(images, pixels=pixels))
        change = np.sqrt(((again.astype(np.float64) - probed.saliency) ** 2).sum(axis=axes))
        largest = np.maximum(largest, change)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"sensitivity_max": np.where(norm > 0.0, largest / norm, np.nan)}


def passes(explain: float, targets: int, samples: int = 10, **options: object) -> float:
    """The method's own, for each sample."""
    return samples * explain
