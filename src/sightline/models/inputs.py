"""Stored pixels as a network's input, with ImageNet's normalisation; grey is three equal channels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, per channel


def explain_input(images: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """The network's input (B, 3, H, W) for stored images (B, H, W) or (B, H, W, 3), uint8, as they are."""
    return normalise(torch.as_tensor(np.array(images, dtype=np.uint8), device=device))


def normalise(pixels: Tensor) -> Tensor:
    """Grey values (B, H, W) or colours (B, H, W, 3), uint8, as normalised channels (B, 3, H, W), float32.

    The same on every device: divisors are tensors, for a GPU multiplies by the inverse of a number.
    """
    white, *deviations = (torch.full((), value, device=pixels.device) for value in (255.0, *DEVIATION))
    scaled = pixels.float() / white
    channels = [scaled] * len(MEAN) if scaled.ndim == 3 else scaled.unbind(dim=-1)
    return torch.stack(
        [(values - mean) / deviation for values, mean, deviation in zip(channels, MEAN, deviations)], dim=1
    )
