"""Normal noise added to every pixel.

One of the mammography study's six transformations: it draws from N(0, 1) and does not say whether on grey
values from 0 to 255 or from 0 to 1. The default takes it at its word, on stored grey values, where it hardly
shows.
"""

from __future__ import annotations

import numpy as np

OPTIONS = {
    "deviation": {
        "type": "number",
        "minimum": 0,
        "default": 1.0,
        "description": "Standard deviation in grey values (0 to 255). The study's N(0, 1) by its letter; "
        "25.5, a tenth of the range, shows.",
    },
}


def alter_pixels(image: np.ndarray, generator: np.random.Generator, deviation: float) -> np.ndarray:
    """The image ([D,] H, W), uint8, with noise, rounded and cut off at black and white."""
    noisy = image + deviation * generator.standard_normal(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
