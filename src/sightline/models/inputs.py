"""Stored pixels as a network's input: three equal channels with ImageNet's normalisation, as the authors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, per channel


def explain_input(images: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """The network's input (B, 3, H, W) for stored images (B, H, W), uint8, as they are."""
    return normalise(torch.as_tensor(np.array(images, dtype=np.uint8), device=device))


def normalise(pixels: Tensor) -> Tensor:
    """Grey values (B, H, W), uint8, as three normalised channels (B, 3, H, W), float32."""
    scaled = pixels.float() / 255
    return torch.stack([(scaled - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION)], dim=1)
