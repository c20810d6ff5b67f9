"""The logarithm of the grey values: dark parts are stretched, bright ones pressed together.

One of the mammography study's six transformations, which gives no formula: here p becomes
255 log(1 + p) / log(256), which keeps black and white and does not depend on the rest of the image.
"""

from __future__ import annotations

import numpy as np

OPTIONS: dict[str, dict] = {}


def alter_pixels(image: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    """The image ([D,] H, W), uint8, with the logarithm of its grey values."""
    return np.rint(255.0 * np.log1p(np.arange(256.0)) / np.log(256.0)).astype(np.uint8)[image]
