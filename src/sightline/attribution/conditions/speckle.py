"""Speckle: noise in proportion to the image, p + p n with n normal.

One of the mammography study's six transformations, with its N(0, 1).
"""

from __future__ import annotations

import numpy as np

OPTIONS = {
    "deviation": {
        "type": "number",
        "minimum": 0,
        "default": 1.0,
        "description": "Standard deviation of what each pixel is multiplied by, added to the pixel.",
    },
}


def alter_pixels(image: np.ndarray, generator: np.random.Generator, deviation: float) -> np.ndarray:
    """The image ([D,] H, W), uint8, with speckle, rounded and cut off at black and white."""
    noisy = image * (1.0 + deviation * generator.standard_normal(image.shape))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
